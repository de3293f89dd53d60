"""What a request to the served model holds: photos and what is expected of them, within limits."""

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from warehouse_classifier.bins.expectation import FIELDS, LARGEST, Expectation, item
from warehouse_classifier.dataset.photo import FORMATS

PHOTO, EXPECTED, ITEMS = "photo", "expected", "expected_items"
MOST_ROWS = 1000  # of a request
MOST_BYTES = 64_000_000  # of its photos together
MOST_PIXELS = 1_000_000_000  # of its photos together, as of 1,000 with a megapixel each; few bytes can claim many
MOST_ITEMS = 10_000  # different ones of a list
ENCODED = (b"/9j/", b"iVBORw0KGgo")  # how a JPEG and a PNG begin in base64


class BadRequest(ValueError):
    """The request is wrong as a whole, and why."""


def bodies(asked: pd.DataFrame) -> list[bytes]:
    """The photos, JPEG or PNG. Raises BadRequest where they are none, too many, or too large."""
    if PHOTO not in asked:
        raise BadRequest(f"there is no column {PHOTO}")
    photos = asked[PHOTO].tolist()
    if not 0 < len(photos) <= MOST_ROWS:
        raise BadRequest(f"there are {len(photos)} rows, there must be 1 to {MOST_ROWS}")
    for row, body in enumerate(photos):
        if not isinstance(body, bytes):
            raise BadRequest(f"row {row}: {PHOTO} must be the bytes of a JPEG or PNG; in JSON, in base64")
        if body.startswith(ENCODED):  # MLflow decodes it in data frames alone
            raise BadRequest(f"row {row}: {PHOTO} is still in base64; send dataframe_records or dataframe_split")
    if (size := sum(map(len, photos))) > MOST_BYTES:
        raise BadRequest(f"the photos have {size:,} bytes, they may have {MOST_BYTES:,} together")
    if (claimed := sum(map(pixels, photos))) > MOST_PIXELS:
        raise BadRequest(f"the photos have {claimed:,} pixels, they may have {MOST_PIXELS:,} together")
    return photos


def pixels(body: bytes) -> int:
    """How many a photo has by its header, which little of it is; 0 for what is no photo, and is never decoded."""
    try:
        with Image.open(io.BytesIO(body), formats=FORMATS) as image:
            return image.width * image.height
    except MemoryError:  # says nothing of the photo
        raise
    except Exception:  # noqa: BLE001 -- a row to look at says what is wrong with it
        return 0


def expectations(asked: pd.DataFrame) -> list[Expectation | None]:
    """None where nothing is expected. Raises BadRequest for what is no quantity, or no list of items."""
    nothing = [None] * len(asked)
    numbers, lists = (asked[name].tolist() if name in asked else nothing for name in (EXPECTED, ITEMS))
    return [_expectation(row, *both) for row, both in enumerate(zip(numbers, lists, strict=True))]


def _expectation(row: int, number: Any, given: Any) -> Expectation | None:
    quantity = _quantity(row, number)
    if given is None or (isinstance(given, (float, np.floating)) and np.isnan(given)):
        return None if quantity is None else Expectation(quantity)
    if not isinstance(given, (list, np.ndarray)) or not all(isinstance(one, Mapping) for one in given):
        raise BadRequest(f"row {row}: {ITEMS} must be an array of objects with {', '.join(FIELDS)}")
    if len(given) > MOST_ITEMS:
        raise BadRequest(f"row {row}: {ITEMS} has {len(given):,} items, it may have {MOST_ITEMS:,}")
    items = []
    for place, one in enumerate(given):
        try:
            items.append(item(one))
        except ValueError as error:
            raise BadRequest(f"row {row}: {ITEMS}, item {place}: {error}") from None
    held = sum(its["quantity"] for its in items)
    if held > LARGEST:
        raise BadRequest(f"row {row}: {ITEMS} adds up to {held:,}, more than {LARGEST:,}")
    return Expectation(held if quantity is None else quantity, items)


def _quantity(row: int, value: Any) -> int | None:
    real = isinstance(value, (float, np.floating))
    if value is None or value is pd.NA or (real and np.isnan(value)):
        return None
    whole = float(value).is_integer() if real else isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not whole or not 0 <= value <= LARGEST:
        raise BadRequest(f"row {row}: {EXPECTED} is {value!r}, it must be a whole number from 0 to {LARGEST:,}")
    return int(value)
