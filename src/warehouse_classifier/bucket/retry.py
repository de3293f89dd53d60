"""When to ask again what was asked for in vain, and when to give up on the whole bucket."""

import math
import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from warehouse_classifier.bucket.client import Client
from warehouse_classifier.bucket.errors import TransientError
from warehouse_classifier.bucket.throttle import Throttle
from warehouse_classifier.runtime.errors import UserError

SILENCE = 300.0  # seconds without one good answer after which the bucket as a whole counts as out of reach
FIRST_SILENCE = 8.0  # the same before the first good answer: a wrong address should be reported soon
TRIES_WRONG = 10  # of what is not what was listed: three in ten spoiled at random leave 6 in a million
PAUSES = (0.1, 10.0)  # seconds before a second try, doubled up to the longest


class Retries:
    """What the answers of one bucket tell of it, kept for all threads that ask it."""

    def __init__(self, client: Client, concurrency: int) -> None:
        self.client, self.concurrency = client, concurrency
        self.throttle = Throttle(concurrency)
        self.errors = 0  # tries that failed, each followed by another
        self.answers = 0  # good ones; not locked: a lost update does no harm
        self._silent_since: float | None = None  # None while answers come
        self._own = threading.local()  # of each thread: the event that ends its waiting

    @contextmanager
    def threads(self) -> Iterator[ThreadPoolExecutor]:
        """A pool of as many threads as may ask at once. They are not waited for: whoever waits for an answer then, waits in vain."""
        over = threading.Event()
        pool = ThreadPoolExecutor(self.concurrency, initializer=lambda: setattr(self._own, "over", over))
        try:
            yield pool
        finally:
            over.set()
            pool.shutdown(wait=False, cancel_futures=True)

    def answered(self) -> None:
        """Count an answer: the bucket can be reached."""
        self.answers += 1
        self._silent_since = None

    def wait_after(self, error: TransientError, tries: int, key: str) -> None:
        """Count what failed and wait for the time of the next try. Raises UserError if no answer has come for long."""
        self.errors += 1
        asked_to_wait = None
        if error.busy:
            self.throttle.slow_down()
            asked_to_wait = self.client.asked_to_wait(key)
        now = time.monotonic()
        since = self._silent_since = self._silent_since or now
        if now - since > (SILENCE if self.answers or asked_to_wait is not None else FIRST_SILENCE):
            self.client.refuse(f"cannot be reached; check the network and AWS_ENDPOINT_URL ({error})")
        self.pause(tries)
        if asked_to_wait is not None:
            self._sleep(asked_to_wait)

    def pause_after(self, tries: int, longest: float = math.inf) -> None:
        """Count a wrong answer, and pause before the next try."""
        self.errors += 1
        self.pause(tries, longest)

    def pause(self, tries: int, longest: float = math.inf) -> None:
        """Ever longer with each of the `tries`, by a random share: those that failed together do not ask again together."""
        self._sleep(min(longest, PAUSES[1], PAUSES[0] * 2 ** min(tries - 1, 20)) * random.uniform(0.5, 1))

    def _sleep(self, seconds: float) -> None:
        over: threading.Event = getattr(self._own, "over", None) or threading.Event()
        if over.wait(seconds):
            raise UserError("nobody waits for this any more")
