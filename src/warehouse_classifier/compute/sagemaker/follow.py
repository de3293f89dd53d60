"""Follow a job until it ends: its log, its state, what it costs, and its metrics."""

import time
from pathlib import Path

from warehouse_classifier.compute.sagemaker import aws
from warehouse_classifier.compute.sagemaker.job import Jobs
from warehouse_classifier.compute.sagemaker.logs import Log
from warehouse_classifier.compute.sagemaker.relay import Relay
from warehouse_classifier.compute.sagemaker.state import State
from warehouse_classifier.compute.sagemaker.status_line import StatusLine, say
from warehouse_classifier.runtime.errors import UserError
from warehouse_classifier.tracking.mlflow_run import MlflowRun

# seconds after a job's end in which the last lines of its log may still come; one that failed perhaps never had any
LATE_COMPLETED, LATE = 30.0, 5.0
MAX_MISSES = 3  # polls in a row that may not find a job which was there


class Follower:
    """Of one job, which may be left for a while."""

    def __init__(self, jobs: Jobs, name: str, run: MlflowRun, lock: Path) -> None:
        """`lock`: shared by the followers on this machine, one of which passes metrics on to `run`."""
        self.jobs, self.name, self.poll = jobs, name, jobs.settings.poll_seconds
        self.log, self.relay = Log(name, jobs.settings.region), Relay(run, lock)
        self.state: State | None = None  # as it was seen last
        self.misses = 0
        self.trouble = ""  # shown last

    def follow(self) -> State:
        """Wait for the job's end, however long AWS or MLflow do not answer; its last state. Raises UserError as `look` does."""
        until = None
        with StatusLine(self.name, self.jobs.settings) as status:
            while True:
                try:
                    self.look(status)
                    trouble = self.relay.pass_on()
                except aws.Unreachable as error:
                    trouble = f"{error}; trying again"
                if trouble and trouble != self.trouble:
                    say(trouble)
                self.trouble = trouble
                state = self.state
                if state is None or not state.ended:
                    time.sleep(self.poll)
                    continue
                until = until or time.monotonic() + (LATE_COMPLETED if state.status == "Completed" else LATE)
                if self.relay.is_whole(state.status) or time.monotonic() > until:
                    self.relay.close()
                    return state
                time.sleep(min(self.poll, 1.0))

    def look(self, status: StatusLine) -> None:
        """Read the job's state and log once. Raises UserError if the job is gone, Unreachable if AWS does not answer."""
        state = self.jobs.state(self.name)
        if state is None:
            self.misses += 1
            if self.misses > MAX_MISSES:
                raise UserError(f"the job {self.name} is gone")
            return
        self.state, self.misses = state, 0
        status.show(state)
        for line in self.log.new():
            if not self.relay.took(line):
                say(line.text if state.machines[1] == 1 else f"{line.machine}: {line.text}")
