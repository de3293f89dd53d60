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
ALONE = 20.0  # a bin with a single item has no second one: a twentieth of its volume stands there


def attributes(items: Sequence[Mapping[str, Any]]) -> list[float]:
    """ATTRIBUTES of a list; `items`: mappings with quantity, SIDES and weight, in inches and pounds, None for what is not known.

    NaN for what no item tells: of items without sizes (a measure that is None, zero or below) only their number is known.
    """
    held = [item for item in items if item["quantity"] > 0]
    number = sum(item["quantity"] for item in held)
    figures = dict.fromkeys(ATTRIBUTES, np.nan)
    figures["number"], figures["different items"] = np.log1p(number), np.log1p(len(held))
    weights = [item["weight"] * item["quantity"] for item in held if (item["weight"] or 0) > 0]
    if weights:
        figures["total weight"] = np.log(sum(weights))
    boxes = [(sorted(item[side] for side in SIDES), item["quantity"]) for item in held if _measured(item)]
    if boxes:
        sides, counts = np.array([box for box, _ in boxes]), np.array([count for _, count in boxes])
        volumes = sides.prod(axis=1)
        order = np.argsort(-volumes, kind="stable")
        largest = volumes[order[0]]
        second = largest if counts[order[0]] > 1 else volumes[order[1]] if len(boxes) > 1 else largest / ALONE
        figures["total volume"] = np.log(volumes @ counts)
        figures["largest volume"], figures["second volume"] = np.log(largest), np.log(second)
        figures["smallest volume"] = np.log(volumes[order[-1]])
        figures["longest side"], figures["shortest side"] = np.log(sides.max()), np.log(sides.min())
        figures["total front"] = np.log(sides[:, 1:].prod(axis=1) @ counts)
    return [float(figures[name]) for name in ATTRIBUTES]


def _measured(item: Mapping[str, Any]) -> bool:
    return all((item[side] or 0) > 0 for side in SIDES)
