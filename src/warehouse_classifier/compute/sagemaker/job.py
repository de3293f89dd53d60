"""A Training job of SageMaker: its name, what it is asked to do, and how it stands."""

import json
import math
import os
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from warehouse_classifier.compute import metrics_log
from warehouse_classifier.compute.sagemaker import aws
from warehouse_classifier.compute.sagemaker.dvc_remote import Remote
from warehouse_classifier.compute.sagemaker.settings import HOUR, Settings
from warehouse_classifier.compute.stage_spec import Plan
from warehouse_classifier.runtime.errors import Fault

ENDED = ("Completed", "Failed", "Stopped")
RUNS = "runs"  # below the remote's address: code, checkpoints and outcome of each job
GAP = 3  # attempts in a row that are not there are the end of them
CODE, CHANNEL = "code.tar.gz", "code"
CHECKPOINTS = "checkpoints"
# what changes no result and is told here: another S3 than Amazon's, and how often a training saves
PASSED = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "CHECKPOINT_SECONDS")
CURVES = ("train_loss", "validation_loss", "validation_accuracy", "validation_rmse", "images_per_second", "memory_mib")
# the image's own code is not needed: an environment can outlive many versions of the code
UNPACK = f'cd "$(mktemp -d)" && tar -xzf "${{OPT_ML:-/opt/ml}}/input/data/{CHANNEL}/{CODE}"'
START = ["sh", "-c", f"{UNPACK} && exec env PYTHONPATH=src python -m warehouse_classifier.compute.sagemaker.container"]


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
        return self.status in ENDED

    @property
    def machines(self) -> tuple[str, int]:
        """Their type and count, which the settings may have changed since."""
        told = self.told["ResourceConfig"]
        return str(told["InstanceType"]), int(told["InstanceCount"])

    @property
    def image(self) -> str:
        return str(self.told["AlgorithmSpecification"]["TrainingImage"])

    @property
    def reason(self) -> str:
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


class Jobs:
    """The jobs that do the very work of one plan: `<stage>-<hash>-<attempt>`, one after the other."""

    def __init__(self, told: Plan, remote: Remote, settings: Settings) -> None:
        self.plan, self.remote, self.settings = told, remote, settings
        digest = told.with_params(remote.url, remote.told.get("endpointurl"))
        self.work = f"{told.stage.replace('_', '-')[:40]}-{digest}"  # names have 63 characters
        self.client = aws.client("sagemaker", settings.region)

    def name(self, attempt: int) -> str:
        return f"{self.work}-{attempt}"

    def newest(self) -> tuple[int, State | None]:
        """The last attempt, and how it stands; (0, None) if there was none. Some before it may have been deleted."""
        attempt, newest, tried = 0, None, 0
        while tried < attempt + GAP:
            tried += 1
            if found := self.state(self.name(tried)):
                attempt, newest = tried, found
        return attempt, newest

    def state(self, name: str) -> State | None:
        """None if there is no such job."""
        with aws.asking("SageMaker"):
            try:
                return State(self.client.describe_training_job(TrainingJobName=name))
            except ClientError as error:
                if aws.code_of(error) == "ValidationException" and "not found" in str(error):
                    return None
                raise

    def create(self, name: str) -> None:
        """Raises Fault where SageMaker does not want it. A job of this name that someone else was faster to create is fine."""
        stage, settings = self.plan.stage, self.settings
        with aws.asking(f"{stage} on SageMaker"):
            try:
                self.client.create_training_job(**self.request(name))
            except ClientError as error:
                code, said = aws.code_of(error), str(error.response["Error"].get("Message", ""))
                if code == "ResourceInUse":
                    return
                if code == "ResourceLimitExceeded":
                    instance = settings.instance(stage)
                    raise Fault(
                        f"{stage}: the account has no quota for {instance.count} {instance.type}"
                        f"{' spot' if settings.spot else ''} ({said}); ask for it in Service Quotas,"
                        f" or set another sagemaker.instances.{stage}.type, or sagemaker.spot"
                    ) from None
                if "assume role" in said.lower():
                    raise Fault(f"{stage}: SageMaker cannot take the role {settings.role} ({said})") from None
                raise

    def stop(self, name: str) -> None:
        with aws.asking("SageMaker"):
            try:
                self.client.stop_training_job(TrainingJobName=name)
            except ClientError as error:
                if aws.code_of(error) != "ValidationException":  # it has ended meanwhile
                    raise

    def request(self, name: str) -> dict[str, Any]:
        """What CreateTrainingJob is asked."""
        settings, instance = self.settings, self.settings.instance(self.plan.stage)
        hours = settings.max_hours
        asked: dict[str, Any] = {
            "TrainingJobName": name,
            "RoleArn": settings.role,
            "HyperParameters": {"stage": self.plan.stage, "argv": json.dumps(self.plan.argv)},
            "AlgorithmSpecification": {
                "TrainingImage": settings.image,
                "TrainingInputMode": "File",
                "ContainerEntrypoint": START,
                "MetricDefinitions": [{"Name": curve, "Regex": metrics_log.pattern(curve)} for curve in CURVES],
            },
            "InputDataConfig": [
                {
                    "ChannelName": CHANNEL,
                    "DataSource": {
                        "S3DataSource": {
                            "S3DataType": "S3Prefix",
                            "S3Uri": self.address(name, CODE),
                            "S3DataDistributionType": "FullyReplicated",
                        }
                    },
                }
            ],
            "OutputDataConfig": {"S3OutputPath": f"s3://{self.remote.bucket}/{self.remote.key(RUNS)}"},
            "ResourceConfig": {
                "InstanceType": instance.type,
                "InstanceCount": instance.count,
                "VolumeSizeInGB": settings.volume_gb,
            },
            "StoppingCondition": {"MaxRuntimeInSeconds": math.ceil(hours * HOUR)},
            "CheckpointConfig": {"S3Uri": self.address(self.work, CHECKPOINTS)},
            "EnableManagedSpotTraining": settings.spot,
            "Environment": {name: os.environ[name] for name in PASSED if os.environ.get(name)},
        }
        if settings.spot:
            asked["StoppingCondition"]["MaxWaitTimeInSeconds"] = math.ceil((hours + settings.max_wait_hours) * HOUR)
        if settings.keep_warm_minutes:
            asked["ResourceConfig"]["KeepAlivePeriodInSeconds"] = settings.keep_warm_minutes * 60
        return asked

    def address(self, *names: str) -> str:
        return f"s3://{self.remote.bucket}/{self.remote.key(RUNS, *names)}"
