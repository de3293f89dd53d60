"""Where the units of a bin stand in its cell, as a stower would have put them: on the floor, leaning, stacked, behind each other."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from warehouse_classifier.synthetic.frame import Point
from warehouse_classifier.synthetic.items import Item

CELL = 160.0  # square inches of a cell's opening
BACK = 0.84  # how large the back wall is beside the opening
RISE = (
    0.07  # how much higher in the photo the floor ends at the back, beyond perspective: the camera looks down a little
)
DEEPEST = 0.8  # nothing stands flat against the back wall
TRIES = 14  # places that are looked at for one unit
HIDDEN = 0.45  # shares of a unit that may overlap others, at most, before another place is looked for


@dataclass(frozen=True)
class Cell:
    """The fabric cell, in pixels of the photo."""

    width: int
    height: int
    top: float  # the opening ends here, under the upper lip
    bottom: float  # and here, above the lower one

    @property
    def vanishing(self) -> Point:
        return self.width / 2, self.top + (self.bottom - self.top) * 0.4

    def scale(self, depth: float) -> float:
        """Pixels an inch. Depth 0 is the opening, 1 the back wall."""
        return float(((self.bottom - self.top) * self.width / CELL) ** 0.5) * (1 - (1 - BACK) * depth)

    def toward(self, x: float, y: float, depth: float) -> Point:
        """A point of the opening, moved back."""
        far = 1 - (1 - BACK) * depth
        return self.vanishing[0] + (x - self.vanishing[0]) * far, self.vanishing[1] + (y - self.vanishing[1]) * far

    def floor(self, depth: float) -> float:
        """How far down the photo the floor is."""
        return self.toward(0, self.bottom - 2, depth)[1] - RISE * depth * self.height


@dataclass(frozen=True)
class Placement:
    """Where a unit stands. Pixels; `under` is the unit that it rests on."""

    x: float
    base: float
    width: float
    height: float
    lean: float
    depth: float
    under: int | None = None


def stow(cell: Cell, goods: Sequence[Item], random: np.random.Generator) -> list[Placement]:
    """A place for every unit, one after the other, each where it hides and is hidden least."""
    places: list[Placement] = []
    for good in goods:
        numbers = random.random((TRIES, 6)).tolist()  # as many for every unit: a later unit never moves an earlier one
        best, least = _try(cell, good, goods, places, numbers[0]), 1.0
        for attempt in numbers:
            place = _try(cell, good, goods, places, attempt)
            hidden = sum(_overlap(place, other) for other in places)
            if hidden < least:
                best, least = place, hidden
            if hidden <= HIDDEN * attempt[5]:
                break
        places.append(best)
    return places


def settle(places: list[Placement], shown: frozenset[int]) -> list[Placement]:
    """What rested on a unit that was taken away has come down to where that one stood."""
    settled: list[Placement] = []
    for place in places:
        base = place.base
        if place.under is not None:
            below = settled[place.under]
            base = below.base - (below.height if place.under in shown else 0.0)
        settled.append(replace(place, base=base))
    return settled


def _try(cell: Cell, good: Item, goods: Sequence[Item], places: list[Placement], numbers: list[float]) -> Placement:
    """Somewhere on the floor, or on top of a unit that can bear it."""
    across, deep, leaning, lying, stack, _ = numbers
    wide, high = good.face
    usable = (cell.bottom - cell.top) / cell.scale(0)
    if high > 0.86 * usable or (good.kind != "tube" and lying < 0.3):
        wide, high = high, wide
    below = int(stack * 2 * len(places)) if places else 0
    if below < len(places):
        place = _on(cell, (wide, high), places[below], across, below)
        bears = goods[below].kind in {"carton", "book"} and places[below].lean == 0
        if bears and place.base - place.height > cell.top and place.width < 1.5 * places[below].width:
            return place
    depth = deep * DEEPEST
    scale = cell.scale(depth)
    left, right = (
        cell.toward(0.02 * cell.width, 0, depth)[0],
        cell.toward(0.98 * cell.width, 0, depth)[0] - wide * scale,
    )
    lean = (leaning - 0.75) * 0.9 if leaning > 0.5 and high > 1.2 * wide else 0.0
    return Placement(left + max(0.0, right - left) * across, cell.floor(depth), wide * scale, high * scale, lean, depth)


def _on(cell: Cell, face: tuple[float, float], below: Placement, across: float, under: int) -> Placement:
    scale = cell.scale(below.depth)
    width, height = face[0] * scale, face[1] * scale
    x = below.x + (below.width - width) * across
    x = min(max(x, 0.03 * cell.width), max(0.03 * cell.width, 0.97 * cell.width - width))
    return Placement(x, below.base - below.height, width, height, 0.0, below.depth - 0.001, under)


def _overlap(one: Placement, other: Placement) -> float:
    """The share of the smaller front that lies on the other."""
    across = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
    up = min(one.base, other.base) - max(one.base - one.height, other.base - other.height)
    return max(0.0, across) * max(0.0, up) / min(one.width * one.height, other.width * other.height)
