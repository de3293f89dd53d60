"""Batches against the shards they come from."""

import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from support.bins import jpeg
from support.images import SIDE, pack, spoil
from warehouse_classifier.dataset.batches import Images, batches, evenly
from warehouse_classifier.dataset.photo import decode
from warehouse_classifier.dataset.shards import Shards, write
from warehouse_classifier.runtime.errors import UserError


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Shards:
    return Shards(pack(tmp_path_factory.mktemp("batches") / "images"))


def photo(shards: Shards, row: int) -> torch.Tensor:
    return torch.from_numpy(decode(shards.jpeg(row), 1 << 20)).permute(2, 0, 1)


def read(shards: Images, rows: npt.NDArray[np.int64], batch: int, workers: int) -> torch.Tensor:
    """All batches as one tensor, which keeps what each of them held while it was valid."""
    return torch.cat([images.clone() for images in batches(shards, evenly(rows, batch), workers)])


@pytest.mark.parametrize("workers", [1, 4])
def test_images_come_in_the_order_asked_for(shards: Shards, workers: int) -> None:
    order = np.random.default_rng(3).permutation(len(shards.index))
    images = read(shards, order, 7, workers)
    assert images.dtype == torch.uint8
    assert images.shape == (60, 3, 32, 32)
    assert all(torch.equal(image, photo(shards, row)) for image, row in zip(images, order, strict=True))


@pytest.mark.parametrize(("count", "batch"), [(60, 7), (60, 60), (60, 100), (13, 4), (7, 3), (4, 3), (1, 8)])
def test_batches_are_even(shards: Shards, count: int, batch: int) -> None:
    sizes = [len(images) for images in batches(shards, evenly(np.arange(count), batch), 1)]
    assert sum(sizes) == count
    assert max(sizes) <= batch
    assert max(sizes) - min(sizes) <= 1
    assert len(sizes) == -(-count // batch)  # no more of them than it takes


def test_parts_of_every_size_come_as_they_are_asked_for(shards: Shards) -> None:
    parts = [np.array(rows) for rows in ([3], [5, 1, 5], [], [2, 0])]
    sizes = []
    for rows, images in zip(parts, batches(shards, parts, 2), strict=True):
        assert all(torch.equal(image, photo(shards, row)) for image, row in zip(images, rows, strict=True))
        sizes.append(len(images))
    assert sizes == [1, 3, 0, 2]
    assert list(batches(shards, [], 2)) == []


def test_few_batches_are_decoded_ahead(shards: Shards, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large folder must not fill the memory when the network is slower than the decoder."""
    decoded = []
    jpeg = shards.jpeg
    monkeypatch.setattr(shards, "jpeg", lambda row: decoded.append(row) or jpeg(row))
    stream = batches(shards, evenly(np.arange(60), 2), 2)
    next(stream)
    time.sleep(0.3)  # time enough to decode everything, were it allowed
    stream.close()
    assert len(decoded) <= 2 * 5


def test_a_damaged_image_is_one_line(tmp_path: Path) -> None:
    shards = Shards(pack(tmp_path / "images"))
    spoil(tmp_path / "images", "test")
    rows = shards.rows("test")
    first = shards.index["id"].iloc[rows[0]]
    with pytest.raises(UserError, match=f"images: image {first} is no JPEG.*dvc repro") as fault:
        list(batches(shards, evenly(rows, 4), 2))
    assert "\n" not in str(fault.value)


def test_every_image_is_taken_once(shards: Shards) -> None:
    """Neighbouring photos differ, so equal batches would be seen."""
    rows = shards.rows("train")
    seen = read(shards, rows, 9, 3).flatten(1)
    assert len(seen.unique(dim=0)) == len(rows) == 40
    assert all(a < b for a, b in pairwise(rows))


@pytest.mark.parametrize(("batch", "workers"), [(1, 1), (3, 2), (7, 6), (60, 2)])
def test_a_batch_holds_until_the_next_one_is_asked_for(shards: Shards, batch: int, workers: int) -> None:
    """Buffers are used again, and never while somebody reads them, however slow the reader is."""
    rows = np.random.default_rng(5).permutation(len(shards.index))
    seen = 0
    memory = set()
    for images in batches(shards, evenly(rows, batch), workers):
        if seen % 5 == 0:
            time.sleep(0.02)  # time enough for the threads to write wherever they may
        for image, row in zip(images, rows[seen : seen + len(images)], strict=True):
            assert torch.equal(image, photo(shards, row))
        seen += len(images)
        memory.add(images.data_ptr())
    assert seen == len(rows)
    assert len(memory) <= max(3, workers) + 1


def test_a_batch_is_channels_last_in_memory(shards: Shards) -> None:
    (images,) = batches(shards, [np.arange(5)], 1)
    assert images.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("size", [(SIDE, SIDE - 1), (SIDE - 8, SIDE), (8, 8), (SIDE + 1, SIDE + 1), (900, 900)])
def test_an_image_of_another_size_is_named(tmp_path: Path, size: tuple[int, int]) -> None:
    facts = [{"id": f"{n}", "quantity": 1, "split": "train", "group": f"{n}"} for n in range(9)]
    sizes = [size if n == 6 else (SIDE, SIDE) for n in range(9)]
    write(tmp_path, [(fact, jpeg(n, sizes[n])) for n, fact in enumerate(facts)])
    wanted = rf"image 6 has {size[0]} x {size[1]} pixels and not 32 x 32; .dvc repro -f resize_images. makes it again"
    with pytest.raises(UserError, match=wanted):
        list(batches(Shards(tmp_path), evenly(np.arange(9), 4), 2))


def test_what_simplejpeg_does_not_take_is_read_all_the_same(tmp_path: Path) -> None:
    facts = [{"id": f"{n}", "quantity": 1, "split": "train", "group": f"{n}"} for n in range(2)]
    png = jpeg(1, (SIDE, SIDE), format="PNG")
    write(tmp_path, [(facts[0], jpeg(0, (SIDE, SIDE))), (facts[1], png)])
    assert torch.equal(read(Shards(tmp_path), np.array([1]), 1, 1)[0], photo(Shards(tmp_path), 1))
