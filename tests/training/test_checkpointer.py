"""A run is saved now and then, and once more before it ends when it is asked to."""

from pathlib import Path

import pytest

from warehouse_classifier.training import checkpointer as keeping
from warehouse_classifier.training.checkpoint import TrainState
from warehouse_classifier.training.checkpointer import Checkpointer


class Clock:
    def __init__(self) -> None:
        self.now = 0.0
        self.kept: list[TrainState] = []
        self.asked = False

    def checkpointer(self, work: Path, seconds: float, monkeypatch: pytest.MonkeyPatch) -> Checkpointer:
        monkeypatch.setattr(keeping.time, "monotonic", lambda: self.now)
        return Checkpointer(work, lambda _, state: self.kept.append(state), seconds, lambda: self.asked)


def test_a_keeper_saves_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    checkpointer = clock.checkpointer(tmp_path, 10, monkeypatch)
    due = []
    for second in range(35):
        clock.now = float(second)
        if checkpointer.due():
            due.append(second)
            checkpointer.keep(TrainState(step=second))
    assert due == [11, 22, 33]
    assert clock.kept == [TrainState(step=11), TrainState(step=22), TrainState(step=33)]


def test_a_keeper_saves_and_ends_a_run_that_is_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    checkpointer = clock.checkpointer(tmp_path, 10, monkeypatch)
    checkpointer.keep(TrainState(step=1))
    clock.asked = True
    assert checkpointer.due()
    with pytest.raises(KeyboardInterrupt):
        checkpointer.keep(TrainState(step=2))
    assert clock.kept == [TrainState(step=1), TrainState(step=2)]
