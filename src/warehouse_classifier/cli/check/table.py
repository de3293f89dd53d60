"""Findings for people: a table that is no wider than their terminal."""

from collections.abc import Iterable

import typer
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from warehouse_classifier.cli.check.escaping import printable
from warehouse_classifier.cli.check.finding import Finding
from warehouse_classifier.cli.check.records import FIELDS

NUMBERS = FIELDS[1:5]  # columns of the table, as wide as their names
COLOURS = {"match": typer.colors.GREEN, "look": typer.colors.YELLOW, "mismatch": typer.colors.RED}
VERDICT = max(map(len, COLOURS))
GAP = "  "
REASON = 30  # cells that a reason wants beside the rest
NAME = 12  # cells that a name has at least


class Table:
    """A Format (see formats.py). `longest`: of the names, in cells. `width`: of the terminal, which nothing goes beyond; None for a file."""

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

    def _row(self, finding: Finding) -> str:
        values = [finding.expected, finding.predicted, finding.probability, finding.doubt]
        numbers = " ".join(_number(value).rjust(len(name)) for name, value in zip(NUMBERS, values, strict=True))
        verdict = finding.verdict or ""
        pad = " " * (VERDICT - len(verdict))
        if self.colour and verdict:  # the word itself says the same
            verdict = typer.style(verdict, fg=COLOURS[verdict], bold=verdict == "mismatch")
        row = GAP.join([self._name(finding.photo), numbers, verdict + pad])
        if finding.reason is None:
            return row.rstrip()
        return row + self._reason(printable(finding.reason))

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


def _number(value: float | None) -> str:
    return "" if value is None else str(value) if isinstance(value, int) else f"{value:.3f}"
