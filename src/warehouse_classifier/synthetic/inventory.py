"""The inventory's JSON of one bin, in the real schema, with the real files' gaps."""

import json

from warehouse_classifier.synthetic.items import Item

# Of the articles, by one draw: no dimensions nor weight, then no weight, then no names, then no normalizedName at all.
NO_DIMENSIONS, NO_WEIGHT, NO_NAME, NO_NORMALIZED_NAME = 0.002, 0.025, 0.026, 0.027


def body(entries: list[str], quantity: int) -> bytes:
    """The whole file, from what `entry` gives and the EXPECTED_QUANTITY, in the order and indentation of the real ones."""
    listed = "{\n" + ",\n".join(entries) + "\n    }" if entries else "{}"
    return f'{{\n    "BIN_FCSKU_DATA": {listed},\n    "EXPECTED_QUANTITY": {quantity}\n}}'.encode()


def entry(good: Item, quantity: int) -> str:
    """One entry of BIN_FCSKU_DATA: an article, in inches and pounds, and how many units of it the bin holds.

    Written by hand: json.dumps with an indent takes five times as long.
    """
    measured, weighed = good.quirk >= NO_DIMENSIONS, good.quirk >= NO_WEIGHT
    name = "null" if NO_WEIGHT <= good.quirk < NO_NAME else json.dumps(good.name)
    lines = [
        f'"asin": "{good.asin}"',
        f'"height": {_measure("IN", good.height if measured else None)}',
        f'"length": {_measure("IN", good.length if measured else None)}',
        f'"name": {name}',
        f'"normalizedName": {name}',
        f'"quantity": {quantity}',
        f'"weight": {_measure("pounds", good.weight if weighed else None)}',
        f'"width": {_measure("IN", good.width if measured else None)}',
    ]
    if NO_NAME <= good.quirk < NO_NORMALIZED_NAME:
        del lines[4]
    return f'        "{good.asin}": {{\n            ' + ",\n            ".join(lines) + "\n        }"


def _measure(unit: str, value: float | None) -> str:
    if value is None:
        return "null"
    return f'{{\n                "unit": "{unit}",\n                "value": {value!r}\n            }}'
