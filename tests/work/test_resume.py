"""Work in progress is there for the same work alone, for one run at a time, and gone when it is done."""

import contextlib
import fcntl
import multiprocessing
import threading
from pathlib import Path
from typing import Any

import pytest

from support.killing import contend
from warehouse_classifier.runtime.errors import UserError
from warehouse_classifier.work.resume import resumable


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    return tmp_path / ".work"


def test_work_that_succeeds_leaves_nothing(root: Path) -> None:
    with resumable("fetch", 1) as folder:
        assert folder.parent == root
        (folder / "part").write_text("")
    assert not list(root.iterdir())


def test_a_rented_machine_keeps_it_where_it_is_told_to_and_does_not_remove_it(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it has led to is not safe yet: it is still to be sent."""
    monkeypatch.setenv("WORK_FOLDER", str(tmp_path / "checkpoints"))
    for seen in ([], ["part"]):
        with resumable("fetch", 1) as folder:
            assert folder.parent == tmp_path / "checkpoints"
            assert [path.name for path in folder.iterdir()] == seen
            (folder / "part").write_text("")
    assert not root.exists()


def test_work_that_fails_is_found_again_by_the_same_work_alone(root: Path) -> None:
    with contextlib.suppress(KeyError), resumable("fetch", {"b": 1, "a": 2}) as folder:
        (folder / "part").write_text("half")
        raise KeyError
    for other in (("fetch", {"b": 1, "a": 3}), ("fetch",), ("train", {"b": 1, "a": 2})):
        with resumable(*other) as elsewhere:
            assert elsewhere != folder
    with resumable("fetch", {"a": 2, "b": 1}) as again:
        assert again == folder
        assert (again / "part").read_text() == "half"
    assert not list(root.iterdir())


def test_a_kill_while_it_is_tidied_up_leaves_nothing_to_go_on_from(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stage has not ended well then, so it begins anew; half of a checkpoint would be refused."""

    def killed(path: Path) -> None:
        next(path.iterdir()).unlink()
        raise KeyboardInterrupt

    def work() -> None:
        with resumable("fetch", 1) as folder:
            for name in ("one", "two"):
                (folder / name).write_text("")
            patch.setattr("warehouse_classifier.work.resume.shutil.rmtree", killed)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        work()
    with resumable("fetch", 1) as again:
        assert list(again.iterdir()) == []
    assert not list(root.iterdir())


def test_a_second_holder_is_refused_in_one_line(root: Path) -> None:
    with resumable("fetch", 1) as folder:
        (folder / "part").write_text("of the first")
        with pytest.raises(UserError) as caught, resumable("fetch", 1):
            pass
        assert str(caught.value) == (f"fetch: another run is doing this very work in {folder}; wait for it or end it")
        assert (folder / "part").read_text() == "of the first"
        with resumable("fetch", 2):
            pass


def test_a_lock_that_its_owner_took_away_locks_nobody_out(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between opening the lock and taking it, its owner ends and removes the file: it must not count as taken."""
    take = fcntl.flock

    def late(file: Any, how: int) -> None:
        (lock,) = root.glob("*.lock")
        lock.unlink()
        take(file, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with pytest.raises(UserError, match="another run"), resumable("fetch", 1):
        pass


def test_two_processes_never_hold_the_same_work(tmp_path: Path, root: Path) -> None:
    fork = (
        multiprocessing.get_context("fork") if threading.active_count() == 1 else multiprocessing.get_context("spawn")
    )
    barrier = fork.Barrier(2)
    both = [fork.Process(target=contend, args=(barrier, tmp_path)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(60)
    assert not (tmp_path / "trouble").exists()
    assert [process.exitcode for process in both] == [0, 0]


def test_who_follows_only_learns_where_it_is(root: Path) -> None:
    with resumable("train", 1) as folder:
        with resumable("train", 1, follow=True) as its:
            assert its == folder
        assert folder.exists()
