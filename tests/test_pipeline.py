"""The real dvc.yaml and params.yaml, shrunk, in a real git repository, driven by the commands that people type."""

import json
import os
import re
import shutil
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest
from mlflow import MlflowClient
from ruamel.yaml import YAML

from support.projects import STAGES, TRAININGS, Project
from support.s3 import CREDENTIALS, S3


@pytest.fixture(scope="module")
def project(reproduced: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """After `dvc repro`, with everything committed."""
    return reproduced.copy(tmp_path_factory.mktemp("clone") / "project")


def ran(output: str) -> list[str]:
    """The stages whose command DVC says that it started."""
    return [line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")]


def test_repro_leaves_what_the_map_says(project: Project) -> None:
    figures = json.loads(project.read("reports/evaluation.json"))
    assert figures["test_images"] == 30
    assert {"resnet34", "vit", "average", "baseline", "mcnemar", "calibration", "verification"} <= figures.keys()
    shown = json.loads(project.read("reports/metrics.json"))
    assert shown["acc_vit"] == pytest.approx(figures["vit"]["accuracy"], abs=5e-4 + 1e-6)
    assert project.read("reports/predictions.csv").count("\n") == 31
    lock = YAML(typ="safe", pure=True).load(project.folder / "dvc.lock")["stages"]
    assert list(lock) == STAGES
    for stage in STAGES:
        for out in lock[stage]["outs"]:
            assert (project.folder / out["path"]).exists()
    assert not (project.folder / ".work").exists() or not list((project.folder / ".work").iterdir())


def test_repro_again_has_nothing_to_do(project: Project) -> None:
    assert "Data and pipelines are up to date" in project.run("dvc", "repro")
    # where a stage runs is no part of what it is
    assert "up to date" in project.run("dvc", "status", STAGE_RUNNER="local")


@pytest.mark.soak
def test_a_rerun_gives_the_same_bytes(project: Project) -> None:
    """Of the stages that need no torch. All of them a second time, as jobs: tests/compute/sagemaker/test_run.py."""
    before = project.read("dvc.lock")
    others = STAGES[: STAGES.index("train_resnet34")]
    assert ran(project.run("dvc", "repro", "--force", "--no-run-cache", "--single-item", *others)) == others
    assert project.read("dvc.lock") == before


def test_lr_is_the_whole_change_of_a_training(project: Project) -> None:
    """With evaluate and all that compares the two, in the queue: below."""
    output = project.run("dvc", "exp", "run", "-S", "lr=2e-4", "--name", "quiet", "train_vit")
    assert ran(output) == ["train_vit"]
    assert project.run("git", "diff", "--numstat", "--", "params.yaml") == "1\t1\tparams.yaml\n"
    rates = [line.rsplit(",", 1)[1] for line in project.read("models/vit/history.csv").splitlines()[1:]]
    assert all(0 <= float(rate) <= 2e-4 for rate in rates)
    client = MlflowClient(f"sqlite:///{project.folder}/mlflow.db")
    experiment = client.get_experiment_by_name("warehouse-classifier").experiment_id
    runs = client.search_runs([experiment], "tags.stage = 'train_vit'", order_by=["start_time DESC"])
    assert [(run.data.params["lr"], run.data.tags["dvc_exp_name"]) for run in runs] == [
        ("0.0002", "quiet"), ("None", ""),
    ]  # fmt: skip
    project.run("dvc", "exp", "remove", "quiet")
    project.run("git", "checkout", "-q", "--", ".")
    project.run("dvc", "checkout")
    assert "up to date" in project.run("dvc", "status")


@pytest.fixture(scope="module")
def slower(project: Project) -> str:
    """The name of an experiment at another rate: queued, and run in a copy of the project by a worker in the background.

    Two at once are tried on SageMaker, where stages cost less.
    """
    project.run("dvc", "exp", "run", "--queue", "-S", "lr=2e-4", "--name", "slower")
    project.run("dvc", "queue", "start")
    until = time.monotonic() + 200
    while re.search("Queued|Running", status := project.run("dvc", "queue", "status")) and time.monotonic() < until:
        time.sleep(1)
    project.run("dvc", "queue", "stop")
    log = project.run("dvc", "queue", "logs", "slower")
    assert status.count("Success") == 1, status + log
    assert ran(log) == [*TRAININGS, "evaluate"]
    return "slower"


@pytest.mark.soak
def test_an_experiment_in_the_queue_is_compared_in_mlflow(project: Project, slower: str) -> None:
    client = MlflowClient(f"sqlite:///{project.folder}/mlflow.db")
    experiment = client.get_experiment_by_name("warehouse-classifier").experiment_id
    runs = client.search_runs([experiment])
    for stage in ("train_resnet34", "train_vit"):
        mine = [run for run in runs if run.info.run_name == stage]
        by_rate = {(run.data.params["lr"], run.data.tags["dvc_exp_name"]): run.data.metrics for run in mine}
        assert by_rate.keys() - {("0.0002", "quiet")} == {("None", ""), ("0.0002", slower)}
        assert by_rate["None", ""]["validation_loss"] != by_rate["0.0002", slower]["validation_loss"]
    assert project.run("git", "status", "--porcelain") == ""
    assert "up to date" in project.run("dvc", "status")


@pytest.mark.soak
def test_lr_is_the_whole_change_of_an_experiment(project: Project, slower: str) -> None:
    assert slower in project.run("dvc", "exp", "show", "--json")
    project.run("dvc", "exp", "apply", slower)
    assert project.run("git", "diff", "--numstat", "--", "params.yaml") == "1\t1\tparams.yaml\n"
    changed = json.loads(project.run("dvc", "metrics", "diff", "--json", "HEAD"))
    assert {"acc_resnet34", "acc_vit"} <= changed["reports/metrics.json"].keys()
    assert "lr" in project.run("dvc", "params", "diff", "HEAD")
    drawn = json.loads(project.run("dvc", "plots", "diff", "HEAD", "--json"))["data"]
    assert len(drawn) == len(YAML(typ="safe").load(project.folder / "dvc.yaml")["plots"])
    for name, plots in drawn.items():
        assert {rev for plot in plots for rev in plot["revisions"]} == {"HEAD", "workspace"}, name
    for network in ("resnet34", "vit"):
        rates = [line.rsplit(",", 1)[1] for line in project.read(f"models/{network}/history.csv").splitlines()[1:]]
        assert all(0 <= float(rate) <= 2e-4 for rate in rates)
    project.run("git", "checkout", "-q", "--", ".")
    project.run("dvc", "checkout")
    assert "up to date" in project.run("dvc", "status")


def test_a_copy_of_the_project_runs_its_own_code(project: Project) -> None:
    """As DVC has hashed it, and not what is installed: else `--queue` would run what was edited in the meantime."""
    stage = project.folder / "src/warehouse_classifier/stages/select_images.py"
    code = stage.read_text()
    act = "    with pq.ParquetFile(metadata)"
    assert act in code
    stage.write_text(code.replace(act, f"    raise UserError(__file__)\n{act}"))
    output = project.run("dvc", "exp", "run", "--temp", fails=True)
    assert re.search(r"error: .*/\.dvc/tmp/exps/.*/src/warehouse_classifier/stages/select_images\.py\n", output)
    project.run("git", "checkout", "-q", "--", ".")
    project.run("dvc", "checkout")


def test_plots_are_shown(project: Project) -> None:
    project.run("dvc", "plots", "show", "--out", "shown")
    page = project.read("shown/index.html")
    for title in ("Confusion, ResNet34", "Recall by quantity", "Validation accuracy"):
        assert title in page
    shutil.rmtree(project.folder / "shown")


def test_scale_is_the_whole_change(project: Project) -> None:
    yaml = YAML()
    params = yaml.load(project.folder / "params.yaml")
    params["scale"] = "full"
    yaml.dump(params, project.folder / "params.yaml")
    output = project.run("dvc", "repro", "--dry")
    assert ran(output) == STAGES
    assert "train_vit full data/images data/metadata.parquet models/vit" in output
    project.run("git", "checkout", "-q", "--", "params.yaml")


@pytest.mark.parametrize(
    ("mistake", "line"),
    [
        ("train_vit.sample.epochs=0", "error: params.yaml: train_vit.sample.epochs is 0, it must be at least 1"),
        # DVC itself is at this door
        ("scale=ful", "are missing from 'params.yaml'."),
    ],
)
def test_a_typing_mistake_costs_one_line_and_nothing_that_was_done(project: Project, mistake: str, line: str) -> None:
    output = project.run("dvc", "exp", "run", "-S", mistake, fails=True)
    assert f"{line}\n" in output
    assert "Traceback" not in output
    assert project.run("git", "diff", "--numstat", "--", "params.yaml") == "1\t1\tparams.yaml\n"
    project.run("git", "checkout", "-q", "--", ".")
    assert ran(project.run("dvc", "repro")) == []
    assert "up to date" in project.run("dvc", "status")


@pytest.fixture
def remote(s3_server: S3) -> dict[str, str]:
    """The environment that leads to a real S3 server on loopback, which holds the bucket `mine`."""
    s3_server.client.create_bucket(Bucket="mine")
    return {**CREDENTIALS, "AWS_ENDPOINT_URL": s3_server.url}


def test_push_and_pull_bring_everything_back(project: Project, remote: dict[str, str]) -> None:
    project.run("dvc", "remote", "modify", "--local", "storage", "url", "s3://mine/bins")
    output = project.run("dvc", "push", **remote)
    assert "pushed" in output
    lock = YAML(typ="safe", pure=True).load(project.folder / "dvc.lock")["stages"]
    outs = [out["path"] for stage in lock.values() for out in stage["outs"]]
    assert len(outs) == 13
    for name in [".dvc/cache", *outs]:
        shutil.rmtree(project.folder / name) if (project.folder / name).is_dir() else (project.folder / name).unlink()
    project.run("dvc", "pull", **remote)
    assert "up to date" in project.run("dvc", "status", **remote)
    assert "in sync" in project.run("dvc", "status", "--cloud", **remote)
    assert project.run("git", "status", "--porcelain") == ""


def test_a_clone_without_a_remote_of_its_own_is_told_so(project: Project, tmp_path: Path) -> None:
    clone = Project(tmp_path / "fresh")
    project.run("git", "clone", "-q", ".", str(clone.folder))
    output = clone.run("dvc", "pull", fails=True)
    assert "Invalid bucket name" in output  # botocore's own answer, before anything is sent
    assert "<your-bucket>" in output


@pytest.mark.soak
def test_mlflow_ui_shows_both_networks_side_by_side(project: Project) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        ["mlflow", "ui", "--port", str(port), "--workers", "1"], cwd=project.folder,
        env={**project.environment, "MLFLOW_DISABLE_TELEMETRY": "true"},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        address = f"http://127.0.0.1:{port}"
        answer = _ask(f"{address}/api/2.0/mlflow/experiments/get-by-name?experiment_name=warehouse-classifier")
        experiment = answer["experiment"]["experiment_id"]
        listed = _ask(f"{address}/api/2.0/mlflow/runs/search", {"experiment_ids": [experiment], "max_results": 50})[
            "runs"
        ]
    finally:
        os.killpg(server.pid, 15)
        server.wait(30)
    names = {}
    for run in listed:
        names.setdefault(run["info"]["run_name"], {metric["key"] for metric in run["data"].get("metrics", [])})
    assert set(names) == set(STAGES)
    assert names["train_resnet34"] == names["train_vit"]
    assert {"train_loss", "validation_accuracy", "validation_rmse", "images_per_second"} <= names["train_vit"]


def _ask(url: str, body: dict[str, object] | None = None, patience: float = 90) -> dict[str, dict[str, str]]:
    data = None if body is None else json.dumps(body).encode()
    until = time.monotonic() + patience
    while True:
        try:
            request = urllib.request.Request(url, data, {"Content-Type": "application/json"})  # noqa: S310
            with urllib.request.urlopen(request, timeout=20) as response:  # noqa: S310
                return json.load(response)
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.5)
