"""How a Training job stands."""

from dataclasses import dataclass
from typing import Any

ENDED = ("Completed", "Failed", "Stopped")


@dataclass(frozen=True)
class State:
    """A job as DescribeTrainingJob has it."""

    job: dict[str, Any]

    @property
    def status(self) -> str:
        """InProgress, Stopping, Completed, Failed or Stopped."""
        return str(self.job["TrainingJobStatus"])

    @property
    def phase(self) -> str:
        """Such as Starting, Downloading, Training, Interrupted, Uploading."""
        return str(self.job.get("SecondaryStatus", ""))

    @property
    def ended(self) -> bool:
        """Whether nothing more comes of it."""
        return self.status in ENDED

    @property
    def machines(self) -> tuple[str, int]:
        """Their type and count, which the settings may have changed since."""
        resources = self.job["ResourceConfig"]
        return str(resources["InstanceType"]), int(resources["InstanceCount"])

    @property
    def image(self) -> str:
        """The address of the environment that it runs in."""
        return str(self.job["AlgorithmSpecification"]["TrainingImage"])

    @property
    def reason(self) -> str:
        """Why it failed, in one line; empty where it has not."""
        return " ".join(str(self.job.get("FailureReason") or "").split())

    def seconds(self, now: float) -> float:
        """Since it was asked for, until `now` (seconds since 1970) or its end."""
        return self._since("CreationTime", now)

    def billed(self, now: float) -> float:
        """Seconds to pay for so far: AWS's own count once it is there, which knows how much cheaper a spot machine was."""
        if "BillableTimeInSeconds" in self.job and self.ended:
            return float(self.job["BillableTimeInSeconds"])
        return self._since("TrainingStartTime", now) if "TrainingStartTime" in self.job else 0.0

    def _since(self, moment: str, now: float) -> float:
        end = self.job["TrainingEndTime"].timestamp() if "TrainingEndTime" in self.job else now
        return max(float(end - self.job[moment].timestamp()), 0.0)
