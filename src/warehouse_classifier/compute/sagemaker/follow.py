"""Follow a job until it ends: its log, its state, what it costs, and its figures."""

import time
from pathlib import Path

from warehouse_classifier.compute.sagemaker import aws
from warehouse_classifier.compute.sagemaker.job import Jobs
from warehouse_classifier.compute.sagemaker.logs import Log
from warehouse_classifier.compute.sagemaker.relay import Relay
from warehouse_classifier.compute.sagemaker.state import State
from warehouse_classifier.compute.sagemaker.status_line import StatusLine
from warehouse_classifier.runtime.errors import UserError
from warehouse_classifier.tracking.mlflow_run import MlflowRun

LATE = {"Completed": 30.0}  # seconds in which the last lines of a log may still come
MISSES = 3  # looks in a row that do not find a job which was there
SOON = 5.0  # of a job that failed, perhaps before it had any


class Follower:
    """Of one job, which may be left for a while."""

    def __init__(self, jobs: Jobs, name: str, run: MlflowRun, lock: Path) -> None:
        """`lock`: for followers on this machine, one of which passes figures on."""
        self.jobs, self.name, self.poll = jobs, name, jobs.settings.poll_seconds
        self.log, self.relay = Log(name, jobs.settings.region), Relay(run, lock)
        self.state: State | None = None  # as it was seen last
        self.missed = 0
        self.trouble = ""  # that was told

    def follow(self) -> State:
        """Until the job has ended, however long AWS or MLflow do not answer; what it was then."""
        until = None
        with StatusLine(self.name, self.jobs.settings) as status:
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

    def look(self, status: StatusLine) -> None:
        """Once at its state and its log. Raises UserError if the job is gone, Unreachable if AWS does not answer."""
        state = self.jobs.state(self.name)
        if state is None:
            self.missed += 1
            if self.missed > MISSES:
                raise UserError(f"the job {self.name} is gone")
            return
        self.state, self.missed = state, 0
        status.show(state)
        for line in self.log.new():
            if not self.relay.took(line):
                status.say(line.text if state.machines[1] == 1 else f"{line.machine}: {line.text}")
