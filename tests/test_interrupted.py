"""What is edited between a kill and the next run, and while a stage runs, by the commands that people type."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from support.projects import Project

STAGE = "train_vit"
COMMAND = ("dvc", "repro", "--single-item", "--force", "--no-run-cache", STAGE)


@pytest.fixture(scope="module")
def trained(reproduced: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose training takes some seconds, and has been run undisturbed."""
    project = reproduced.copy(tmp_path_factory.mktemp("interrupted") / "project")
    project.set(train_vit={"epochs": 8, "threads": 1, "workers": 1})
    project.environment["CHECKPOINT_SECONDS"] = "0"
    project.run(*COMMAND)
    return project


@pytest.fixture
def project(trained: Project, tmp_path: Path) -> Project:
    return trained.copy(tmp_path / "project")


def weights(project: Project) -> str:
    lock = YAML(typ="safe", pure=True).load(project.folder / "dvc.lock")
    return str(lock["stages"][STAGE]["outs"][0]["md5"])


def checkpoints(project: Project) -> list[Path]:
    return sorted(project.folder.glob(f".work/{STAGE}-*/[0-9]*-[0-9]*"))


@contextmanager
def at_work(project: Project) -> Iterator[subprocess.Popen[str]]:
    """The training, once it has saved its first checkpoint; with a process group of its own."""
    with subprocess.Popen(
        COMMAND, cwd=project.folder, env=project.environment, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as process:  # fmt: skip
        until = time.monotonic() + 60
        while not checkpoints(project) and process.poll() is None and time.monotonic() < until:
            time.sleep(0.01)
        assert process.poll() is None, process.stdout and process.stdout.read()
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def kill(project: Project) -> Path:
    """Kill a training that has saved something; returns the folder of its work."""
    with at_work(project) as process:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(60)
    (folder,) = {path.parent for path in checkpoints(project)}
    return folder


def append(project: Project, *names: str) -> None:
    for name in names:
        with (project.folder / "src/warehouse_classifier" / name).open("a") as file:
            file.write("\n# a word more\n")


def test_an_edit_elsewhere_between_a_kill_and_the_next_run_loses_nothing(trained: Project, project: Project) -> None:
    work = kill(project)
    append(
        project, "report/page.py", "report/page.html.j2", "cli/__main__.py", "compute/local.py", "models/resnet34.py"
    )
    project.run(*COMMAND)
    assert not work.exists()  # it was this work that came to its end
    assert weights(project) == weights(trained)


def test_an_edit_of_what_a_stage_is_made_of_begins_anew(trained: Project, project: Project) -> None:
    work = kill(project)
    append(project, "training/loop.py")
    project.run(*COMMAND)
    assert work.exists()
    assert weights(project) == weights(trained)  # it was but a comment


EDITS: dict[str, tuple[str, Callable[[str], str]]] = {
    "params.yaml: lr": ("params.yaml", lambda text: re.sub("(?m)^lr:.*", "lr: 5e-5", text)),
    "src/warehouse_classifier/training/loop.py": (
        "src/warehouse_classifier/training/loop.py",
        lambda text: f"{text}# a word more\n",
    ),
    "data/images": ("data/images/rejected.csv", lambda text: f"{text}00000,not me\n"),
}


@pytest.mark.parametrize("named", EDITS)
def test_the_lock_never_records_what_was_not_run(trained: Project, project: Project, named: str) -> None:
    name, edited = EDITS[named]
    file = project.folder / name
    was, lock = file.read_text(), project.read("dvc.lock")
    if name.startswith("data/"):  # DVC links what it has made, and makes it read-only
        file.unlink()
        file.write_text(was)
    project.run("dvc", "status", STAGE)  # DVC has seen it as it is
    with at_work(project) as process:
        file.write_text(edited(was))
        assert edited(was) != was
        said, _ = process.communicate(timeout=120)
    assert process.returncode != 0
    (line,) = [line for line in said.splitlines() if line.startswith("error: ")]
    assert line.startswith(f"error: {STAGE}: edited while it ran: {named}; dvc.lock would record what was not run.")
    assert project.read("dvc.lock") == lock
    assert STAGE in project.run("dvc", "status")

    file.write_text(was)
    said = project.run(*COMMAND)
    assert (f"{STAGE} epoch" not in said) == (named != "data/images")  # of which a part may have been learned
    assert weights(project) == weights(trained)
    assert list((project.folder / ".work").iterdir()) == []
