"""When a run saves: now and then, and when it is asked to end."""

import os
import time
from collections.abc import Callable
from pathlib import Path

from warehouse_classifier.runtime.errors import UserError
from warehouse_classifier.training.checkpoint import TrainState

VARIABLE = "CHECKPOINT_SECONDS"


class Checkpointer:
    """Saves now and then, and when the run is asked to end."""

    def __init__(
        self, work: Path, save: Callable[[Path, TrainState], None], seconds: float, asked: Callable[[], bool]
    ) -> None:
        """`save`: puts a position and all that belongs to it into `work`. `asked`: whether the run is to end."""
        self._work, self._save, self._seconds, self._asked = work, save, seconds, asked
        self._saved = time.monotonic()

    def due(self) -> bool:
        """Whether `keep` is to be called at the next step that can be gone on from."""
        return self._asked() or time.monotonic() - self._saved > self._seconds

    def keep(self, position: TrainState) -> None:
        """Raises KeyboardInterrupt if the run is to end, when all is saved."""
        self._save(self._work, position)
        self._saved = time.monotonic()
        if self._asked():
            raise KeyboardInterrupt


def interval() -> float:
    """Seconds from one checkpoint within an epoch to the next, which is what a kill -9 costs at most.

    It changes no result, so it is no parameter. Raises UserError if the environment says something that is no number.
    """
    said = os.environ.get(VARIABLE) or "120"
    try:
        seconds = float(said)
    except ValueError:
        seconds = -1.0
    if not seconds >= 0:
        raise UserError(f"{VARIABLE} is {said}, it must be a number of seconds; unset it for 120")
    return seconds
