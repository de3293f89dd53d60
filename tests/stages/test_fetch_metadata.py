"""The first stage: the bucket's metadata as one table, and every file that cannot be used with its reason."""

import errno
import hashlib
import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from support.bins import bins, jpeg, metadata, mirror
from support.killing import Elsewhere
from support.launching import act, error_line
from support.s3 import S3
from support.server import Misdeed, Request, Served, plan
from support.system import SmallDisk
from support.watching import Noted
from warehouse_classifier.bins.metadata import PAIRS, UNREADABLE
from warehouse_classifier.bucket import bucket as buckets
from warehouse_classifier.bucket import client, object_store
from warehouse_classifier.bucket.objects import METADATA, ObjectInfo
from warehouse_classifier.runtime.errors import UserError
from warehouse_classifier.stages import fetch_metadata as stage
from warehouse_classifier.stages.fetch_metadata import FetchMetadata

KILLS = int(os.environ.get("KILLS", "4"))
URL = "s3://bins"
Serve = Callable[..., Served]
BAD = {
    "00011": (metadata(1, "A")[:50], "is not JSON (Expecting"),
    "00012": (b"[1, 2]", "is not a JSON object"),
    "00013": (b'{"BIN_FCSKU_DATA": {}}', "has no EXPECTED_QUANTITY"),
    "00014": (metadata(-1), "EXPECTED_QUANTITY is -1, not 0 to 1000000"),
    "00015": (metadata("three"), 'EXPECTED_QUANTITY is "three", not a whole number'),
    "00016": (metadata(True), "EXPECTED_QUANTITY is true, not a whole number"),
    "00017": (metadata(2.0), "EXPECTED_QUANTITY is 2.0, not a whole number"),
    "00018": (metadata(10**300), "EXPECTED_QUANTITY is 1000000"),
    "00019": (b"[" * 100_000, "is nested too deep"),
    "00020": (b'{"EXPECTED_QUANTITY": 1, "x": "\xff"}', "is not UTF-8"),
    "00021": (metadata(float("nan")), "EXPECTED_QUANTITY is NaN, not a whole number"),
    "00022": (b"", "is not JSON (Expecting"),
    "00023": (
        b'{"EXPECTED_QUANTITY": 1, "BIN_FCSKU_DATA": {"\\ud800\\n": 1}}',
        'item "\\ud800\\n" is not a JSON object',
    ),
}


@pytest.fixture(autouse=True)
def here(project: Path) -> Path:
    return project


def values(bucket: str, **changed: Any) -> dict[str, Any]:
    return {"bucket": bucket, "max_pairs": None, "max_rejected": 20, "concurrency": 4, "part": 10, **changed}


def fetched(
    bucket: str, folder: Path | None = None, progress: Noted | None = None, **changed: Any
) -> tuple[Path, Path]:
    into = folder or Path("data")
    paths = into / "metadata.parquet", into / "unreadable.parquet"
    act("fetch_metadata", FetchMetadata(**values(bucket, **changed)), *paths, progress=progress or Noted())
    return paths


def content(paths: tuple[Path, Path]) -> list[bytes]:
    return [path.read_bytes() for path in paths]


def rows(path: Path) -> list[dict[str, Any]]:
    table: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return table


def left() -> list[str]:
    return sorted(path.name for path in Path(".work").rglob("*"))


def test_the_table_holds_what_listing_and_files_say(s3: S3) -> None:
    progress = Noted()
    bodies = bins(25)
    table, unreadable = fetched(s3.bucket(bodies), progress=progress)
    assert pq.read_schema(table) == PAIRS
    assert pq.read_schema(unreadable) == UNREADABLE
    got = rows(table)
    assert [row["id"] for row in got] == [f"{n:05}" for n in range(1, 26)]
    assert [row["quantity"] for row in got] == [1 + n % 3 for n in range(1, 26)]
    assert got[0]["image_bytes"] == len(jpeg(1))
    assert len(got[0]["image_etag"]) == 32
    assert [item["asin"] for item in got[1]["items"]] == ["A2", "S1"]
    size = {"height": 2.5, "length": 2.5, "width": None, "weight": 0.4}
    assert got[1]["items"][0] == {"asin": "A2", "quantity": 1, "name": "thing A2", **size}
    assert [row["metadata_md5"] for row in got] == [
        hashlib.md5(body).hexdigest()  # noqa: S324
        for key, body in sorted(bodies.items())
        if key.startswith(METADATA)
    ]
    assert {row["checked"] for row in got} == {"md5"}
    assert rows(unreadable) == []
    assert progress.bytes == sum(len(body) for key, body in bodies.items() if key.startswith(METADATA))
    assert progress.facts == {"errors": 0}
    assert progress.measured == {"pairs": 25, "unreadable": 0}
    assert progress.bars == {"list the bucket": 25, "fetch_metadata": 25}
    assert progress.said == [f"25 pairs, 0 that cannot be used (see {unreadable})"]


def test_what_cannot_be_used_is_listed_and_the_rest_survives(s3: S3) -> None:
    bodies = {**bins(30), **{f"metadata/{id}.json": body for id, (body, _) in BAD.items()}}
    for url in (s3.bucket(bodies), mirror(bodies, Path("mirror"))):
        progress = Noted()
        table, unreadable = fetched(url, progress=progress)
        assert [row["id"] for row in rows(table)] == [f"{n:05}" for n in range(1, 31) if f"{n:05}" not in BAD]
        listed = rows(unreadable)
        assert [(row["id"], row["key"]) for row in listed] == [(id, f"metadata/{id}.json") for id in BAD]
        for row in listed:
            assert row["reason"].startswith(BAD[row["id"]][1])
        assert progress.measured == {"pairs": 30 - len(BAD), "unreadable": len(BAD)}


def test_what_has_no_partner_is_listed(s3: S3) -> None:
    bodies = bins(5)
    good = {f"{n:05}" for n in range(1, 6)} | {"1", "10", "1-", "a", "00001-2"}
    for id in ("1", "10", "1-", "a", "00001-2"):
        bodies |= {f"metadata/{id}.json": metadata(1), f"bin-images/{id}.jpg": jpeg()}
    alone = {
        "metadata/00000.json": "has no photo", "metadata/100.json": "has no photo", "metadata/zzz.json": "has no photo",
        "bin-images/0.jpg": "has no metadata", "bin-images/00004-.jpg": "has no metadata", "bin-images/zz.jpg": "has no metadata",
    }  # fmt: skip
    strange = {
        **dict.fromkeys(
            ["metadata/00001.json.bak", "metadata/00003.jsn", "metadata/a b.json", "metadata/sub/00009.json",
             "metadata/.json", "metadata/1.2.json"], "is no <id>.json",
        ),
        **dict.fromkeys(
            ["bin-images/00001.jpeg", "bin-images/00002.JPG", "bin-images/1.2.jpg", "bin-images/sub/00009.jpg",
             "bin-images/Thumbs.db"], "is no <id>.jpg",
        ),
    }  # fmt: skip
    bodies |= dict.fromkeys([*alone, *strange], b"x")
    for url in (s3.bucket(bodies), mirror(bodies, Path("mirror"))):
        table, unreadable = fetched(url)
        assert {row["id"] for row in rows(table)} == good
        assert {row["key"]: row["reason"] for row in rows(unreadable)} == {**alone, **strange}
        assert {row["key"] for row in rows(unreadable) if row["id"] is None} == set(strange)


def test_the_mark_of_a_folder_is_no_bin(s3: S3) -> None:
    """What consoles make when a folder is made."""
    table, unreadable = fetched(s3.bucket({**bins(3), "metadata/": b"", "bin-images/": b""}))
    assert len(rows(table)) == 3
    assert {row["key"] for row in rows(unreadable)} <= {"metadata", "bin-images"}


def test_max_pairs_takes_the_first_and_lists_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = []

    class Endless(buckets.SyntheticBucket):
        def list(self, folder: str, most: int | None = None) -> Iterator[ObjectInfo]:
            for entry in super().list(folder, most):
                listed.append(entry)
                yield entry

    monkeypatch.setattr(stage.buckets, "open_bucket", Endless)
    table, _ = fetched("synthetic://?pairs=100000&seed=1", max_pairs=12, concurrency=1)
    assert [row["id"] for row in rows(table)] == [
        entry.key[9:-5] for entry in listed if entry.key.startswith(METADATA)
    ][:12]
    assert len(listed) < 30


@pytest.mark.slow
def test_a_folder_has_the_same_pairs_without_etags(s3: S3) -> None:
    one, _ = fetched(s3.bucket(bins(), "a/prefix"), Path("one"))
    two, _ = fetched(mirror(bins(), Path("mirror")), Path("two"))
    drop = [{**row, "image_etag": None, "checked": "length"} for row in rows(one)]
    assert rows(two) == drop
    assert rows(one) != drop


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["s3", "synthetic"])
def test_the_same_bytes_whatever_the_concurrency(serve: Serve, kind: str) -> None:
    serve({**bins(), "metadata/00007.json": b"?", "metadata/x": b""})
    url = URL if kind == "s3" else "synthetic://?pairs=45&seed=2"
    runs = [fetched(url, Path(f"{number}"), concurrency=number, part=30) for number in (1, 3)]
    assert content(runs[0]) == content(runs[1])
    # `part` is how many rows lie together in the file; what the rows say does not depend on it
    other = fetched(url, Path("other"), part=45)
    assert [rows(path) for path in other] == [rows(path) for path in runs[0]]


@pytest.mark.slow
def test_the_same_bytes_whatever_the_server_does(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "TIMEOUTS", (0.3, 0.6, 2.0))
    bodies = {**bins(90), "metadata/00007.json": b"?", "metadata/00100.json": b"{}", "bin-images/x.jpg": b""}
    serve(bodies)
    good = content(fetched(URL, Path("good")))
    spoiling = ("flip", "short", "longer", "html", "truncated", "reset", "reset_midway", "error_500", "slow_down")
    shares: dict[Any, float] = dict.fromkeys(spoiling, 0.04) | {"stall": 0.01, Misdeed("slow_down", 0.1): 0.02}
    for concurrency in (1, 16):
        served, progress = serve(bodies, plan(concurrency, shares, {**shares, "disorder": 0.04})), Noted()
        assert content(fetched(URL, Path("bad"), progress, concurrency=concurrency)) == good
        assert len(served.record().faults) > 8
        assert progress.facts["errors"] > 20


# ---- faults


def test_nothing_to_go_on_with_is_a_fault_that_leaves_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    empty = "bucket bins holds no pair of metadata/<id>.json and bin-images/<id>.jpg; check its name"
    (Path("bins") / "metadata").mkdir(parents=True)
    argv = ("fetch_metadata", "small", "data/t.parquet", "data/u.parquet")
    assert error_line(capfd, *argv) == empty
    mirror({"metadata/1.json": b"{}", "bin-images/2.jpg": b""}, Path("bins"))
    assert error_line(capfd, *argv) == empty
    mirror({"bin-images/1.jpg": b""}, Path("bins"))
    assert error_line(capfd, *argv) == (
        "no metadata can be used; the first is metadata/1.json: has no EXPECTED_QUANTITY"
    )
    assert not list(Path("data").glob("*"))


@pytest.mark.parametrize("again", [False, True])
def test_more_rejected_than_allowed_is_a_fault_that_names_some(serve: Serve, again: bool) -> None:
    bad = [f"metadata/{n:05}.json" for n in (3, 14, 15, 27)]
    bodies = bins(30)
    if again:
        serve(bodies, lambda request: "denied" if request.key in bad else None)
    else:
        serve(bodies | dict.fromkeys(bad, b"{}"))
    with pytest.raises(UserError) as caught:
        fetched(URL, max_rejected=2)
    reason = "access denied" if again else "has no EXPECTED_QUANTITY"
    assert str(caught.value) == (
        "fetch_metadata: more metadata files are rejected than max_rejected says; raise it or mend the bucket"
        f" (among them: {'; '.join(f'{key} {reason}' for key in bad[:3])})"
    )
    assert not list(Path("data").glob("*"))
    assert [row["key"] for row in rows(fetched(URL, max_rejected=4)[1])] == bad


def test_what_has_no_partner_counts_for_nothing(serve: Serve) -> None:
    serve({**bins(5), "metadata/00009.json": b"{}", "bin-images/x": b""})
    assert len(rows(fetched(URL, max_rejected=0)[1])) == 2


def test_a_bucket_that_changes_meanwhile_is_a_fault_that_names_the_object(serve: Serve) -> None:
    bodies = bins(30)

    def changing(request: Request) -> None:
        bodies["metadata/00017.json"] = metadata(request.attempt)

    key = "metadata/00017.json"
    serve(bodies, lambda request: changing(request) if request.key == key and not request.attempt else None)
    with pytest.raises(UserError, match=rf"{key} is no longer what was listed \(ETag \w+, now \w+\); start again, the"):
        fetched(URL)
    assert not list(Path("data").glob("*"))
    assert len(rows(fetched(URL)[0])) == 30


@pytest.mark.slow
def test_a_disk_that_is_full_is_told_and_what_is_done_is_kept(
    serve: Serve, small_disk: SmallDisk, capfd: pytest.CaptureFixture[str]
) -> None:
    """Whatever was being written: a part, or one of both tables."""
    bodies = {}
    for n in range(60):
        bodies[f"metadata/{n:05}.json"] = metadata(1, "A", long=random.Random(n).randbytes(2000).hex())
        bodies[f"bin-images/{n:05}.jpg"] = b"x"
        bodies[f"metadata/x{n:05}-{random.Random(n).randbytes(400).hex()}"] = b""  # makes a table of what is unreadable
    served = serve(bodies)
    Path("params.yaml").write_text(Path("params.yaml").read_text().replace("bucket: bins", f"bucket: {URL}"))
    small_disk.resize(8)
    assert error_line(capfd, "fetch_metadata", "small", "data/metadata.parquet", "data/unreadable.parquet") == (
        "fetch_metadata: the disk is full; free some space, `dvc repro` goes on from what is done"
    )
    parts, asked = [], []
    for kilobytes in range(8, 400, 8):
        small_disk.resize(kilobytes)
        before = served.record().requests["get", 200]
        try:
            fetched(URL)
            break
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
        asked.append(served.record().requests["get", 200] - before)
        parts.append(len(list(Path(".work").glob("*/part-*.parquet"))))
        assert not list(Path("data").glob("*"))
    assert parts == sorted(parts)
    assert parts[-1] == 6
    assert asked[-1] == 0  # it was a table that took no more
    assert len(rows(Path("data/metadata.parquet"))) == 60
    assert left() == []


# ---- killed, and begun again


@pytest.fixture
def gets(serve: Serve) -> Callable[..., Callable[[], int]]:
    """Serve the bodies; what comes back counts the objects that were handed out since the last count."""

    def fetching(*what: Any, **how: Any) -> Callable[[], int]:
        served, counted = serve(*what, **how), 0

        def count() -> int:
            nonlocal counted
            time.sleep(0.1)  # a run that was broken off does not wait for what it still has asked for
            before, counted = counted, served.record().requests["get", 200]
            return counted - before

        return count

    return fetching


@pytest.mark.slow
def test_a_run_that_was_killed_goes_on_and_ends_the_same(serve: Serve, elsewhere: Elsewhere) -> None:
    """At most one part is fetched again, whenever it was."""
    bodies = {**bins(120), "metadata/00007.json": b"?", "metadata/x": b""}
    serve(bodies)
    undisturbed = content(fetched(URL, Path("undisturbed")))
    at_work = 0
    for moment in [0, *random.Random(0).sample(range(1, 120), KILLS - 1)]:
        served = serve(bodies, latency=0.001)
        paths = Path("data/metadata.parquet"), Path("data/unreadable.parquet")
        at_work += elsewhere.until_killed(served, moment, "fetch_metadata", values(URL), *paths)
        assert all(path.read_bytes() == whole for path, whole in zip(paths, undisturbed, strict=True) if path.exists())
        assert content(fetched(URL)) == undisturbed
        assert served.record().requests["get", 200] <= 120 + 10
        assert left() == []
        for path in paths:
            path.unlink()
    assert at_work > KILLS / 2


def stopped(url: str) -> None:
    """A run that ends by itself after two parts."""

    class Stopping(Noted):
        def advance(self, count: int = 1, size: int = 0, **facts: float) -> None:
            super().advance(count)
            if self.bars.get("fetch_metadata") == 25:  # in its third part
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetched(url, progress=Stopping())
    assert not list(Path("data").glob("*"))
    assert left()


@pytest.mark.parametrize("etag", ["md5", "5d41402abc4b2a76b9719d911017c592-2", None])
def test_a_part_is_kept_only_while_the_bucket_lists_the_same(gets: Callable[..., Any], etag: str | None) -> None:
    """Mended metadata of the same length, whose photo is as it was, must not be taken from the last run."""
    bodies, key = bins(30), "metadata/00003.json"
    good = bodies[key]
    bodies[key] = good.replace(b'"EXPECTED_QUANTITY": 1', b'"EXPECTED_QUANTITY": x')
    etags = {} if etag == "md5" else dict.fromkeys(bodies, etag)
    count = gets(bodies, etags=etags)
    stopped(URL)
    assert 25 <= count() <= 30
    stopped(URL)  # twice, which costs the part that was not done
    assert 5 <= count() <= (30 if etag is None else 10)
    bodies[key] = good
    if etag and key in etags:
        etags[key] = "other-2"
    table, unreadable = fetched(URL)
    assert count() == (30 if etag is None else 20)  # without ETags nothing tells that it is as it was
    assert len(rows(table)) == 30
    assert rows(unreadable) == []


def read_files(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    asked: list[str] = []
    get = object_store.StoreBucket.get

    def noted(self: object_store.StoreBucket, entry: ObjectInfo) -> Any:
        asked.append(entry.key)
        return get(self, entry)

    monkeypatch.setattr(object_store.StoreBucket, "get", noted)
    return asked


def test_a_file_is_read_anew_only_if_it_was_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    bodies, key = bins(30), "metadata/00003.json"
    good = bodies[key]
    bodies[key] = good.replace(b'"EXPECTED_QUANTITY": 1', b'"EXPECTED_QUANTITY": x')
    url, asked = mirror(bodies, Path("mirror")), read_files(monkeypatch)
    stopped(url)
    asked.clear()
    with monkeypatch.context() as interrupted:  # nothing of the first two parts is read
        interrupted.setattr(stage, "join", lambda *_: pytest.fail("stop"))
        with pytest.raises(pytest.fail.Exception):
            fetched(url)
    assert asked == [f"metadata/{n:05}.json" for n in range(21, 31)]
    asked.clear()
    mirror({key: good}, Path("mirror"))
    table, unreadable = fetched(url)
    assert asked == [f"metadata/{n:05}.json" for n in range(1, 11)]
    assert len(rows(table)) == 30
    assert rows(unreadable) == []
    assert left() == []


def test_what_could_not_be_had_is_asked_for_again_and_nothing_else(serve: Serve) -> None:
    """Denied today, allowed tomorrow: the next run must not answer from the last one's refusals."""
    bodies = {**bins(30), "metadata/00005.json": b"?"}
    serve(bodies)
    wanted = content(fetched(URL, Path("wanted")))
    denied = {"metadata/00003.json", "metadata/00007.json"}
    served = serve(bodies, lambda request: "denied" if request.key in denied else None)
    with pytest.raises(UserError, match=r"metadata/00003\.json access denied; .*00005\.json is not JSON .*00007"):
        fetched(URL, max_rejected=2)
    assert served.record().requests["get", 200] == 8
    served = serve(bodies)
    assert content(fetched(URL)) == wanted
    asked = [key for _, kind, key, _ in served.record().times if kind == "get"]
    assert sorted(asked) == sorted([*denied, *(f"metadata/{n:05}.json" for n in range(11, 31))])
    assert left() == []


@pytest.mark.parametrize("damage", [b"", b"PAR1", None])
def test_what_a_power_cut_left_of_a_part_is_read_anew(gets: Callable[..., Any], damage: bytes | None) -> None:
    count = gets(bins(30))
    stopped(URL)
    count()
    first, *_ = sorted(Path(".work").glob("*/part-*.parquet"))
    first.write_bytes(first.read_bytes()[:-40] if damage is None else damage)
    assert len(rows(fetched(URL)[0])) == 30
    assert count() == 20


@pytest.mark.slow
def test_a_second_run_of_the_same_is_told_in_one_line(
    serve: Serve, elsewhere: Elsewhere, capfd: pytest.CaptureFixture[str]
) -> None:
    served = serve(bins(60), latency=0.02)
    Path("params.yaml").write_text(Path("params.yaml").read_text().replace("bucket: bins", f"bucket: {URL}"))
    paths = Path("data/metadata.parquet"), Path("data/unreadable.parquet")
    with elsewhere.running("fetch_metadata", values(URL, concurrency=1), *paths) as first:
        while first.is_alive() and not served.record().requests["get", 200]:
            time.sleep(0.01)
        assert error_line(capfd, "fetch_metadata", "small", *map(str, paths)).startswith(
            "fetch_metadata: another run is doing this very work in "
        )
        assert first.is_alive()
    assert not list(Path("data").glob("*"))
    assert len(rows(fetched(URL)[0])) == 60


def test_photos_are_not_fetched(serve: Serve) -> None:
    served = serve(bins(5))
    fetched(URL)
    asked = [key for _, kind, key, _ in served.record().times if kind == "get"]
    assert sorted(asked) == [f"metadata/{n:05}.json" for n in range(1, 6)]
