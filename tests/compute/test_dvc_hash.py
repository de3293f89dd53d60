"""Hashes against those that DVC itself writes into dvc.lock."""

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from support.projects import Project
from warehouse_classifier.compute import dvc_hash, stage_spec
from warehouse_classifier.runtime.errors import UserError

MAP = """\
stages:
  count:
    cmd: python -c "open('out', 'w').close()" count small out
    deps: [code, data/one.csv, gone/none.csv]
    outs: [out]
"""
IGNORED = "__pycache__/\n/code/notes.txt\n*.tmp\n!kept.tmp\n"
FILES = {
    "code/one.py": b"pass\n",
    "code/empty.py": b"",
    "code/crlf.py": b"pass\r\n",
    "code/.hidden": b"h",
    "code/a/b/two.py": b"pass\n",
    "code/a-b.py": b"sorts before a/b, and after it in a walk",
    "code/\u00fcber/\u65e5 \u672c.html.j2": b"\xff\x00",
    "code/kept.tmp": b"k",
    "code/a/notes.txt": b"not the one that is ignored",
    "data/one.csv": b"1\n",
    "gone/none.csv": b"",
}
STRAY = {
    "code/notes.txt": b"s", "code/some.tmp": b"s", "code/__pycache__/one.cpython-311.pyc": b"s",
    "code/a/b/__pycache__/two.cpython-311.pyc": b"s", "code/only/__pycache__/x.pyc": b"s", "code/.git": b"s",
}  # fmt: skip


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose only stage was run by DVC."""
    project = Project(tmp_path_factory.mktemp("hashed") / "project")
    for name, body in {**FILES, **STRAY, "dvc.yaml": MAP.encode(), ".dvcignore": IGNORED.encode()}.items():
        (project.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (project.folder / name).write_bytes(body)
    (project.folder / "params.yaml").write_text("lr: 1\n")
    (project.folder / "code/linked.py").symlink_to("one.py")
    (project.folder / "code/there").symlink_to("../data")
    (project.folder / "code/nothing").mkdir()
    project.run("git", "init", "-q")
    project.run("dvc", "init", "-q")
    (project.folder / ".dvcignore").write_text(IGNORED)  # which `dvc init` puts back to its own
    project.run("dvc", "repro")
    return project


@pytest.mark.slow
def test_a_file_and_a_folder_have_the_hashes_that_dvc_gives_them(ran: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ran.folder)
    locked = YAML(typ="safe", pure=True).load(ran.folder / "dvc.lock")["stages"]["count"]["deps"]
    assert {dep["path"]: dep["md5"] for dep in locked} == stage_spec.read("count", ["small", "out"]).files
    assert [dep["nfiles"] for dep in locked if dep["path"] == "code"] == [10]
    assert stage_spec.read("count", ["small", "out"]).digest == stage_spec.ran("count").digest
    within = sorted(name for name in FILES if name.startswith("code/"))
    assert [file.as_posix() for file in dvc_hash.files(Path("code"))] == sorted([*within, "code/linked.py"], key=Path)


@pytest.mark.slow
def test_what_dvc_ignores_changes_no_hash_and_what_it_sees_does(ran: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ran.folder)
    before = dvc_hash.md5(Path("code"))
    for name in STRAY:
        Path(name).write_bytes(b"another")
    assert dvc_hash.md5(Path("code")) == before
    assert "up to date" in ran.run("dvc", "status")
    Path("code/a/stray.py").touch()
    assert dvc_hash.md5(Path("code")) != before
    Path("code/a/stray.py").rename("code/a/b/stray.py")
    assert "changed" in ran.run("dvc", "status")
    Path("code/a/b/stray.py").unlink()
    assert dvc_hash.md5(Path("code")) == before


@pytest.mark.slow
@pytest.mark.parametrize("dep", ["code", "gone/none.csv"])
def test_a_missing_dep_is_named(dep: str, ran: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = ran.copy(tmp_path / "project")
    monkeypatch.chdir(project.folder)
    Path(dep).rename("elsewhere")
    with pytest.raises(
        UserError, match=f"^count depends on {dep}, which is neither here nor an output that dvc\\.lock knows$"
    ):
        stage_spec.read("count", ["small", "out"])
