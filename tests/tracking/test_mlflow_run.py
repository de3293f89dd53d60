"""Runs of stages as MLflow shows them afterwards."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from mlflow import MlflowClient
from mlflow.entities import Run as Tracked

from support.images import RECIPE, pack
from support.launching import act
from warehouse_classifier.runtime.errors import UserError
from warehouse_classifier.stages.train_resnet34 import TrainResnet34
from warehouse_classifier.stages.train_vit import TrainVit
from warehouse_classifier.tracking import history, mlflow_run
from warehouse_classifier.tracking.console import Screen

SIZE = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16, "patch_size": 8}
SHARED: dict[str, Any] = {**RECIPE, "epochs": 1}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project's folder with its own database, which takes MLflow seconds to make."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("tracking")
        patch.setenv("DVC_ROOT", str(folder))
        patch.setenv("DVC_EXP_NAME", "brave-bin")
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.delenv("STAGE_RUNNER", raising=False)
        yield folder


def client(folder: Path) -> MlflowClient:
    return MlflowClient(tracking_uri=f"sqlite:///{folder}/mlflow.db")


def runs(folder: Path, stage: str) -> list[Tracked]:
    """The newest first."""
    its = client(folder)
    experiment = its.get_experiment_by_name("warehouse-classifier")
    assert experiment is not None
    return list(its.search_runs([experiment.experiment_id], f"tags.stage = '{stage}'", order_by=["start_time DESC"]))


@pytest.fixture(scope="module")
def trained(store: Path) -> Path:
    """Both networks, each watched as the launcher has them watched."""
    torch.set_num_threads(1)
    images = pack(store / "images", {"train": 8, "validation": 6, "test": 2})
    resnet34 = TrainResnet34(**SHARED, weights="none", weights_sha256=None)
    run = mlflow_run.MlflowRun("train_resnet34", {"scale": "sample", "lr": None}, "abc")
    act("train_resnet34", resnet34, images, Path("metadata"), store / "resnet34", progress=Screen(run))
    run.end("FINISHED")
    vit = TrainVit(**SHARED, side=32, model_name="own", revision=None, own_size=SIZE)
    run = mlflow_run.MlflowRun("train_vit", {"scale": "sample", "batch": 8}, "def")
    act("train_vit", vit, images, Path("metadata"), store / "vit", progress=Screen(run))
    run.end("FINISHED")
    return store


@pytest.mark.slow
def test_a_run_is_named_as_its_stage_and_says_where_it_comes_from(trained: Path) -> None:
    (run,) = runs(trained, "train_resnet34")
    assert run.info.run_name == "train_resnet34"
    assert run.info.status == "FINISHED"
    assert run.data.params == {"scale": "sample", "lr": "None"}
    tags = {name: value for name, value in run.data.tags.items() if not name.startswith("mlflow.")}
    assert {*tags} == {
        "stage", "git_commit", "git_changed", "dvc_exp_name", "inputs", "runner", "host", "machine", "processors",
    }  # fmt: skip
    assert tags["dvc_exp_name"] == "brave-bin"
    assert tags["inputs"] == "abc"
    assert tags["runner"] == "local"
    assert run.info.end_time is not None
    assert abs(run.info.start_time / 1000 - time.time()) < 600
    assert 0 < run.data.metrics["seconds"] < 300


@pytest.mark.slow
def test_both_networks_log_the_same_names(trained: Path) -> None:
    (resnet34,), (vit,) = runs(trained, "train_resnet34"), runs(trained, "train_vit")
    assert {*resnet34.data.metrics} == {*vit.data.metrics}
    assert {*vit.data.metrics} == {
        "epoch", "train_loss", "validation_loss", "validation_accuracy", "validation_rmse", "learning_rate",
        "images_per_second", "memory_mib", "seconds",
    }  # fmt: skip
    (point,) = client(trained).get_metric_history(vit.info.run_id, "validation_accuracy")
    assert point.step == 1


def test_the_commit_is_that_of_the_project(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = store / "project"
    project.mkdir()
    for words in (
        ["init", "--quiet"],
        ["-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "--quiet", "--allow-empty", "-m", "one"],
    ):
        subprocess.run(["git", *words], cwd=project, check=True)
    commit = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=project, text=True).strip()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{store}/mlflow.db")
    monkeypatch.setenv("DVC_ROOT", str(project))
    run = mlflow_run.MlflowRun("a_commit", {}, "")
    run.measure(None, {"accuracy": 0.5})
    run.end("FINISHED")
    (kept,) = runs(store, "a_commit")
    assert kept.data.tags["git_commit"] == commit
    assert kept.data.tags["git_changed"] == "false"
    # the address in the environment was taken, not the default one
    assert not (project / "mlflow.db").exists()


def test_without_git_there_is_no_commit(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    run = mlflow_run.MlflowRun("no_git", {}, "")
    run.measure(None, {"accuracy": 0.5})
    run.end("FINISHED")
    assert runs(store, "no_git")[0].data.tags["git_commit"] == ""


@pytest.mark.parametrize("status", ["FINISHED", "FAILED", "KILLED"])
def test_how_it_ended(store: Path, status: str) -> None:
    run = mlflow_run.MlflowRun("an_end", {}, "")
    run.measure(2, {"loss": 0.25})
    run.measure(3, {"loss": 0.125})
    run.end(status)
    kept = runs(store, "an_end")[0]
    assert kept.info.status == status
    points = client(store).get_metric_history(kept.info.run_id, "loss")
    assert [(point.step, point.value) for point in points] == [(2, 0.25), (3, 0.125)]


def test_a_stage_that_fails_before_its_first_figure_has_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    run = mlflow_run.MlflowRun("train_resnet34", {}, "")
    resnet34 = TrainResnet34(**SHARED, weights="none", weights_sha256=None)
    with pytest.raises(UserError, match="cannot be read"):
        act(
            "train_resnet34",
            resnet34,
            tmp_path / "images",
            tmp_path / "metadata",
            tmp_path / "model",
            progress=Screen(run),
        )
    run.end("FAILED")
    assert [path.name for path in tmp_path.rglob("*")] == [".work"]


def test_a_store_that_cannot_be_written_to_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/file/mlflow.db")
    with pytest.raises(UserError, match="MLflow's store cannot be written to; check MLFLOW_TRACKING_URI") as caught:
        mlflow_run.MlflowRun("train_vit", {}, "").measure(1, {"loss": 1.0})
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_mlflow_does_not_chatter(tmp_path: Path) -> None:
    """Not even when it makes its database, in a process of its own as for a stage."""
    code = """
from warehouse_classifier.tracking.mlflow_run import MlflowRun
run = MlflowRun("quiet", {"lr": None}, "")
run.measure(1, {"loss": 1.0})
run.end("FINISHED")
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "DVC_ROOT": str(tmp_path)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("", "")
    assert [run.info.status for run in runs(tmp_path, "quiet")] == ["FINISHED"]
    assert [file.name for file in tmp_path.iterdir() if not file.name.startswith(".")] == ["mlflow.db"]


KILLED = """
import os, signal, sys
from alembic.operations import Operations
from warehouse_classifier.tracking.mlflow_run import MlflowRun

left, real = int(sys.argv[1]), Operations.create_table
def counted(*words, **names):
    global left
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*words, **names)
Operations.create_table = counted
MlflowRun("train_vit", {}, "").measure(1, {"loss": 1.0})
"""


@pytest.mark.slow
def test_a_kill_while_the_database_is_made_leaves_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow makes it in many steps, and says of half of them that they are there already."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/curves.db")
    ran = subprocess.run([sys.executable, "-c", KILLED, "9"], check=False, capture_output=True, text=True)
    assert ran.returncode == -signal.SIGKILL, ran.stderr
    assert not (tmp_path / "curves.db").exists()
    run = mlflow_run.MlflowRun("train_vit", {}, "")
    run.measure(1, {"loss": 1.0})
    run.end("FINISHED")
    assert (tmp_path / "curves.db").exists()


def test_models_have_a_place_beside_the_database(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow would take the current folder, which is thrown away where an experiment runs in a copy of the project."""
    experiment = client(trained).get_experiment_by_name("warehouse-classifier")
    assert experiment is not None
    assert experiment.artifact_location == f"{trained}/mlartifacts"


def test_runs_are_found_by_stage_and_inputs(store: Path) -> None:
    for inputs, status in (("one", "FINISHED"), ("two", "FINISHED"), ("one", "FINISHED"), ("one", "FAILED")):
        run = mlflow_run.MlflowRun("a_search", {}, inputs)
        run.measure(None, {"accuracy": 0.5})
        run.end(status)
    kept = history.runs("a_search", "one")
    assert [(run.info.status, run.data.tags["inputs"]) for run in kept] == [("FINISHED", "one")] * 2
    assert kept[0].info.start_time >= kept[1].info.start_time
    assert history.runs("a_search", "three") == history.runs("another", "one") == []


def test_nothing_is_made_by_looking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(UserError, match=r"there is no .*mlflow\.db, where MLflow keeps runs; `dvc repro` makes it"):
        history.runs("train_vit", "")
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_does_not_answer_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(UserError, match="MLflow's store cannot be read; check MLFLOW_TRACKING_URI") as caught:
        history.runs("train_vit", "")
    assert "\n" not in str(caught.value)
