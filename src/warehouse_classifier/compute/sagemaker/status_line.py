"""How a job stands, how long it has run and what it costs, as people read it."""

import sys
import time
from typing import Any, Self

from tqdm import tqdm

from warehouse_classifier.compute.sagemaker.settings import HOUR, Settings
from warehouse_classifier.compute.sagemaker.state import State

SHOW_EVERY = 60.0  # seconds between lines of state in a log, when nothing changes


class StatusLine:
    """One line at the bottom of a terminal, or a line in a log when something changes."""

    def __init__(self, name: str, settings: Settings) -> None:
        self.name, self.settings = name, settings
        self.shown, self.shown_at = "", 0.0
        self.bar: tqdm[Any] | None = None

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            self.bar = tqdm(total=0, bar_format="{desc}", dynamic_ncols=True, leave=False)
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.close()

    def show(self, state: State) -> None:
        """The state as it is now; in a log only if it has changed, or after SHOW_EVERY."""
        now = time.time()
        phase = f"{state.status}, {state.phase}" if state.phase not in ("", state.status) else state.status
        line = f"{self.name}: {phase}, {duration(state.seconds(now))}, {self.cost(state, now)}"
        if self.bar is not None:
            self.bar.set_description_str(line)
        elif phase != self.shown or now - self.shown_at >= SHOW_EVERY:
            say(line)
            self.shown, self.shown_at = phase, now

    def cost(self, state: State, now: float) -> str:
        """In dollars, until `now` (seconds since 1970), or that nobody knows the price."""
        price = self.settings.price(*state.machines)
        if price is None:
            return "at a price that sagemaker.price_per_hour does not tell"
        so_far = "" if state.ended else " at most so far" if state.job.get("EnableManagedSpotTraining") else " so far"
        return f"about ${state.billed(now) / HOUR * price:.2f}{so_far}"


def say(line: str) -> None:
    """A line on stderr, above the status line if there is one."""
    tqdm.write(line, file=sys.stderr)


def duration(seconds: float) -> str:
    """As people tell it: 1:01 min, 1:00:00 h."""
    minutes, left = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{left:02} h" if hours else f"{minutes}:{left:02} min"
