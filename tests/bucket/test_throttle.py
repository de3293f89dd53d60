"""How many at once: all that was allowed, half after each "slow down", and slowly all again."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from warehouse_classifier.bucket import throttle
from warehouse_classifier.bucket.throttle import Throttle


def peak(gate: Throttle, tasks: int = 40, *, well: bool = False) -> int:
    """The most that ran at once of so many tasks."""
    running, most, lock = 0, 0, threading.Lock()

    def task(_: int) -> None:
        nonlocal running, most
        with gate.turn():
            with lock:
                running += 1
                most = max(most, running)
            until = time.monotonic() + 1
            while most < int(gate.allowed) and time.monotonic() < until:  # threads may be slow to come
                time.sleep(0.001)
            time.sleep(0.005)
            with lock:
                running -= 1
        if well:
            gate.went_well()

    with ThreadPoolExecutor(32) as pool:
        list(pool.map(task, range(tasks)))
    return most


def test_no_more_run_at_once_than_are_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Throttle(16)
    assert peak(gate) == 16
    gate.slow_down()
    assert peak(gate) == 8
    gate.slow_down()  # an answer to what was sent before the first step says nothing of it
    assert peak(gate) == 8
    monkeypatch.setattr(throttle, "SETTLE", 0)
    for fewer in (4, 2, 1, 1):
        gate.slow_down()
        assert peak(gate, 16) == fewer  # and never none at all


def test_what_goes_well_brings_all_back() -> None:
    gate = Throttle(8)
    gate.slow_down()
    for _ in range(4):
        gate.went_well()
    assert peak(gate) == 4
    gate.went_well()
    assert peak(gate) == 5
    assert peak(gate, 200, well=True) == 8
    assert gate.allowed == 8


def test_what_fails_gives_its_turn_back() -> None:
    gate = Throttle(1)
    for _ in range(3):
        with pytest.raises(KeyError), gate.turn():
            raise KeyError
    assert peak(gate, 3) == 1
