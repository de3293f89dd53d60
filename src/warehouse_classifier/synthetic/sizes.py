"""How large cells are and how large what lies in them is, with the spread that real bins have.

Measured on 7,943 real pairs, of which 461 photos have their original size (benchmarks/sizes.py prints it again). The camera
stands still, so such a photo is as large as its cell; that 30 pixels are an inch is taken, not measured, so that items of a known
size look as large as they are. The log of the photo's area and the log of the items' total volume correlate by 0.77, the number
of items and the volume by 0.13. Nothing of a single pair is kept here.
"""

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple


class CellSize(NamedTuple):
    """What the photo shows of one cell, its edges of fabric with it, in inches."""

    width: float
    height: float


DEPTH = 16.0  # inches from the opening to the back wall
UPPER, LOWER = 0.6, 1.2  # inches of a cell's height that its edges of fabric take, about
CELLS = tuple(  # equally common: medians of eighteen groups of real photos, by area and then by shape
    CellSize(*sides)
    for sides in (
        *((12.2, 8.5), (12.2, 8.4), (12.8, 8.8), (13.0, 8.9), (11.6, 10.7), (13.7, 9.4)),
        *((16.4, 10.3), (16.8, 10.0), (16.0, 12.0), (17.8, 10.6), (12.6, 18.4), (16.6, 12.8)),
        *((18.1, 18.0), (19.8, 15.7), (19.6, 19.3), (19.6, 18.2), (21.4, 33.6), (20.8, 19.8)),
    )
)
JITTER = 0.03  # share by which a cell's sides differ from those
AREA = 188.0  # square inches: the median cell
# Cubic inches of one item in a bin of 1, 2, ... items in a median cell: the median by the number of items.
VOLUMES = (185, 145, 110, 85, 66, 56, 49, 43, 37, 34, 31, 29, 27, 26, 25)
POWER = 1.45  # a larger cell holds larger items: their volume goes with this power of its area
SPREAD = 1.0  # of the log of an item's volume among the items of bins alike
LONGEST = 18.0  # inches that an item's longest side has at most
FULL = 0.5  # share of a cell's volume that its items take at most
NORMAL = NormalDist()


def cell_size(numbers: Sequence[float]) -> CellSize:
    """One of the real cells' sizes, by three draws in [0, 1)."""
    which, across, up = numbers
    width, height = CELLS[int(which * len(CELLS))]
    return CellSize(width * (1 + JITTER * (2 * across - 1)), height * (1 + JITTER * (2 * up - 1)))


def opening(cell: CellSize) -> tuple[float, float]:
    """Width and height in inches of what can be reached into."""
    return cell.width, cell.height - UPPER - LOWER


def room(cell: CellSize) -> tuple[float, float, float]:
    """Inches that the sides of an item in this cell have at most, the shortest first."""
    wide, high = opening(cell)
    shortest, middle, longest = sorted(min(LONGEST, 0.9 * side) for side in (wide, high, DEPTH))
    return shortest, middle, longest


def volumes(cell: CellSize, units: Sequence[int], chances: dict[int, float]) -> dict[int, float]:
    """Cubic inches of each article, by its number.

    `units`: the article of each unit that is ever in the cell; `chances`: a draw in [0, 1) for each article, which may be
    more than those. All of them together leave room in the cell: they are smaller alike where they would not.
    """
    median = VOLUMES[min(max(len(units), 1), len(VOLUMES)) - 1] * (cell.width * cell.height / AREA) ** POWER
    volume = {
        article: median * math.exp(SPREAD * NORMAL.inv_cdf(0.01 + 0.98 * chance)) for article, chance in chances.items()
    }
    wide, high = opening(cell)
    fits = min(1.0, FULL * wide * high * DEPTH / max(1.0, sum(volume[article] for article in units)))
    return {article: cubic * fits for article, cubic in volume.items()}
