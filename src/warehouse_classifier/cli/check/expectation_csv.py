"""Expectations in a CSV: a row for each photo or, where it has sizes, for each item."""

import csv
import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path

from warehouse_classifier.bins.expectation import FIELDS, SIDES, Expectation, ItemFacts, item
from warehouse_classifier.cli.check.expectations import (
    BEFORE,
    ID,
    PHOTO,
    QUANTITY,
    WANTED,
    Entry,
    Listed,
    of_items,
    quantity_of,
)
from warehouse_classifier.runtime.errors import UserError

KNOWN = (PHOTO, ID, BEFORE, *FIELDS)
ALIKE = 0.8  # how much of a column's name must be one of KNOWN to be taken for a slip of the pen
Rows = Iterator[tuple[str, dict[str, str]]]  # where each row stands, and its cells that are not empty, by column


def from_csv(path: Path) -> Listed:
    """Raises UserError for a file that cannot be read, lacks a column, or says what cannot be."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True, skipinitialspace=True)
            header = _header(path, _first(path, reader))
            cells = ((f"line {reader.line_num}", _cells(path, reader.line_num, header, row)) for row in reader)
            rows = ((place, row) for place, row in cells if row)  # spreadsheets leave rows of commas behind
            listed = _items(path, header, rows) if {*SIDES} & {*header} else _numbers(path, header, rows)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise UserError(f"{path} is not UTF-8; save it as CSV in UTF-8") from None
    except csv.Error as error:
        raise UserError(f"{path} is not a CSV ({error})") from None
    if not listed.entries:
        raise UserError(f"{path} holds no row below its first line")
    return listed


def _first(path: Path, reader: Iterator[list[str]]) -> list[str]:
    """The names of the columns. Raises UserError for an empty file."""
    for row in reader:
        if any(cell.strip() for cell in row) and not (
            row[0].strip().lower() == "sep=" and len(row) > 1
        ):  # as Excel has it
            return row
    raise UserError(f"{path} is empty; it must have {WANTED}")


def _cells(path: Path, line: int, header: list[str], row: list[str]) -> dict[str, str]:
    """Those that are not empty, by column. Raises UserError where there are more than columns."""
    if any(cell.strip() for cell in row[len(header) :]):
        raise UserError(f"{path}, line {line}: has {len(row)} cells, and the first line names {len(header)} columns")
    return {name: cell.strip() for name, cell in zip(header, row, strict=False) if cell.strip()}


def _header(path: Path, cells: list[str]) -> list[str]:
    header = [name.strip().lower() for name in cells]
    key = _key(header)
    if key is None or QUANTITY not in header:
        problem = f"{path} must have {WANTED}; its first line is {','.join(header)[:80]!r}"
        parted = any(mark in name for name in header for mark in ";\t")
        raise UserError(f"{problem}; put commas between the names" if parted else problem)
    if {PHOTO, ID} <= {*header}:
        raise UserError(f"{path} has the columns {PHOTO} and {ID}; keep one of them")
    for name in (key, BEFORE, *FIELDS):
        if header.count(name) > 1:
            raise UserError(f"{path} has the column {name} {header.count(name)} times; keep one of them")
    for name in header:
        if name not in KNOWN and (meant := _meant(name, header)):
            unit = ", and its unit in a column of its own" if {meant} & {*SIDES, "weight"} else ""
            raise UserError(
                f"{path} has a column {name[:40]!r}, which is not known; write {meant}{unit}, or leave it out"
            )
    return header


def _meant(name: str, header: Sequence[str]) -> str | None:
    """The column that is missing and that somebody has written as `name`: lenght, length (cm)."""
    missing = [known for known in KNOWN if known not in header and known not in (PHOTO, ID)]
    first = re.split("[^a-z]", name)[0]
    return first if first in missing else next(iter(get_close_matches(name, missing, 1, ALIKE)), None)


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
        listed.add(
            name, Entry(places[name], of_items(path, places[name], its), next(iter(befores.get(name, {})), None))
        )
    return listed


def _name(path: Path, place: str, row: dict[str, str], header: list[str]) -> str:
    name = row.get(_key(header) or "")
    if name is None:
        raise UserError(f"{path}, {place}: names no photo")
    return name
