"""How findings are written: a table for people; CSV and JSON lines for machines, which are read back as well."""

import csv
import io
import json
import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import typer
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from warehouse_classifier.cli.check.finding import Finding
from warehouse_classifier.runtime.errors import Fault

FIELDS = ("photo", "expected", "predicted", "probability", "doubt", "verdict", "reason")
NUMBERS = FIELDS[1:5]  # columns of the table, as wide as their names
DIGITS = 6
COLOURS = {"match": typer.colors.GREEN, "look": typer.colors.YELLOW, "mismatch": typer.colors.RED}
VERDICT = max(map(len, COLOURS))
GAP = "  "
REASON = 30  # cells that a reason wants beside the rest
NAME = 12  # cells that a name has at least


class Row(NamedTuple):
    """What is read back of a finding."""

    photo: str
    verdict: str  # empty for none
    counted: bool


class Form(Protocol):
    @property
    def suffix(self) -> str | None:
        """Of files in it, where those can be read back."""

    def head(self) -> str: ...

    def rows(self, findings: Iterable[Finding]) -> str: ...


class Csv:
    suffix = ".csv"

    def head(self) -> str:
        return ",".join(FIELDS) + "\n"

    def rows(self, findings: Iterable[Finding]) -> str:
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows(record(finding).values() for finding in findings)
        return out.getvalue()


class JsonLines:
    suffix = ".jsonl"

    def head(self) -> str:
        return ""

    def rows(self, findings: Iterable[Finding]) -> str:
        return "".join(json.dumps(record(finding)) + "\n" for finding in findings)


class Table:
    """`longest`: of the names, in cells. `width`: of the terminal, which nothing goes beyond; None for a file."""

    suffix = None

    def __init__(self, longest: int, width: int | None, *, colour: bool) -> None:
        self.width, self.colour = width, colour
        self.fixed = len(GAP) + len(" ".join(NUMBERS)) + len(GAP) + VERDICT
        self.name = max(NAME, longest)
        if width is not None:
            room = width - self.fixed
            beside = room - len(GAP) - REASON
            self.name = max(NAME, min(self.name, beside if beside >= 2 * NAME else room))

    def head(self) -> str:
        cells = [FIELDS[0].ljust(self.name), " ".join(NUMBERS), "verdict".ljust(VERDICT), "reason"]
        line = GAP.join(cells)
        return (line if self.width is None or len(line) <= self.width else GAP.join(cells[:-1])) + "\n"

    def rows(self, findings: Iterable[Finding]) -> str:
        return "".join(f"{self._row(finding)}\n" for finding in findings)

    def _row(self, of: Finding) -> str:
        values = [of.expected, of.predicted, of.probability, of.doubt]
        numbers = " ".join(_number(value).rjust(len(name)) for name, value in zip(NUMBERS, values, strict=True))
        verdict = of.verdict or ""
        pad = " " * (VERDICT - len(verdict))
        if self.colour and verdict:  # the word itself says the same
            verdict = typer.style(verdict, fg=COLOURS[verdict], bold=verdict == "mismatch")
        row = GAP.join([self._name(of.photo), numbers, verdict + pad])
        if of.reason is None:
            return row.rstrip()
        return row + self._reason(printable(of.reason))

    def _name(self, name: str) -> str:
        """Short of its beginning where it is too long: names of files differ at their end."""
        name = printable(name)
        if self.width is None:
            return name + " " * (self.name - cell_len(name))
        while cell_len(name) > self.name:
            name = "…" + name[2:] if name.startswith("…") else "…" + name[1:]
        return set_cell_size(name, self.name)

    def _reason(self, reason: str) -> str:
        """Beside the row where there is room, else below it."""
        used = self.name + self.fixed + len(GAP)
        if self.width is None or used + cell_len(reason) <= self.width:
            return GAP + reason
        indent = used if self.width - used >= REASON else 2 * len(GAP)
        lines = [line.plain.rstrip() for line in Text(reason).wrap(Console(), self.width - indent)]
        first = f"{GAP}{lines.pop(0)}" if indent == used else ""
        return first + "".join(f"\n{' ' * indent}{line}" for line in lines)


def form_of(format: str | None, output: str | None, longest: int, *, in_parts: bool) -> Form:
    """`output`: where to, None for standard output; its name may tell the format. Raises Fault for a table in parts."""
    ends = Path(output).suffix if output else ""
    format = format or {Csv.suffix: "csv", JsonLines.suffix: "jsonl"}.get(ends, "csv" if in_parts else "table")
    if format != "table":
        return Csv() if format == "csv" else JsonLines()
    if in_parts:
        raise Fault(f"--format table makes no parts; name a file, or csv or jsonl for the folder {output}")
    shown = output is None and sys.stdout.isatty()
    colour = shown and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return Table(longest, shutil.get_terminal_size().columns if shown else None, colour=colour)


def record(of: Finding) -> dict[str, str | int | float | None]:
    """A finding as machines get it."""
    return {
        "photo": encodable(of.photo),
        "expected": of.expected,
        "predicted": of.predicted,
        "probability": _rounded(of.probability),
        "doubt": _rounded(of.doubt),
        "verdict": of.verdict,
        "reason": None if of.reason is None else encodable(of.reason),
    }


def read_back(path: Path) -> list[Row]:
    """Each row of a CSV or of JSON lines. Raises ValueError if it is no such file."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            if path.suffix == Csv.suffix:
                header, *rows = csv.reader(file, strict=True)
                if header != list(FIELDS):
                    raise ValueError("it has other columns")
                return [Row(row[0], row[5], row[2] != "") for row in rows]
            records = map(json.loads, file)
            return [Row(of["photo"], of["verdict"] or "", of["predicted"] is not None) for of in records]
    except (OSError, csv.Error, KeyError, IndexError, TypeError) as error:
        raise ValueError(str(error)) from None


def summary(verdicts: dict[str, int], rate: float | None = None) -> str:
    """`verdicts`: how many photos have each, an empty one for none."""
    total = sum(verdicts.values())
    said = [f"{verdicts[verdict]} {verdict}" for verdict in ("match", "mismatch", "look") if verdicts.get(verdict)]
    counted = [f"{verdicts['']} counted"] if verdicts.get("") else []
    speed = f"; {rate:.1f} photos/s" if rate else ""
    return f"{total} photo{'s' if total != 1 else ''}: {', '.join(counted + said)}{speed}"


def encodable(text: str) -> str:
    """Names of files may be bytes of any kind, which no text can hold, and csv writes a bare \\r that it cannot read."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace").replace("\r", "\\r")


def printable(text: str) -> str:
    """Nothing in it moves the cursor or changes the colour."""
    shown: Sequence[str] = [c if c.isprintable() else c.encode("unicode_escape").decode() for c in encodable(text)]
    return "".join(shown)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, DIGITS)


def _number(value: float | None) -> str:
    return "" if value is None else str(value) if isinstance(value, int) else f"{value:.3f}"
