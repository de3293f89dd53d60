"""The form in which findings are written: which one it is, and the line that sums them up."""

import os
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from warehouse_classifier.cli.check.finding import Finding
from warehouse_classifier.cli.check.records import Csv, JsonLines
from warehouse_classifier.cli.check.table import Table
from warehouse_classifier.runtime.errors import UserError

PLAIN = ("", ".txt", ".log")  # names of files that are a table


class Format(Protocol):
    """How findings are written to a file."""

    @property
    def suffix(self) -> str | None:
        """Of files in it, where those can be read back."""

    def head(self) -> str:
        """What stands before all rows, with its line break; empty for none."""

    def rows(self, findings: Iterable[Finding]) -> str:
        """A row for each, with its line break."""


def form_of(format: str | None, output: str | None, longest: int, *, in_parts: bool) -> Format:
    """`output`: where to, None for standard output; its name may tell the format. Raises UserError for a table in parts."""
    ends = Path(output).suffix if output and not in_parts else ""
    if not format and ends not in (*PLAIN, Csv.suffix, JsonLines.suffix):
        raise UserError(
            f"--output {output}: there is no format {ends}; let its name end in .csv, .jsonl or .txt, or add --format"
        )
    format = format or {Csv.suffix: "csv", JsonLines.suffix: "jsonl"}.get(ends, "csv" if in_parts else "table")
    if format != "table":
        return Csv() if format == "csv" else JsonLines()
    if in_parts:
        raise UserError(f"--format table makes no parts; name a file, or csv or jsonl for the folder {output}")
    shown = output is None and sys.stdout.isatty()
    colour = shown and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return Table(longest, shutil.get_terminal_size().columns if shown else None, colour=colour)


def summary(verdicts: dict[str, int], rate: float | None = None) -> str:
    """`verdicts`: how many photos have each, an empty one for none."""
    total = sum(verdicts.values())
    shares = [f"{verdicts[verdict]} {verdict}" for verdict in ("match", "mismatch", "look") if verdicts.get(verdict)]
    counted = [f"{verdicts['']} counted"] if verdicts.get("") else []
    speed = f"; {rate:.1f} photos/s" if rate else ""
    return f"{total} photo{'s' if total != 1 else ''}: {', '.join(counted + shares)}{speed}"
