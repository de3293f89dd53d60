"""What a stage computed whose code, parameters or inputs were edited while it ran: kept until the edit is undone."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from warehouse_classifier.runtime.files import replacing
from warehouse_classifier.runtime.progress import Bar, Watch

FIGURES = "figures.json"
Figures = list[tuple[int | None, dict[str, float]]]


class Recorder:
    """A Watch that remembers the figures that it passes on."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.figures: Figures = []

    @contextmanager
    def bar(self, title: str, total: int | None, unit: str, done: int = 0) -> Iterator[Bar]:
        with self.watch.bar(title, total, unit, done) as bar:
            yield bar

    def measure(self, step: int | None = None, **values: float) -> None:
        self.figures.append((step, values))
        self.watch.measure(step, **values)

    def say(self, line: str) -> None:
        self.watch.say(line)


def keep(folder: Path, outs: list[Path], figures: Figures) -> None:
    """Move a stage's outputs into the folder, all of them or none."""
    with replacing(folder) as half:
        half.mkdir()
        for place, out in enumerate(outs):
            shutil.move(out, half / str(place))
        (half / FIGURES).write_text(json.dumps(figures))


def bring(folder: Path, outs: list[Path]) -> Figures | None:
    """Put the outputs that `keep` left there back in place, and return their figures; None where there are none."""
    if not folder.is_dir():
        return None
    figures: list[Any] = json.loads((folder / FIGURES).read_text())
    for place, out in enumerate(outs):
        with replacing(out) as half:
            shutil.move(folder / str(place), half)
    shutil.rmtree(folder)
    return [(step, values) for step, values in figures]
