"""A run is saved now and then, and once more before it ends when it is asked to."""

from pathlib import Path

import pytest

from warehouse_classifier.training import keeper as keeping
from warehouse_classifier.training.checkpoint import Position
from warehouse_classifier.training.keeper import Keeper


class Clock:
    def __init__(self) -> None:
        self.now = 0.0
        self.kept: list[Position] = []
        self.asked = False

    def keeper(self, work: Path, seconds: float, monkeypatch: pytest.MonkeyPatch) -> Keeper:
        monkeypatch.setattr(keeping.time, "monotonic", lambda: self.now)
        return Keeper(work, lambda _, position: self.kept.append(position), seconds, lambda: self.asked)


def test_a_keeper_saves_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    keeper = clock.keeper(tmp_path, 10, monkeypatch)
    due = []
    for second in range(35):
        clock.now = float(second)
        if keeper.due():
            due.append(second)
            keeper.keep(Position(step=second))
    assert due == [11, 22, 33]
    assert clock.kept == [Position(step=11), Position(step=22), Position(step=33)]


def test_a_keeper_saves_and_ends_a_run_that_is_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    keeper = clock.keeper(tmp_path, 10, monkeypatch)
    keeper.keep(Position(step=1))
    clock.asked = True
    assert keeper.due()
    with pytest.raises(KeyboardInterrupt):
        keeper.keep(Position(step=2))
    assert clock.kept == [Position(step=1), Position(step=2)]
