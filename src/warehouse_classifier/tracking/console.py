"""Progress for people: bars on a terminal, plain lines in a log; figures go to the run as well."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from tqdm import tqdm

from warehouse_classifier.runtime.progress import Bar

LINE_EVERY = 10.0  # seconds between lines of progress in a log
QUIET = ("learning_rate", "images_per_second", "memory_mib", "epoch")  # not in the line of an epoch


class MetricsSink(Protocol):
    """Where figures are kept."""

    def measure(self, step: int | None, values: dict[str, float]) -> None: ...

    def end(self, status: str) -> None: ...


class Screen:
    """A Progress (see runtime/progress.py) for people."""

    def __init__(self, sink: MetricsSink | None = None) -> None:
        """Without a sink no figure is kept."""
        self.sink = sink

    @contextmanager
    def bar(self, title: str, total: int | None, unit: str, done: int = 0) -> Iterator[Bar]:
        """See runtime/progress.py."""
        if sys.stderr.isatty():
            bar: tqdm[Any]
            with tqdm(total=total, initial=done, desc=title, unit=f" {unit}", dynamic_ncols=True) as bar:
                yield TerminalBar(bar)
        else:
            log = LogBar(title, total, unit, done)
            yield log
            log.print()

    def measure(self, step: int | None = None, **values: float) -> None:
        """To the sink, and an epoch's as a line. Raises UserError if the sink cannot be written to."""
        if self.sink:
            self.sink.measure(step, values)
        if step is not None:
            facts = (f"{name} {value:.4g}" for name, value in values.items() if name not in QUIET)
            self.say(f"epoch {step}: {', '.join(facts)}")

    def say(self, line: str) -> None:
        """Above the bar, if there is one."""
        tqdm.write(line, file=sys.stderr)


class Facts:
    """The latest figures of a bar, after the megabytes a second since it began."""

    def __init__(self) -> None:
        self.bytes, self.begun = 0, time.monotonic()

    def updated(self, size: int, facts: dict[str, float], sign: str) -> list[str]:
        """`size`: further bytes. `sign`: between a figure's name and its value."""
        self.bytes += size
        flow = [f"{self.bytes / 1e6 / max(time.monotonic() - self.begun, 1e-9):.1f} MB/s"] if self.bytes else []
        return flow + [f"{name}{sign}{value:.4g}" for name, value in facts.items()]


class TerminalBar:
    """A bar of tqdm's, with the facts behind it."""

    def __init__(self, bar: "tqdm[Any]") -> None:
        self.bar, self.facts = bar, Facts()

    def advance(self, count: int = 1, size: int = 0, **facts: float) -> None:
        """See runtime/progress.py."""
        if facts or size:
            self.bar.set_postfix_str(", ".join(self.facts.updated(size, facts, "=")), refresh=False)
        self.bar.update(count)


class LogBar:
    """A line every LINE_EVERY seconds: tqdm writes over a line that a log has kept already."""

    def __init__(self, title: str, total: int | None, unit: str, done: int) -> None:
        self.title, self.total, self.unit = title, total, unit
        self.earlier = self.done = done
        self.facts, self.latest = Facts(), ""
        self.begun = self.printed = time.monotonic()

    def advance(self, count: int = 1, size: int = 0, **facts: float) -> None:
        """See runtime/progress.py."""
        self.done += count
        if facts or size:
            self.latest = "".join(f", {fact}" for fact in self.facts.updated(size, facts, " "))
        if time.monotonic() - self.printed >= LINE_EVERY:
            self.print()

    def print(self) -> None:
        """The line as of now."""
        self.printed = time.monotonic()
        rate = (self.done - self.earlier) / max(self.printed - self.begun, 1e-9)
        left = f" of {self.total}, {(self.total - self.done) / rate:.0f} s left" if self.total and rate else ""
        print(f"{self.title}: {self.done}{left}, {rate:.1f} {self.unit}s/s{self.latest}", file=sys.stderr, flush=True)
