"""What is expected in which photo: nobody says, one number for all, or a file."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from warehouse_classifier.bins.expectation import LARGEST, Expectation, ItemFacts
from warehouse_classifier.runtime.errors import UserError

PHOTO, ID, QUANTITY, BEFORE = "photo", "id", "quantity", "before"  # columns of a CSV, keys of a JSON
WANTED = f"the columns {PHOTO} (or {ID}) and {QUANTITY}"


@dataclass(frozen=True, slots=True)
class Unknown:
    """Stands for an expectation that should be known and is not."""

    reason: str


Expected = Expectation | Unknown | None  # None: nothing is asked


class Expectations(Protocol):
    """What is expected of photos, by their names."""

    by_id: bool  # whether photos are named by their ids
    lists: bool  # whether it may tell which items, not only how many

    def of(self, names: Sequence[str]) -> Expected:
        """What is expected of the photo that goes by these names, its own first.

        Raises UserError where it cannot be told.
        """

    def before(self, names: Sequence[str]) -> str | None:
        """The path of the photo of the same bin at the visit before, as it was given."""

    def unused(self) -> str | None:
        """Says what names no photo that was seen; None if all does."""

    @property
    def names_before(self) -> bool:
        """Whether it names photos of the visit before."""


class SameForAll:
    """One quantity for all photos, or None."""

    by_id = lists = names_before = False

    def __init__(self, quantity: int | None) -> None:
        self.expected = None if quantity is None else Expectation(quantity)

    def of(self, names: Sequence[str]) -> Expected:
        return self.expected

    def before(self, names: Sequence[str]) -> str | None:
        return None

    def unused(self) -> str | None:
        return None


@dataclass(frozen=True, slots=True)
class Entry:
    """What a file says of one photo, and where: line 3, entry 3."""

    place: str
    expected: Expectation
    before: str | None = None


class Listed:
    """The entries of a file. Names and ids are texts: "1" is not "00001"."""

    def __init__(self, path: Path, *, by_id: bool, lists: bool) -> None:
        self.path, self.by_id, self.lists = path, by_id, lists
        self.entries: dict[str, Entry] = {}  # by name
        self.paths: dict[str, str] = {}  # names of photos by the paths that they are, if they are any
        self.users: dict[str, str] = {}  # the photo that each entry was used for, by its place

    def add(self, name: str, entry: Entry) -> None:
        """Raises UserError for a photo of which something was said before."""
        first = self.entries.setdefault(name, entry)
        if first is not entry:
            of_items = (
                "" if self.lists else "; where a row is an item, it needs its sizes: length, width, height and unit"
            )
            raise UserError(
                f"{self.path}, {entry.place}: {_briefly(entry)} are expected of {name}, and {_briefly(first)} in"
                f" {first.place}; keep one of them{of_items}"
            )
        if not self.by_id:
            self.paths.setdefault(os.path.abspath(name), name)  # noqa: PTH100 -- of the name; a link keeps its own

    def of(self, names: Sequence[str]) -> Expected:
        """Raises UserError where entries disagree about the photo, or where one could mean another photo as well."""
        entry = self._entry(names)
        return entry.expected if entry else Unknown(f"{self.path} does not name it")

    def before(self, names: Sequence[str]) -> str | None:
        entry = self._entry(names)
        return entry.before if entry else None

    @property
    def names_before(self) -> bool:
        return any(entry.before for entry in self.entries.values())

    def unused(self) -> str | None:
        left = [(entry.place, name) for name, entry in self.entries.items() if entry.place not in self.users]
        if not left:
            return None
        place, name = left[0]
        return f"{self.path}: {len(left)} of {len(self.entries)} rows name no photo here ({place}: {name})"

    def _entry(self, names: Sequence[str]) -> Entry | None:
        known = dict.fromkeys(self.paths.get(name, name) for name in names)
        matches = [(name, self.entries[name]) for name in known if name in self.entries]
        if not matches:
            return None
        name, entry = matches[0]
        for other, another in matches[1:]:
            if (another.expected, another.before) != (entry.expected, entry.before):
                raise UserError(
                    f"{self.path}, {entry.place} and {another.place}: {name} and {other} are one photo, of which"
                    f" {_briefly(entry)} and {_briefly(another)} are expected; keep one of them"
                )
        for name, match in matches:
            user = self.users.setdefault(match.place, names[0])
            if user != names[0]:
                raise UserError(
                    f"{self.path}, {match.place}: {name} may be {user} or {names[0]}; give each a row of its own, by its"
                    f" whole path in a column {PHOTO}"
                )
        return entry


def _briefly(entry: Entry) -> str:
    more = [f"{BEFORE}: {entry.before}"] if entry.before else []
    more += ["of another list"] if entry.expected.items is not None else []
    return f"{entry.expected.quantity} ({', '.join(more)})" if more else str(entry.expected.quantity)


def expectations(expected: str | None, option: str = "--expected") -> Expectations:
    """What an option says: a quantity, or the path of a CSV or a JSON. Raises UserError if that is none of them."""
    from warehouse_classifier.cli.check.expectation_csv import from_csv
    from warehouse_classifier.cli.check.expectation_json import from_json

    if expected is None:
        return SameForAll(None)
    number = re.fullmatch(r"\s*[+-]?[0-9.,]+\s*", expected)
    if not number and expected.lower().endswith(".json"):
        return from_json(Path(expected))
    if not number and (expected.lower().endswith(".csv") or Path(expected).is_file()):
        return from_csv(Path(expected))
    try:
        return SameForAll(quantity_of(expected.strip()))
    except ValueError as error:
        there = "which is a folder" if os.path.isdir(expected) else "and there is no such file"  # noqa: PTH112 -- of any text
        what = str(error) if number else f"{error}, {there}"
        raise UserError(
            f"{option} is {expected[:80]!r}, {what}; it takes a number of items, or the path of a CSV with {WANTED} or of a JSON"
        ) from None


def of_items(path: Path, place: str, items: Sequence[ItemFacts]) -> Expectation:
    """What items that stand at `place` of a file add up to. Raises UserError if that is more than any bin holds."""
    quantity = sum(its["quantity"] for its in items)
    if quantity > LARGEST:
        raise UserError(f"{path}, {place}: its items add up to {quantity}, more than {LARGEST}")
    return Expectation(quantity, tuple(items))


def quantity_of(text: str) -> int:
    """Raises ValueError for what is no quantity."""
    if not re.fullmatch(r"[+-]?[0-9]{1,20}", text):
        raise ValueError("not a whole number")
    quantity = int(text)
    if not 0 <= quantity <= LARGEST:
        raise ValueError(f"not 0 to {LARGEST}")
    return quantity
