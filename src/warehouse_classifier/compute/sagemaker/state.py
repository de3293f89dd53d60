"""How a Training job stands."""

from dataclasses import dataclass
from typing import Any

ENDED = ("Completed", "Failed", "Stopped")


@dataclass(frozen=True)
class State:
    """How a job stands."""

    told: dict[str, Any]  # as DescribeTrainingJob has it

    @property
    def status(self) -> str:
        """InProgress, Stopping, Completed, Failed or Stopped."""
        return str(self.told["TrainingJobStatus"])

    @property
    def phase(self) -> str:
        """Such as Starting, Downloading, Training, Interrupted, Uploading."""
        return str(self.told.get("SecondaryStatus", ""))

    @property
    def ended(self) -> bool:
        """Whether nothing more comes of it."""
        return self.status in ENDED

    @property
    def machines(self) -> tuple[str, int]:
        """Their type and count, which the settings may have changed since."""
        told = self.told["ResourceConfig"]
        return str(told["InstanceType"]), int(told["InstanceCount"])

    @property
    def image(self) -> str:
        """The address of the environment that it runs in."""
        return str(self.told["AlgorithmSpecification"]["TrainingImage"])

    @property
    def reason(self) -> str:
        """Why it failed, in one line; empty where it has not."""
        return " ".join(str(self.told.get("FailureReason") or "").split())

    def seconds(self, now: float) -> float:
        """Since it was asked for, until `now` (seconds since 1970) or its end."""
        until = self.told["TrainingEndTime"].timestamp() if "TrainingEndTime" in self.told else now
        return max(float(until - self.told["CreationTime"].timestamp()), 0.0)

    def billed(self, now: float) -> float:
        """Seconds to pay for so far: the service's own count once it is there, which knows the price of a spot machine."""
        if "BillableTimeInSeconds" in self.told and self.ended:
            return float(self.told["BillableTimeInSeconds"])
        if "TrainingStartTime" not in self.told:
            return 0.0
        until = self.told["TrainingEndTime"].timestamp() if "TrainingEndTime" in self.told else now
        return max(float(until - self.told["TrainingStartTime"].timestamp()), 0.0)
