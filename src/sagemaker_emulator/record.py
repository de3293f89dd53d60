"""What the service tells of a job: its states, their times, and what it costs."""

import math
import threading
import time
from typing import Any

from sagemaker_emulator.cloud import ACCOUNT, REGION
from sagemaker_emulator.limits import DAY, INVALID, Refusal

SAYS = {
    "Starting": "Preparing the instances for training",
    "Downloading": "Downloading input data",
    "Training": "Training image download completed. Training in progress.",
    "Interrupted": "Training job interrupted",
    "Stopping": "Stopping the training job",
    "Uploading": "Uploading generated training model",
    "Completed": "Training job completed",
    "Failed": "Training job failed",
    "Stopped": "Training job stopped",
    "MaxRuntimeExceeded": "Training job runtime exceeded MaxRuntimeInSeconds provided",
    "MaxWaitTimeExceeded": "Training job wait time exceeded MaxWaitTimeInSeconds provided",
}
AT_WORK = ("Starting", "Downloading", "Training", "Interrupted")
AS_ASKED = (
    "AlgorithmSpecification", "CheckpointConfig", "EnableInterContainerTrafficEncryption", "EnableManagedSpotTraining",
    "Environment", "HyperParameters", "InputDataConfig", "OutputDataConfig", "ResourceConfig", "RoleArn",
)  # fmt: skip


class Record:
    """Read and written from several threads."""

    def __init__(self, request: dict[str, Any]) -> None:
        self.request, self.name = request, str(request["TrainingJobName"])
        self.arn = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:training-job/{self.name.lower()}"
        self.output = f"{request['OutputDataConfig']['S3OutputPath'].rstrip('/')}/{self.name}/output"
        self.limits: dict[str, int] = {"MaxRuntimeInSeconds": DAY, **request.get("StoppingCondition", {})}
        self.created = self.modified = _now()
        self.status, self.secondary, self.reason, self.model = "InProgress", "", "", ""
        self.stop_as = ""  # the secondary status that it will end with, once it is to end before its time
        self.transitions: list[dict[str, Any]] = []
        self.rented: list[tuple[float, float | None]] = []  # from when to when it had instances
        self.lock = threading.RLock()
        self.enter("Starting")

    def describe(self) -> dict[str, Any]:
        """As DescribeTrainingJob answers."""
        with self.lock:
            begun = self.rented[0][0] if self.rented else None
            ended = self.rented[-1][1] if self.rented and not self.is_running() else None
            job = {
                "TrainingJobName": self.name,
                "TrainingJobArn": self.arn,
                "ModelArtifacts": {"S3ModelArtifacts": self.model} if self.model else None,
                "TrainingJobStatus": self.status,
                "SecondaryStatus": self.secondary,
                "FailureReason": self.reason or None,
                "StoppingCondition": self.limits,
                "CreationTime": self.created,
                "TrainingStartTime": begun,
                "TrainingEndTime": ended,
                "LastModifiedTime": self.modified,
                "SecondaryStatusTransitions": [dict(transition) for transition in self.transitions],
                "TrainingTimeInSeconds": _seconds((ended or _now()) - begun) if begun else None,
                "BillableTimeInSeconds": _seconds(self.worked()) if ended else None,
                **{name: self.request.get(name) for name in AS_ASKED},
            }
        return {name: value for name, value in job.items() if value is not None}

    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self.status in ("InProgress", "Stopping")

    def worked(self) -> float:
        """Seconds in which it had instances."""
        with self.lock:
            return sum((end or _now()) - start for start, end in self.rented)

    def enter(self, secondary: str) -> None:
        """Note a secondary status and its time; none of work, once the job was stopped."""
        with self.lock:
            if self.stop_as and secondary in AT_WORK:  # it was stopped meanwhile
                return
            self.modified = _now()
            if self.transitions:
                self.transitions[-1]["EndTime"] = self.modified
            self.transitions.append({"Status": secondary, "StartTime": self.modified, "StatusMessage": SAYS[secondary]})
            self.secondary = secondary

    def rent(self) -> None:
        """From now on it has instances, and is billed."""
        with self.lock:
            self.rented.append((_now(), None))
            self.enter("Downloading")

    def give_back(self) -> None:
        """From now on it has no instances."""
        with self.lock:
            self.rented = [(start, end or _now()) for start, end in self.rented]

    def stop(self) -> None:
        """As StopTrainingJob does. Raises Refusal if it has ended."""
        with self.lock:
            if self.status != "InProgress":
                says = f"The request was rejected because the training job is in status {self.status}."
                raise Refusal(INVALID, says)
            self._stop_as("Stopped")

    def check_timeouts(self) -> None:
        """Stop the job if MaxRuntimeInSeconds or MaxWaitTimeInSeconds are over."""
        with self.lock:
            wait = self.limits.get("MaxWaitTimeInSeconds")
            if self.stop_as:
                return
            if self.worked() > self.limits["MaxRuntimeInSeconds"]:
                self._stop_as("MaxRuntimeExceeded")
            elif wait is not None and _now() - self.created > wait:
                self._stop_as("MaxWaitTimeExceeded")

    def end(self, secondary: str, reason: str = "") -> None:
        """Note the end. `secondary`: the last secondary status, which tells Completed, Failed or Stopped."""
        with self.lock:
            if secondary == "Completed" and self.stop_as:  # it was asked for while the model was sent
                secondary = self.stop_as
            self.give_back()
            self.reason, self.status = reason, secondary if secondary in ("Completed", "Failed") else "Stopped"
            self.enter(secondary)
            self.transitions[-1]["EndTime"] = self.modified

    def _stop_as(self, secondary: str) -> None:
        self.stop_as, self.status = secondary, "Stopping"
        self.enter("Stopping")


def _now() -> float:
    """As the service has it, to the millisecond."""
    return round(time.time(), 3)


def _seconds(lasted: float) -> int:
    return max(math.ceil(lasted), 1)
