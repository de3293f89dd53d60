"""`warehouse-classifier report`, over a project whose stages ran before."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from support.projects import Project
from warehouse_classifier.cli.__main__ import answer
from warehouse_classifier.cli.report.command import dotted, speeds
from warehouse_classifier.compute import parameters, stage_spec
from warehouse_classifier.compute.tracked_run import inputs_of, tracked_params
from warehouse_classifier.report.page import LINK, PLACE
from warehouse_classifier.tracking import mlflow_run

PAGE = f"<html><ul>{LINK}</ul><p>the report</p>{PLACE}</html>"
PARAMS: dict[str, Any] = {
    "scale": "small", "lr": None, "seed": 7, "data": {"small": {"bucket": "bins"}},
    "train_vit": {"small": {"epochs": 2, "rate": 1e-3, "own_size": {"layers": 1, "heads": 2}}}, "evaluate": {"small": {"batch": 4}},
}  # fmt: skip
FIGURES = {
    "resnet34_images_per_second": 30.0, "vit_images_per_second": 60.0, "resnet34_accuracy": 0.7, "resnet34_accuracy_low": 0.6,
    "resnet34_accuracy_high": 0.8, "vit_accuracy": 0.5, "vit_accuracy_low": 0.4, "vit_accuracy_high": 0.6,
    "average_accuracy": 0.75, "average_accuracy_low": 0.65, "average_accuracy_high": 0.85,
}  # fmt: skip
EMPTY = hashlib.md5(b"").hexdigest()  # noqa: S324
ARGV = {"train_vit": ["small", "images", "vit"], "evaluate": ["small", "vit", "out/report.html"]}


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With nothing in it; MLflow takes seconds to make one."""
    file = tmp_path_factory.mktemp("database") / "mlflow.db"
    MlflowClient(tracking_uri=f"sqlite:///{file}").search_experiments(max_results=1)
    return file


@pytest.fixture
def project(database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two stages that DVC has run, and no run in MLflow."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copy(database, tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/report.html").write_text(PAGE)
    (tmp_path / "code.py").write_text("pass")
    (tmp_path / "images").write_text("")
    dump("params.yaml", PARAMS)
    stages = {
        "train_vit": {"deps": ["images", "code.py"], "params": ["lr", "seed", "train_vit.${scale}"], "outs": ["vit"]},
        "evaluate": {"deps": ["vit"], "params": ["seed", "evaluate.${scale}"], "outs": ["out/report.html"]},
    }
    dump("dvc.yaml", {"stages": stages})
    page = hashlib.md5(PAGE.encode()).hexdigest()  # noqa: S324
    lock(vit="12.dir", page=page)
    return tmp_path


def dump(file: str, tree: dict[str, Any]) -> None:
    Path(file).write_text(json.dumps(tree))  # which is YAML, in this order


def lock(vit: str, page: str, used: str | None = None) -> None:
    """`vit`, `page`: the MD5 of what the stages left; `used`: of the network that was evaluated."""
    code = hashlib.md5(b"pass").hexdigest()  # noqa: S324
    shuffled = {
        "own_size": {"heads": 2, "layers": 1},
        "epochs": 2,
        "rate": 1e-3,
    }  # DVC and people order them differently
    command = "PYTHONPATH=src python -m warehouse_classifier.compute"
    stages = {
        "train_vit": {
            "cmd": " ".join([command, "train_vit", *ARGV["train_vit"]]),
            "deps": [{"path": "code.py", "md5": code}, {"path": "images", "md5": EMPTY}],
            "params": {"params.yaml": {"lr": None, "seed": 7, "train_vit.small": shuffled}},
            "outs": [{"path": "vit", "md5": vit}],
        },
        "evaluate": {
            "cmd": " ".join([command, "evaluate", *ARGV["evaluate"]]),
            "deps": [{"path": "vit", "md5": used or vit}],
            "params": {"params.yaml": {"seed": 7, "evaluate.small": {"batch": 4}}},
            "outs": [{"path": "out/report.html", "md5": page}],
        },
    }
    dump("dvc.lock", {"schema": "2.0", "stages": stages})


def run(stage: str, status: str = "FINISHED", tags: dict[str, str] | None = None, **figures: float) -> None:
    """As the stage's runner has it tracked, with the parameters that params.yaml says now."""
    tracked = mlflow_run.MlflowRun(
        stage, tracked_params(stage, "small", parameters.read()), inputs_of(stage, ARGV[stage]), tags
    )
    tracked.measure(None, figures or {"accuracy": 0.5})
    tracked.end(status)


def text_of(project: Path) -> str:
    return (project / "out/report-with-runs.html").read_text()


@pytest.mark.slow
def test_the_page_has_the_runs_that_made_it(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("train_vit", images_per_second=517.4, memory_mib=1234.0)
    run(
        "evaluate",
        tags={"runner": "sagemaker", "job": "evaluate-1", "instance": "1 x ml.g5.xlarge"},
        dollars=0.126,
        **FIGURES,
    )
    assert answer(["report"]) == 0
    text = text_of(project)
    for fact in (
        "the report",
        "517 images/s",
        "1,234 MiB",
        "about $0.13",
        "sagemaker: 1 x ml.g5.xlarge",
        "train_vit.small.rate",
    ):
        assert fact in text
    assert PLACE not in text
    assert "their average" in text.lower()
    output = capsys.readouterr().out.splitlines()
    assert output[0].startswith("train_vit: ")
    assert output[1].startswith("evaluate: ")
    assert output[2] == "out/report-with-runs.html"
    assert (project / "out/report.html").read_text() == PAGE


@pytest.mark.slow
def test_the_newest_finished_run_of_the_same_is_taken_and_no_other(project: Path) -> None:
    run("evaluate", **FIGURES)
    run("train_vit", images_per_second=111.0)
    run("train_vit", images_per_second=222.0)  # the one
    run("train_vit", "FAILED", images_per_second=333.0)
    changed = {**PARAMS, "train_vit": {"small": {**PARAMS["train_vit"]["small"], "epochs": 3}}}
    dump("params.yaml", changed)
    run("train_vit", images_per_second=444.0)
    dump("params.yaml", PARAMS)
    (project / "code.py").write_text("other")
    run("train_vit", images_per_second=555.0)
    assert answer(["report", "--output", "some/page.html"]) == 0
    text = Path("some/page.html").read_text()
    assert "222 images/s" in text
    assert not any(f"{rate} images/s" in text for rate in (111, 333, 444, 555))


def test_a_stage_without_a_run_is_said_to_have_none(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Somebody else trained it, and `dvc pull` brought it."""
    run("evaluate", **FIGURES)
    assert answer(["report"]) == 0
    missing = "MLflow has no run of it with these inputs and parameters"
    assert f"train_vit: {missing}" in capsys.readouterr().out
    assert missing in text_of(project)


def test_a_browser_is_asked_to_show_it(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("evaluate")
    shown: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda url: bool(shown.append(url)) or True)
    assert answer(["report", "--open"]) == 0
    assert shown == [(project / "out/report-with-runs.html").as_uri()]


def no_store(project: Path) -> None:
    (project / "mlflow.db").unlink()


def no_run(project: Path) -> None:
    run("evaluate", "FAILED")


def no_page(project: Path) -> None:
    (project / "out/report.html").unlink()


def other_page(project: Path) -> None:
    (project / "out/report.html").write_text("older")


def no_lock(project: Path) -> None:
    (project / "dvc.lock").unlink()


def later_training(project: Path) -> None:
    run("evaluate")
    lock(vit="34.dir", used="12.dir", page=hashlib.md5(PAGE.encode()).hexdigest())  # noqa: S324


def no_database(project: Path) -> None:
    (project / "mlflow.db").write_text("this is none")


@pytest.mark.parametrize(
    ("trouble", "message"),
    [
        (no_store, "mlflow.db, where MLflow keeps runs; `dvc repro` makes it, or MLFLOW_TRACKING_URI names another"),
        (no_run, "MLflow has no run that made what dvc.lock knows; MLFLOW_TRACKING_URI may name the store of those who did"),
        (no_page, "out/report.html cannot be read (No such file or directory); `dvc repro` makes it, `dvc pull` brings it"),
        (other_page, "out/report.html is not the one that dvc.lock knows; `dvc repro` makes it anew"),
        (no_lock, "dvc.lock knows no report; run `dvc repro` at the top of the project"),
        (later_training, "dvc.lock: evaluate was not run since vit became another; `dvc repro` runs it"),
        (no_database, "MLflow's store cannot be read; check MLFLOW_TRACKING_URI ("),
    ],
)  # fmt: skip
def test_what_is_missing_is_one_line(
    project: Path, capsys: pytest.CaptureFixture[str], trouble: Callable[[Path], None], message: str
) -> None:
    trouble(project)
    capsys.readouterr()
    assert answer(["report"]) == 2
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert line.startswith("error: ")
    assert message in line
    assert captured.out == ""
    assert not (project / "out/report-with-runs.html").exists()


def test_the_average_is_as_fast_as_both_one_after_the_other() -> None:
    from warehouse_classifier.cli.report.records import Record

    measured = speeds(Record("1", 0.0, 1.0, {}, FIGURES))
    assert measured["ResNet34"] == (30.0, 0.7, 0.6, 0.8)
    assert measured["their average"] == pytest.approx((20.0, 0.75, 0.65, 0.85))
    assert {*speeds(Record("1", 0.0, 1.0, {}, {"vit_images_per_second": 1.0}))} == set()
    assert speeds(None) == {}


def test_every_parameter_has_a_dotted_name() -> None:
    assert dotted({"lr": None, "train_vit.small": {"own_size": {"layers": 1}, "bins": [1, 2]}}) == {
        "lr": "null",
        "train_vit.small.own_size.layers": "1",
        "train_vit.small.bins": "[1, 2]",
    }


def test_the_runs_of_a_real_pipeline_are_found(reproduced: Project, tmp_path: Path) -> None:
    output = reproduced.run(
        "python", "-m", "warehouse_classifier.cli", "report", "--output", str(tmp_path / "page.html")
    )
    stages = list(stage_spec.load(reproduced.folder / "dvc.yaml")["stages"])
    lines = output.splitlines()
    assert [line.partition(":")[0] for line in lines[: len(stages)]] == stages
    assert not [line for line in lines if "has no run" in line]
    text = (tmp_path / "page.html").read_text()
    assert text.count("images/s") >= 2
    assert PLACE not in text
