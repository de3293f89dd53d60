"""How many at once: all that was allowed, half after each "slow down", and slowly all again."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from warehouse_classifier.bucket import throttle
from warehouse_classifier.bucket.throttle import Throttle


def peak(of: Throttle, tasks: int = 40, *, well: bool = False) -> int:
    """The most that ran at once of so many tasks."""
    running, most, lock = 0, 0, threading.Lock()

    def task(_: int) -> None:
        nonlocal running, most
        with of.turn():
            with lock:
                running += 1
                most = max(most, running)
            until = time.monotonic() + 1
            while most < int(of.allowed) and time.monotonic() < until:  # threads may be slow to come
                time.sleep(0.001)
            time.sleep(0.005)
            with lock:
                running -= 1
        if well:
            of.went_well()

    with ThreadPoolExecutor(32) as pool:
        list(pool.map(task, range(tasks)))
    return most


def test_no_more_run_at_once_than_are_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    of = Throttle(16)
    assert peak(of) == 16
    of.slow_down()
    assert peak(of) == 8
    of.slow_down()  # an answer to what was sent before the first step says nothing of it
    assert peak(of) == 8
    monkeypatch.setattr(throttle, "SETTLE", 0)
    for fewer in (4, 2, 1, 1):
        of.slow_down()
        assert peak(of, 16) == fewer  # and never none at all


def test_what_goes_well_brings_all_back() -> None:
    of = Throttle(8)
    of.slow_down()
    for _ in range(4):
        of.went_well()
    assert peak(of) == 4
    of.went_well()
    assert peak(of) == 5
    assert peak(of, 200, well=True) == 8
    assert of.allowed == 8


def test_what_fails_gives_its_turn_back() -> None:
    of = Throttle(1)
    for _ in range(3):
        with pytest.raises(KeyError), of.turn():
            raise KeyError
    assert peak(of, 3) == 1
