"""How a job stands, how long it has run and what it costs, as people read it."""

import sys
import time
from typing import Any, Self

from tqdm import tqdm

from warehouse_classifier.compute.sagemaker.settings import HOUR, Settings
from warehouse_classifier.compute.sagemaker.state import State

STATE_EVERY = 60.0  # seconds between lines of state in a log, when nothing changes


class StatusLine:
    """One line at the bottom of a terminal, or a line in a log when something changes."""

    def __init__(self, name: str, settings: Settings) -> None:
        self.name, self.settings = name, settings
        self.shown, self.said = "", 0.0
        self.bar: tqdm[Any] | None = None

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            self.bar = tqdm(total=0, bar_format="{desc}", dynamic_ncols=True, leave=False)
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.close()

    def show(self, state: State) -> None:
        """The state as it is now; in a log only if it has changed, or after STATE_EVERY."""
        now = time.time()
        what = f"{state.status}, {state.phase}" if state.phase not in ("", state.status) else state.status
        line = f"{self.name}: {what}, {duration(state.seconds(now))}, {self.cost(state, now)}"
        if self.bar is not None:
            self.bar.set_description_str(line)
        elif what != self.shown or now - self.said >= STATE_EVERY:
            self.say(line)
            self.shown, self.said = what, now

    def cost(self, state: State, now: float) -> str:
        """In dollars, until `now` (seconds since 1970), or that nobody knows the price."""
        price = self.settings.price(*state.machines)
        if price is None:
            return "at a price that sagemaker.price_per_hour does not tell"
        so_far = "" if state.ended else " at most so far" if state.told.get("EnableManagedSpotTraining") else " so far"
        return f"about ${state.billed(now) / HOUR * price:.2f}{so_far}"

    def say(self, line: str) -> None:
        """A line of its own, above the status."""
        tqdm.write(line, file=sys.stderr)


def duration(seconds: float) -> str:
    """As people tell it: 1:01 min, 1:00:00 h."""
    minutes, left = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{left:02} h" if hours else f"{minutes}:{left:02} min"
