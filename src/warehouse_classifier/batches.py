"""Batches of images straight from the shards, decoded by threads ahead of whoever eats them."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import torch

from warehouse_classifier.fault import Fault
from warehouse_classifier.photo import decode
from warehouse_classifier.shards import Shards
from warehouse_classifier.stream import in_order

AHEAD = 3  # batches: enough to bridge a slow one, little beside a network's memory


def batches(
    shards: Shards, rows: npt.NDArray[np.int64], batch: int, workers: int, flip: npt.NDArray[np.bool_] | None = None
) -> Iterator[torch.Tensor]:
    """uint8 tensors of shape [B, 3, side, side] in the order of `rows`; B is at most `batch`.

    B is as even as it can be, so that no last batch is too small for a BatchNorm. `flip` (one for each of `rows`):
    mirrored. Raises Fault if an image is damaged.
    """
    cuts = np.array_split(np.arange(len(rows)), max(1, -(-len(rows) // batch)))

    def image(position: int) -> npt.NDArray[np.uint8]:
        row = int(rows[position])
        try:
            pixels = np.asarray(decode(shards.jpeg(row), max_pixels=1 << 24))
        except ValueError as error:
            id = shards.index["id"].iloc[row]
            raise Fault(f"{shards.folder}: image {id} {error}; `dvc repro -f resize_images` makes it again") from None
        return pixels[:, ::-1] if flip is not None and flip[position] else pixels

    def collect(cut: npt.NDArray[np.int64]) -> torch.Tensor:
        stacked = np.stack([image(int(position)) for position in cut])
        return torch.from_numpy(stacked).permute(0, 3, 1, 2)  # in memory it stays channels last

    with ThreadPoolExecutor(workers) as pool:
        for _, images in in_order(pool, collect, cuts, max(AHEAD, workers)):
            yield images
