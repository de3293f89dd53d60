"""Batches of images, read by threads ahead of whoever eats them."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from warehouse_classifier.photo import Pixels
from warehouse_classifier.stream import in_order

AHEAD = 3  # batches: enough to bridge a slow one, little beside a network's memory


class Images(Protocol):
    """Shards, or what else has the pixels of every row."""

    @property
    def side(self) -> int: ...

    def read_into(self, row: int, out: Pixels) -> None:
        """RGB into `out` [side, side, 3], by many threads at once."""


def batches(
    images: Images, rows: npt.NDArray[np.int64], batch: int, workers: int, flip: npt.NDArray[np.bool_] | None = None
) -> Iterator[torch.Tensor]:
    """uint8 tensors of shape [B, 3, side, side] in the order of `rows`; B is at most `batch`.

    A tensor is valid until the next one is asked for: its memory is then used again, so clone what is to be kept.
    B is as even as it can be, so that no last batch is too small for a BatchNorm. `flip` (one for each of `rows`):
    mirrored. Raises Fault if an image is damaged or not of the size of the others.
    """
    cuts = np.array_split(np.arange(len(rows)), max(1, -(-len(rows) // batch)))
    ahead = max(AHEAD, workers)
    # one buffer for every batch under way and one for the reader: none is written to before it is free again
    size, side = max(map(len, cuts)), images.side
    buffers = [np.empty((size, side, side, 3), np.uint8) for _ in range(min(ahead + 1, len(cuts)))]

    def fill(task: tuple[npt.NDArray[np.int64], Pixels]) -> torch.Tensor:
        cut, pixels = task[0], task[1][: len(task[0])]
        for position, out in zip(cut, pixels, strict=True):
            images.read_into(int(rows[position]), out)
            if flip is not None and flip[position]:
                triples = out.view("V3")[..., 0]  # three times as fast as turning bytes around
                triples[:] = triples[:, ::-1]
        return torch.from_numpy(pixels).permute(0, 3, 1, 2)  # in memory it stays channels last

    with ThreadPoolExecutor(workers) as pool:
        for _, filled in in_order(pool, fill, zip(cuts, cycle(buffers)), ahead):
            yield filled
