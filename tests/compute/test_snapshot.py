"""A stage's code, parameters and inputs before and after: whatever was edited meanwhile is named, and nothing is lost."""

import importlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dvc_data.hashfile import hash as dvc_hash

from support.launching import error_line, stand_in
from warehouse_classifier.compute import finished, metrics_log, parameters, snapshot, stage_code
from warehouse_classifier.compute.__main__ import launch
from warehouse_classifier.runtime.errors import UserError
from warehouse_classifier.stages.fetch_metadata import FetchMetadata

ARGV = ["small", "in/table.parquet", "out.csv"]
MAP = """\
stages:
  fetch_metadata:
    cmd: python -m warehouse_classifier.compute fetch_metadata ${scale} in/table.parquet b
    outs: [in]
  select_images:
    cmd: >-
      PYTHONPATH=src python -m warehouse_classifier.compute select_images
      ${scale} in/table.parquet out.csv
    deps: [in, code, one.py]
    params: [seed, "select_images.${scale}"]
    outs: [out.csv]
"""


@pytest.fixture(scope="module")
def initialised(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `dvc init` leaves."""
    folder = tmp_path_factory.mktemp("dvc")
    subprocess.run([sys.executable, "-m", "dvc", "init", "--no-scm", "-q"], cwd=folder, check=True)
    return folder / ".dvc"


@pytest.fixture
def pipeline(project: Path, initialised: Path) -> Path:
    """A DVC project whose stage reads a folder of code, a module and what another stage has left."""
    shutil.copytree(initialised, ".dvc")
    Path(".dvcignore").write_text("__pycache__/\n")
    for name in ("in", "code/deeper"):
        Path(name).mkdir(parents=True)
    for name in ("in/table.parquet", "code/a.py", "code/deeper/b.py", "code/page.j2", "one.py"):
        Path(name).write_text(name)
    Path("dvc.yaml").write_text(MAP)
    Path("dvc.lock").write_text("stages: {fetch_metadata: {cmd: x, outs: [{path: in, md5: 1.dir}]}}")
    return project


def edit(name: str, text: str = "another") -> Callable[[], Any]:
    return lambda: Path(name).write_text(text)


def params(old: str, new: str) -> Callable[[], Any]:
    return lambda: Path("params.yaml").write_text(Path("params.yaml").read_text().replace(old, new, 1))


def bytecode() -> None:
    Path("code/__pycache__").mkdir()
    edit("code/__pycache__/a.pyc")()


EDITS = {
    "params.yaml: seed": params("seed: 7", "seed: 8"),
    "params.yaml: select_images.small": params("test_images: 6", "test_images: 5"),
    "code/a.py": edit("code/a.py"),
    "code/deeper/b.py": lambda: Path("code/deeper/b.py").unlink(),
    "code/new.py": edit("code/new.py"),
    "one.py": lambda: Path("one.py").unlink(),
}
# of these a part may have been computed with the edited ones: they are read all along
UNSOUND = {"in": edit("in/table.parquet"), "code/page.j2": edit("code/page.j2")}


@pytest.mark.slow
@pytest.mark.parametrize("named", EDITS)
def test_an_edit_while_a_stage_runs_is_named_and_what_it_computed_is_taken_once_it_is_undone(
    pipeline: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], named: str
) -> None:
    monkeypatch.setenv("FIGURES", "log")  # as on a rented machine: without MLflow, which takes its time
    files = {path: path.read_bytes() for path in pipeline.rglob("*") if path.is_file() and ".dvc" not in path.parts}
    calls: list[int] = []

    def act(progress: Any) -> None:
        Path("out.csv").write_text("the result")
        progress.measure(None, train_images=3)
        calls.append(1)
        if len(calls) == 1:
            EDITS[named]()

    stand_in(monkeypatch, "select_images", act)
    message = error_line(capfd, "select_images", *ARGV)
    assert message.startswith(f"select_images: edited while it ran: {named}; dvc.lock would record what was not run.")
    Path("out.csv").unlink()  # as DVC does before it runs a stage

    for path in [path for path in pipeline.rglob("*.py") if path not in files]:
        path.unlink()
    for path, body in files.items():
        path.write_bytes(body)
    assert launch("select_images", ARGV) == 0
    assert Path("out.csv").read_text() == "the result"
    assert calls == [1]
    assert not list(Path(".work").iterdir())
    lines = [json.loads(line.removeprefix("figures ")) for line in capfd.readouterr().out.splitlines()]
    assert {"step": None, "values": {"train_images": 3.0}} in lines
    assert lines[-1] == {"ended": "FINISHED"}


@pytest.mark.parametrize("named", UNSOUND)
def test_what_may_be_of_the_edited_ones_is_not_kept(
    pipeline: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], named: str
) -> None:
    calls: list[int] = []

    def act(_: Any) -> None:
        Path("out.csv").write_text("the result")
        calls.append(1)
        if len(calls) == 1:
            UNSOUND[named]()

    stand_in(monkeypatch, "select_images", act)
    message = error_line(capfd, "select_images", *ARGV)
    assert message == (
        f"select_images: edited while it ran: {named}; dvc.lock would record what was not run. Undo the edit or keep it:"
        " `dvc repro` runs it"
    )
    Path(named if named.startswith("code") else "in/table.parquet").write_text(
        named if named.startswith("code") else "in/table.parquet"
    )
    assert launch("select_images", ARGV) == 0
    assert calls == [1, 1]


def test_parameters_that_are_broken_in_the_end_lose_nothing(
    pipeline: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    whole = Path("params.yaml").read_text()

    def act(_: Any) -> None:
        Path("out.csv").write_text("the result")
        Path("params.yaml").write_text("a: [")

    stand_in(monkeypatch, "select_images", act)
    assert error_line(capfd, "select_images", *ARGV).startswith(
        "select_images: edited while it ran: params.yaml: seed, params.yaml: select_images.small; dvc.lock would"
    )
    Path("params.yaml").write_text(whole)
    stand_in(monkeypatch, "select_images", lambda _: pytest.fail("it was run again"))
    assert launch("select_images", ARGV) == 0
    assert Path("out.csv").read_text() == "the result"


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """A store of figures; while the list is not empty it refuses the end of a run."""
    refuses = [True]

    def end(_: metrics_log.MetricsLog, status: str) -> None:
        if refuses and status == "FINISHED":
            raise UserError("MLflow cannot be reached")

    monkeypatch.setenv("FIGURES", "log")
    monkeypatch.setattr(metrics_log.MetricsLog, "end", end)
    return refuses


def test_a_store_that_refuses_the_last_figure_loses_no_result(
    pipeline: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], store: list[bool]
) -> None:
    stand_in(monkeypatch, "select_images", lambda _: Path("out.csv").write_text("the result"))
    assert error_line(capfd, "select_images", *ARGV) == "MLflow cannot be reached"
    Path("out.csv").unlink()
    store.clear()
    stand_in(monkeypatch, "select_images", lambda _: pytest.fail("it was run again"))
    assert launch("select_images", ARGV) == 0
    assert Path("out.csv").read_text() == "the result"
    assert not list(Path(".work").iterdir())


def test_a_store_that_refuses_the_last_figure_loses_no_work(
    pipeline: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], store: list[bool]
) -> None:
    """Of a stage that goes on from its parts."""
    argv = ["small", *stage_code.paths_of("fetch_metadata")]
    stage, names = "warehouse_classifier.stages.fetch_metadata", []

    def fetch_metadata(params: FetchMetadata, metadata: Path, unreadable: Path, *, work: Path, progress: Any) -> None:
        names.append(sorted(path.name for path in work.iterdir()))
        (work / "a part").write_text("what is done so far")

    monkeypatch.setattr(importlib.import_module(stage), "fetch_metadata", fetch_metadata)
    assert error_line(capfd, "fetch_metadata", *argv) == "MLflow cannot be reached"
    store.clear()
    assert launch("fetch_metadata", argv) == 0
    assert names == [[], ["a part"]]
    assert not list(Path(".work").iterdir())


def test_outputs_are_kept_whole_or_not_at_all(tmp_path: Path) -> None:
    """And those in place stay whatever happens."""
    there, missing, folder = tmp_path / "there", tmp_path / "missing", tmp_path / "kept"
    (there / "deeper").mkdir(parents=True)
    (there / "deeper/file").write_text("one")
    with pytest.raises(FileNotFoundError):
        finished.keep(folder, [there, missing], [])
    assert not folder.exists()
    missing.write_text("two")
    finished.keep(folder, [there, missing], [(None, {"a": 1.0})])
    for _ in range(2):  # an interrupted `bring` is done again
        shutil.rmtree(there)
        missing.unlink()
        assert finished.bring(folder, [there, missing]) == [(None, {"a": 1.0})]
        assert (there / "deeper/file").read_text() == "one"
        assert missing.read_text() == "two"
    finished.forget(folder)
    assert finished.bring(folder, [there, missing]) is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["missing", "there"]


def test_an_input_that_is_missing_is_one_line(pipeline: Path, capfd: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree("in")
    assert error_line(capfd, "select_images", *ARGV) == "in: it is missing; `dvc repro` makes it, `dvc pull` brings it"


def test_what_is_kept_is_for_the_very_same_alone(
    pipeline: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Whoever keeps the edit gets what the edited code computes."""
    results = iter(["of the first", "of the edited"])

    def act(progress: Any) -> None:
        Path("out.csv").write_text(next(results))
        edit("one.py")()

    stand_in(monkeypatch, "select_images", act)
    error_line(capfd, "select_images", *ARGV)
    assert launch("select_images", ARGV) == 0
    assert Path("out.csv").read_text() == "of the edited"


@pytest.mark.parametrize(
    "harmless", [bytecode, edit("elsewhere.py"), params("max_pixels: 1000000", "max_pixels: 1000001")]
)
def test_what_a_stage_is_not_made_of_may_be_edited(
    pipeline: Path, monkeypatch: pytest.MonkeyPatch, harmless: Callable[[], Any]
) -> None:
    def act(_: Any) -> None:
        Path("out.csv").write_text("the result")
        harmless()

    stand_in(monkeypatch, "select_images", act)
    assert launch("select_images", ARGV) == 0


def test_a_stage_that_fails_says_its_own_reason(
    pipeline: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def act(_: Any) -> None:
        edit("one.py")()
        raise MemoryError

    stand_in(monkeypatch, "select_images", act)
    assert error_line(capfd, "select_images", *ARGV).startswith("select_images needs more memory than there is")


@pytest.mark.slow
def test_inputs_have_the_hashes_that_dvc_gives_them_and_are_read_once(
    project: Path, initialised: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(initialised, ".dvc")
    Path("large").mkdir()
    for n in range(3):
        Path(f"large/{n}").write_bytes(bytes([n]) * 2_000_000)
    subprocess.run([sys.executable, "-m", "dvc", "add", "-q", "large"], check=True)
    recorded = Path("large.dvc").read_text()
    snapshot.dvc_hashes(["large"])

    hashed, real = [], dvc_hash.file_md5

    def counted(path: str, *args: Any, **how: Any) -> str:
        hashed.append(Path(path).name)
        return real(path, *args, **how)

    monkeypatch.setattr(dvc_hash, "file_md5", counted)
    (md5,) = snapshot.dvc_hashes(["large"]).values()
    assert f"md5: {md5}\n" in recorded
    assert not {"0", "1", "2"} & {*hashed}
    Path("large/1").write_bytes(b"another")
    snapshot.dvc_hashes(["large"])
    assert {"0", "1", "2"} & {*hashed} == {"1"}


def test_a_command_that_no_map_holds_is_in_no_lock(pipeline: Path) -> None:
    tree = parameters.read()
    assert snapshot.take("select_images", [*ARGV[:2], "other.csv"], tree) is None
    assert snapshot.take("select_images", ARGV, tree) is not None
