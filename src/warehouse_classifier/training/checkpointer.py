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
        self, work: Path, save: Callable[[Path, TrainState], None], seconds: float, stop_requested: Callable[[], bool]
    ) -> None:
        """`save` writes a checkpoint of a state into `work`, `seconds` after the last one or when `stop_requested()`."""
        self._work, self._save, self._seconds, self._stop_requested = work, save, seconds, stop_requested
        self._saved = time.monotonic()

    def due(self) -> bool:
        """Whether `keep` is to be called after this step."""
        return self._stop_requested() or time.monotonic() - self._saved > self._seconds

    def keep(self, state: TrainState) -> None:
        """Save a checkpoint. Raises KeyboardInterrupt then if the run is to end."""
        self._save(self._work, state)
        self._saved = time.monotonic()
        if self._stop_requested():
            raise KeyboardInterrupt


def interval() -> float:
    """Seconds from one checkpoint within an epoch to the next, which is what a kill -9 costs at most.

    It changes no result, so it is no parameter. Raises UserError if the environment says something that is no number.
    """
    value = os.environ.get(VARIABLE) or "120"
    try:
        seconds = float(value)
    except ValueError:
        seconds = -1.0
    if not seconds >= 0:
        raise UserError(f"{VARIABLE} is {value}, it must be a number of seconds; unset it for 120")
    return seconds
