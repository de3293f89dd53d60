"""How many requests a busy server is sent at once: fewer when it says that it is busy, slowly more again when it is not."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

SETTLE = 0.5  # seconds: answers to what was sent before the last step down say nothing of it


class Throttle:
    """At most `concurrency` at once; half as many after "slow down", one more for every so many that went well."""

    def __init__(self, concurrency: int) -> None:
        self.concurrency = concurrency
        self.allowed = float(concurrency)
        self._running = 0
        self._changed = threading.Condition()
        self._stepped = 0.0

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for a turn, and hold it for the block."""
        with self._changed:
            while self._running >= max(1, int(self.allowed)):
                self._changed.wait()
            self._running += 1
        try:
            yield
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify()

    def went_well(self) -> None:
        if self.allowed < self.concurrency:  # read without the lock: the usual case is that there is nothing to do
            with self._changed:
                self.allowed = min(self.concurrency, self.allowed + 1 / self.allowed)
                self._changed.notify()

    def slow_down(self) -> None:
        with self._changed:
            if time.monotonic() - self._stepped > SETTLE:
                self.allowed = max(1.0, self.allowed / 2)
                self._stepped = time.monotonic()
