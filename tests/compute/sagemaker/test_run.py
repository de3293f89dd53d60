"""Stages on SageMaker: real jobs of the emulator, real DVC, a real S3 server, and commands as people type them.

Three of the seven stages are stand-ins (support/stand_ins.py); train_vit is the real one, on two machines.
"""

import hashlib
import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from ruamel.yaml import YAML

from sagemaker_emulator.account import IMAGE
from support.cloud import BUCKET, SECRET, Account, await_
from support.projects import STAGES, Project
from support.stand_ins import cheap, run_here

pytestmark = pytest.mark.timeout(600)  # seven jobs before the first test
OUTS = ("data/metadata.parquet", "data/unreadable.parquet", "data/selection.csv", "data/images", "models", "reports")
TWO_MACHINES = "{train_vit: {count: 2}}"


def forget(project: Project) -> None:
    """All that was done, here."""
    for name in ("dvc.lock", ".dvc/cache", ".dvc/tmp", "mlflow.db", ".work", *OUTS):
        path = project.folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    project.run("git", "checkout", "-q", "--", "models", "reports", "data", fails=False)


def lock(project: Project) -> dict[str, Any]:
    stages: dict[str, Any] = YAML(typ="safe", pure=True).load(project.read("dvc.lock"))["stages"]
    return stages


def runs(project: Project, stage: str) -> list[Any]:
    """Of a stage, the newest first."""
    client = MlflowClient(f"sqlite:///{project.folder}/mlflow.db")
    experiment = client.get_experiment_by_name("warehouse-classifier").experiment_id
    return list(client.search_runs([experiment], f"tags.stage = '{stage}'", order_by=["start_time DESC"]))


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """All seven stages, done on this machine."""
    project = cheap(tmp_path_factory.mktemp("here") / "project")
    run_here(project)
    return project


@pytest.fixture(scope="module")
def delegated(here: Project, account: Account, tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, str]:
    """All seven stages on SageMaker, from a tree that has done nothing itself; and what `dvc repro` says."""
    project = here.copy(tmp_path_factory.mktemp("delegated") / "project")
    forget(project)
    account.settle(project, "seven")
    (project.folder / ".env").write_text(f"PASSWORD={SECRET}\n")
    (project.folder / "src/warehouse_classifier/notes.py").write_text(f"# {SECRET}\n")
    (project.folder / "data/stray.csv").write_text(SECRET)
    project.run("dvc", "remote", "modify", "--local", "team", "secret_access_key", SECRET)
    project.run("dvc", "remote", "modify", "--local", "team", "access_key_id", "of-a-person")
    return project, project.run("dvc", "repro", SAGEMAKER_INSTANCES=TWO_MACHINES)


# ---- the whole pipeline


def test_seven_jobs_leave_what_seven_local_stages_leave(
    delegated: tuple[Project, str], here: Project, account: Account
) -> None:
    project, output = delegated
    assert project.read("dvc.lock") == here.read("dvc.lock")
    for stage in STAGES:
        (job,) = re.findall(rf"^({stage.replace('_', '-')}-[0-9a-f]{{16}}-1): Completed", output, re.MULTILINE)
        assert account.described(job)["TrainingJobStatus"] == "Completed"
    assert "up to date" in project.run("dvc", "status")
    assert "up to date" in project.run("dvc", "status", STAGE_RUNNER="local")
    assert "in sync" in project.run("dvc", "status", "--cloud", "--remote", "team")
    for name in ("reports/metrics.json", "models/vit/history.csv"):
        assert project.read(name) == here.read(name)


def test_two_machines_train_one_network_as_two_processes_do(
    delegated: tuple[Project, str], here: Project, account: Account
) -> None:
    """To the bit."""
    (job,) = account.jobs("train_vit")
    assert account.described(job)["ResourceConfig"]["InstanceCount"] == 2
    assert lock(delegated[0])["train_vit"] == lock(here)["train_vit"]


def test_nothing_is_sent_twice(delegated: tuple[Project, str], account: Account) -> None:
    project, _ = delegated
    writes = account.written("seven")
    stored = {key: count for key, count in writes.items() if key.startswith("seven/files/")}
    assert len(stored) >= 10
    assert {*stored.values()} == {1}
    assert sorted(key.split("/", 3)[3] for key in writes if key.endswith(".tar.gz")) == sorted(
        [*["code.tar.gz"] * 7, *["output/model.tar.gz"] * 7]
    )
    assert all(writes[key] == 1 for key in writes if key.endswith(".tar.gz"))
    assert not [key for key in account.keys("seven") if "/checkpoints/" in key]  # of work that is done
    assert "up to date" in project.run("dvc", "push", "--remote", "team")
    assert account.written("seven") == writes


def test_the_log_comes_with_state_time_and_price(delegated: tuple[Project, str]) -> None:
    _, output = delegated
    assert re.search(
        r"train-vit-[0-9a-f]{16}-1: InProgress, Training, \d:\d\d min, about \$0\.\d\d at most so far", output
    )
    assert re.search(r"train-vit-[0-9a-f]{16}-1: Completed, \d:\d\d min, about \$0\.\d\d\n", output)
    assert re.search(r"^algo-1: epoch 2: train_loss \d.*, validation_accuracy 0\.\d+", output, re.MULTILINE)
    assert "160 pairs, 0 that cannot be used" in output
    assert "figures {" not in output
    assert "Traceback" not in output


def test_the_figures_are_in_mlflow_as_those_of_a_local_run(delegated: tuple[Project, str], here: Project) -> None:
    project, _ = delegated
    elsewhere = ("images_per_second", "memory_mib", "seconds", "dollars")
    for stage in STAGES:
        (run,), (local,) = runs(project, stage), runs(here, stage)
        assert run.info.status == "FINISHED"
        assert run.data.params == local.data.params
        figures, wanted = (
            {name: value for name, value in tracked.data.metrics.items() if not name.endswith(elsewhere)}
            for tracked in (run, local)
        )
        assert figures == wanted
        assert run.data.metrics.keys() - {"dollars"} == local.data.metrics.keys()
        tags = run.data.tags
        assert tags["runner"] == "sagemaker"
        assert tags["job"].startswith(stage.replace("_", "-"))
        assert re.fullmatch(rf"{2 if stage == 'train_vit' else 1} x ml\.\w+\.\w+", tags["instance"])
        assert tags["image"] == IMAGE
        assert tags["processors"] == str(os.cpu_count())
        assert tags["inputs"] == local.data.tags["inputs"]
        assert tags["git_commit"] == project.run("git", "rev-parse", "HEAD").strip()
    client = MlflowClient(f"sqlite:///{project.folder}/mlflow.db")
    curve = client.get_metric_history(runs(project, "train_vit")[0].info.run_id, "train_loss")
    assert [point.step for point in curve] == [1, 2]
    assert curve[0].timestamp < curve[1].timestamp  # when they came up, and not when they were passed on


def test_cloudwatch_finds_the_figures_in_the_log(delegated: tuple[Project, str], account: Account) -> None:
    project, _ = delegated
    (job,) = account.jobs("train_vit")
    log = "\n".join(account.log(job))
    definitions = account.described(job)["AlgorithmSpecification"]["MetricDefinitions"]
    curves = {metric["Name"]: [float(value) for value in re.findall(metric["Regex"], log)] for metric in definitions}
    client = MlflowClient(f"sqlite:///{project.folder}/mlflow.db")
    run = runs(project, "train_vit")[0].info.run_id
    assert {*curves} >= {"train_loss", "validation_accuracy", "images_per_second"}
    for name, values in curves.items():
        assert values == [point.value for point in client.get_metric_history(run, name)]
        assert len(values) == 2


def test_only_what_a_stage_is_made_of_travels_and_no_secret(
    delegated: tuple[Project, str], account: Account, tmp_path: Path
) -> None:
    project, output = delegated
    for key in (key for key in account.keys("seven") if key.endswith("/code.tar.gz")):
        (tmp_path / "code.tar.gz").write_bytes(account.body(key))
        listed = subprocess.run(["tar", "-tzf", tmp_path / "code.tar.gz"], capture_output=True, text=True, check=True)
        names = {*listed.stdout.splitlines()}
        stage = next(stage for stage in STAGES if f"/{stage.replace('_', '-')}-" in key)
        assert f"src/warehouse_classifier/stages/{stage}.py" in names
        assert len([name for name in names if "/stages/" in name and not name.endswith("__init__.py")]) == 1
        assert {name for name in names if not name.startswith("src/warehouse_classifier/")} - {"data/published.csv"} == {
            ".dvc/config", ".dvcignore", "dvc.yaml", "params.yaml", "pyproject.toml", "dvc.lock",
        } - ({"dvc.lock"} if stage == "fetch_metadata" else set())  # fmt: skip
        assert ("data/published.csv" in names) == (stage == "evaluate")
        assert "src/warehouse_classifier/notes.py" not in names
        assert not [name for name in names if "emulator" in name or "__pycache__" in name]
        text = subprocess.run(["tar", "-xzOf", tmp_path / "code.tar.gz"], capture_output=True, check=True).stdout
        assert SECRET.encode() not in text
        assert b"of-a-person" not in text
    for job in account.jobs():
        assert SECRET not in json.dumps(account.described(job), default=str) + "\n".join(account.log(job))
    assert SECRET not in output
    assert SECRET.encode() not in (project.folder / "mlflow.db").read_bytes()


# ---- once more


def test_force_is_a_new_attempt(delegated: tuple[Project, str], account: Account, tmp_path: Path) -> None:
    """DVC cannot see that a bucket changed: who says --force wants it to be looked at again."""
    project = delegated[0].copy(tmp_path / "project")
    (first,) = re.findall(r"^(fetch-metadata-[0-9a-f]{16}-1): Completed", delegated[1], re.MULTILINE)
    output = project.run("dvc", "repro", "--force", "--single-item", "fetch_metadata")
    assert f"{first.removesuffix('-1')}-2: Completed" in output
    assert "up to date" in project.run("dvc", "status")


def test_a_new_module_goes_along_and_an_edit_while_the_job_runs_is_not_recorded_as_what_ran(
    delegated: tuple[Project, str], account: Account, tmp_path: Path
) -> None:
    project = delegated[0].copy(tmp_path / "project")
    package = project.folder / "src/warehouse_classifier"
    (package / "runtime/courtesy.py").write_text("WORD = 'good day'\n")
    stage = package / "stages/select_images.py"
    stage.write_text(stage.read_text().replace("\ndef select_images(", (
        "\nfrom warehouse_classifier.runtime.courtesy import WORD\n\nprint(WORD)\n\n\ndef select_images("), 1))  # fmt: skip
    before, params, recorded = account.jobs("select_images"), project.read("params.yaml"), project.read("dvc.lock")
    with subprocess.Popen(
        ["dvc", "repro", "--single-item", "select_images"], cwd=project.folder, env=project.environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as process:  # fmt: skip
        job = account.await_job("select_images", len(before), phase="Starting")
        project.set(select_images={"validation_share": 0.3})
        output, _ = process.communicate(timeout=120)
    assert process.returncode != 0
    assert (
        "error: select_images: edited while it ran: params.yaml: select_images.sample; dvc.lock would record" in output
    )
    assert "good day" in output
    assert "good day" in account.log(job)
    assert project.read("dvc.lock") == recorded

    # undone, it is taken, as after a crash before dvc.lock was written: the same outputs, but the entry is another one
    outs = lock(project)["select_images"]["outs"]
    md5 = outs[0]["md5"]
    (project.folder / "params.yaml").write_text(params)
    for name in (".dvc/cache/runs", f".dvc/cache/files/md5/{md5[:2]}/{md5[2:]}", "mlflow.db"):
        path = project.folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    output = project.run("dvc", "repro", "--single-item", "select_images")
    assert f"select_images was done as {job}; taking what it has left" in output
    assert lock(project)["select_images"]["outs"] == outs
    assert lock(project)["select_images"] != YAML(typ="safe").load(recorded)["stages"]["select_images"]
    assert account.jobs("select_images") == [*before, job]
    (run,) = runs(project, "select_images")
    assert run.data.tags["job"] == job
    assert {"train_images", "test_images", "seconds", "dollars"} <= run.data.metrics.keys()


def test_an_input_that_was_changed_by_hand_is_not_sent_as_what_it_was(
    delegated: tuple[Project, str], account: Account, tmp_path: Path
) -> None:
    project = delegated[0].copy(tmp_path / "project")
    before = account.jobs()
    with (project.folder / "data/selection.csv").open("a") as file:
        file.write("\n")
    output = project.run("dvc", "repro", "--single-item", "resize_images", fails=True)
    assert (
        "error: data/selection.csv is not what dvc.lock says, and the job would get that; `dvc commit` keeps the change,"
        " `dvc checkout` undoes it\n"
    ) in output
    assert account.jobs() == before


# ---- what may happen meanwhile


@pytest.fixture
def project(delegated: tuple[Project, str], tmp_path: Path) -> Project:
    return delegated[0].copy(tmp_path / "project")


def weights(steps: int) -> str:
    """What the stand-in of train_resnet34 has learned after so many steps, in one go."""
    learned = ""
    for _ in range(steps):
        learned = hashlib.sha256(f"{learned} 7".encode()).hexdigest()
    return learned


def saved_step(account: Account) -> int:
    """The step of the only checkpoint of train_resnet34 in S3."""
    (key,) = [
        key for key in account.keys("seven/runs") if "/checkpoints/train_resnet34" in key and key.endswith(".json")
    ]
    return int(json.loads(account.body(key))["step"])


@contextmanager
def reproducing(project: Project, output: Path, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """`dvc repro train_resnet34`, in a session of its own; what it says is in the file `output`."""
    with output.open("w") as file, subprocess.Popen(
        ["dvc", "repro", "train_resnet34"], cwd=project.folder, env={**project.environment, **environment},
        start_new_session=True, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, text=True,
    ) as process:  # fmt: skip
        yield process


def epochs(project: Project, stage: str) -> int:
    """How many of the newest run are in MLflow."""
    newest = runs(project, stage)[:1] if (project.folder / "mlflow.db").exists() else []
    return int(newest[0].data.metrics.get("epoch", 0)) if newest and newest[0].info.status == "RUNNING" else 0


def test_neither_a_kill_of_the_launcher_nor_the_loss_of_a_spot_machine_changes_anything(
    project: Project, account: Account, tmp_path: Path
) -> None:
    project.set(train_resnet34={"epochs": 3})
    before = account.jobs("train_resnet34")
    with reproducing(project, tmp_path / "killed") as process:
        job = account.await_job("train_resnet34", len(before))
        await_(lambda: epochs(project, "train_resnet34") >= 1)  # in MLflow while it runs
        os.killpg(process.pid, signal.SIGKILL)
    assert account.described(job)["TrainingJobStatus"] == "InProgress"

    output = tmp_path / "output"
    with reproducing(project, output) as process:
        await_(lambda: "train_resnet34 is at work already; following it" in output.read_text())
        await_(lambda: any(line.startswith("step 15:") for line in account.log(job)))
        account.emulator.interrupt(job)  # in mid-epoch
        await_(lambda: "Interrupted" in account.phases(job))
        assert process.wait(timeout=120) == 0, output.read_text()
    assert account.jobs("train_resnet34") == [*before, job]
    assert account.phases(job).count("Training") == 2
    assert "train_resnet34 begins after step 15" in account.log(job)
    assert project.read("models/resnet34/weights") == weights(30)
    run = runs(project, "train_resnet34")[0]
    assert run.info.status == "FINISHED"
    client = MlflowClient(f"sqlite:///{project.folder}/mlflow.db")
    points = [point.step for point in client.get_metric_history(run.info.run_id, "train_loss")]
    assert points == [1, 2, 3]  # each once, though both launchers and both machines told of the first ones
    assert not [key for key in account.keys("seven/runs") if "/checkpoints/train_resnet34" in key]


@pytest.mark.soak
def test_two_experiments_at_once(project: Project, account: Account) -> None:
    before = len(account.jobs("train_resnet34"))
    project.set(train_resnet34={"workers": 9})  # four seconds of work
    project.run("git", "add", "-A")
    project.run("git", "commit", "-qm", "before the experiments")
    project.run("dvc", "exp", "run", "--queue", "-S", "train_resnet34.sample.learning_rate=2e-3,2e-4", "train_resnet34")
    project.run("dvc", "queue", "start", "--jobs", "2")
    await_(
        lambda: len([job for job in account.jobs("train_resnet34")[before:] if "Completed" in account.phases(job)]) == 2
    )
    await_(lambda: not re.search("Queued|Running", project.run("dvc", "queue", "status")))
    status = project.run("dvc", "queue", "status")
    project.run("dvc", "queue", "stop")
    assert status.count("Success") == 2, status + project.run("dvc", "queue", "logs", status.split("\n")[1].split()[0])
    one, two = account.jobs("train_resnet34")[before:]
    assert account.described(one)["TrainingStartTime"] < account.described(two)["TrainingEndTime"]
    assert account.described(two)["TrainingStartTime"] < account.described(one)["TrainingEndTime"]
    new = [run for run in runs(project, "train_resnet34") if run.data.tags["job"] in (one, two)]
    assert {float(run.data.params["learning_rate"]) for run in new} == {2e-3, 2e-4}
    assert len({run.data.tags["dvc_exp_name"] for run in new}) == 2
    assert project.run("git", "status", "--porcelain") == ""


def test_without_a_terminal_ctrl_c_leaves_the_job_and_says_how_to_stop_it(
    project: Project, account: Account, tmp_path: Path
) -> None:
    project.set(train_resnet34={"epochs": 30})
    before, output = len(account.jobs("train_resnet34")), tmp_path / "output"
    with reproducing(project, output) as process:
        job = account.await_job("train_resnet34", before)
        await_(lambda: any(line.startswith("step 15:") for line in account.log(job)))
        await_(lambda: epochs(project, "train_resnet34") >= 1)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(timeout=60) != 0
    goes_on = f"{job} goes on at SageMaker, and so does its price; the same command attaches to it again\n"
    assert goes_on in output.read_text()
    (command,) = re.findall(r"to stop it: (.*)\n", output.read_text())
    assert account.described(job)["TrainingJobStatus"] == "InProgress"
    assert not (project.folder / "models/resnet34").exists()
    stopped = project.run("sh", "-c", f"PYTHONPATH=src {command}")
    assert stopped == f"{job} is being stopped; it saves what is done, and the same stage goes on from there\n"
    await_(lambda: account.described(job)["TrainingJobStatus"] == "Stopped")
    assert saved_step(account) == 15

    # the next attempt goes on from there, until its time is over
    again = f"{job.removesuffix('-1')}-2"
    with reproducing(project, output) as process:
        assert account.await_job("train_resnet34", before + 1) == again
        await_(lambda: "train_resnet34 begins after step 15" in account.log(again))
        account.emulator.jobs[again].record.limits["MaxRuntimeInSeconds"] = 0
        assert process.wait(timeout=60) != 0
    assert (
        f"error: train_resnet34 on SageMaker: Stopped, MaxRuntimeExceeded ({again}): it took longer than"
        " sagemaker.max_hours; the same command goes on from its checkpoint\n"
    ) in output.read_text()
    assert saved_step(account) > 15


def test_on_a_terminal_ctrl_c_asks(project: Project, account: Account) -> None:
    project.set(train_resnet34={"epochs": 31})
    before = len(account.jobs("train_resnet34"))
    pid, terminal = pty.fork()
    if not pid:
        termios.tcsetwinsize(0, (40, 160))
        os.chdir(project.folder)
        os.execvpe("dvc", ["dvc", "repro", "train_resnet34"], project.environment)  # noqa: S606
    output = ""

    def shown() -> str:
        nonlocal output
        while select.select([terminal], [], [], 0.1)[0]:
            try:
                output += os.read(terminal, 65536).decode()
            except OSError:
                break
        return output

    # read all the while: a terminal that nobody reads holds up
    await_(lambda: re.search(r"epoch 1: train_loss", shown()) and epochs(project, "train_resnet34") >= 1)
    job = account.jobs("train_resnet34")[before]
    assert re.search(rf"{job}: InProgress, Training, \d:\d\d min, about \$0\.\d\d at most so far", output)
    os.write(terminal, b"\x03")
    await_(lambda: "[s]top it, [l]eave it running, or [f]ollow on?" in shown())
    os.write(terminal, b"what?\nf\n")
    await_(lambda: shown().count("[s]top it, [l]eave it running, or [f]ollow on?") == 2)
    seen = len(output)
    await_(lambda: "train_loss" in shown()[seen:])
    os.write(terminal, b"\x03")
    await_(lambda: shown().count("[f]ollow on?") == 3)
    os.write(terminal, b"s\n")
    await_(lambda: "was interrupted" in shown())
    os.waitpid(pid, 0)
    os.close(terminal)
    assert account.described(job)["TrainingJobStatus"] == "Stopped"
    assert runs(project, "train_resnet34")[0].info.status == "KILLED"


# ---- what goes wrong there


def test_the_jobs_own_reason_is_told(project: Project, account: Account) -> None:
    project.set(data={"bucket": "s3://of-nobody"})
    before = len(account.jobs("fetch_metadata"))
    output = project.run("dvc", "repro", "fetch_metadata", fails=True)
    job = account.jobs("fetch_metadata")[before]
    (own,) = re.findall(r"^error: (.*of-nobody.*)$", "\n".join(account.log(job)), re.MULTILINE)
    assert f"error: fetch_metadata on SageMaker: Failed ({job}): AlgorithmError: {own}, exit code: 1\n" in output
    assert f"error: {own}\n" in output  # in its log, as it came
    assert "Traceback" not in output
    assert not (project.folder / "data/metadata.parquet").exists()
    assert not list((project.folder / ".dvc/tmp").glob("sagemaker-*"))
    project.run("dvc", "repro", "fetch_metadata", fails=True)
    assert account.jobs("fetch_metadata")[before:] == [job, f"{job.removesuffix('-1')}-2"]


def test_what_is_damaged_in_the_remote_leaves_no_half_and_what_is_lost_is_done_again(
    project: Project, account: Account
) -> None:
    """Between the job's end and this machine."""
    job = account.jobs("select_images")[0]
    before = len(account.jobs("select_images"))
    stages = lock(project)
    entry = stages.pop("select_images")
    md5 = entry["outs"][0]["md5"]
    key = f"seven/files/md5/{md5[:2]}/{md5[2:]}"

    def forget_it() -> None:
        YAML().dump({"schema": "2.0", "stages": stages}, project.folder / "dvc.lock")
        (project.folder / "data/selection.csv").unlink(missing_ok=True)
        (project.folder / f".dvc/cache/files/md5/{md5[:2]}/{md5[2:]}").unlink(missing_ok=True)
        shutil.rmtree(project.folder / ".dvc/cache/runs", ignore_errors=True)

    forget_it()
    account.s3.put_object(Bucket=BUCKET, Key=key, Body=b"damaged")
    output = project.run("dvc", "repro", "select_images", fails=True)
    assert re.search(r"^error: `dvc pull --remote team select_images` failed: ", output, re.MULTILINE)
    assert not (project.folder / "data/selection.csv").exists()
    assert not list((project.folder / ".dvc/tmp").glob("sagemaker-*"))
    assert len(account.jobs("select_images")) == before

    forget_it()
    account.s3.delete_object(Bucket=BUCKET, Key=key)
    project.run("dvc", "repro", "select_images")
    assert account.jobs("select_images")[-1] == f"{job.removesuffix('-1')}-2"
    assert lock(project)["select_images"] == entry


def test_a_place_for_some_stages_alone(project: Project, account: Account) -> None:
    project.set(select_images={"test_images": 29})
    before = account.jobs()
    project.run("dvc", "repro", "select_images", STAGE_RUNNER="train_vit:sagemaker,train_resnet34:sagemaker")
    assert account.jobs() == before
    assert runs(project, "select_images")[0].data.tags["runner"] == "local"
