"""What whoever reads along sees: bars on a terminal, plain lines in a log; figures go to the run as well."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from tqdm import tqdm

LINE_EVERY = 10.0  # seconds between lines of progress in a log
QUIET = ("learning_rate", "images_per_second", "memory_mib")


class Run(Protocol):
    """Where figures are kept."""

    def measure(self, step: int | None, values: dict[str, float]) -> None: ...

    def end(self, status: str) -> None: ...


class Screen:
    """A Progress (see runtime/progress.py) for people."""

    def __init__(self, run: Run | None = None) -> None:
        """Without a run nothing is kept."""
        self.run = run

    @contextmanager
    def bar(self, title: str, total: int | None, unit: str, done: int = 0) -> Iterator["TerminalBar | LogBar"]:
        if sys.stderr.isatty():
            shown: tqdm[Any]
            with tqdm(total=total, initial=done, desc=title, unit=f" {unit}", dynamic_ncols=True) as shown:
                yield TerminalBar(shown)
        else:
            bar = LogBar(title, total, unit, done)
            yield bar
            bar.show()

    def measure(self, step: int | None = None, **values: float) -> None:
        if self.run:
            self.run.measure(step, values)
        if step is not None:
            said = (f"{name} {value:.4g}" for name, value in values.items() if name not in (*QUIET, "epoch"))
            self.say(f"epoch {step}: {', '.join(said)}")

    def say(self, line: str) -> None:
        tqdm.write(line, file=sys.stderr)


class TerminalBar:
    def __init__(self, shown: "tqdm[Any]") -> None:
        self.shown = shown
        self.flow = Flow()

    def advance(self, count: int = 1, size: int = 0, **facts: float) -> None:
        if facts or size:
            said = {name: f"{value:.4g}" for name, value in facts.items()}
            self.shown.set_postfix_str(", ".join([*self.flow.of(size), *(f"{k}={v}" for k, v in said.items())]), False)
        self.shown.update(count)


class LogBar:
    def __init__(self, title: str, total: int | None, unit: str, done: int) -> None:
        self.title, self.total, self.unit = title, total, unit
        self.earlier = self.done = done
        self.facts = ""
        self.flow = Flow()
        self.begun = self.shown = time.monotonic()

    def advance(self, count: int = 1, size: int = 0, **facts: float) -> None:
        self.done += count
        if facts or size:
            said = [*self.flow.of(size), *(f"{name} {value:.4g}" for name, value in facts.items())]
            self.facts = "".join(f", {fact}" for fact in said)
        if time.monotonic() - self.shown >= LINE_EVERY:
            self.show()

    def show(self) -> None:
        self.shown = time.monotonic()
        took = max(self.shown - self.begun, 1e-9)
        rate = (self.done - self.earlier) / took
        left = f" of {self.total}, {(self.total - self.done) / rate:.0f} s left" if self.total and rate else ""
        print(f"{self.title}: {self.done}{left}, {rate:.1f} {self.unit}s/s{self.facts}", file=sys.stderr, flush=True)


class Flow:
    """Megabytes a second, over all of the time since the first byte was awaited."""

    def __init__(self) -> None:
        self.bytes, self.begun = 0, time.monotonic()

    def of(self, size: int) -> list[str]:
        self.bytes += size
        return [f"{self.bytes / 1e6 / max(time.monotonic() - self.begun, 1e-9):.1f} MB/s"] if self.bytes else []
