"""What is edited between a kill and the next run, and while a stage runs: real trainings, killed with kill -9."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.projects import Project
from warehouse_classifier.compute import dvc_hash

STAGE = "train_vit"
BY_DVC = ("dvc", "repro", "--single-item", "--force", "--no-run-cache", STAGE)
ARGUMENTS = ("sample", "data/images", "data/metadata.parquet", "models/vit")
ALONE = (sys.executable, "-m", "warehouse_classifier.compute", STAGE, *ARGUMENTS)  # what DVC starts, seconds sooner


@pytest.fixture(scope="module")
def trained(reproduced: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose training has been run undisturbed, and has many points to be killed at."""
    project = reproduced.copy(tmp_path_factory.mktemp("interrupted") / "project")
    project.set(train_vit={"epochs": 8, "threads": 1, "workers": 1})
    project.environment.update(
        CHECKPOINT_SECONDS="0", PYTHONPATH="src", FIGURES="log"
    )  # MLflow takes seconds to import
    project.run(*BY_DVC)
    project.run("dvc", "status", STAGE)  # DVC has seen all as it is
    return project


@pytest.fixture
def project(trained: Project, tmp_path: Path) -> Project:
    return trained.copy(tmp_path / "project")


def weights(project: Project) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project.folder)
        return dvc_hash.md5(Path("models/vit"))


def checkpoints(project: Project) -> list[Path]:
    return sorted(project.folder.glob(f".work/{STAGE}-*/[0-9]*-[0-9]*"))


@contextmanager
def at_work(project: Project, command: tuple[str, ...]) -> Iterator[subprocess.Popen[str]]:
    """The training, once it has saved its first checkpoint; with a process group of its own."""
    with subprocess.Popen(
        command, cwd=project.folder, env=project.environment, text=True, start_new_session=True,
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


def append(project: Project, *names: str) -> None:
    for name in names:
        with (project.folder / "src/warehouse_classifier" / name).open("a") as file:
            file.write("\n# a word more\n")


@pytest.mark.soak
def test_what_is_edited_between_a_kill_and_the_next_run(trained: Project, project: Project, tmp_path: Path) -> None:
    """An edit of what the stage is made of makes it begin anew, and one of anything else loses nothing."""
    with at_work(project, ALONE) as process:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(60)
    (work,) = {path.parent for path in checkpoints(project)}
    other = project.copy(tmp_path / "other")

    append(other, "training/loop.py")
    other.run(*ALONE)
    assert (other.folder / work.relative_to(project.folder)).exists()
    assert weights(other) == weights(trained)  # it was but a comment

    append(
        project, "report/page.py", "report/page.html.j2", "cli/__main__.py", "compute/local.py", "models/resnet34.py"
    )
    project.run(*BY_DVC)
    assert not work.exists()  # it was this work that came to its end
    assert weights(project) == weights(trained)


LOOP = "src/warehouse_classifier/training/loop.py"
EDITS: dict[str, Callable[[str], str]] = {
    "params.yaml": lambda text: re.sub("(?m)^lr:.*", "lr: 5e-5", text), LOOP: lambda text: f"{text}# a word more\n",
}  # fmt: skip


def test_the_lock_never_records_what_was_not_run(trained: Project, project: Project) -> None:
    """Inputs and templates, each kind alone and what is kept: compute/test_snapshot.py."""
    texts, lock = {name: project.read(name) for name in EDITS}, project.read("dvc.lock")
    with at_work(project, BY_DVC) as process:
        for name, edited in EDITS.items():
            assert edited(texts[name]) != texts[name]
            (project.folder / name).write_text(edited(texts[name]))
        output, _ = process.communicate(timeout=120)
    assert process.returncode != 0
    (line,) = [line for line in output.splitlines() if line.startswith("error: ")]
    named = f"params.yaml: lr, {LOOP}"
    assert line.startswith(f"error: {STAGE}: edited while it ran: {named}; dvc.lock would record what was not run.")
    assert project.read("dvc.lock") == lock
    assert STAGE in project.run("dvc", "status")

    for name, text in texts.items():
        (project.folder / name).write_text(text)
    output = project.run(*ALONE)
    assert f"{STAGE} epoch" not in output  # what was computed is taken
    assert weights(project) == weights(trained)
    assert list((project.folder / ".work").iterdir()) == []
