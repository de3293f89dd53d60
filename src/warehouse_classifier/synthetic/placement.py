"""Where the units of a bin stand in its cell, as a stower would have put them: on the floor, leaning, stacked, behind each other."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

import numpy as np

from warehouse_classifier.synthetic.cell import SCALE, Cell
from warehouse_classifier.synthetic.items import Item
from warehouse_classifier.synthetic.poses import pose_of
from warehouse_classifier.synthetic.sizes import DEPTH

DEEPEST = 0.9  # nothing stands flat against the back wall
TRIES = 14  # places that are looked at for one unit
HIDDEN = 0.45  # shares of a unit that may overlap others, at most, before another place is looked for


@dataclass(frozen=True)
class Placement:
    """Where a unit stands. Pixels, but for `depth`, where its front is, and `back`, where its back is: shares of the cell's."""

    x: float
    base: float
    width: float
    height: float
    lean: float
    depth: float
    back: float
    under: int | None = None  # the unit that it rests on


def stow(cell: Cell, goods: Sequence[Item], random: np.random.Generator) -> list[Placement]:
    """A place for every unit, one after the other, the largest first, each where it hides and is hidden least."""
    numbers = random.random((len(goods), TRIES, 6)).tolist()
    places: dict[int, Placement] = {}
    for unit in sorted(range(len(goods)), key=lambda unit: (-_volume(goods[unit]), unit)):
        places[unit] = _least_hidden(cell, unit, goods, places, numbers[unit])
    return [places[unit] for unit in range(len(goods))]


def after_visit(
    cell: Cell, goods: Sequence[Item], places: list[Placement], shown: AbstractSet[int], moved: AbstractSet[int],
    random: np.random.Generator,
) -> list[Placement]:  # fmt: skip
    """The places when the units that are not `shown` are gone and the `moved` ones were put elsewhere: what rested on any of
    these has come down."""
    gone = moved | (set(range(len(goods))) - shown)
    return move(cell, goods, settle(places, gone), moved, random)


def move(
    cell: Cell, goods: Sequence[Item], places: list[Placement], moved: AbstractSet[int], random: np.random.Generator
) -> list[Placement]:
    """The places after somebody took the `moved` units out and put them back elsewhere on the floor."""
    others = {unit: place for unit, place in enumerate(places) if unit not in moved}
    for unit in sorted(moved):
        numbers = random.random((TRIES, 6))
        numbers[:, 4] = 1.0  # on nothing
        others[unit] = _least_hidden(cell, unit, goods, others, numbers.tolist())
    return [others[unit] for unit in range(len(places))]


def settle(places: list[Placement], gone: AbstractSet[int]) -> list[Placement]:
    """What rested on a unit that is gone has come down to where that one stood."""

    def base(unit: int) -> float:
        place = places[unit]
        if place.under is None:
            return place.base
        return base(place.under) - (0.0 if place.under in gone else places[place.under].height)

    return [replace(place, base=base(unit)) for unit, place in enumerate(places)]


def seen_from(places: list[Placement], before: Cell, after: Cell) -> list[Placement]:
    """The places as a camera sees them that has moved a little: what is farther back shifts more."""
    right, down = (new - old for new, old in zip(after.vanishing, before.vanishing, strict=True))
    return [
        replace(
            place, x=place.x + right * (1 - Cell.far(place.depth)), base=place.base + down * (1 - Cell.far(place.depth))
        )
        for place in places
    ]


def _volume(good: Item) -> float:
    return good.height * good.width * good.length


def _least_hidden(
    cell: Cell, unit: int, goods: Sequence[Item], places: dict[int, Placement], numbers: list[list[float]]
) -> Placement:
    best, least = _try(cell, unit, goods, places, numbers[0]), float("inf")
    for attempt in numbers:
        place = _try(cell, unit, goods, places, attempt)
        hidden = sum(_overlap(place, other) for other in places.values())
        if hidden < least:
            best, least = place, hidden
        if hidden <= HIDDEN * attempt[5]:
            break
    return best


def _try(cell: Cell, unit: int, goods: Sequence[Item], places: dict[int, Placement], numbers: list[float]) -> Placement:
    """Somewhere on the floor, or on top of a unit that can bear it."""
    across, deep, leaning, lying, stack, _ = numbers
    wide, high, thick = pose_of(cell, goods[unit], lying)
    stacked = int(stack * 2 * len(places))
    if stacked < len(places):
        under = list(places)[stacked]
        below = places[under]
        place = _on(cell, (wide, high, thick), below, across, under)
        bears = goods[under].kind in {"carton", "book"} and below.lean == 0
        if bears and place.base - place.height > cell.top and place.width < 1.5 * below.width:
            return place
    thickness = thick / DEPTH
    depth = deep * DEEPEST * max(0.0, 1 - thickness)
    scale = SCALE * cell.far(depth)
    left, right = (
        cell.toward(0.02 * cell.width, 0, depth)[0],
        cell.toward(0.98 * cell.width, 0, depth)[0] - wide * scale,
    )
    x, base = left + max(0.0, right - left) * across, cell.floor(depth)
    lean = (leaning - 0.75) * 0.9 if leaning > 0.5 and high > 1.2 * wide else 0.0
    return Placement(x, base, wide * scale, high * scale, lean, depth, depth + thickness)


def _on(cell: Cell, pose: tuple[float, float, float], below: Placement, across: float, under: int) -> Placement:
    scale = SCALE * cell.far(below.depth)
    width, height = pose[0] * scale, pose[1] * scale
    x = below.x + (below.width - width) * across
    x = min(max(x, 0.03 * cell.width), max(0.03 * cell.width, 0.97 * cell.width - width))
    depth = below.depth - 0.001
    return Placement(x, below.base - below.height, width, height, 0.0, depth, depth + pose[2] / DEPTH, under)


def _overlap(one: Placement, other: Placement) -> float:
    """The share of the smaller front that lies on the other."""
    across = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
    up = min(one.base, other.base) - max(one.base - one.height, other.base - other.height)
    return max(0.0, across) * max(0.0, up) / min(one.width * one.height, other.width * other.height)
