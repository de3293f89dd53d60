"""Files and folders are either whole or not there."""

import contextlib
import hashlib
from pathlib import Path

import pytest

from warehouse_classifier.runtime.files import replacing, root, same, sha256


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_takes_its_name_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "file"
    for text in ("first", "second"):
        with replacing(path) as half:
            half.write_text(text)
            assert (path.read_text() if path.exists() else None) == (None if text == "first" else "first")
        assert path.read_text() == text
    assert names(path.parent) == ["file"]


def test_what_fails_leaves_what_was_there(tmp_path: Path) -> None:
    file, folder = tmp_path / "file", tmp_path / "folder"
    file.write_text("before")
    folder.mkdir()
    (folder / "kept").write_text("before")
    with contextlib.suppress(KeyError), replacing(file) as half, replacing(folder) as half_folder:
        half.write_text("half")
        half_folder.mkdir()
        (half_folder / "new").write_text("half")
        raise KeyError
    assert names(tmp_path) == ["file", "folder"]
    assert names(folder) == ["kept"]
    assert file.read_text() == "before"


def test_a_folder_replaces_a_folder_and_what_a_kill_left(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    for number in range(2):
        (tmp_path / ".images.half").mkdir()
        (tmp_path / ".images.half" / "of a run that was killed").write_text("")
        with replacing(folder) as half:
            half.mkdir()
            (half / f"{number}").write_text("")
        assert names(folder) == [f"{number}"]
    assert names(tmp_path) == ["images"]


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    target, link = tmp_path / "cache", tmp_path / "images"
    target.mkdir()
    (target / "precious").write_text("")
    link.symlink_to(target)
    with replacing(link) as half:
        half.mkdir()
    assert names(target) == ["precious"]
    assert not link.is_symlink()


def test_root_is_where_dvc_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    assert root() == tmp_path.resolve()
    monkeypatch.delenv("DVC_ROOT")
    monkeypatch.chdir(tmp_path)
    assert root() == tmp_path.resolve()


def test_sha256_is_that_of_the_content(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"bins" * 100_000)
    assert sha256(tmp_path / "file") == hashlib.sha256(b"bins" * 100_000).hexdigest()


@pytest.mark.parametrize("links", [True, False])
def test_a_second_name_for_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool) -> None:
    """Some file systems know no links."""

    def refused(*_: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    if not links:
        monkeypatch.setattr("os.link", refused)
    (tmp_path / "one").write_text("text")
    same(tmp_path / "one", tmp_path / "two")
    assert (tmp_path / "two").read_text() == "text"
    assert (tmp_path / "one").samefile(tmp_path / "two") == links
    with pytest.raises(FileExistsError):
        same(tmp_path / "one", tmp_path / "two")
