"""What the inventory says is in a bin: one JSON of the bucket, and the table of all of them."""

import json
import math
from collections import Counter
from typing import Any

import pyarrow as pa

LARGEST = 1_000_000  # no bin holds more: a quantity above it is a damaged file

MEASURES = ("height", "length", "width", "weight")  # inches, and pounds

ITEM = pa.struct(
    [
        ("asin", pa.string()),
        ("quantity", pa.int32()),
        *((name, pa.float64()) for name in MEASURES),
        ("name", pa.string()),
    ]
)
PAIRS = pa.schema(
    [
        ("id", pa.string()),
        ("quantity", pa.int32()),
        ("image_bytes", pa.int64()),  # as listed; null where the listing does not tell
        ("image_etag", pa.string()),
        ("metadata_md5", pa.string()),  # of the JSON as it was read
        (
            "checked",
            pa.string(),
        ),  # what that was held against: its md5, its length, or the fingerprint of what draws it
        ("items", pa.list_(ITEM)),
    ]
)
UNREADABLE = pa.schema([("id", pa.string()), ("key", pa.string()), ("reason", pa.string())])

UNITS = {"height": "IN", "length": "IN", "width": "IN", "weight": "pounds"}


class DoubleKey(ValueError):
    """A key stands twice in one JSON object."""


def parse(body: bytes) -> tuple[int, list[dict[str, Any]]]:
    """The expected quantity and the items of one metadata file.

    Raises ValueError with the reason if the file cannot be trusted to say what is in the bin.
    """
    try:
        return _content(_load(body))
    except RecursionError:
        raise ValueError("is nested too deep") from None


def _load(body: bytes) -> Any:
    try:
        return json.loads(body, object_pairs_hook=_without_doubles)
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8") from None
    except DoubleKey:
        raise
    except ValueError as error:
        raise ValueError(f"is not JSON ({error})") from None


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """JSON lets a key stand twice, and which one counts is anybody's guess."""
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        twice = next(key for key, times in Counter(key for key, _ in pairs).items() if times > 1)
        raise DoubleKey(f"says {json.dumps(twice[:40])} twice")
    return mapping


def _content(data: Any) -> tuple[int, list[dict[str, Any]]]:
    if not isinstance(data, dict):
        raise ValueError("is not a JSON object")
    if "EXPECTED_QUANTITY" not in data:
        raise ValueError("has no EXPECTED_QUANTITY")
    items = data.get("BIN_FCSKU_DATA")
    if not isinstance(items, dict):
        raise ValueError("has no BIN_FCSKU_DATA")
    return _quantity("EXPECTED_QUANTITY", data["EXPECTED_QUANTITY"]), [_item(key, item) for key, item in items.items()]


def _item(key: str, item: Any) -> dict[str, Any]:
    shown = json.dumps(key[:40])  # a key may hold line breaks and half characters
    if not isinstance(item, dict):
        raise ValueError(f"item {shown} is not a JSON object")
    asin, name = item.get("asin"), item.get("name")
    for field, value in (("asin", asin), ("name", name)):
        if not isinstance(value, str | None):
            raise ValueError(f"item {shown}: {field} is no text")
    return {
        "asin": _whole(asin or key),
        "quantity": _quantity(f"item {shown}: quantity", item.get("quantity")),
        **{field: _measure(f"item {shown}: {field}", UNITS[field], item.get(field)) for field in MEASURES},
        "name": None if name is None else _whole(name),
    }


def _quantity(what: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{what} is {json.dumps(value)[:40]}, not a whole number")
    if not 0 <= value <= LARGEST:
        raise ValueError(f"{what} is {str(value)[:40]}, not 0 to {LARGEST}")
    return value


def _measure(what: str, unit: str, value: Any) -> float | None:
    if value is None:
        return None
    size = value.get("value") if isinstance(value, dict) else None
    if isinstance(size, bool) or not isinstance(size, int | float) or not abs(size) < math.inf:
        raise ValueError(f"{what} is no measure")
    if value.get("unit") != unit:
        raise ValueError(f"{what} is not in {unit}")
    try:
        return float(size)
    except OverflowError:  # a whole number of hundreds of digits
        raise ValueError(f"{what} is no measure") from None


def _whole(text: str) -> str:
    """JSON can spell half a character (a lone surrogate), which no table can hold."""
    return text.encode("utf-8", "replace").decode()
