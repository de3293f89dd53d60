"""The stage as a whole, with torchvision's real network on a few tiny images."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file

from support.images import RECIPE, Diary, pack, run_until_killed
from support.launching import act
from warehouse_classifier.bins.metadata import PAIRS
from warehouse_classifier.dataset.shards import Shards
from warehouse_classifier.models import resnet34
from warehouse_classifier.runtime.errors import UserError
from warehouse_classifier.runtime.files import sha256
from warehouse_classifier.stages.train_resnet34 import TrainResnet34

PARAMS: dict[str, Any] = {**RECIPE, "weights": "none", "weights_sha256": None, "learning_rate": 1e-3, "epochs": 2}
NOTHING = Path("metadata")  # is not read where no further answers are asked for


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack(tmp_path_factory.mktemp("resnet34") / "images", {"train": 16, "validation": 6, "test": 2})


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))


def run(images: Path, model: Path, **changed: Any) -> Diary:
    diary = Diary()
    act("train_resnet34", TrainResnet34(**{**PARAMS, **changed}), images, NOTHING, model, progress=diary)
    return diary


@pytest.mark.slow
def test_a_killed_run_ends_with_the_same_bytes(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """kill -9 in the second epoch, in a process of its own."""
    run_until_killed("train_resnet34", PARAMS, images, tmp_path / "model", batch=3)
    assert not (tmp_path / "model").exists()
    (work,) = (tmp_path / ".work").glob("train_resnet34-*/")
    assert [folder.name for folder in work.iterdir()] == ["00001-0000000"]

    again = run(images, tmp_path / "model")
    assert len(again.advanced) == 2  # the second epoch
    assert again.steps == [1, 2]  # of which the curves tell all the same
    assert list((tmp_path / ".work").iterdir()) == []

    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "elsewhere"))
    assert run(images, tmp_path / "whole").steps == [1, 2]
    for name in ("model.safetensors", "config.json", "history.csv"):
        assert sha256(tmp_path / "model" / name) == sha256(tmp_path / "whole" / name), name
    assert sorted(file.name for file in (tmp_path / "whole").iterdir()) == [
        "config.json", "history.csv", "model.safetensors",
    ]  # fmt: skip
    assert resnet34.load(tmp_path / "whole")(torch.zeros(1, 3, 32, 32, dtype=torch.uint8)).shape == (1, 3)
    assert capfd.readouterr().err == ""  # no library's warning among our lines


@pytest.mark.slow
def test_bf16_and_another_rate_train_a_step(images: Path, tmp_path: Path) -> None:
    diary = run(images, tmp_path / "model", precision="bf16", epochs=1, lr=2e-3, batch=16)
    ((_, metrics),) = diary.measured
    assert metrics["learning_rate"] == 2e-3
    weights = load_file(tmp_path / "model" / "model.safetensors")
    assert weights["conv1.weight"].dtype == torch.float32


@pytest.mark.slow
def test_what_lists_say_is_learned_too_where_the_recipe_asks_for_it(images: Path, tmp_path: Path) -> None:
    """From the table that the stage is given; the model has torchvision's own parts and no more."""
    ids = Shards(images).index["id"].tolist()
    item = {"asin": "A", "quantity": 1, "length": None, "width": 2.0, "height": 3.0, "weight": 0.5, "name": None}
    rows = [{"id": id, "quantity": 1, "items": [{**item, "length": 1.0 + n}]} for n, id in enumerate(ids)]
    pq.write_table(pa.Table.from_pylist(rows, PAIRS), tmp_path / "metadata.parquet")
    params = TrainResnet34(**{**PARAMS, "auxiliary": 1.0, "epochs": 1})
    act("train_resnet34", params, images, tmp_path / "metadata.parquet", tmp_path / "with", progress=Diary())
    run(images, tmp_path / "without", epochs=1)
    both, alone = (load_file(tmp_path / name / "model.safetensors") for name in ("with", "without"))
    assert both.keys() == alone.keys()
    assert not torch.equal(both["conv1.weight"], alone["conv1.weight"])
    pq.write_table(pa.Table.from_pylist(rows[1:], PAIRS), tmp_path / "metadata.parquet")
    with pytest.raises(UserError, match=f"does not know bin {ids[0]}"):
        act("train_resnet34", params, images, tmp_path / "metadata.parquet", tmp_path / "lacks", progress=Diary())


@pytest.mark.slow
def test_a_fault_leaves_no_model(images: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"train_resnet34: the loss is (nan|inf) in epoch 1; lower the learning rate"):
        run(images, tmp_path / "model", lr=1e30, epochs=1)
    with pytest.raises(UserError, match=r"weights: .* cannot be read"):
        run(images, tmp_path / "model", weights="none.pth", weights_sha256="0" * 64)
    assert not (tmp_path / "model").exists()


def test_weights_by_path_are_pinned() -> None:
    with pytest.raises(ValidationError, match=r"it must be what `sha256sum mine\.pth` prints"):
        TrainResnet34(**{**PARAMS, "weights": "mine.pth"})


@pytest.mark.slow
def test_another_split_of_the_same_images_is_other_work(images: Path, tmp_path: Path) -> None:
    """Else a killed run's checkpoint would go on with bins that are now in the other split."""
    run_until_killed("train_resnet34", {**PARAMS, "batch": 16}, images, tmp_path / "model", batch=2)
    turned = pack(tmp_path / "images", {"train": 16, "test": 6, "validation": 2})
    assert len(run(turned, tmp_path / "model", batch=16).advanced) == 2
