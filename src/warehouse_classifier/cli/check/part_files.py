"""A folder of findings in parts: `part-00000-<digest>.csv`, each whole or not there, the digest of all that it depends on.

A run that comes after a kill, or after a change, makes only what is missing. The name of a part in which a photo could not be
had, and may be another time, ends in `-again`: the next run makes it anew.
"""

import hashlib
import json
import os
import re
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from warehouse_classifier.cli.check.escaping import encodable
from warehouse_classifier.cli.check.finding import Finding
from warehouse_classifier.cli.check.formats import Format
from warehouse_classifier.cli.check.outputs import Verdicts, verdicts
from warehouse_classifier.cli.check.photos import Photo
from warehouse_classifier.cli.check.records import read_back

VERSION = 3  # of what stands in a part
PART_FILE = re.compile(r"part-(\d{5,})-[0-9a-f]{16}(-again)?\.(csv|jsonl)")
HALF = ".part.half"
Look = Callable[[Iterable[Photo]], Iterator[list[Finding]]]


class PartFiles:
    """`depends_on`: everything that all parts depend on, as values that JSON can hold."""

    def __init__(self, folder: Path, form: Format, *depends_on: Any) -> None:
        self.folder, self.form, self.depends_on = folder, form, depends_on
        self.written: set[Path] = set()

    def take(
        self,
        photos: Iterator[Photo],
        mark: Callable[[Photo], Any],
        size: int,
        look: Look,
        drawn: Callable[[Photo], bool] | None = None,
    ) -> Generator[Verdicts, None, None]:
        """How many photos have each verdict, some photos at a time; when all are taken, all parts are there, and no others.

        `mark`: something that changes whenever the photo does; None where nothing can tell. `drawn`: whether the picture of a
        photo is there; a part is made anew where it is not.
        """
        number = 0
        while some := list(islice(photos, size)):
            marks = [mark(photo) for photo in some]
            path = self.path(number, some, marks)
            counts = self.known(path, some, drawn) if None not in marks else None
            if counts is not None:
                yield counts
            else:
                with self.writing(path) as part:
                    for group in look(some):
                        part.add(group)
                        yield verdicts(group)
            number += 1
        self.tidy()

    def path(self, number: int, photos: Sequence[Photo], marks: Sequence[Any]) -> Path:
        """Where the findings of these photos belong."""
        listed = [
            (encodable(photo.name), repr(photo.expected), photo.before and repr(photo.before.expected), mark)
            for photo, mark in zip(photos, marks, strict=True)
        ]
        what = json.dumps([VERSION, self.depends_on, listed], sort_keys=True)
        digest = hashlib.sha256(what.encode()).hexdigest()[:16]
        return self.folder / f"part-{number:05}-{digest}{self.form.suffix}"

    def known(
        self, path: Path, photos: Sequence[Photo], drawn: Callable[[Photo], bool] | None = None
    ) -> Verdicts | None:
        """How many photos have each verdict in a part that an earlier run has made; None if it has not, or not whole."""
        try:
            rows = read_back(path)
        except ValueError:
            return None
        if [row.photo for row in rows] != [encodable(photo.name) for photo in photos]:
            return None
        if drawn and not all(drawn(photo) for photo, row in zip(photos, rows, strict=True) if row.counted):
            return None
        self.written.add(path)
        return Verdicts(row.verdict for row in rows)

    @contextmanager
    def writing(self, path: Path) -> Iterator["PartFile"]:
        """The part takes its name when the block succeeds, and the place of whatever had its number."""
        half = self.folder / HALF
        try:
            with half.open("w", encoding="utf-8", newline="") as file:
                part = PartFile(file, self.form)
                yield part
                file.flush()
                os.fsync(file.fileno())
            named = path.with_stem(f"{path.stem}-again") if part.again else path
            half.rename(named)
        finally:
            half.unlink(missing_ok=True)
        self.written.add(named)
        for other in self._ours(named.name.split("-")[1]):
            if other != named:  # or a photo would stand in two of them
                other.unlink(missing_ok=True)

    def tidy(self) -> None:
        """Remove the parts of earlier runs, and nothing else."""
        for path in self._ours():
            if path not in self.written:
                path.unlink(missing_ok=True)

    def _ours(self, number: str | None = None) -> Iterator[Path]:
        for path in list(self.folder.iterdir()):
            named = PART_FILE.fullmatch(path.name)
            if named and number in (None, named[1]):
                yield path


class PartFile:
    """One file of results that is being written."""

    def __init__(self, file: TextIO, form: Format) -> None:
        self.file, self.form = file, form
        self.again = False
        file.write(form.head())

    def add(self, findings: list[Finding]) -> None:
        self.again |= any(finding.again for finding in findings)
        self.file.write(self.form.rows(findings))
