"""The launcher, as people and dvc call it, and what it shows of the progress."""

import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from safetensors import SafetensorError

from support import predictors
from support.bins import bins, mirror
from support.launching import error_line, stand_in
from support.projects import TOP
from support.server import Kind, Request, Served
from warehouse_classifier.bucket import client
from warehouse_classifier.compute import stage_code, tracked_run
from warehouse_classifier.compute.__main__ import launch, place_of
from warehouse_classifier.runtime.errors import UserError
from warehouse_classifier.tracking import console
from warehouse_classifier.tracking.console import Screen
from warehouse_classifier.tracking.mlflow_run import MlflowRun

COMMAND = [sys.executable, "-m", "warehouse_classifier.compute"]
ARGV = ("fetch_metadata", "small", "data/metadata.parquet", "data/unreadable.parquet")


def test_the_command_says_what_is_wrong_in_one_line_and_fails(project: Path) -> None:
    file = project / "params.yaml"
    file.write_text(file.read_text().replace("concurrency: 4", "concurrancy: 4", 1))
    ran = subprocess.run([*COMMAND, *ARGV], capture_output=True, text=True, check=False, timeout=60)
    section = "fetch_metadata.small"
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr == (
        f"error: params.yaml: {section}.concurrency is missing; {section}.concurrancy is unknown, did you mean concurrency?\n"
    )


@pytest.mark.parametrize("stage", ["train_resnet34", "train_vit", "train_verifier", "evaluate"])
def test_a_mistake_is_seen_before_torch_is_loaded(project: Path, stage: str) -> None:
    """Which takes seconds, and mlflow more of them."""
    shutil.copy(TOP / "params.yaml", "params.yaml")
    file = project / "params.yaml"
    file.write_text(file.read_text().replace("threads: 2", "threads: 0"))
    argv = ["sample", *stage_code.paths_of(stage)]
    code = f"""
import sys
from warehouse_classifier.compute.__main__ import launch, place_of
status = launch({stage!r}, {argv!r})
sys.exit(status + 10 * len({{"torch", "mlflow", "transformers", "matplotlib", "sklearn"}} & set(sys.modules)))
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.stderr == f"error: params.yaml: {stage}.sample.threads is 0, it must be at least 1\n"
    assert ran.returncode == 1


def test_a_place_that_is_none_is_named(
    project: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STAGE_RUNNER", "moon")
    message = error_line(capfd, *ARGV)
    assert re.fullmatch(r"STAGE_RUNNER is moon, it must be one of: local.*; unset it to run here", message)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", "local"),
        ("local", "local"),
        ("sagemaker", "sagemaker"),
        ("train_vit:sagemaker,train_resnet34:sagemaker", "sagemaker"),
        ("train_resnet34:sagemaker", "local"),
        ("sagemaker, train_vit:local", "local"),
        (" train_vit:sagemaker ,", "sagemaker"),
    ],
)
def test_a_place_is_for_all_stages_or_for_those_that_are_named(text: str, place: str) -> None:
    assert place_of("train_vit", text, ["train_vit", "train_resnet34"]) == place


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train_vit:moon", "STAGE_RUNNER is train_vit:moon, it must be one of: local, sagemaker; unset it to run here"),
        ("train_vit", "STAGE_RUNNER is train_vit, it must be one of: local, sagemaker; unset it to run here"),
        ("train:local", "STAGE_RUNNER is train:local, and there is no stage train; there are: train_vit"),
    ],
)
def test_a_place_or_a_stage_that_is_none_is_named(text: str, message: str) -> None:
    with pytest.raises(UserError) as fault:
        place_of("train_vit", text, ["train_vit"])
    assert str(fault.value) == message


def test_a_stage_that_is_none_is_named(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert error_line(capfd, "fetch", "small") == (
        "there is no stage fetch; there are: evaluate, fetch_metadata, resize_images, select_images, train_resnet34, train_verifier, train_vit"
    )


def test_a_scale_that_is_none_is_named(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert error_line(capfd, "fetch_metadata", "huge", *ARGV[2:]) == (
        "params.yaml: scale is huge, it must be one of: small, other"
    )


@pytest.mark.parametrize(
    ("trouble", "status", "message"),
    [
        (
            OSError(28, "No space left on device"),
            1,
            "fetch_metadata: the disk is full; free some space, `dvc repro` goes on",
        ),
        (
            SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
            1,
            "fetch_metadata: the disk is full; free some space, `dvc repro` goes on",
        ),
        (MemoryError(), 1, "fetch_metadata needs more memory than there is; lower its batch, workers or concurrency"),
        (KeyboardInterrupt(), 130, "fetch_metadata was interrupted; `dvc repro` goes on from what is done"),
    ],
)
def test_what_the_machine_cannot_do_is_one_line(
    project: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
    trouble: BaseException, status: int, message: str,
) -> None:  # fmt: skip
    def act(_: Any) -> None:
        raise trouble

    stand_in(monkeypatch, "fetch_metadata", act)
    assert launch(*ARGV[:1], list(ARGV[1:])) == status
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith(f"error: {message}")


def test_the_line_is_one_whatever_the_fault_says(
    project: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    file = project / "params.yaml"
    file.write_text(file.read_text().replace("bucket: bins", 'bucket: "bins\\nof mine"', 1))
    assert error_line(capfd, *ARGV).startswith("bucket bins of mine: there is no folder")


def test_a_sigterm_is_an_interruption(
    project: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def act(_: Any) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(10)

    stand_in(monkeypatch, "fetch_metadata", act)
    assert launch(*ARGV[:1], list(ARGV[1:])) == 130
    assert capfd.readouterr().err == "error: fetch_metadata was interrupted; `dvc repro` goes on from what is done\n"


@pytest.mark.slow
def test_ctrl_c_is_answered_by_one_line(project: Path) -> None:
    """A terminal sends it to every process of the command, and those that draw bins must not answer too."""
    file = project / "params.yaml"
    file.write_text(file.read_text().replace("bucket: bins", "bucket: synthetic://?pairs=100000&seed=1", 1))
    with subprocess.Popen([*COMMAND, *ARGV], stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        until = time.monotonic() + 60
        while not list(project.glob(".work/*/part-*.parquet")) and time.monotonic() < until:
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGINT)
        assert process.stderr is not None
        output = process.stderr.read()
        assert process.wait(60) == 130, output
    lines = [line for line in output.splitlines() if not line.startswith(("list the bucket: ", "fetch_metadata: "))]
    assert lines == ["error: fetch_metadata was interrupted; `dvc repro` goes on from what is done"]
    assert not (project / "data").exists()


SENT_AGAIN = """
import os, signal, sys
from warehouse_classifier.compute import __main__ as launcher

def run(*_):
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    os.kill(os.getpid(), {number})

def size():
    os.kill(os.getpid(), {number})
    return 1

launcher.local.run, launcher.size = run, size
sys.exit(launcher.launch("fetch_metadata", []))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_does_not_interrupt_the_answer_to_the_first(project: Path, number: int) -> None:
    command = [sys.executable, "-c", SENT_AGAIN.format(number=int(number))]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    line = "error: fetch_metadata was interrupted; `dvc repro` goes on from what is done\n"
    assert (ran.returncode, ran.stderr) == (130, line)


@pytest.mark.parametrize("ends", ["ctrl-c", "fault"])
def test_who_waits_for_a_bucket_does_not_hold_up_the_end(
    project: Path, serve: Callable[..., Served], ends: str
) -> None:
    def fault(request: Request) -> Kind | None:
        slow = request.kind == "get" and request.key != "metadata/00001.json"
        return "hang" if slow else "expired" if request.kind == "get" and ends == "fault" else None

    served = serve(bins(25), fault=fault)
    file = project / "params.yaml"
    file.write_text(file.read_text().replace("bucket: bins", "bucket: s3://bins", 1))
    with subprocess.Popen([*COMMAND, *ARGV], stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        until = time.monotonic() + 60
        while served.record().faults["hang"] < 3 and process.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
        began = time.monotonic()
        if ends == "ctrl-c":
            os.killpg(process.pid, signal.SIGINT)
        assert process.stderr is not None
        last = process.stderr.read().splitlines()[-1]
        assert process.wait(60) == (130 if ends == "ctrl-c" else 1)
    assert time.monotonic() - began < client.TIMEOUTS[0] / 2
    assert last.startswith("error: ")
    assert ("was interrupted" if ends == "ctrl-c" else "refuses the credentials (ExpiredToken)") in last


@pytest.mark.slow
@pytest.mark.parametrize("trouble", [False, True])
def test_what_a_stage_calibrates_is_kept_as_models_once_it_is_done(
    project: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], *, trouble: bool
) -> None:
    """And where they cannot be kept, the stage is done all the same."""

    def act(progress: Screen) -> None:
        predictors.tiny(project / "models")
        progress.measure(None, accuracy=0.5)

    stand_in(monkeypatch, "fetch_metadata", act)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{project}/mlflow.db")
    if trouble:
        (project / "mlartifacts").write_text("in the way")
    assert launch("fetch_metadata", ["small", "data/table.csv", "models"]) == 0
    line = capfd.readouterr().err.splitlines()[-1]
    client = MlflowClient(f"sqlite:///{project}/mlflow.db")
    (run,) = client.search_runs(["1"])
    assert run.info.status == "FINISHED"
    if trouble:
        assert line.endswith("; the models are not kept there, `dvc repro --force fetch_metadata` tries again")
    else:
        kept = ", ".join(f"warehouse-classifier-{name} 1" for name in ("resnet34", "vit", "average"))
        assert line == f"models in MLflow: {kept}"
        assert len(run.outputs.model_outputs) == 3


@pytest.mark.slow
def test_a_stage_that_fails_keeps_no_models(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    predictors.tiny(project / "models")  # of an earlier run

    def act(progress: Screen) -> None:
        progress.measure(None, accuracy=0.5)
        raise UserError("no")

    stand_in(monkeypatch, "fetch_metadata", act)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{project}/mlflow.db")
    assert launch("fetch_metadata", ["small", "table.csv", "models"]) == 1
    assert MlflowClient(f"sqlite:///{project}/mlflow.db").search_registered_models() == []


def test_inputs_have_a_hash_that_follows_their_content(project: Path) -> None:
    assert tracked_run.inputs_of("fetch_metadata", ["small"]) == ""
    (project / "dvc.yaml").write_text("stages: {fetch_metadata: {deps: [a.txt]}}")
    hashes = []
    for text in ("one", "two", "one"):
        (project / "a.txt").write_text(text)
        hashes.append(tracked_run.inputs_of("fetch_metadata", ["small"]))
    assert hashes[0] == hashes[2] != hashes[1]
    (project / "dvc.lock").write_text("stages: {before: {outs: [{path: a.txt, md5: 0123}]}}")
    assert tracked_run.inputs_of("fetch_metadata", ["small"]) not in hashes


# ---- what whoever reads along sees


@pytest.fixture
def progress(monkeypatch: pytest.MonkeyPatch) -> Screen:
    monkeypatch.setattr(MlflowRun, "measure", lambda *_: None)
    return Screen(MlflowRun("fetch_metadata", {}, ""))


def test_a_log_has_plain_lines(
    progress: Screen, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: clock[0])
    with progress.bar("fetch", 400, "pair") as bar:
        for _ in range(4):
            clock[0] += 5.0
            bar.advance(50, rejected=3)
        progress.say("halfway")
    with progress.bar("list", None, "pair") as bar:
        clock[0] += 2.0
        bar.advance(10)
    with progress.bar("train", 400, "image", 300) as bar:  # three quarters of it in an earlier run
        clock[0] += 10.0
        bar.advance(50)
    progress.measure(pairs=10)
    progress.measure(2, train_loss=0.51239, learning_rate=1e-3, epoch=2, images_per_second=9, memory_mib=9)
    assert capfd.readouterr().err.splitlines() == [
        "fetch: 100 of 400, 30 s left, 10.0 pairs/s, rejected 3",
        "fetch: 200 of 400, 20 s left, 10.0 pairs/s, rejected 3",
        "halfway",
        "fetch: 200 of 400, 20 s left, 10.0 pairs/s, rejected 3",
        "list: 10, 5.0 pairs/s",
        "train: 350 of 400, 10 s left, 5.0 images/s",
        "train: 350 of 400, 10 s left, 5.0 images/s",
        "epoch 2: train_loss 0.5124",
    ]


SHOWN = """
import time
from warehouse_classifier.runtime.errors import UserError
from warehouse_classifier.tracking.console import Screen
from warehouse_classifier.tracking.mlflow_run import MlflowRun

progress = Screen(MlflowRun("fetch_metadata", {}, ""))
with progress.bar("fetch", 40, "pair") as bar:
    for _ in range(8):
        time.sleep(0.06)
        bar.advance(5, rejected=2)
    progress.say("done so far")
"""


def on_a_terminal(*command: str) -> str:
    """What a command writes to its terminal."""
    here, there = pty.openpty()
    termios.tcsetwinsize(there, (40, 100))
    with subprocess.Popen(command, stdin=there, stdout=there, stderr=there) as process:
        os.close(there)
        output, until = b"", time.monotonic() + 60
        while time.monotonic() < until and select.select([here], [], [], 30)[0]:
            try:
                part = os.read(here, 65536)
            except OSError:  # the other end is closed
                break
            output += part
    os.close(here)
    assert process.returncode == 0, output
    return output.decode()


def test_a_terminal_has_a_bar_with_rate_and_time_left() -> None:
    output = on_a_terminal(sys.executable, "-c", SHOWN)
    states = [state for state in re.split(r"[\r\n]+", output) if state.startswith("fetch:")]
    assert len(states) > 3
    assert re.search(r"fetch:\s+\d+%\|.+\| \d+/40 \[00:00<00:00, +[\d.]+ pair/s, rejected=2\]", "\n".join(states[1:-1]))
    assert "100%" in states[-1]
    assert "done so far" in output


@pytest.mark.slow
def test_a_whole_stage_by_its_command(project: Path) -> None:
    mirror(bins(25), project / "bins")
    environment = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{project}/curves.db"}
    ran = subprocess.run([*COMMAND, *ARGV], capture_output=True, text=True, check=False, timeout=120, env=environment)
    assert ran.returncode == 0, ran.stderr
    lines = ran.stderr.splitlines()
    assert any(
        re.fullmatch(r"fetch_metadata: 25 of 25, 0 s left, [\d.]+ pairs/s, [\d.]+ MB/s, errors 0", line)
        for line in lines
    ), lines
    assert lines[-1] == "25 pairs, 0 that cannot be used (see data/unreadable.parquet)"
    assert {path.name for path in (project / "data").iterdir()} == {"metadata.parquet", "unreadable.parquet"}
    assert (project / "curves.db").exists()
