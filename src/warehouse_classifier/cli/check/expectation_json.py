"""Expectations in a JSON: an array with an object for each photo, in the words of the CSV."""

import json
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from warehouse_classifier.bins.expectation import LARGEST, Expectation, ExpectedItem, reason
from warehouse_classifier.cli.check.expectations import ID, PHOTO, QUANTITY, Entry, Listed, of_items
from warehouse_classifier.runtime.errors import UserError


class Bin(BaseModel):
    """What a JSON says of one photo; of `items` without a quantity, what they add up to is expected."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    photo: str | None = Field(None, min_length=1)
    id: str | None = Field(None, min_length=1)
    quantity: int | None = Field(None, ge=0, le=LARGEST)
    items: list[ExpectedItem] | None = None
    before: str | None = Field(None, min_length=1)

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if (self.photo is None) == (self.id is None):
            raise ValueError(f"it must have {PHOTO} or {ID}, and not both")
        if self.quantity is None and self.items is None:
            raise ValueError(f"it must have {QUANTITY} or items")
        return self


BINS: TypeAdapter[list[Bin]] = TypeAdapter(Annotated[list[Bin], Field(min_length=1)])


def from_json(path: Path) -> Listed:
    """Raises UserError for a file that cannot be read, or says what cannot be."""
    try:
        tree = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=_once)
        bins = BINS.validate_python(tree, strict=True)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})") from None
    except RecursionError:
        raise UserError(f"{path} is nested too deep") from None
    except ValidationError as error:
        raise UserError(f"{path}: {_said(error)}") from None
    except ValueError as error:
        raise UserError(f"{path} is not JSON in UTF-8 ({error})") from None
    by_id = bins[0].id is not None
    listed = Listed(path, by_id=by_id, lists=any(one.items is not None for one in bins))
    for number, one in enumerate(bins, 1):
        place, name = f"entry {number}", one.id if by_id else one.photo
        if name is None:
            raise UserError(
                f"{path}, {place}: names no {ID if by_id else PHOTO}, as entry 1 does; use one of them for all"
            )
        items = None if one.items is None else [its.facts() for its in one.items]
        expected = Expectation(one.quantity or 0) if items is None else of_items(path, place, items)
        if items is not None and one.quantity is not None:
            expected = Expectation(one.quantity, tuple(items))
        listed.add(name, Entry(place, expected, one.before))
    return listed


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """JSON lets a key stand twice, and which one counts is anybody's guess."""
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        raise ValueError("a key stands twice in one object")
    return mapping


def _said(error: ValidationError) -> str:
    """`entry 3: ...`, and of an array that is none what it must be."""
    loc = error.errors()[0]["loc"]
    if not loc and error.errors()[0]["type"] == "too_short":
        return "it holds no entry"
    if not loc:
        return f"it must be an array of objects with {PHOTO} (or {ID}) and {QUANTITY} or items"
    return f"entry {int(loc[0]) + 1}: {reason(error, 1)}"
