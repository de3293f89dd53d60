"""Follow a job until it ends: its log, its state, what it costs, and its figures."""

import fcntl
import sys
import time
from pathlib import Path
from typing import Any, Self, TextIO

from tqdm import tqdm

from warehouse_classifier.compute import metrics_log
from warehouse_classifier.compute.sagemaker import aws
from warehouse_classifier.compute.sagemaker.job import Jobs, State
from warehouse_classifier.compute.sagemaker.logs import Line, Log
from warehouse_classifier.compute.sagemaker.settings import HOUR, Settings
from warehouse_classifier.runtime.errors import Fault
from warehouse_classifier.tracking.mlflow_run import Run

STATE_EVERY = 60.0  # seconds between lines of state in a log, when nothing changes
LATE = {"Completed": 30.0}  # seconds in which the last lines of a log may still come
MISSES = 3  # looks in a row that do not find a job which was there
SOON = 5.0  # of a job that failed, perhaps before it had any


class Follower:
    """Of one job, which may be left for a while."""

    def __init__(self, jobs: Jobs, name: str, run: Run, lock: Path) -> None:
        """`lock`: for followers on this machine, one of which passes figures on."""
        self.jobs, self.name, self.poll = jobs, name, jobs.settings.poll_seconds
        self.log, self.relay = Log(name, jobs.settings.region), Relay(run, lock)
        self.state: State | None = None  # as it was seen last
        self.missed = 0
        self.trouble = ""  # that was told

    def follow(self) -> State:
        """Until the job has ended, however long AWS or MLflow do not answer; what it was then."""
        until = None
        with Status(self.name, self.jobs.settings) as status:
            while True:
                try:
                    self.look(status)
                    trouble = self.relay.pass_on()
                except aws.Unreachable as fault:
                    trouble = f"{fault}; trying again"
                if trouble and trouble != self.trouble:
                    status.say(trouble)
                self.trouble = trouble
                ended = self.state is not None and self.state.ended
                if ended and self.state is not None:
                    until = until or time.monotonic() + LATE.get(self.state.status, SOON)
                    if self.relay.is_whole(self.state.status) or time.monotonic() > until:
                        self.relay.close()
                        return self.state
                time.sleep(min(self.poll, 1.0) if ended else self.poll)

    def look(self, status: "Status") -> None:
        state = self.jobs.state(self.name)
        if state is None:
            self.missed += 1
            if self.missed > MISSES:
                raise Fault(f"the job {self.name} is gone")
            return
        self.state, self.missed = state, 0
        status.show(state)
        for line in self.log.new():
            if not self.relay.took(line):
                status.say(line.text if state.machines[1] == 1 else f"{line.machine}: {line.text}")


class Relay:
    """Passes the figures in a log on to MLflow, each once, whoever else follows the job here."""

    def __init__(self, run: Run, lock: Path) -> None:
        self.run, self.waiting = run, list[tuple[float, dict[str, Any]]]()
        self.ended = ""  # the status that the stage's last life told
        lock.parent.mkdir(parents=True, exist_ok=True)
        self.lock: TextIO = lock.open("w")
        self.mine = False

    def took(self, line: Line) -> bool:
        """Whether it is a line of figures."""
        told = metrics_log.read(line.text)
        if told is not None:
            self.ended = str(told.get("ended", ""))  # until another machine goes on with a spot job
            self.waiting.append((line.at, told))
        return told is not None

    def is_whole(self, status: str) -> bool:
        """Whether a job that has ended so has nothing more to tell, and all of it is passed on."""
        return not (self.mine and self.waiting) and (
            self.ended == "FINISHED" if status == "Completed" else bool(self.ended)
        )

    def pass_on(self) -> str:
        """What MLflow has against it, or nothing; the figures then wait."""
        if not self.mine and self.waiting:
            try:
                fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return ""
            self.mine = True
        try:
            while self.waiting:
                at, told = self.waiting[0]
                if "values" in told:
                    self.run.measure(told.get("step"), told["values"], at)
                elif "host" in told:
                    self.run.tell(**told)
                del self.waiting[0]
        except Fault as fault:
            return f"{fault}; its figures wait"
        return ""

    def close(self) -> None:
        """When nothing more comes: whoever else has waited finds all of it in MLflow."""
        if self.mine:
            Path(self.lock.name).unlink(missing_ok=True)
        self.lock.close()


class Status:
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
        now = time.time()
        what = f"{state.status}, {state.phase}" if state.phase not in ("", state.status) else state.status
        line = f"{self.name}: {what}, {duration(state.seconds(now))}, {self.cost(state, now)}"
        if self.bar is not None:
            self.bar.set_description_str(line)
        elif what != self.shown or now - self.said >= STATE_EVERY:
            self.say(line)
            self.shown, self.said = what, now

    def cost(self, state: State, now: float) -> str:
        price = self.settings.price(*state.machines)
        if price is None:
            return "at a price that sagemaker.price_per_hour does not tell"
        so_far = "" if state.ended else " at most so far" if state.told.get("EnableManagedSpotTraining") else " so far"
        return f"about ${state.billed(now) / HOUR * price:.2f}{so_far}"

    def say(self, line: str) -> None:
        tqdm.write(line, file=sys.stderr)


def duration(seconds: float) -> str:
    minutes, left = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{left:02} h" if hours else f"{minutes}:{left:02} min"
