"""The cache of decoded images gives what the shards give, is made once, and never in halves."""

import errno
import fcntl
import os
import shutil
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from support.images import SIDE, pack, spoil
from support.watching import Noted
from warehouse_classifier.dataset.batches import batches, evenly
from warehouse_classifier.dataset.pixel_cache import PixelCache, images_of
from warehouse_classifier.dataset.shards import INDEX, Shards
from warehouse_classifier.runtime.errors import UserError

SIZE = 60 * SIDE * SIDE * 3


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return pack(tmp_path / "images")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("IMAGE_CACHE", str(tmp_path / "deep" / "cache"))
    return tmp_path / "deep" / "cache"


def opened(folder: Path, progress: Noted | None = None) -> PixelCache:
    images = images_of(Shards(folder), 2, progress or Noted())
    assert isinstance(images, PixelCache)
    return images


def made(folder: Path) -> bool:
    """Whether opening had to decode anything."""
    progress = Noted()
    opened(folder, progress)
    assert progress.bars in ({}, {"decode images": 60})
    return bool(progress.bars)


def fault(folder: Path) -> str:
    with pytest.raises(UserError) as caught:
        opened(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_nothing_is_cached_unasked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for value in (None, ""):
        if value is None:
            monkeypatch.delenv("IMAGE_CACHE", raising=False)
        else:
            monkeypatch.setenv("IMAGE_CACHE", value)
        shards = Shards(folder)
        assert images_of(shards, 2, Noted()) is shards


def test_batches_are_the_same_with_and_without(folder: Path, cache: Path) -> None:
    shards, rows = Shards(folder), np.random.default_rng(1).permutation(60)
    parts = evenly(rows, 7)
    pairs = zip(batches(shards, parts, 2), batches(opened(folder), parts, 2), strict=True)
    assert sum(len(one) for one, other in pairs if torch.equal(one, other)) == 60


def test_the_cache_is_made_once(folder: Path, cache: Path) -> None:
    assert [made(folder), made(folder)] == [True, False]
    (file,) = cache.iterdir()  # nothing else is left behind
    assert file.stat().st_size == SIZE


def test_a_relative_folder_is_found_from_the_project(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setenv("IMAGE_CACHE", "pixels")
    assert made(folder)
    assert len([*(tmp_path / "pixels").iterdir()]) == 1


def test_other_images_or_another_decoder_are_another_file(
    folder: Path, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert made(folder)
    assert made(pack(tmp_path / "more", {"train": 60}, quantities=(1,)))
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    assert not made(copy)  # the same images elsewhere
    monkeypatch.setattr("simplejpeg.__version__", "99")
    assert made(folder)
    assert len([*cache.iterdir()]) == 3


@pytest.mark.parametrize("damage", ["empty", "short", "long", "zeros", "shifted"])
def test_a_damaged_file_is_made_anew(folder: Path, cache: Path, damage: str) -> None:
    opened(folder)
    (file,) = cache.iterdir()
    whole = file.read_bytes()
    file.write_bytes(
        {"empty": b"", "short": whole[:-1], "long": whole + b"x", "zeros": bytes(SIZE), "shifted": whole[1:] + b"x"}[
            damage
        ]
    )
    assert made(folder)
    assert file.read_bytes() == whole


def test_a_run_that_ends_early_leaves_nothing(folder: Path, cache: Path) -> None:
    spoil(folder, "test")
    index = Shards(folder).index
    first = index["id"][(index["split"] == "test").to_numpy()].iloc[0]
    assert f"image {first} is no JPEG" in fault(folder)
    assert [*cache.iterdir()] == []


def test_what_a_killed_run_left_is_swept_away(folder: Path, cache: Path) -> None:
    opened(folder)
    (file,) = cache.iterdir()
    file.rename(cache / f".{file.name}.half")
    assert made(folder)
    assert [*cache.iterdir()] == [file]


def test_a_disk_without_room_is_one_line(folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=SIZE - 1))
    wanted = f"IMAGE_CACHE: the decoded images need 0.000184 GB and {cache} has 0.000184 GB free; name a folder on"
    assert fault(folder).startswith(wanted)
    assert [*cache.iterdir()] == []


def test_a_disk_that_fills_up_meanwhile_is_one_line(folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    assert fault(folder).startswith("IMAGE_CACHE: the decoded images need")
    assert [*cache.iterdir()] == []


def test_a_folder_that_cannot_be_used_is_one_line(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMAGE_CACHE", str(folder / INDEX))
    assert fault(folder).startswith(f"IMAGE_CACHE: {folder / INDEX} cannot be used (")
    monkeypatch.setenv("IMAGE_CACHE", "/proc/nowhere")
    assert fault(folder).startswith("IMAGE_CACHE: /proc/nowhere cannot be used (")


def test_two_runs_that_want_the_same_wait_for_each_other(folder: Path, cache: Path) -> None:
    cache.mkdir(parents=True)
    first = os.open(cache, os.O_RDONLY)
    fcntl.flock(first, fcntl.LOCK_EX)
    second = Noted()
    thread = threading.Thread(target=opened, args=(folder, second))
    thread.start()
    thread.join(0.5)
    assert thread.is_alive()
    assert second.said == [f"another run is decoding images into {cache}; waiting for it"]
    assert [*cache.iterdir()] == []
    os.close(first)
    thread.join(20)
    assert second.bars == {"decode images": 60}


def test_many_at_once_make_it_once(folder: Path, cache: Path) -> None:
    progresses = [Noted() for _ in range(5)]
    threads = [threading.Thread(target=opened, args=(folder, progress)) for progress in progresses]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sum(progress.bars == {"decode images": 60} for progress in progresses) == 1
    assert sum(progress.bars == {} for progress in progresses) == 4
