"""What a photo looks like at a glance: light, colour and edges, on the whole and by place. No item matters to it."""

import numpy as np

from warehouse_classifier.dataset.photo import Pixels, square
from warehouse_classifier.evaluation.arrays import Floats

SIDE = 64  # pixels that are looked at
CELLS = 4  # a side: light and edges are taken in each
COARSE = (2, 4)  # pixels a side that are one where coarser edges are looked for
SHARES = (1, 5, 25, 50, 75, 95, 99)  # percentiles of light and colours
DIM, FLAT = 0.01, 0.003  # of 1: below these, spreads and edges are noise


def statistics(pixels: Pixels) -> Floats:
    """Of photos [B, side, side, 3], [B, statistics]: 225 numbers, of which those of spreads and edges are logarithms."""
    small = np.stack([square(photo, SIDE) for photo in pixels]).astype(np.float32) / 255
    light = small @ np.array([0.299, 0.587, 0.114], np.float32)  # as JPEG has it: ITU-R BT.601
    parts = [part for plane in (light, small[..., 2] - light, small[..., 0] - light) for part in _of_plane(plane)]
    return np.concatenate([part.reshape(len(small), -1) for part in parts], axis=1).astype(np.float64)


def _of_plane(plane: Floats) -> list[Floats]:
    """Of one plane, [B, SIDE, SIDE]."""
    across, down = (np.abs(np.roll(plane, -1, axis) - plane) for axis in (2, 1))
    places = [_cells(plane).mean((2, 4)), np.log(_cells(plane).std((2, 4)) + DIM)]
    places += [np.log(_cells(edges).mean((2, 4)) + FLAT) for edges in (across, down)]
    for size in COARSE:
        coarse = plane.reshape(len(plane), SIDE // size, size, SIDE // size, size).mean((2, 4))
        places += [np.log(np.abs(np.diff(coarse, axis=axis)).mean((1, 2)) + FLAT) for axis in (2, 1)]
    return [*places, np.percentile(plane.reshape(len(plane), -1), SHARES, axis=1).T]


def _cells(plane: Floats) -> Floats:
    side = SIDE // CELLS
    return plane.reshape(len(plane), CELLS, side, CELLS, side)
