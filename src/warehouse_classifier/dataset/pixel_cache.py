"""Images decoded once: the raw pixels of all shards in one memory-mapped file, for disks that have room for it.

IMAGE_CACHE in the environment names the folder for it. It changes no result, so it is no parameter, and nothing is cached
where it is not set. 220,000 images of 224 pixels are 33 GB.
"""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import simplejpeg

from warehouse_classifier.dataset.photo import Pixels
from warehouse_classifier.dataset.shards import Shards
from warehouse_classifier.runtime.errors import UserError
from warehouse_classifier.runtime.files import replacing, root
from warehouse_classifier.runtime.progress import Progress
from warehouse_classifier.work.parallel import ordered_map

VARIABLE = "IMAGE_CACHE"
PROBES = 32  # images by which a file is known for what it should be


class PixelCache:
    """The pixels of every row of an index, to be read as Shards are."""

    def __init__(self, path: Path, count: int, side: int) -> None:
        self.side = side
        self._pixels = np.memmap(path, np.uint8, "r", shape=(count, side, side, 3)).view(np.ndarray)

    def read_into(self, row: int, out: Pixels) -> None:
        """Copy the image of a row into `out`, uint8 [side, side, 3]."""
        out[:] = self._pixels[row]


def images_of(shards: Shards, workers: int, progress: Progress) -> Shards | PixelCache:
    """The shards themselves or, where IMAGE_CACHE is set, all of them decoded, which the first run does for the next.

    Raises UserError if the folder cannot be used or its disk is too small, or an image is damaged.
    """
    if not os.environ.get(VARIABLE):
        return shards
    folder = root() / os.environ[VARIABLE]
    path = folder / f"{_key(shards)}.rgb"
    with _alone(folder, progress):
        if not _whole(path, shards):
            _make(path, shards, workers, progress)
    return PixelCache(path, len(shards.index), shards.side)


def _key(shards: Shards) -> str:
    """Of the images, each by its hash, in their order, and of what decodes them."""
    made_of = [simplejpeg.__version__, *shards.index["sha256"]]
    return hashlib.sha256("\n".join(made_of).encode()).hexdigest()[:16]


@contextmanager
def _alone(folder: Path, progress: Progress) -> Iterator[None]:
    """Two runs that want the same wait for each other. The lock is on the folder itself and leaves no file."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise UserError(
            f"{VARIABLE}: {folder} cannot be used ({error.strerror}); name another folder, or unset it"
        ) from None
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress.say(f"another run is decoding images into {folder}; waiting for it")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _whole(path: Path, shards: Shards) -> bool:
    """Whether the file is there, in full, and holds these images, by a few of them."""
    count, side = len(shards.index), shards.side
    if not path.is_file() or path.stat().st_size != _size(shards):
        return False
    decoded = PixelCache(path, count, side)
    cached, wanted = np.empty((2, side, side, 3), np.uint8)
    for row in np.linspace(0, count - 1, min(count, PROBES), dtype=np.int64):
        decoded.read_into(int(row), cached)
        shards.read_into(int(row), wanted)
        if not np.array_equal(cached, wanted):
            return False
    return True


def _make(path: Path, shards: Shards, workers: int, progress: Progress) -> None:
    path.unlink(missing_ok=True)  # what is damaged makes room first
    with replacing(path) as half:
        _reserve(half, _size(shards))
        pixels = np.memmap(half, np.uint8, "r+", shape=(len(shards.index), shards.side, shards.side, 3))
        flat = pixels.view(np.ndarray)

        def fill(rows: npt.NDArray[np.int64]) -> None:
            for row in rows:
                shards.read_into(int(row), flat[row])

        parts = np.array_split(np.arange(len(flat)), -(-len(flat) // 64))
        with progress.bar("decode images", len(flat), "image") as bar, ThreadPoolExecutor(workers) as pool:
            for part, _ in ordered_map(pool, fill, parts, 4 * workers):
                bar.advance(len(part))
        pixels.flush()  # on the disk before it has its name


def _reserve(path: Path, size: int) -> None:
    """An empty file of `size` bytes that are ours: a disk that fills up under a mapping ends the process (SIGBUS)."""
    free = shutil.disk_usage(path.parent).free
    try:
        if free < size:
            raise OSError
        with path.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, size)
    except OSError:
        raise UserError(
            f"{VARIABLE}: the decoded images need {size / 1e9:.3g} GB and {path.parent} has {free / 1e9:.3g} GB free;"
            " name a folder on another disk, or unset it"
        ) from None


def _size(shards: Shards) -> int:
    return len(shards.index) * shards.side**2 * 3
