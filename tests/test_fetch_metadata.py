"""The first stage: the bucket's metadata as one table, and every file that cannot be used with its reason."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from conftest import S3, Noted, bins, error_line, jpeg, metadata, mirror
from warehouse_classifier import bucket as buckets
from warehouse_classifier.bucket import METADATA, PHOTOS, Body, Entry, StoreBucket, Unreadable
from warehouse_classifier.fault import Fault
from warehouse_classifier.metadata import PAIRS, UNREADABLE
from warehouse_classifier.stages import fetch_metadata as stage
from warehouse_classifier.stages.fetch_metadata import FetchMetadata, fetch_metadata

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


def fetched(bucket: str, folder: Path | None = None, watch: Noted | None = None, **changed: Any) -> tuple[Path, Path]:
    params = FetchMetadata(**{"bucket": bucket, "max_pairs": None, "concurrency": 4, "part": 10, **changed})
    into = folder or Path("data")
    paths = into / "metadata.parquet", into / "unreadable.parquet"
    fetch_metadata(params, *paths, watch=watch or Noted())
    return paths


def rows(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return found


def left() -> list[str]:
    return sorted(path.name for path in Path(".work").rglob("*"))


def test_the_table_holds_what_listing_and_files_say(s3: S3) -> None:
    watch = Noted()
    table, unreadable = fetched(s3.bucket(bins(25)), watch=watch)
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
    assert rows(unreadable) == []
    assert watch.measured == {"pairs": 25, "unreadable": 0}
    assert watch.bars == {"list the bucket": 25, "fetch_metadata": 25}
    assert watch.said == [f"25 pairs, 0 that cannot be used (see {unreadable})"]


def test_what_cannot_be_used_is_listed_and_the_rest_survives(s3: S3) -> None:
    bodies = {**bins(30), **{f"metadata/{id}.json": body for id, (body, _) in BAD.items()}}
    for url in (s3.bucket(bodies), mirror(bodies, Path("mirror"))):
        watch = Noted()
        table, unreadable = fetched(url, watch=watch)
        assert [row["id"] for row in rows(table)] == [f"{n:05}" for n in range(1, 31) if f"{n:05}" not in BAD]
        listed = rows(unreadable)
        assert [(row["id"], row["key"]) for row in listed] == [(id, f"metadata/{id}.json") for id in BAD]
        for row in listed:
            assert row["reason"].startswith(BAD[row["id"]][1])
        assert watch.measured == {"pairs": 30 - len(BAD), "unreadable": len(BAD)}


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
        def list(self, folder: str) -> Iterator[Entry]:
            for entry in super().list(folder):
                listed.append(entry)
                yield entry

    monkeypatch.setattr(stage.buckets, "open_bucket", Endless)
    table, _ = fetched("synthetic://?pairs=100000&seed=1", max_pairs=12, concurrency=1)
    assert [row["id"] for row in rows(table)] == [
        entry.key[9:-5] for entry in listed if entry.key.startswith(METADATA)
    ][:12]
    assert len(listed) < 30


def test_a_folder_has_the_same_pairs_without_etags(s3: S3) -> None:
    one, _ = fetched(s3.bucket(bins(), "a/prefix"), Path("one"))
    two, _ = fetched(mirror(bins(), Path("mirror")), Path("two"))
    drop = [{**row, "image_etag": None} for row in rows(one)]
    assert rows(two) == drop
    assert rows(one) != drop


@pytest.mark.parametrize("kind", ["s3", "synthetic"])
def test_the_same_bytes_whatever_the_concurrency(s3: S3, kind: str) -> None:
    url = (
        s3.bucket({**bins(), "metadata/00007.json": b"?", "metadata/x": b""})
        if kind == "s3"
        else "synthetic://?pairs=45&seed=2"
    )
    runs = [fetched(url, Path(f"{number}"), concurrency=number, part=30) for number in (1, 3)]
    assert [path.read_bytes() for path in runs[0]] == [path.read_bytes() for path in runs[1]]
    # `part` is how many rows lie together in the file; what the rows say does not depend on it
    other = fetched(url, Path("other"), part=45)
    assert [rows(path) for path in other] == [rows(path) for path in runs[0]]


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
        "no metadata can be used, 1 files are rejected; the first is metadata/1.json: has no EXPECTED_QUANTITY"
    )
    assert not list(Path("data").glob("*"))


def test_a_bucket_out_of_order_is_a_fault(monkeypatch: pytest.MonkeyPatch, s3: S3) -> None:
    bucket = buckets.open_bucket(s3.bucket(bins(3)))
    assert isinstance(bucket, StoreBucket)

    class Backwards:
        def list(self, prefix: str, chunk_size: int) -> list[list[dict[str, Any]]]:
            return [[{"path": f"{prefix}{n:05}.json", "size": 1, "e_tag": "x"} for n in (2, 1)]]

    monkeypatch.setattr(bucket, "store", Backwards())
    with pytest.raises(Fault, match=r"lists metadata/00001\.json after metadata/00002\.json"):
        list(bucket.list(METADATA))


# ---- killed, and begun again

KILLED_IN_THE_MIDDLE = """
import os, signal, sys
from pathlib import Path
from warehouse_classifier.stages import fetch_metadata as stage
from warehouse_classifier.watch import Silence

class Killer(Silence):
    def advance(self, count=1, **facts):
        if len(list(Path(".work").glob("*/part-*.parquet"))) == 3:
            os.kill(os.getpid(), signal.SIGKILL)

params = stage.FetchMetadata(bucket=sys.argv[1], max_pairs=None, concurrency=4, part=10)
stage.fetch_metadata(params, Path("data/metadata.parquet"), Path("data/unreadable.parquet"), watch=Killer())
"""


class Counted(StoreBucket):
    """Counts what it hands out."""

    asked: int = 0

    def get(self, entry: Entry) -> Body:
        Counted.asked += 1
        return super().get(entry)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> type[Counted]:
    monkeypatch.setattr(buckets, "StoreBucket", Counted)
    Counted.asked = 0
    return Counted


def test_a_run_that_was_killed_goes_on_and_ends_the_same(s3: S3, counted: type[Counted]) -> None:
    url = s3.bucket({**bins(45), "metadata/00007.json": b"?"})
    ran = subprocess.run([sys.executable, "-c", KILLED_IN_THE_MIDDLE, url], env=os.environ, check=False, timeout=60)
    assert ran.returncode == -signal.SIGKILL
    assert not list(Path("data").glob("*"))
    assert len(list(Path(".work").glob("fetch_metadata-*/part-*.parquet"))) == 3
    again = fetched(url)
    assert counted.asked == 15  # of 45; three parts of ten were there
    assert left() == []
    undisturbed = fetched(url, Path("undisturbed"))
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in undisturbed]


def stopped(url: str) -> None:
    """A run that ends by itself after two parts."""

    class Stopping(Noted):
        def advance(self, count: int = 1, **facts: float) -> None:
            super().advance(count)
            if self.bars.get("fetch_metadata") == 25:  # in its third part
                raise KeyboardInterrupt

    with contextlib.suppress(KeyboardInterrupt):
        fetched(url, watch=Stopping())
    assert not list(Path("data").glob("*"))
    assert left()


@pytest.mark.parametrize("kind", ["s3", "folder"])
def test_a_part_is_kept_only_while_the_bucket_lists_the_same(s3: S3, counted: type[Counted], kind: str) -> None:
    """Mended metadata of the same length, whose photo is as it was, must not be taken from the last run."""
    bodies, key = bins(30), "metadata/00003.json"
    good = bodies[key]
    bodies[key] = good.replace(b'"EXPECTED_QUANTITY": 1', b'"EXPECTED_QUANTITY": x')
    url = s3.bucket(bodies) if kind == "s3" else mirror(bodies, Path("mirror"))
    stopped(url)
    if kind == "s3":
        s3.client.put_object(Bucket=url[5:], Key=key, Body=good)
    else:
        mirror({key: good}, Path("mirror"))
    counted.asked = 0
    table, unreadable = fetched(url)
    assert counted.asked == (20 if kind == "s3" else 30)  # of a folder nothing tells that it is as it was
    assert len(rows(table)) == 30
    assert rows(unreadable) == []


def test_what_could_not_be_had_is_asked_for_again(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    """Denied today, allowed tomorrow: the next run must not answer from the last one's refusals."""
    url = s3.bucket(bins(15))
    with monkeypatch.context() as denied:
        denied.setattr(StoreBucket, "get", lambda *_: Unreadable("access denied"))
        with pytest.raises(Fault, match=r"15 files are rejected; the first is metadata/00001\.json: access denied"):
            fetched(url)
    assert left()
    assert len(rows(fetched(url)[0])) == 15
    assert left() == []


def test_photos_are_not_fetched(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    get = StoreBucket.get

    def noted(self: StoreBucket, entry: Entry) -> Body:
        asked.append(entry.key)
        return get(self, entry)

    monkeypatch.setattr(StoreBucket, "get", noted)
    fetched(s3.bucket(bins(5)))
    assert not [key for key in asked if key.startswith(PHOTOS)]
