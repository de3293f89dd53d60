"""What a stage has computed that leaves nothing on its way: kept in `.work/finished-<stage>-<key>` until its run has ended well.

MLflow that is out of reach in the end, or an edit of code or parameters that is undone, loses no result. Kept files are second
names of the outputs (or copies, where the file system has no such thing), so an interruption at any moment leaves what there was.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from warehouse_classifier.runtime.files import replacing, same
from warehouse_classifier.runtime.progress import Bar, Progress

FIGURES = "figures.json"
Figures = list[tuple[int | None, dict[str, float]]]


class Recorder:
    """A Progress that remembers the figures that it passes on."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.figures: Figures = []

    @contextmanager
    def bar(self, title: str, total: int | None, unit: str, done: int = 0) -> Iterator[Bar]:
        with self.progress.bar(title, total, unit, done) as bar:
            yield bar

    def measure(self, step: int | None = None, **values: float) -> None:
        self.figures.append((step, {name: float(value) for name, value in values.items()}))
        self.progress.measure(step, **values)

    def say(self, line: str) -> None:
        self.progress.say(line)


def keep(folder: Path, outs: list[Path], figures: Figures) -> None:
    """Keep a stage's outputs in the folder, all of them or none. Raises OSError where one is missing or the disk is full."""
    with replacing(folder) as half:
        half.mkdir()
        (half / FIGURES).write_text(json.dumps(figures))
        for place, out in enumerate(outs):
            _link_tree(out, half / str(place))


def bring(folder: Path, outs: list[Path]) -> Figures | None:
    """Put the outputs that `keep` left there in place, and return their figures; None where there are none."""
    if not folder.is_dir():
        return None
    figures: list[Any] = json.loads((folder / FIGURES).read_text())
    for place, out in enumerate(outs):
        with replacing(out) as half:
            _link_tree(folder / str(place), half)
    return [(step, values) for step, values in figures]


def forget(folder: Path) -> None:
    """All at once: a kill meanwhile leaves nothing that looks whole."""
    if folder.is_dir():
        over = folder.with_name(f".{folder.name}.half")
        shutil.rmtree(over, ignore_errors=True)
        folder.rename(over)
        shutil.rmtree(over)


def _link_tree(source: Path, target: Path) -> None:
    if not source.is_dir():
        same(source.resolve(), target)
        return
    target.mkdir()
    for path in sorted(source.rglob("*")):
        if path.is_dir():
            (target / path.relative_to(source)).mkdir()
        else:
            same(path.resolve(), target / path.relative_to(source))
