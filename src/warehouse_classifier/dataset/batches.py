"""Batches of images, read by threads ahead of whoever eats them."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from warehouse_classifier.dataset.photo import Pixels
from warehouse_classifier.work.parallel import ordered_map

AHEAD = 3  # batches: enough to bridge a slow one, little beside a network's memory
CPU = torch.device("cpu")
Rows = npt.NDArray[np.int64]


class Images(Protocol):
    """Shards, or what else has the pixels of every row."""

    @property
    def side(self) -> int:
        """Pixels of an image's side."""

    def read_into(self, row: int, out: Pixels) -> None:
        """RGB into `out` [side, side, 3], by many threads at once."""


def evenly(rows: Rows, size: int) -> list[Rows]:
    """Cut `rows` into as few parts of at most `size` as will do, as even as they can be: no last one is far smaller."""
    return np.array_split(rows, max(1, -(-len(rows) // size)))


def batches(images: Images, parts: Sequence[Rows], workers: int, device: torch.device = CPU) -> Iterator[torch.Tensor]:
    """For each of `parts` the images of its rows: uint8 [B, 3, side, side] on `device`, channels last in memory.

    On the CPU a tensor is valid until the next one is asked for: its memory is then used again, so clone what is to be
    kept. Raises UserError if an image is damaged or not of the size of the others.
    """
    ahead = max(AHEAD, workers)
    # one buffer for every batch under way and one for the reader: none is written to before it is free again
    shape = (max(map(len, parts), default=0), images.side, images.side, 3)
    gpu = device.type == "cuda"
    buffers = [torch.empty(shape, dtype=torch.uint8, pin_memory=gpu).numpy() for _ in range(min(ahead + 1, len(parts)))]

    def fill(task: tuple[Rows, Pixels]) -> torch.Tensor:
        rows, pixels = task[0], task[1][: len(task[0])]
        for row, out in zip(rows, pixels, strict=True):
            images.read_into(int(row), out)
        return torch.from_numpy(pixels).permute(0, 3, 1, 2)  # in memory it stays channels last

    with ThreadPoolExecutor(workers) as pool:
        filled = (images for _, images in ordered_map(pool, fill, zip(parts, cycle(buffers)), ahead))
        yield from _copied(filled, device) if gpu else filled


def _copied(batches: Iterator[torch.Tensor], device: torch.device) -> Iterator[torch.Tensor]:
    """Each batch on the GPU, copied beside what it computes, which nobody waits for."""
    beside = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    for images in batches:
        with torch.cuda.stream(beside):
            there = images.to(device, non_blocking=True)
        beside.synchronize()  # with the copy alone: the buffer is free again
        there.record_stream(torch.cuda.current_stream(device))
        yield there
