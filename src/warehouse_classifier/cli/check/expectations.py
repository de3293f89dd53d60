"""What is expected in which photo: nobody says, one number for all, or a file."""

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


class SameForAll:
    """One quantity for all photos, or None."""

    by_id = lists = False

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
        self.users: dict[str, str] = {}  # the photo that each entry was used for, by its place

    def add(self, name: str, entry: Entry) -> None:
        """Raises UserError for a photo of which something else was said before."""
        first = self.entries.setdefault(name, entry)
        if (first.expected, first.before) != (entry.expected, entry.before):
            raise UserError(
                f"{self.path}, {entry.place}: {_briefly(entry)} are expected of {name}, and {_briefly(first)} in"
                f" {first.place}; keep one of them"
            )

    def of(self, names: Sequence[str]) -> Expected:
        """Raises UserError where entries disagree about the photo, or where one could mean another photo as well."""
        entry = self._entry(names)
        return entry.expected if entry else Unknown(f"{self.path} does not name it")

    def before(self, names: Sequence[str]) -> str | None:
        entry = self._entry(names)
        return entry.before if entry else None

    def unused(self) -> str | None:
        left = [(entry.place, name) for name, entry in self.entries.items() if entry.place not in self.users]
        if not left:
            return None
        place, name = left[0]
        return f"{self.path}: {len(left)} of {len(self.entries)} rows name no photo here ({place}: {name})"

    def _entry(self, names: Sequence[str]) -> Entry | None:
        matches = [(name, self.entries[name]) for name in dict.fromkeys(names) if name in self.entries]
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
                    f"{self.path}, {match.place}: {name} may be {user} or {names[0]}; write whole paths as {PHOTO}"
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
        raise UserError(f"{option} is {expected[:80]!r}, {error}, nor the path of a CSV with {WANTED}") from None


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
