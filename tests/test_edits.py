"""An edit reruns what it changes and nothing else: `dvc status` after one edit at a time, in a pipeline that was run."""

import json
from collections.abc import Iterator

import pytest

from support.projects import STAGES, TRAININGS, Project

COUNTING = [stage for stage in TRAININGS if stage != "train_verifier"]
PACKAGE = "src/warehouse_classifier"


@pytest.fixture(scope="module")
def project(reproduced: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    return reproduced.copy(tmp_path_factory.mktemp("edited") / "project")


@pytest.fixture
def edited(project: Project) -> Iterator[Project]:
    yield project
    project.run("git", "checkout", "-q", "--", ".")
    project.run("git", "clean", "-qfd", "src")


def changed(project: Project) -> list[str]:
    """The stages that `dvc repro` would run, as far as is known before it does: outputs may come out as they were."""
    return list(json.loads(project.run("dvc", "status", "--json")))


@pytest.mark.parametrize(
    ("file", "stages"),
    [
        ("bins/metadata.py", ["fetch_metadata"]),
        ("bins/selection.py", ["select_images", "resize_images"]),
        ("bins/split_names.py", ["select_images", *TRAININGS, "evaluate"]),
        ("bins/sizes.py", [*TRAININGS, "evaluate"]),
        ("bucket/retry.py", ["fetch_metadata", "resize_images"]),
        ("synthetic/placement.py", ["fetch_metadata", "resize_images", *COUNTING]),
        ("dataset/shards.py", ["resize_images", *TRAININGS, "evaluate"]),
        ("dataset/labels.py", [*COUNTING, "evaluate"]),
        ("models/resnet34.py", ["train_resnet34", "train_verifier", "evaluate"]),
        ("models/vit.py", ["train_vit", "train_verifier", "evaluate"]),
        ("training/loop.py", COUNTING),
        ("verifier/heads.py", ["train_verifier", "evaluate"]),
        ("verifier/split.py", ["evaluate"]),
        ("stages/train_vit.py", ["train_vit"]),
        ("evaluation/metrics.py", ["evaluate"]),
        ("report/page.html.j2", ["evaluate"]),
        ("report/accuracy_charts.py", ["evaluate"]),
        ("runtime/files.py", STAGES),
        ("runtime/a_new_one.py", STAGES),
        ("a_new_one.py", []),
    ],
)
def test_an_edit_reruns_what_it_changes(edited: Project, file: str, stages: list[str]) -> None:
    with (edited.folder / PACKAGE / file).open("a") as code:
        code.write("\n")
    assert sorted(changed(edited)) == sorted(stages)


@pytest.mark.parametrize("room", ["cli", "compute", "serving", "tracking", "../sagemaker_emulator", "../../tests"])
def test_where_a_stage_runs_and_who_looks_at_it_rerun_nothing(edited: Project, room: str) -> None:
    """All files of a room at once, as each alone is to change nothing."""
    files = [*(edited.folder / PACKAGE / room).rglob("*.py")]
    assert len(files) > 2
    for file in files:
        with file.open("a") as code:
            code.write("\n# another word\n")
    assert changed(edited) == []


def test_what_python_writes_beside_the_code_is_no_edit(edited: Project) -> None:
    bytecode = edited.folder / PACKAGE / "runtime/__pycache__/errors.cpython-399.pyc"
    bytecode.parent.mkdir(exist_ok=True)
    bytecode.write_bytes(b"as another Python has it")
    assert changed(edited) == []
