"""Work in progress is there for the same work alone, for one run at a time, and gone when it is done."""

import contextlib
import multiprocessing
import os
import signal
import threading
from pathlib import Path

import pytest

from support.killing import contend
from warehouse_classifier.runtime.errors import Fault
from warehouse_classifier.work.resume import in_progress, stoppable


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    return tmp_path / ".work"


def test_work_that_succeeds_leaves_nothing(root: Path) -> None:
    with in_progress("fetch", 1) as folder:
        assert folder.parent == root
        (folder / "part").write_text("")
    assert not list(root.iterdir())


def test_a_rented_machine_keeps_it_where_it_is_told_to_and_does_not_remove_it(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it has led to is not safe yet: it is still to be sent."""
    monkeypatch.setenv("WORK_FOLDER", str(tmp_path / "checkpoints"))
    for seen in ([], ["part"]):
        with in_progress("fetch", 1) as folder:
            assert folder.parent == tmp_path / "checkpoints"
            assert [path.name for path in folder.iterdir()] == seen
            (folder / "part").write_text("")
    assert not root.exists()


def test_work_that_fails_is_found_again_by_the_same_work_alone(root: Path) -> None:
    with contextlib.suppress(KeyError), in_progress("fetch", {"b": 1, "a": 2}) as folder:
        (folder / "part").write_text("half")
        raise KeyError
    for other in (("fetch", {"b": 1, "a": 3}), ("fetch",), ("train", {"b": 1, "a": 2})):
        with in_progress(*other) as elsewhere:
            assert elsewhere != folder
    with in_progress("fetch", {"a": 2, "b": 1}) as again:
        assert again == folder
        assert (again / "part").read_text() == "half"
    assert not list(root.iterdir())


def test_a_kill_while_it_is_tidied_up_leaves_nothing_to_go_on_from(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stage has not ended well then, so it begins anew; half of a checkpoint would be refused."""

    def killed(path: Path) -> None:
        next(path.iterdir()).unlink()
        raise KeyboardInterrupt

    def work() -> None:
        with in_progress("fetch", 1) as folder:
            for name in ("one", "two"):
                (folder / name).write_text("")
            patch.setattr("warehouse_classifier.work.resume.shutil.rmtree", killed)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        work()
    with in_progress("fetch", 1) as again:
        assert list(again.iterdir()) == []
    assert not list(root.iterdir())


def test_other_code_never_picks_work_up(root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    package = tmp_path / "package"
    (package / "compute").mkdir(parents=True)
    monkeypatch.setattr("warehouse_classifier.work.resume.PACKAGE", package)

    def key() -> str:
        with in_progress("fetch") as folder:
            return folder.name

    (package / "bucket.py").write_text("1")
    (package / "compute" / "local.py").write_text("1")
    first = key()
    (package / "compute" / "local.py").write_text("2")
    assert key() == first  # where it runs is not what it is
    (package / "bucket.py").write_text("2")
    assert key() != first


def test_a_second_holder_is_refused_in_one_line(root: Path) -> None:
    with in_progress("fetch", 1) as folder:
        (folder / "part").write_text("of the first")
        with pytest.raises(Fault) as caught, in_progress("fetch", 1):
            pass
        assert str(caught.value) == (f"fetch: another run is doing this very work in {folder}; wait for it or end it")
        assert (folder / "part").read_text() == "of the first"
        with in_progress("fetch", 2):
            pass


def test_a_lock_that_its_owner_took_away_locks_nobody_out(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between opening the lock and taking it, its owner ends and removes the file: it must not count as taken."""
    from warehouse_classifier.work import resume

    take = resume.fcntl.flock

    def late(file: object, how: int) -> None:
        (lock,) = root.glob("*.lock")
        lock.unlink()
        take(file, how)

    monkeypatch.setattr(resume.fcntl, "flock", late)
    with pytest.raises(Fault, match="another run"), in_progress("fetch", 1):
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


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_waits_for_a_point_to_stop_at_and_a_second_does_not(sent: signal.Signals) -> None:
    before = signal.getsignal(sent)
    with stoppable() as asked:
        assert not asked()
        os.kill(os.getpid(), sent)
        assert asked()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), sent)
    assert signal.getsignal(sent) == before


def test_a_thread_can_hold_no_signal_back() -> None:
    said = []

    def work() -> None:
        with stoppable() as asked:
            said.append(asked())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert said == [False]


def test_of_a_team_the_first_process_holds_the_work(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with in_progress("train", 1) as folder:
        monkeypatch.setenv("RANK", "1")
        with in_progress("train", 1) as its:
            assert its == folder
        assert folder.exists()
