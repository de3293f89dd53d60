"""The third stage: every chosen photo as one small square, and every one that cannot be used with its reason."""

import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from support.bins import bins, jpeg, mirror
from support.killing import Elsewhere
from support.launching import act, error_line, loaded
from support.projects import TOP
from support.s3 import S3
from support.server import Misdeed, Served, plan
from support.system import SmallDisk
from support.watching import Noted
from warehouse_classifier.bins import selection as selections
from warehouse_classifier.bucket import client, object_store
from warehouse_classifier.bucket.bucket import open_bucket
from warehouse_classifier.bucket.objects import PHOTOS, ObjectInfo
from warehouse_classifier.dataset.photo import decode, square
from warehouse_classifier.dataset.shards import INDEX, REJECTED, Shards
from warehouse_classifier.runtime.errors import UserError
from warehouse_classifier.stages.resize_images import ResizeImages

SPLIT = ("train", "train", "validation", "test")
HUGE = jpeg(0).replace(b"\x00\x24\x00\x30", b"\xea\x60\xea\x60", 1)  # 60,000 a side instead of 48 x 36
KILLS = int(os.environ.get("KILLS", "3"))
URL = "s3://bins"
Serve = Callable[..., Served]
REJECTS = {
    "00003": (jpeg(3)[:700], "is a damaged image ("),
    "00007": (b"<html>403 Forbidden</html>", "is no JPEG (it begins with b'<html>403 Fo')"),
    "00010": (b"", "is empty"),
    "00012": (HUGE, "claims far more than 1000000 pixels"),
    "00015": (jpeg(0, (2000, 600)), "claims 2000 x 600 pixels, more than 1000000 in all"),
}


@pytest.fixture(autouse=True)
def here(project: Path) -> Path:
    return project


def choose(url: str, path: Path = Path("selection.csv"), keep: Callable[[str], bool] = bool) -> Path:
    entries = list(open_bucket(url).list(PHOTOS))
    rows = [
        {
            "id": entry.key[11:-4], "quantity": 1 + n % 3, "split": SPLIT[n % 4], "group": entry.key[11:-4],
            "image_bytes": entry.size, "image_etag": entry.etag,
        }
        for n, entry in enumerate(entries) if keep(entry.key[11:-4])
    ]  # fmt: skip
    selections.write(pd.DataFrame(rows, columns=list(selections.COLUMNS)), path)
    return path


def values(url: str, **changed: Any) -> dict[str, Any]:
    return {
        "bucket": url, "side": 32, "quality": 90, "max_pixels": 1_000_000, "max_rejected": 0, "concurrency": 4, "workers": 2,
        **changed,
    }  # fmt: skip


def resized(url: str, images: Path = Path("images"), progress: Noted | None = None, **changed: Any) -> Path:
    selection = choose(url) if not Path("selection.csv").exists() else Path("selection.csv")
    act("resize_images", ResizeImages(**values(url, **changed)), selection, images, progress=progress or Noted())
    return images


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def rejected(images: Path) -> dict[str, str]:
    rows = pd.read_csv(images / REJECTED, dtype=str)
    return dict(zip(rows["id"], rows["reason"], strict=True))


def test_every_photo_is_packed_as_one_small_square(s3: S3) -> None:
    bodies = bins(20)
    url, progress = s3.bucket(bodies), Noted()
    shards = Shards(resized(url, progress=progress))
    chosen = selections.read(Path("selection.csv"))
    facts = ["id", "quantity", "split", "group"]
    assert shards.index[facts].to_dict("records") == chosen[facts].to_dict("records")
    for row in range(20):
        small = np.asarray(decode(shards.jpeg(row), 1024)).astype(int)
        assert small.shape == (32, 32, 3)
        assert small[1:8, 1:8].min() > 200  # the bright corner is still in its corner
        assert small[16:, 16:].mean() < 120
    assert progress.measured == {"images": 20, "rejected": 0}
    assert progress.bars == {"resize_images": 20}
    assert progress.bytes == sum(len(body) for key, body in bodies.items() if key.startswith(PHOTOS))
    assert progress.facts == {"errors": 0}
    assert rejected(Path("images")) == {}


def test_every_kind_of_photo_is_taken(s3: S3) -> None:
    kinds = {
        "00001": jpeg(1, mode="L"), "00002": jpeg(1, mode="CMYK"), "00003": jpeg(1, mode="RGBA", format="PNG"),
        "00004": jpeg(1, mode="P", format="PNG"), "00005": jpeg(1, progressive=True), "00006": jpeg(1, (1, 1)),
    }  # fmt: skip
    shards = Shards(resized(s3.bucket({f"bin-images/{id}.jpg": body for id, body in kinds.items()})))
    assert shards.index["id"].tolist() == list(kinds)
    assert {decode(shards.jpeg(row), 1024).shape for row in range(6)} == {(32, 32, 3)}


@pytest.mark.slow
def test_what_cannot_be_used_is_listed_and_the_rest_survives(s3: S3) -> None:
    bodies = {**bins(20), **{f"bin-images/{id}.jpg": body for id, (body, _) in REJECTS.items()}}
    for number, url in enumerate((s3.bucket(bodies), mirror(bodies, Path("mirror")))):
        progress = Noted()
        choose(url)
        images = resized(url, Path(f"images-{number}"), progress, max_rejected=len(REJECTS))
        assert Shards(images).index["id"].tolist() == [f"{n:05}" for n in range(1, 21) if f"{n:05}" not in REJECTS]
        listed = rejected(images)
        assert list(listed) == list(REJECTS)
        for id, reason in listed.items():
            assert reason.startswith(REJECTS[id][1])
        assert progress.measured == {"images": 20 - len(REJECTS), "rejected": len(REJECTS)}
        assert progress.facts == {"rejected": len(REJECTS), "errors": 0}


def test_a_photo_that_is_gone_is_rejected_and_one_that_changed_is_a_fault(serve: Serve) -> None:
    bodies = bins(9)
    serve(bodies, lambda request: "flip" if request.key == "bin-images/00006.jpg" else None)
    choose(URL)
    del bodies["bin-images/00002.jpg"]
    listed = rejected(resized(URL, max_rejected=2))
    assert list(listed) == ["00002", "00006"]
    assert listed["00002"] == "missing"
    assert listed["00006"].startswith("its MD5 is not the ETag ")
    bodies["bin-images/00004.jpg"] = jpeg(99, (64, 64))
    with pytest.raises(
        UserError, match=r"00004\.jpg is no longer what was listed \(ETag \w+, now \w+\); start again, the"
    ):
        resized(URL, Path("other"), max_rejected=9)
    assert not Path("other").exists()


def test_more_rejected_than_allowed_stops_and_keeps_what_was(capfd: pytest.CaptureFixture[str]) -> None:
    bodies = {**bins(20), **{f"bin-images/{id}.jpg": body for id, (body, _) in REJECTS.items()}}
    mirror(bodies, Path("bins"))
    selection = choose("bins").read_bytes()
    message = error_line(capfd, "resize_images", "small", "selection.csv", "data/images")
    assert message.startswith(
        "resize_images: more images are rejected than max_rejected says; raise it or mend the bucket (among them: 00003 is a"
    )
    assert "; 00007 is no JPEG" in message
    assert not Path("data").exists()
    assert Path("selection.csv").read_bytes() == selection
    assert {path.name: path.read_bytes() for path in Path("bins/bin-images").iterdir()} == {
        key[11:]: body for key, body in bodies.items() if key.startswith(PHOTOS)
    }


@pytest.mark.slow
def test_folder_and_s3_make_the_same_shards(s3: S3) -> None:
    bodies = {**bins(), "bin-images/00009.jpg": b"?"}
    for number, url in enumerate((s3.bucket(bodies), s3.bucket(bodies, "some/prefix"), mirror(bodies, Path("mirror")))):
        choose(url)
        resized(url, Path(f"{number}"), max_rejected=1)
    assert content(Path("0")) == content(Path("1")) == content(Path("2"))
    assert {"shard-0.bin", INDEX, REJECTED} == set(content(Path("0")))


@pytest.mark.slow
@pytest.mark.parametrize("url", ["mirror", "synthetic://?pairs=24&seed=3"])
def test_the_same_bytes_whatever_the_concurrency_and_workers(url: str) -> None:
    mirror({**bins(24), "bin-images/00009.jpg": b"?"}, Path("mirror"))
    one = resized(url, Path("one"), max_rejected=1, concurrency=1, workers=1)
    many = resized(url, Path("many"), max_rejected=1, concurrency=7, workers=5)
    assert content(one) == content(many)


def test_ids_that_look_alike_are_other_bins(s3: S3) -> None:
    ids = ["1", "00001", "10", "00010", "100000", "10000", "1e5", "NA"]
    url = s3.bucket({f"bin-images/{id}.jpg": jpeg(n) for n, id in enumerate(ids)})
    shards = Shards(resized(url, quality=95))
    assert shards.index["id"].tolist() == sorted(ids)
    by_id = {id: shards.jpeg(row) for row, id in enumerate(shards.index["id"])}
    assert len(set(by_id.values())) == len(ids)
    for n, id in enumerate(ids):
        wanted = square(decode(jpeg(n), 10_000), 32).astype(int)
        assert np.abs(np.asarray(decode(by_id[id], 1024)).astype(int) - wanted).mean() < 6


def test_a_few_more_images_change_few_shards(s3: S3) -> None:
    ids = [f"{n}0001" for n in range(1, 6)]
    url = s3.bucket({f"bin-images/{id}.jpg": jpeg(int(id[0])) for id in ids})
    choose(url, keep=lambda name: name != "30001")
    few = content(resized(url, Path("few")))
    choose(url)
    more = content(resized(url, Path("more")))
    assert {name for name in more if few.get(name) != more[name]} == {INDEX, "shard-3.bin"}


def test_a_selection_that_is_missing_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    mirror(bins(2), Path("bins"))
    assert error_line(capfd, "resize_images", "small", "selection.csv", "images") == (
        "selection.csv is missing; `dvc repro select_images` makes it"
    )


def test_a_limit_that_pillow_would_not_honour_is_refused(project: Path) -> None:
    file = project / "params.yaml"
    file.write_text(file.read_text().replace("max_pixels: 1000000", "max_pixels: 200000000"))
    with pytest.raises(UserError, match="max_pixels is 200000000, it must be at most 178956970"):
        loaded("resize_images", "small")


KILLED_IN_THE_MIDDLE = """
import os, signal, sys
from pathlib import Path
from warehouse_classifier.stages import resize_images as stage
from warehouse_classifier.runtime.progress import NullProgress
from support.projects import TOP
from support.launching import act

class Killer(NullProgress):
    def advance(self, count=1, size=0, **facts):
        self.done = getattr(self, "done", 0) + 1
        if self.done == 20:
            children = " ".join(file.read_text() for file in Path("/proc/self/task").glob("*/children"))
            Path("children").write_text(children)
            os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    params = stage.ResizeImages(
        bucket=sys.argv[1], side=32, quality=90, max_pixels=10**6, max_rejected=0, concurrency=2, workers=1
    )
    act("resize_images", params, Path("selection.csv"), Path("images"), progress=Killer())
"""


IDS = [f"{shard}{n:04}" for shard in range(1, 9) for n in range(10)]  # ten in each shard
PHOTOS_OF_IDS = {f"bin-images/{id}.jpg": jpeg(n) for n, id in enumerate(IDS)}


@pytest.mark.slow
def test_the_same_bytes_whatever_the_server_does(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "TIMEOUTS", (0.3, 0.6, 2.0))
    bodies = {**PHOTOS_OF_IDS, f"bin-images/{IDS[4]}.jpg": b"?"}
    serve(bodies)
    good = content(resized(URL, Path("good"), max_rejected=1))
    spoiling = ("flip", "short", "longer", "html", "truncated", "reset", "reset_midway", "error_500", "slow_down")
    shares: dict[Any, float] = dict.fromkeys(spoiling, 0.04) | {"stall": 0.01, Misdeed("slow_down", 0.1): 0.02}
    for concurrency in (1, 16):
        served, progress = serve(bodies, plan(concurrency, shares)), Noted()
        assert content(resized(URL, Path("bad"), progress, max_rejected=1, concurrency=concurrency)) == good
        assert len(served.record().faults) > 8
        assert progress.facts["errors"] > 20


@pytest.mark.slow
def test_a_killed_run_goes_on_and_ends_the_same(serve: Serve, elsewhere: Elsewhere) -> None:
    """At most one part is fetched again, whenever it was."""
    bodies = {**PHOTOS_OF_IDS, f"bin-images/{IDS[4]}.jpg": b"?"}
    serve(bodies)
    whole = content(resized(URL, Path("whole"), max_rejected=1))
    at_work = 0
    for moment in [1, *random.Random(0).sample(range(2, len(IDS)), KILLS - 1)]:
        served = serve(bodies, latency=0.001)
        what = values(URL, max_rejected=1)
        at_work += elsewhere.until_killed(served, moment, "resize_images", what, Path("selection.csv"), Path("images"))
        assert not Path("images").exists() or content(Path("images")) == whole
        assert content(resized(URL, max_rejected=1)) == whole
        assert served.record().requests["get", 200] <= len(IDS) + 10
        assert not list(Path(".work").iterdir())
        shutil.rmtree("images")
    assert at_work > KILLS / 2


def test_what_could_not_be_had_is_asked_for_again_and_nothing_else(serve: Serve) -> None:
    bodies = {**PHOTOS_OF_IDS, f"bin-images/{IDS[4]}.jpg": b"?"}
    serve(bodies)
    whole = content(resized(URL, Path("whole"), max_rejected=1))
    denied = {f"bin-images/{IDS[n]}.jpg" for n in (2, 33)}
    served = serve(bodies, lambda request: "denied" if request.key in denied else None)
    with pytest.raises(UserError, match=f"more images are rejected .*{IDS[33]} access denied"):
        resized(URL, max_rejected=2)
    assert served_keys(served) == list(range(40))
    served = serve(bodies)
    assert content(resized(URL, max_rejected=1)) == whole
    # the first part is there but for what was denied, and all of the next; the fourth went when it held too much
    assert served_keys(served) == [2, *range(30, 80)]


def served_keys(served: Served) -> list[int]:
    return sorted({IDS.index(key[11:-4]) for _, kind, key, _ in served.record().times if kind == "get"})


def test_a_part_of_which_nothing_is_kept_is_gone_on_from(serve: Serve) -> None:
    serve({**PHOTOS_OF_IDS, **{f"bin-images/{id}.jpg": b"?" for id in IDS[:10]}, f"bin-images/{IDS[20]}.jpg": b""})
    with pytest.raises(UserError, match="more images are rejected"):
        resized(URL, max_rejected=10)
    images = resized(URL, max_rejected=11)
    assert list(rejected(images)) == [*IDS[:10], IDS[20]]
    assert Shards(images).index["id"].tolist() == [*IDS[10:20], *IDS[21:]]


def test_a_file_is_read_anew_only_if_it_was_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    get = object_store.StoreBucket.get

    def noted(self: object_store.StoreBucket, entry: ObjectInfo) -> Any:
        asked.append(IDS.index(entry.key[11:-4]))
        return get(self, entry)

    monkeypatch.setattr(object_store.StoreBucket, "get", noted)
    url = mirror(PHOTOS_OF_IDS, Path("mirror"))
    (Path("mirror") / "metadata").mkdir()
    choose(url)

    def stopped() -> list[int]:
        asked.clear()
        with monkeypatch.context() as interrupted:
            interrupted.setattr("warehouse_classifier.dataset.shards.join", lambda *_: pytest.fail("stop"))
            with pytest.raises(pytest.fail.Exception):
                resized(url)
        return sorted(asked)

    assert stopped() == list(range(80))
    assert stopped() == []
    changed = jpeg(33)  # of the same length, which is all that the selection knows of it
    mirror({f"bin-images/{IDS[33]}.jpg": changed[:-40] + bytes([changed[-40] ^ 1]) + changed[-39:]}, Path("mirror"))
    assert stopped() == list(range(30, 40))


@pytest.mark.slow
def test_a_disk_that_is_full_is_told_and_what_is_done_is_kept(
    serve: Serve, small_disk: SmallDisk, capfd: pytest.CaptureFixture[str]
) -> None:
    served = serve(PHOTOS_OF_IDS)
    Path("params.yaml").write_text(Path("params.yaml").read_text().replace("bucket: bins", f"bucket: {URL}"))
    choose(URL)
    used = 16 + sum(-(-path.stat().st_size // 4096) * 4 for path in Path().iterdir())
    small_disk.resize(used)
    assert error_line(capfd, "resize_images", "small", "selection.csv", "images") == (
        "resize_images: the disk is full; free some space, `dvc repro` goes on from what is done"
    )
    parts, asked = [], []
    for kilobytes in range(used, used + 1000, 36):
        small_disk.resize(kilobytes)
        before = served.record().requests["get", 200]
        try:
            resized(URL)
            break
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
        asked.append(served.record().requests["get", 200] - before)
        parts.append(len(list(Path(".work").glob("*/shard-*"))))
        assert not Path("images").exists()
    assert parts == sorted(parts)
    assert parts[-1] == 8
    assert asked[-1] == 0  # it was what comes of all parts that had no room
    assert len(Shards(Path("images")).index) == 80
    assert not list(Path(".work").iterdir())


@pytest.mark.parametrize("name", ["progress.json", INDEX, "shard-1.bin"])
@pytest.mark.parametrize("damage", ["empty", "cut", "flipped"])
def test_what_a_power_cut_left_of_a_part_is_made_anew(serve: Serve, name: str, damage: str) -> None:
    bodies = {f"bin-images/{shard}000{n}.jpg": jpeg(shard + n) for shard in (1, 2) for n in range(4)}
    serve(bodies)
    choose(URL)
    wanted = content(resized(URL, Path("wanted")))
    serve(bodies, lambda request: "denied" if request.key == "bin-images/20002.jpg" else None)
    with pytest.raises(UserError, match="more images are rejected"):
        resized(URL)
    (file,) = Path(".work").glob(f"*/shard-1.bin/{name}")
    good = file.read_bytes()
    half = len(good) // 2
    bad = {"empty": b"", "cut": good[:half], "flipped": good[:half] + bytes([good[half] ^ 1]) + good[half + 1 :]}
    file.write_bytes(bad[damage])
    progress = Noted()
    serve(bodies)
    assert content(resized(URL, progress=progress)) == wanted
    assert progress.bars == {"resize_images": 8}


@pytest.mark.slow
def test_a_second_run_of_the_same_is_told_in_one_line(
    serve: Serve, elsewhere: Elsewhere, capfd: pytest.CaptureFixture[str]
) -> None:
    served = serve(PHOTOS_OF_IDS, latency=0.02)
    Path("params.yaml").write_text(Path("params.yaml").read_text().replace("bucket: bins", f"bucket: {URL}"))
    choose(URL)
    what = values(URL, concurrency=1)
    with elsewhere.running("resize_images", what, Path("selection.csv"), Path("images")) as first:
        while first.is_alive() and not served.record().requests["get", 200]:
            time.sleep(0.01)
        assert error_line(capfd, "resize_images", "small", "selection.csv", "images").startswith(
            "resize_images: another run is doing this very work in "
        )
        assert first.is_alive()
    assert not Path("images").exists()


def runs(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


@pytest.mark.slow
def test_a_run_that_was_killed_leaves_no_images_and_no_processes() -> None:
    url = "synthetic://?pairs=60&seed=3"
    choose(url)
    Path("killed.py").write_text(KILLED_IN_THE_MIDDLE)
    ran = subprocess.run(
        [sys.executable, "killed.py", url],
        env={**os.environ, "PYTHONPATH": f"{TOP / 'tests'}"},
        check=False,
        timeout=60,
        capture_output=True,
    )
    assert ran.returncode == -signal.SIGKILL
    assert not Path("images").exists()
    children = [int(number) for number in Path("children").read_text().split()]
    assert children  # the processes that draw
    until = time.monotonic() + 10
    while any(map(runs, children)) and time.monotonic() < until:
        time.sleep(0.05)
    assert not [number for number in children if runs(number)]
    resized(url)
    assert sorted(path.name for path in Path().iterdir()) == [
        ".work", "children", "images", "killed.py", "params.yaml", "selection.csv"
    ]  # fmt: skip
    assert len(Shards(Path("images")).index) == 60


def test_a_bucket_that_is_gone_ends_with_one_line(
    serve: Serve, answering: Callable[..., list[str]], told_soon: None
) -> None:
    serve(bins(5))
    choose(URL)
    answering(500, "")
    with pytest.raises(UserError, match="cannot be reached") as caught:
        resized(URL)
    assert "\n" not in str(caught.value)
    assert not Path("images").exists()
