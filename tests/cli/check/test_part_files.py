"""`check` in parts: what is done stays done, what changed is made anew, and every photo stands there once."""

import csv
import errno
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from support.bins import bins, jpeg, metadata, mirror
from support.predictors import tiny
from support.s3 import S3
from warehouse_classifier.bucket import bucket
from warehouse_classifier.bucket.object_store import StoreBucket
from warehouse_classifier.bucket.objects import Unreadable
from warehouse_classifier.cli.__main__ import answer
from warehouse_classifier.cli.check import part_files
from warehouse_classifier.cli.check.lock import held
from warehouse_classifier.cli.check.part_files import PART_FILE
from warehouse_classifier.runtime.errors import UserError

Run = Callable[..., int]


@pytest.fixture(scope="module")
def models(every_network: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny(tmp_path_factory.mktemp("trained") / "models")


@pytest.fixture
def check(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Into the folder out/, in parts of four; returns the exit status."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(models, tmp_path / "models")

    def run(*argv: str, model: str = "vit", part: int = 4) -> int:
        return answer(["check", *argv, "--output", "out/", "--part", str(part), "--model", model])

    return run


def rows(folder: str = "out") -> list[str]:
    """The photos of every part, in order."""
    files = sorted(Path(folder).glob("part-*.csv"))
    return [row["photo"] for file in files for row in csv.DictReader(file.read_text().splitlines())]


def stamps() -> dict[str, tuple[int, int]]:
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in Path("out").iterdir()}


def redone(before: dict[str, tuple[int, int]]) -> list[int]:
    """The numbers of the parts that are not those of before."""
    after = stamps()
    assert all(PART_FILE.fullmatch(name) for name in after), after
    return [int(name.split("-")[1]) for name in sorted(after) if after[name] != before.get(name)]


def test_parts_hold_every_photo_once_and_a_rerun_leaves_them(
    check: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mirror(bins(10), tmp_path / "bins")
    status = check("bins")
    first = capsys.readouterr().err.splitlines()[-1]
    assert rows() == [f"{n:05}" for n in range(1, 11)]
    assert redone({}) == [0, 1, 2]
    before = stamps()
    assert check("bins") == status == 1
    assert redone(before) == []
    # the summary counts what was there already, and no speed is told of what was not done
    again = capsys.readouterr().err.splitlines()[-1]
    assert again == first.partition("; ")[0]
    assert again.startswith("10 photos: ")
    assert answer(["check", "bins", "--output", "whole.csv", "--model", "vit"]) == status
    joined = [line for file in sorted(Path("out").iterdir()) for line in file.read_text().splitlines()[1:]]
    assert Path("whole.csv").read_text().splitlines()[1:] == joined


@pytest.mark.slow
def test_what_changes_is_made_anew_and_nothing_else(check: Run, tmp_path: Path, models: Path) -> None:
    mirror(bins(10), tmp_path / "bins")
    Path("q.csv").write_text("id,quantity\n" + "".join(f"{n:05},4\n" for n in range(1, 11)))
    check("bins", "--expected", "q.csv")

    def after(change: Callable[[], object], *argv: str, model: str = "vit") -> list[int]:
        before = stamps()
        change()
        check("bins", "--expected", "q.csv", *argv, model=model)
        assert rows() == [f"{n:05}" for n in range(1, 11)]
        return redone(before)

    photo, table = Path("bins/bin-images/00006.jpg"), Path("q.csv")
    assert after(lambda: photo.write_bytes(jpeg(77))) == [1]
    assert after(lambda: table.write_text(table.read_text().replace("00010,4", "00010,5"))) == [2]
    assert after(lambda: os.utime(photo)) == [1]
    assert after(lambda: None, "--batch", "3", "--workers", "1") == []
    assert after(lambda: None, "--explain", "why") == [0, 1, 2]
    assert after(lambda: None) == [0, 1, 2]
    assert after(lambda: None, model="resnet34") == [0, 1, 2]
    check("bins", "--expected", "q.csv")

    def other_thresholds() -> None:
        path = Path("models/calibration.json")
        body = json.loads(path.read_text())
        body["counters"]["vit"]["match"] = 0.5
        path.write_text(json.dumps(body))

    assert after(other_thresholds) == [0, 1, 2]


def test_metadata_of_a_bucket_belongs_to_its_part(check: Run, s3: S3) -> None:
    bodies = bins(10)
    url = s3.bucket(bodies)
    check(url)
    before = stamps()
    s3.client.put_object(Bucket=url.removeprefix("s3://"), Key="metadata/00010.json", Body=metadata(5))
    check(url)
    assert redone(before) == [2]


def test_parts_of_another_run_go_and_what_is_not_ours_stays(check: Run, tmp_path: Path) -> None:
    mirror(bins(10), tmp_path / "bins")
    check("bins", "--format", "jsonl")
    ours = {path.name for path in Path("out").iterdir()}
    theirs = ["part-00009.csv", "notes.csv", "part-00001-0123456789abcdef.txt", "xpart-00001-0123456789abcdef.csv"]
    for name in theirs:
        (tmp_path / "out" / name).write_text("mine")
    (tmp_path / "out" / ".part.half").write_text("cut")
    check("bins", "--most", "5", part=3)
    left = {path.name for path in Path("out").iterdir()}
    assert left > set(theirs)
    assert not left & ours
    assert sorted(name.split("-")[1] for name in left - set(theirs)) == ["00000", "00001"]


@pytest.mark.parametrize("body", [b"", b"photo,expected\n", b"\xff\xfe", None])
def test_a_part_that_is_not_whole_is_made_anew(check: Run, tmp_path: Path, body: bytes | None) -> None:
    mirror(bins(10), tmp_path / "bins")
    check("bins")
    (path,) = Path("out").glob("part-00001-*")
    good = path.read_bytes()
    path.write_bytes(b"\n".join(good.split(b"\n")[:-2]) + b"\n" if body is None else body)
    before = stamps()
    check("bins")
    assert redone(before) == [1]
    assert path.read_bytes() == good


def test_what_could_not_be_had_is_asked_for_again(check: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mirror(bins(10), tmp_path / "bins")
    get = StoreBucket.get
    with monkeypatch.context() as bad:
        bad.setattr(
            StoreBucket,
            "get",
            lambda self, entry: Unreadable("no answer") if "00007.j" in entry.key else get(self, entry),
        )
        assert check("bins") == 1
    before = stamps()
    assert [name for name in before if "-again" in name] == [name for name in before if name.startswith("part-00001")]
    check("bins")
    assert redone(before) == [1]
    assert not any("-again" in name for name in stamps())
    assert rows() == [f"{n:05}" for n in range(1, 11)]


def test_a_bucket_that_cannot_tell_of_changes_is_read_again(
    check: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror(bins(5), tmp_path / "bins")
    monkeypatch.setattr(StoreBucket, "stamp", lambda *_: None)
    check("bins")
    before = stamps()
    check("bins")
    assert redone(before) == [0, 1]


def test_another_version_of_the_program_makes_other_parts(
    check: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror(bins(3), tmp_path / "bins")
    check("bins")
    before = stamps()
    monkeypatch.setattr(part_files, "VERSION", 0)
    check("bins")
    assert redone(before) == [0]


def test_two_runs_do_not_share_a_folder(check: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mirror(bins(3), tmp_path / "bins")
    with held(tmp_path / "out"):
        assert check("bins") == 2
    assert capsys.readouterr().err == "error: out: another run is writing its parts there; wait for it or end it\n"
    assert check("bins") in (0, 1)
    assert not (tmp_path / "out" / ".lock").exists()


def test_a_folder_that_cannot_be_locked_is_not_called_busy(
    check: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    mirror(bins(3), tmp_path / "bins")
    (tmp_path / "out" / ".lock").mkdir(parents=True)
    assert check("bins") == 2
    assert capsys.readouterr().err == "error: out/.lock: Is a directory\n"
    (tmp_path / "out" / ".lock").rmdir()

    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    assert check("bins") == 2
    assert capsys.readouterr().err == (
        "error: out cannot be locked (No locks available); name a folder on another disk\n"
    )


@pytest.mark.slow
def test_a_part_whose_pictures_are_gone_is_made_anew(check: Run, tmp_path: Path) -> None:
    mirror(bins(8) | {"bin-images/00002.jpg": b"none, which is not drawn"}, tmp_path / "bins")
    check("bins", "--explain", "why")
    pictures = sorted(path.name for path in Path("why").iterdir())
    assert pictures == [f"{n:05}.png" for n in (1, 3, 4, 5, 6, 7, 8)]
    before = stamps()
    check("bins", "--explain", "why")
    assert redone(before) == []
    Path("why/00006.png").unlink()
    check("bins", "--explain", "why")
    assert redone(before) == [1]
    assert sorted(path.name for path in Path("why").iterdir()) == pictures


def test_a_fault_in_the_middle_leaves_whole_parts_alone(
    check: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    mirror(bins(10), tmp_path / "bins")
    get = StoreBucket.get

    def broken(self: StoreBucket, entry: bucket.ObjectInfo) -> bucket.Body:
        if "00007" in entry.key:
            raise UserError("bucket bins is gone")
        return get(self, entry)

    with monkeypatch.context() as bad:
        bad.setattr(StoreBucket, "get", broken)
        assert check("bins") == 2
    assert capsys.readouterr().err.splitlines()[-1] == "error: bucket bins is gone"
    before = stamps()
    assert redone({}) == [0]
    check("bins")
    assert redone(before) == [1, 2]


@pytest.mark.slow
@pytest.mark.parametrize(
    "how", [signal.SIGKILL, *(pytest.param(how, marks=pytest.mark.soak) for how in (signal.SIGINT, signal.SIGTERM))]
)
def test_a_run_that_was_killed_goes_on_where_it_was(check: Run, how: signal.Signals) -> None:
    Path("shelf").mkdir()
    names = [f"shelf/{n:03}.jpg" for n in range(200)]
    Path(names[0]).write_bytes(jpeg(1, (1200, 1200)))
    for name in names[1:]:
        os.link(names[0], name)
    argv = ["check", "shelf", "--output", "out/", "--part", "10", "--model", "vit", "--workers", "1"]
    with subprocess.Popen([sys.executable, "-m", "warehouse_classifier.cli", *argv], stderr=subprocess.PIPE) as process:
        while len([*Path("out").glob("part-*")] if Path("out").exists() else []) < 2:
            assert process.poll() is None
            time.sleep(0.002)
        process.send_signal(how)
        _, err = process.communicate(timeout=60)
    before = {name: stamp for name, stamp in stamps().items() if PART_FILE.fullmatch(name)}
    assert 2 <= len(before) < 20
    assert rows() == names[: 10 * len(before)]
    if how != signal.SIGKILL:
        assert process.returncode == 128 + how
        word = "interrupted" if how == signal.SIGINT else "ended"
        assert err.decode().splitlines()[-1] == (
            f"error: {word}; what is in out is whole, the same command goes on from there"
        )
        assert b"leaked" not in err
        assert len(stamps()) == len(before)
    assert answer(argv) == 0
    assert rows() == names
    assert redone(before) == list(range(len(before), 20))
