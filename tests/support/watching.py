"""A watcher that remembers."""

from collections.abc import Iterator
from contextlib import contextmanager


class Noted:
    """A Progress that remembers."""

    def __init__(self) -> None:
        self.measured: dict[str, float] = {}
        self.said: list[str] = []
        self.bars: dict[str, int] = {}
        self.facts: dict[str, float] = {}
        self.bytes = 0

    @contextmanager
    def bar(self, title: str, total: int | None, unit: str, done: int = 0) -> Iterator["Noted"]:
        self.bars[title] = 0
        self.title = title
        yield self

    def advance(self, count: int = 1, size: int = 0, **facts: float) -> None:
        self.bars[self.title] += count
        self.bytes += size
        self.facts |= facts

    def measure(self, step: int | None = None, **values: float) -> None:
        self.measured |= values

    def say(self, line: str) -> None:
        self.said.append(line)
