"""What a list of items says of how a bin should look: how many, how large, in the logarithms that photos are read by.

A bin's items are boxes of three sides, which the inventory knows of nearly all of them. No asin and no name is looked at.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

SIDES = ("height", "length", "width")
# Of a list, in this order; each is the natural logarithm of the figure.
ATTRIBUTES = (
    "number",  # of items, plus one
    "different items",  # plus one
    "total volume",  # cubic inches
    "largest volume",
    "second volume",
    "smallest volume",
    "longest side",  # inches, of any item
    "shortest side",
    "total front",  # square inches: of each item its two longer sides
    "total weight",  # pounds
)
VOLUME = ATTRIBUTES.index("total volume")
THINKABLE = (1e-4, 1e4)  # inches of a side, or pounds; what lies beyond is a damaged file
ALONE = 20.0  # a bin with a single item has no second one: a twentieth of its volume stands there


def attributes(items: Sequence[Mapping[str, Any]]) -> list[float]:
    """ATTRIBUTES of a list; `items`: mappings with quantity, SIDES and weight, in inches and pounds, None for what is not known.

    NaN for what is not known of every item: without the size of one, nobody knows that of all. A measure beyond THINKABLE is a
    damaged file, and not known either.
    """
    held = [item for item in items if item["quantity"] > 0]
    figures = dict.fromkeys(ATTRIBUTES, np.nan)
    figures["number"] = np.log1p(sum(item["quantity"] for item in held))
    figures["different items"] = np.log1p(len(held))
    if held and all(_known(item["weight"]) for item in held):
        figures["total weight"] = np.log(sum(item["weight"] * item["quantity"] for item in held))
    if held and all(_known(item[side]) for item in held for side in SIDES):
        sides = np.array([sorted(item[side] for side in SIDES) for item in held])
        counts = np.array([item["quantity"] for item in held])
        volumes = sides.prod(axis=1)
        largest, *others = np.sort(volumes)[::-1]
        second = largest if counts[volumes.argmax()] > 1 else others[0] if others else largest / ALONE
        figures["total volume"] = np.log(volumes @ counts)
        figures["largest volume"], figures["second volume"] = np.log(largest), np.log(second)
        figures["smallest volume"] = np.log(volumes.min())
        figures["longest side"], figures["shortest side"] = np.log(sides.max()), np.log(sides.min())
        figures["total front"] = np.log(sides[:, 1:].prod(axis=1) @ counts)
    return [float(figures[name]) for name in ATTRIBUTES]


def _known(measure: float | None) -> bool:
    return measure is not None and THINKABLE[0] <= measure <= THINKABLE[1]
