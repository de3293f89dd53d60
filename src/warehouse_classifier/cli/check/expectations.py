"""How many items are expected in which photo: nobody says, one number for all, or a CSV."""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from warehouse_classifier.bins.metadata import LARGEST
from warehouse_classifier.runtime.errors import UserError

PHOTO, ID, QUANTITY = "photo", "id", "quantity"  # columns of the CSV
WANTED = f"the columns {PHOTO} (or {ID}) and {QUANTITY}"


@dataclass(frozen=True, slots=True)
class Unknown:
    """Stands for a quantity that should be known and is not."""

    reason: str


Expected = int | Unknown | None  # None: nothing is asked


class SameForAll:
    """One quantity for all photos, or None."""

    by_id = False

    def __init__(self, quantity: int | None) -> None:
        self.quantity = quantity

    def of(self, names: Sequence[str]) -> Expected:
        return self.quantity

    def unused(self) -> str | None:
        return None


class FromCsv:
    """A CSV. Names and ids are texts: "1" is not "00001"."""

    def __init__(self, path: Path) -> None:
        """Raises UserError for a file that cannot be read, lacks a column, or says what is no quantity."""
        self.path = path
        self.by_id = False
        self.rows: dict[str, tuple[int, int]] = {}  # quantity and line number, by name
        self.users: dict[int, str] = {}  # the photo that each line was used for
        try:
            with path.open(encoding="utf-8-sig", newline="") as file:
                self._read(file)
        except OSError as error:
            raise UserError(f"{path} cannot be read ({error.strerror})") from None
        except UnicodeDecodeError:
            raise UserError(f"{path} is not UTF-8; save it as CSV in UTF-8") from None
        except csv.Error as error:
            raise UserError(f"{path} is not a CSV ({error})") from None

    def of(self, names: Sequence[str]) -> Expected:
        """What is expected of the photo that goes by these names, its own first.

        Raises UserError where lines disagree about it, or where one line could mean another photo as well.
        """
        matches = [(name, *self.rows[name]) for name in dict.fromkeys(names) if name in self.rows]
        if not matches:
            return Unknown(f"{self.path} does not name it")
        name, quantity, line = matches[0]
        for other, another, later in matches[1:]:
            if another != quantity:
                raise UserError(
                    f"{self.path}, lines {line} and {later}: {name} and {other} are one photo, of which {quantity} and"
                    f" {another} are expected; keep one of them"
                )
        for name, _, line in matches:
            user = self.users.setdefault(line, names[0])
            if user != names[0]:
                raise UserError(
                    f"{self.path}, line {line}: {name} may be {user} or {names[0]}; write whole paths in the column {PHOTO}"
                )
        return quantity

    def unused(self) -> str | None:
        """Says which lines name no photo that was seen; None if all do."""
        left = [(line, name) for name, (_, line) in self.rows.items() if line not in self.users]
        if not left:
            return None
        line, name = left[0]
        return f"{self.path}: {len(left)} of {len(self.rows)} rows name no photo here (line {line}: {name})"

    def _read(self, file: TextIO) -> None:
        reader = csv.reader(file, strict=True, skipinitialspace=True)
        header = [name.strip().lower() for name in next(reader, [])]
        keys = [name for name in (PHOTO, ID) if name in header]
        if not keys or QUANTITY not in header:
            problem = f"{self.path} must have {WANTED}; its first line is {','.join(header)[:80]!r}"
            parted = any(mark in name for name in header for mark in ";\t")
            raise UserError(f"{problem}; put commas between the names" if parted else problem)
        for name in (keys[0], QUANTITY):
            if header.count(name) > 1:
                raise UserError(f"{self.path} has the column {name} {header.count(name)} times; keep one of them")
        self.by_id = keys[0] == ID
        for cells in reader:
            if cells:
                row = dict(zip(header, (cell.strip() for cell in cells), strict=False))
                self._add(row.get(keys[0], ""), row.get(QUANTITY, ""), reader.line_num)

    def _add(self, name: str, text: str, line: int) -> None:
        if not name:
            raise UserError(f"{self.path}, line {line}: names no photo")
        try:
            quantity = quantity_of(text)
        except ValueError as error:
            raise UserError(f"{self.path}, line {line}: the quantity of {name} is {text[:40]!r}, {error}") from None
        before, first = self.rows.setdefault(name, (quantity, line))
        if before != quantity:
            raise UserError(
                f"{self.path}, line {line}: {quantity} are expected of {name}, and {before} in line {first}; keep one of them"
            )


Expectations = SameForAll | FromCsv


def expectations(expected: str | None) -> Expectations:
    """What `--expected` says: a quantity, or the path of a CSV. Raises UserError if that is neither."""
    if expected is None:
        return SameForAll(None)
    if not re.fullmatch(r"\s*[+-]?[0-9.,]+\s*", expected) and (
        expected.lower().endswith(".csv") or Path(expected).is_file()
    ):
        return FromCsv(Path(expected))
    try:
        return SameForAll(quantity_of(expected.strip()))
    except ValueError as error:
        raise UserError(f"--expected is {expected[:80]!r}, {error}, nor the path of a CSV with {WANTED}") from None


def quantity_of(text: str) -> int:
    """Raises ValueError for what is no quantity."""
    if not re.fullmatch(r"[+-]?[0-9]{1,20}", text):
        raise ValueError("not a whole number")
    quantity = int(text)
    if not 0 <= quantity <= LARGEST:
        raise ValueError(f"not 0 to {LARGEST}")
    return quantity
