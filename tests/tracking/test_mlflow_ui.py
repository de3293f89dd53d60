"""Both trainings set side by side by `mlflow ui`, in a real browser."""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

import screenshot
from warehouse_classifier.tracking.mlflow_run import MlflowRun

pytestmark = pytest.mark.soak

# of a few epochs: nothing else on the page looks like these
CURVES = {"train_resnet34": [0.41235, 0.52346], "train_vit": [0.31234, 0.43215, 0.65437]}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Of `mlflow ui`, and the database that it shows: a training of each network, as the stages' runner has it tracked."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("ui")
        patch.setenv("DVC_ROOT", str(folder))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        for stage, accuracies in CURVES.items():
            run = MlflowRun(stage, {"lr": None, "epochs": len(accuracies)}, "")
            for epoch, accuracy in enumerate(accuracies, 1):
                run.measure(epoch, {"validation_accuracy": accuracy, "train_loss": 1 - accuracy})
            run.end("FINISHED")
        with screenshot.served(folder / "mlflow.db") as base:
            yield base, folder / "mlflow.db"


def kept(shot: Path) -> None:
    """Also where ARTEFACTS names a folder."""
    if folder := os.environ.get("ARTEFACTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        shutil.copy(shot, folder)


def test_both_runs_are_compared_side_by_side(address: tuple[str, Path], chromium: str, tmp_path: Path) -> None:
    base, database = address
    page = screenshot.compared(base, *screenshot.newest(database))
    shot = tmp_path / "mlflow-compared.png"
    text = re.sub(r"<[^>]+>", "\n", screenshot.browse(chromium, page, "--dump-dom", f"--screenshot={shot}"))
    assert "Comparing 2 Runs from 1 Experiment" in text
    for stage, accuracies in CURVES.items():
        assert stage in text
        assert re.search(rf"\b{accuracies[-1]:.3f}", text), accuracies  # the last figure of the metric's row
    assert "validation_accuracy" in text
    with Image.open(shot) as image:
        assert image.size == screenshot.WINDOW
        assert len(image.convert("RGB").getcolors(1 << 24) or []) > 500  # more than an empty frame
    kept(shot)


def test_their_curves_stand_in_one_plot(address: tuple[str, Path], chromium: str, tmp_path: Path) -> None:
    """As in README's picture, which the same script makes."""
    base, database = address
    page = screenshot.curves(base, *screenshot.newest(database), screenshot.METRIC)
    shot = tmp_path / "mlflow-curves.png"
    text = re.sub(r"<[^>]+>", "\n", screenshot.browse(chromium, page, "--dump-dom", f"--screenshot={shot}"))
    for stage, accuracies in CURVES.items():
        assert f"{stage} (validation_accuracy)" in text  # in the plot's legend
        assert f"{accuracies[-1]} (step={len(accuracies)})" in text
    body = screenshot.small(shot.read_bytes())
    assert len(body) < 200_000
    shot.write_bytes(body)
    with Image.open(shot) as image:
        assert image.size == (screenshot.KEPT, screenshot.WINDOW[1])
    kept(shot)
