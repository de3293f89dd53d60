"""Passes the metrics in a job's log on to MLflow."""

from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from warehouse_classifier.compute import metrics_log
from warehouse_classifier.compute.sagemaker.logs import Line
from warehouse_classifier.runtime.errors import UserError
from warehouse_classifier.tracking.mlflow_run import MlflowRun


class Relay:
    """Passes each metric on once, whoever else follows the job on this machine: one of them holds the lock."""

    def __init__(self, run: MlflowRun, lock: Path) -> None:
        lock.parent.mkdir(parents=True, exist_ok=True)
        self.run, self.lock = run, FileLock(lock, blocking=False)
        self.waiting: list[tuple[float, dict[str, Any]]] = []  # seconds since 1970, and what metrics_log has read
        self.ended = ""  # the status with which the stage ended last

    def took(self, line: Line) -> bool:
        """Whether it is a line of metrics."""
        message = metrics_log.read(line.text)
        if message is not None:
            self.ended = str(message.get("ended", ""))  # nothing again once another machine goes on with a spot job
            self.waiting.append((line.at, message))
        return message is not None

    def is_whole(self, status: str) -> bool:
        """Whether a job that ended with `status` has nothing more to say, and all of it is passed on."""
        return not (self.lock.is_locked and self.waiting) and (
            self.ended == "FINISHED" if status == "Completed" else bool(self.ended)
        )

    def pass_on(self) -> str:
        """What MLflow has against it, or nothing; the metrics then wait."""
        try:
            if self.waiting and not self.lock.is_locked:
                self.lock.acquire()
            while self.waiting:
                at, message = self.waiting[0]
                if "values" in message:
                    self.run.measure(message.get("step"), message["values"], at)
                elif "host" in message:
                    self.run.set_tags(**message)
                del self.waiting[0]
        except Timeout:  # another follower passes them on
            return ""
        except UserError as error:
            return f"{error}; its figures wait"
        return ""

    def close(self) -> None:
        """When nothing more comes: whoever else has waited finds all of it in MLflow."""
        if self.lock.is_locked:
            Path(self.lock.lock_file).unlink(missing_ok=True)
        self.lock.release()
