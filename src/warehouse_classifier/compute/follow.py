"""Follow a job until it ends: its log, its state, what it costs, and its figures."""

import fcntl
import sys
import time
from pathlib import Path
from typing import Any, Self, TextIO

from tqdm import tqdm

from warehouse_classifier.compute import figures
from warehouse_classifier.compute.job import Jobs, State
from warehouse_classifier.compute.log import Line, Log
from warehouse_classifier.compute.settings import HOUR
from warehouse_classifier.fault import Fault
from warehouse_classifier.tracking import Run

STATE_EVERY = 60.0  # seconds between lines of state in a log, when nothing changes
LATE = {"Completed": 30.0}  # seconds in which the last lines of a log may still come
SOON = 5.0  # of a job that failed, perhaps before it had any


def follow(jobs: Jobs, name: str, run: Run, lock: Path) -> State:
    """Until the job has ended; what it was then. `lock`: for followers on this machine, one of which passes figures on."""
    log, relay, poll = Log(name, jobs.settings.region), Relay(run, lock), jobs.settings.poll_seconds
    alone = jobs.settings.instance(jobs.plan.stage).count == 1
    until = None
    with Status(name, jobs.settings.price(jobs.plan.stage)) as status:
        while True:
            state = jobs.state(name)
            if state is None:
                raise Fault(f"the job {name} is gone")
            status.show(state)
            for line in log.new():
                if not relay.took(line):
                    status.say(line.text if alone else f"{line.machine}: {line.text}")
            relay.pass_on()
            if state.ended:
                until = until or time.monotonic() + LATE.get(state.status, SOON)
                if relay.complete or time.monotonic() > until:
                    relay.close()
                    return state
            time.sleep(min(poll, 1.0) if state.ended else poll)


class Relay:
    """Passes the figures in a log on to MLflow, each once, whoever else follows the job here."""

    def __init__(self, run: Run, lock: Path) -> None:
        self.run, self.waiting = run, list[tuple[float, dict[str, Any]]]()
        self.complete = False  # nothing more comes
        lock.parent.mkdir(parents=True, exist_ok=True)
        self.lock: TextIO = lock.open("w")
        self.mine = False

    def took(self, line: Line) -> bool:
        """Whether it is a line of figures."""
        told = figures.read(line.text)
        if told is not None:
            self.complete = "ended" in told  # until another machine goes on with a spot job
            self.waiting.append((line.at, told))
        return told is not None

    def pass_on(self) -> None:
        if not self.mine and self.waiting:
            try:
                fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            self.mine = True
        for at, told in self.waiting:
            if "values" in told:
                self.run.measure(told.get("step"), told["values"], at)
            elif "host" in told:
                self.run.tell(**told)
        self.waiting = []

    def close(self) -> None:
        """When nothing more comes: whoever else has waited finds all of it in MLflow."""
        if self.mine:
            Path(self.lock.name).unlink(missing_ok=True)
        self.lock.close()


class Status:
    """One line at the bottom of a terminal, or a line in a log when something changes."""

    def __init__(self, name: str, price: float | None) -> None:
        self.name, self.price = name, price
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
        now = time.time()
        what = f"{state.status}, {state.phase}" if state.phase not in ("", state.status) else state.status
        line = f"{self.name}: {what}, {duration(state.seconds(now))}, {self.cost(state, now)}"
        if self.bar is not None:
            self.bar.set_description_str(line)
        elif what != self.shown or now - self.said >= STATE_EVERY:
            self.say(line)
            self.shown, self.said = what, now

    def cost(self, state: State, now: float) -> str:
        if self.price is None:
            return "at a price that sagemaker.price_per_hour does not tell"
        so_far = "" if state.ended else " at most so far" if state.told.get("EnableManagedSpotTraining") else " so far"
        return f"about ${state.billed(now) / HOUR * self.price:.2f}{so_far}"

    def say(self, line: str) -> None:
        tqdm.write(line, file=sys.stderr)


def duration(seconds: float) -> str:
    minutes, left = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{left:02} h" if hours else f"{minutes}:{left:02} min"
