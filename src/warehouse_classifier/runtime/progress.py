"""What a stage tells whoever watches it, while it works.

A stage only knows these three calls. Its runner hands in an object that shows bars on a terminal and writes curves to
MLflow, so a changed word in a log line is no change of the stage and retrains nothing.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Bar(Protocol):
    """Progress of one long piece of work."""

    def advance(self, count: int = 1, size: int = 0, **facts: float) -> None:
        """Advance by `count` units; `size` is how many bytes were downloaded for them.

        `facts` are the latest figures to show beside the rates (loss=1.2, rejected=3).
        """


class Progress(Protocol):
    """What a stage is handed to report to."""

    @contextmanager
    def bar(self, title: str, total: int | None, unit: str, done: int = 0) -> Iterator[Bar]:
        """Progress of one long piece of work of `total` units (None: not known beforehand), `done` of them earlier."""
        yield NullProgress()

    def measure(self, step: int | None = None, **values: float) -> None:
        """Figures for the run's curves (`step` counts epochs) or, without a step, its results."""

    def say(self, line: str) -> None:
        """One plain line for whoever reads along."""


class NullProgress:
    """A watcher, and a bar, that shows nothing."""

    @contextmanager
    def bar(self, title: str, total: int | None, unit: str, done: int = 0) -> Iterator[Bar]:
        yield self

    def advance(self, count: int = 1, size: int = 0, **facts: float) -> None:
        pass

    def measure(self, step: int | None = None, **values: float) -> None:
        pass

    def say(self, line: str) -> None:
        pass
