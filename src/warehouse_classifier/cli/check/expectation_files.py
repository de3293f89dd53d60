"""Expectations in files: a CSV with a row for each photo or, where it has sizes, for each item; or a JSON of the same words."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from warehouse_classifier.bins.expectation import (
    FIELDS,
    LARGEST,
    MEASURES,
    Expectation,
    ExpectedItem,
    ItemFacts,
    item,
    reason,
)
from warehouse_classifier.cli.check.expectations import (
    BEFORE,
    ID,
    PHOTO,
    QUANTITY,
    WANTED,
    Entry,
    Listed,
    quantity_of,
)
from warehouse_classifier.runtime.errors import UserError

Rows = Iterator[tuple[str, dict[str, str]]]  # where each row stands, and its cells that are not empty, by column


# ---- CSV


def from_csv(path: Path) -> Listed:
    """Raises UserError for a file that cannot be read, lacks a column, or says what cannot be."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True, skipinitialspace=True)
            header = _header(path, next(reader, []))
            cells = (
                (
                    f"line {reader.line_num}",
                    {name: cell.strip() for name, cell in zip(header, row, strict=False) if cell.strip()},
                )
                for row in reader
                if row
            )
            return _items(path, header, cells) if {*MEASURES} & {*header} else _numbers(path, header, cells)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise UserError(f"{path} is not UTF-8; save it as CSV in UTF-8") from None
    except csv.Error as error:
        raise UserError(f"{path} is not a CSV ({error})") from None


def _header(path: Path, cells: list[str]) -> list[str]:
    header = [name.strip().lower() for name in cells]
    key = _key(header)
    if key is None or QUANTITY not in header:
        problem = f"{path} must have {WANTED}; its first line is {','.join(header)[:80]!r}"
        parted = any(mark in name for name in header for mark in ";\t")
        raise UserError(f"{problem}; put commas between the names" if parted else problem)
    for name in (key, BEFORE, *FIELDS):
        if header.count(name) > 1:
            raise UserError(f"{path} has the column {name} {header.count(name)} times; keep one of them")
    return header


def _key(header: list[str]) -> str | None:
    """The column that names photos."""
    return next((name for name in (PHOTO, ID) if name in header), None)


def _numbers(path: Path, header: list[str], rows: Rows) -> Listed:
    listed = Listed(path, by_id=_key(header) == ID, lists=False)
    for place, row in rows:
        name, text = _name(path, place, row, header), row.get(QUANTITY, "")
        try:
            quantity = quantity_of(text)
        except ValueError as error:
            raise UserError(f"{path}, {place}: the quantity of {name} is {text[:40]!r}, {error}") from None
        listed.add(name, Entry(place, Expectation(quantity), row.get(BEFORE)))
    return listed


def _items(path: Path, header: list[str], rows: Rows) -> Listed:
    """A row is an item; those of one photo are a list."""
    places: dict[str, str] = {}  # the first row of each photo
    befores: dict[str, dict[str, str]] = {}  # where each photo before was named first
    items: dict[str, list[ItemFacts]] = {}
    for place, row in rows:
        name = _name(path, place, row, header)
        try:
            facts = item({field: row[field] for field in FIELDS if field in row})
        except ValueError as error:
            raise UserError(f"{path}, {place}: of an item of {name} {error}") from None
        places.setdefault(name, place)
        items.setdefault(name, []).append(facts)
        if before := row.get(BEFORE):
            befores.setdefault(name, {}).setdefault(before, place)
            if len(befores[name]) > 1:
                (first, at), (other, _) = befores[name].items()
                raise UserError(
                    f"{path}, {place}: {BEFORE} of {name} is {other}, and {first} in {at}; keep one of them"
                )
    listed = Listed(path, by_id=_key(header) == ID, lists=True)
    for name, its in items.items():
        listed.add(name, Entry(places[name], _of(path, places[name], its), next(iter(befores.get(name, {})), None)))
    return listed


def _name(path: Path, place: str, row: dict[str, str], header: list[str]) -> str:
    name = row.get(_key(header) or "")
    if name is None:
        raise UserError(f"{path}, {place}: names no photo")
    return name


def _of(path: Path, place: str, items: list[ItemFacts]) -> Expectation:
    quantity = sum(its["quantity"] for its in items)
    if quantity > LARGEST:
        raise UserError(f"{path}, {place}: its items add up to {quantity}, more than {LARGEST}")
    return Expectation(quantity, tuple(items))


# ---- JSON


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
        expected = Expectation(one.quantity or 0) if items is None else _of(path, place, items)
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
    if not loc:
        return f"it must be an array of objects with {PHOTO} (or {ID}) and {QUANTITY} or items"
    return f"entry {int(loc[0]) + 1}: {reason(error, 1)}"
