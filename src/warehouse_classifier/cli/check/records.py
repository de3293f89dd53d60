"""Findings for machines: CSV and JSON lines, which are read back as well."""

import csv
import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from warehouse_classifier.cli.check.escaping import encodable
from warehouse_classifier.cli.check.finding import Finding

FIELDS = ("photo", "expected", "predicted", "probability", "doubt", "verdict", "reason")
DIGITS = 6


class Row(NamedTuple):
    """What is read back of a finding."""

    photo: str
    verdict: str  # empty for none
    counted: bool


class Csv:
    """A Format (see formats.py): a header, and a row a finding."""

    suffix = ".csv"

    def head(self) -> str:
        return ",".join(FIELDS) + "\n"

    def rows(self, findings: Iterable[Finding]) -> str:
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows(record(finding).values() for finding in findings)
        return out.getvalue()


class JsonLines:
    """A Format (see formats.py): an object a line."""

    suffix = ".jsonl"

    def head(self) -> str:
        return ""

    def rows(self, findings: Iterable[Finding]) -> str:
        return "".join(json.dumps(record(finding)) + "\n" for finding in findings)


def record(finding: Finding) -> dict[str, str | int | float | None]:
    """A finding as machines get it."""
    return {
        "photo": encodable(finding.photo),
        "expected": finding.expected,
        "predicted": finding.predicted,
        "probability": _rounded(finding.probability),
        "doubt": _rounded(finding.doubt),
        "verdict": finding.verdict,
        "reason": None if finding.reason is None else encodable(finding.reason),
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
            return [Row(row["photo"], row["verdict"] or "", row["predicted"] is not None) for row in records]
    except (OSError, csv.Error, KeyError, IndexError, TypeError) as error:
        raise ValueError(str(error)) from None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, DIGITS)
