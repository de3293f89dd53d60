"""The third stage: every chosen photo as one small square, and every one that cannot be used with its reason."""

import os
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

from conftest import S3, Noted, bins, error_line, jpeg, mirror
from warehouse_classifier import selection as selections
from warehouse_classifier.bucket import PHOTOS, open_bucket
from warehouse_classifier.fault import Fault
from warehouse_classifier.photo import decode
from warehouse_classifier.shards import INDEX, REJECTED, Shards
from warehouse_classifier.stages.resize_images import ResizeImages, resize_images

SPLIT = ("train", "train", "validation", "test")
HUGE = jpeg(0).replace(b"\x00\x24\x00\x30", b"\xea\x60\xea\x60", 1)  # 60,000 a side instead of 48 x 36
REJECTS = {
    "00003": (jpeg(3)[:700], "is a damaged image (image file is truncated"),
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


def resized(url: str, images: Path = Path("images"), watch: Noted | None = None, **changed: Any) -> Path:
    values = {
        "bucket": url, "side": 32, "quality": 90, "max_pixels": 1_000_000, "max_rejected": 0, "concurrency": 4, "workers": 2,
        **changed,
    }  # fmt: skip
    selection = choose(url) if not Path("selection.csv").exists() else Path("selection.csv")
    resize_images(ResizeImages(**values), selection, images, watch=watch or Noted())
    return images


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def rejected(images: Path) -> dict[str, str]:
    rows = pd.read_csv(images / REJECTED, dtype=str)
    return dict(zip(rows["id"], rows["reason"], strict=True))


def test_every_photo_is_packed_as_one_small_square(s3: S3) -> None:
    url, watch = s3.bucket(bins(20)), Noted()
    shards = Shards(resized(url, watch=watch))
    chosen = selections.read(Path("selection.csv"))
    facts = ["id", "quantity", "split", "group"]
    assert shards.index[facts].to_dict("records") == chosen[facts].to_dict("records")
    for row in range(20):
        small = np.asarray(decode(shards.jpeg(row), 1024)).astype(int)
        assert small.shape == (32, 32, 3)
        assert small[1:8, 1:8].min() > 200  # the bright corner is still in its corner
        assert small[16:, 16:].mean() < 120
    assert watch.measured == {"images": 20, "rejected": 0}
    assert watch.bars == {"resize_images": 20}
    assert rejected(Path("images")) == {}


def test_every_kind_of_photo_is_taken(s3: S3) -> None:
    kinds = {
        "00001": jpeg(1, mode="L"), "00002": jpeg(1, mode="CMYK"), "00003": jpeg(1, mode="RGBA", format="PNG"),
        "00004": jpeg(1, mode="P", format="PNG"), "00005": jpeg(1, progressive=True), "00006": jpeg(1, (1, 1)),
    }  # fmt: skip
    shards = Shards(resized(s3.bucket({f"bin-images/{id}.jpg": body for id, body in kinds.items()})))
    assert shards.index["id"].tolist() == list(kinds)
    assert {decode(shards.jpeg(row), 1024).size for row in range(6)} == {(32, 32)}


def test_what_cannot_be_used_is_listed_and_the_rest_survives(s3: S3) -> None:
    bodies = {**bins(20), **{f"bin-images/{id}.jpg": body for id, (body, _) in REJECTS.items()}}
    for number, url in enumerate((s3.bucket(bodies), mirror(bodies, Path("mirror")))):
        watch = Noted()
        choose(url)
        images = resized(url, Path(f"images-{number}"), watch, max_rejected=len(REJECTS))
        assert Shards(images).index["id"].tolist() == [f"{n:05}" for n in range(1, 21) if f"{n:05}" not in REJECTS]
        listed = rejected(images)
        assert list(listed) == list(REJECTS)
        for id, reason in listed.items():
            assert reason.startswith(REJECTS[id][1])
        assert watch.measured == {"images": 20 - len(REJECTS), "rejected": len(REJECTS)}
        assert watch.facts == {"rejected": len(REJECTS)}


def test_a_photo_that_is_gone_or_changed_is_rejected_by_name(s3: S3) -> None:
    url = s3.bucket(bins(9))
    choose(url)
    client, name = s3.client, url[5:]
    client.delete_object(Bucket=name, Key="bin-images/00002.jpg")
    client.put_object(Bucket=name, Key="bin-images/00004.jpg", Body=jpeg(99, (64, 64)))
    flipped = bytearray(jpeg(6))
    flipped[-40] ^= 1
    client.put_object(Bucket=name, Key="bin-images/00006.jpg", Body=bytes(flipped))
    listed = rejected(resized(url, max_rejected=3))
    assert list(listed) == ["00002", "00004", "00006"]
    assert listed["00002"] == "missing"
    assert listed["00004"].endswith(f"bytes came, {len(jpeg(4))} were listed")
    assert listed["00006"].startswith("its MD5 is not the ETag ")


def test_more_rejected_than_allowed_stops_and_keeps_what_was(capfd: pytest.CaptureFixture[str]) -> None:
    bodies = {**bins(20), **{f"bin-images/{id}.jpg": body for id, (body, _) in REJECTS.items()}}
    mirror(bodies, Path("bins"))
    selection = choose("bins").read_bytes()
    said = error_line(capfd, "resize_images", "small", "selection.csv", "data/images")
    assert said.startswith(
        "resize_images: more images are rejected than max_rejected says; raise it or mend the bucket (among them: 00003 is a"
    )
    assert "; 00007 is no JPEG" in said
    assert not Path("data").exists()
    assert Path("selection.csv").read_bytes() == selection
    assert {path.name: path.read_bytes() for path in Path("bins/bin-images").iterdir()} == {
        key[11:]: body for key, body in bodies.items() if key.startswith(PHOTOS)
    }


def test_folder_and_s3_make_the_same_shards(s3: S3) -> None:
    bodies = {**bins(), "bin-images/00009.jpg": b"?"}
    for number, url in enumerate((s3.bucket(bodies), s3.bucket(bodies, "some/prefix"), mirror(bodies, Path("mirror")))):
        choose(url)
        resized(url, Path(f"{number}"), max_rejected=1)
    assert content(Path("0")) == content(Path("1")) == content(Path("2"))
    assert {"shard-0.bin", INDEX, REJECTED} == set(content(Path("0")))


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
        wanted = np.asarray(decode(jpeg(n), 10_000).resize((32, 32), 3)).astype(int)
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
    with pytest.raises(Fault, match="max_pixels is 200000000, it must be at most 178956970"):
        ResizeImages.load("resize_images", "small")


KILLED_IN_THE_MIDDLE = """
import os, signal, sys
from pathlib import Path
from warehouse_classifier.stages import resize_images as stage
from warehouse_classifier.watch import Silence

class Killer(Silence):
    def advance(self, count=1, **facts):
        self.done = getattr(self, "done", 0) + 1
        if self.done == 20:

            children = " ".join(file.read_text() for file in Path("/proc/self/task").glob("*/children"))
            Path("children").write_text(children)
            os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    params = stage.ResizeImages(
        bucket=sys.argv[1], side=32, quality=90, max_pixels=10**6, max_rejected=0, concurrency=2, workers=1
    )
    stage.resize_images(params, Path("selection.csv"), Path("images"), watch=Killer())
"""


def test_a_killed_run_goes_on_from_its_last_shard(s3: S3) -> None:
    ids = [f"{n // 2}000{n % 2}" for n in range(2, 24)]  # two in each shard
    bodies = {f"bin-images/{id}.jpg": jpeg(n) for n, id in enumerate(ids)}
    url = s3.bucket(bodies)
    choose(url)
    whole = content(resized(url, Path("whole")))
    Path("killed.py").write_text(KILLED_IN_THE_MIDDLE)
    killed = subprocess.run([sys.executable, "killed.py", url], check=False, timeout=60, capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    assert not Path("images").exists()
    (work,) = (path for path in Path(".work").iterdir() if path.is_dir())
    done = sorted(path.name for path in work.glob("shard*"))
    assert done == sorted({f"shard-{id[:-4]}.bin" for id in sorted(ids)[:18]})
    for id in sorted(ids)[:18]:  # what is done is not asked for again
        s3.client.delete_object(Bucket=url[5:], Key=f"bin-images/{id}.jpg")
    watch = Noted()
    resize_images(killed_params(url), Path("selection.csv"), Path("images"), watch=watch)
    assert watch.measured == {"images": 22, "rejected": 0}
    assert watch.bars == {"resize_images": 22}
    assert content(Path("images")) == whole
    assert not list(Path(".work").iterdir())


def killed_params(url: str) -> ResizeImages:
    return ResizeImages(bucket=url, side=32, quality=90, max_pixels=10**6, max_rejected=0, concurrency=2, workers=1)


def test_a_part_that_the_bucket_did_not_give_whole_is_asked_for_again(s3: S3) -> None:
    bodies = {f"bin-images/{n}0001.jpg": jpeg(n) for n in range(1, 6)}
    url = s3.bucket(bodies)
    choose(url)
    for n in (2, 4):
        s3.client.delete_object(Bucket=url[5:], Key=f"bin-images/{n}0001.jpg")
    with pytest.raises(Fault, match="more images are rejected"):
        resized(url, max_rejected=1)
    for n in (2, 4):
        s3.client.put_object(Bucket=url[5:], Key=f"bin-images/{n}0001.jpg", Body=jpeg(n))
    assert rejected(resized(url, max_rejected=0)) == {}


def runs(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def test_a_run_that_was_killed_leaves_no_images_and_no_processes() -> None:
    url = "synthetic://?pairs=60&seed=3"
    choose(url)
    Path("killed.py").write_text(KILLED_IN_THE_MIDDLE)
    ran = subprocess.run(
        [sys.executable, "killed.py", url], env=os.environ, check=False, timeout=60, capture_output=True
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
    s3: S3, aws: pytest.MonkeyPatch, answering: Callable[..., list[str]]
) -> None:
    url = s3.bucket(bins(5))
    choose(url)
    answering(500, "")
    with pytest.raises(Fault, match="cannot be reached") as caught:
        resized(url)
    assert "\n" not in str(caught.value)
    assert not Path("images").exists()
