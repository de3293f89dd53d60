"""Passes the figures in a job's log on to MLflow."""

import fcntl
from pathlib import Path
from typing import Any, TextIO

from warehouse_classifier.compute import metrics_log
from warehouse_classifier.compute.sagemaker.logs import Line
from warehouse_classifier.runtime.errors import UserError
from warehouse_classifier.tracking.mlflow_run import MlflowRun


class Relay:
    """Passes the figures in a log on to MLflow, each once, whoever else follows the job here."""

    def __init__(self, run: MlflowRun, lock: Path) -> None:
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
                    self.run.set_tags(**told)
                del self.waiting[0]
        except UserError as fault:
            return f"{fault}; its figures wait"
        return ""

    def close(self) -> None:
        """When nothing more comes: whoever else has waited finds all of it in MLflow."""
        if self.mine:
            Path(self.lock.name).unlink(missing_ok=True)
        self.lock.close()
