"""Batches against the shards they come from."""

import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from images import pack, spoil
from warehouse_classifier.batches import batches
from warehouse_classifier.fault import Fault
from warehouse_classifier.photo import decode
from warehouse_classifier.shards import Shards


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Shards:
    return Shards(pack(tmp_path_factory.mktemp("batches") / "images"))


def photo(shards: Shards, row: int) -> torch.Tensor:
    return torch.from_numpy(np.array(decode(shards.jpeg(row), 1 << 20))).permute(2, 0, 1)


@pytest.mark.parametrize("workers", [1, 4])
def test_images_come_in_the_order_asked_for(shards: Shards, workers: int) -> None:
    order = np.random.default_rng(3).permutation(len(shards.index))
    images = torch.cat(list(batches(shards, order, 7, workers)))
    assert images.dtype == torch.uint8
    assert images.shape == (60, 3, 32, 32)
    assert all(torch.equal(image, photo(shards, row)) for image, row in zip(images, order, strict=True))


@pytest.mark.parametrize(("count", "batch"), [(60, 7), (60, 60), (60, 100), (13, 4), (7, 3), (4, 3), (1, 8)])
def test_batches_are_even(shards: Shards, count: int, batch: int) -> None:
    sizes = [len(images) for images in batches(shards, np.arange(count), batch, 1)]
    assert sum(sizes) == count
    assert max(sizes) <= batch
    assert max(sizes) - min(sizes) <= 1
    assert len(sizes) == -(-count // batch)  # no more of them than it takes


def test_no_batch_of_three_or_more_leaves_a_single_image() -> None:
    """The floor of TrainResnet34.batch: a BatchNorm cannot learn from one image."""
    for batch in range(3, 40):
        for count in range(2, 300):
            assert count // -(-count // batch) >= 2  # the smallest part of an even cut


def test_flips_are_horizontal_and_only_where_asked(shards: Shards) -> None:
    rows = np.arange(20)
    flip = rows % 3 == 0
    images = torch.cat(list(batches(shards, rows, 6, 2, flip)))
    for row, image in zip(rows, images, strict=True):
        wanted = photo(shards, row)
        assert not torch.equal(wanted, wanted.flip(2))
        assert torch.equal(image, wanted.flip(2) if flip[row] else wanted)


def test_few_batches_are_decoded_ahead(shards: Shards, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large folder must not fill the memory when the network is slower than the decoder."""
    decoded = []
    jpeg = shards.jpeg
    monkeypatch.setattr(shards, "jpeg", lambda row: decoded.append(row) or jpeg(row))
    stream = batches(shards, np.arange(60), 2, 2)
    next(stream)
    time.sleep(0.3)  # time enough to decode everything, were it allowed
    stream.close()
    assert len(decoded) <= 2 * 5


def test_a_damaged_image_is_one_line(tmp_path: Path) -> None:
    shards = Shards(pack(tmp_path / "images"))
    spoil(tmp_path / "images", "test")
    rows = shards.rows("test")
    first = shards.index["id"].iloc[rows[0]]
    with pytest.raises(Fault, match=f"images: image {first} is no JPEG.*dvc repro") as fault:
        list(batches(shards, rows, 4, 2))
    assert "\n" not in str(fault.value)


def test_every_image_is_taken_once(shards: Shards) -> None:
    """Neighbouring photos differ, so equal batches would be seen."""
    rows = shards.rows("train")
    seen = torch.cat(list(batches(shards, rows, 9, 3))).flatten(1)
    assert len(seen.unique(dim=0)) == len(rows) == 40
    assert all(a < b for a, b in pairwise(rows))
