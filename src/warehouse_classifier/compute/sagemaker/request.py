"""What SageMaker is asked for: the request of CreateTrainingJob."""

import json
import math
import os
from typing import Any

from warehouse_classifier.compute import metrics_log
from warehouse_classifier.compute.sagemaker.dvc_remote import Remote
from warehouse_classifier.compute.sagemaker.settings import HOUR, Settings
from warehouse_classifier.compute.stage_spec import StageSpec

RUNS = "runs"  # below the remote's address: code, checkpoints and outcome of each job
CODE, CHANNEL = "code.tar.gz", "code"
CHECKPOINTS = "checkpoints"
# variables of this machine that jobs get: they change no result
PASSED = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "CHECKPOINT_SECONDS")
CURVES = ("train_loss", "validation_loss", "validation_accuracy", "validation_rmse", "images_per_second", "memory_mib")
# the image's own code is not needed: an environment can outlive many versions of the code
UNPACK = f'cd "$(mktemp -d)" && tar -xzf "${{OPT_ML:-/opt/ml}}/input/data/{CHANNEL}/{CODE}"'
START = ["sh", "-c", f"{UNPACK} && exec env PYTHONPATH=src python -m warehouse_classifier.compute.sagemaker.container"]


def request_for(name: str, work: str, spec: StageSpec, remote: Remote, settings: Settings) -> dict[str, Any]:
    """What CreateTrainingJob is asked for the job `name`, one of the attempts at `work`, which share their checkpoints."""
    instance, hours = settings.instance(spec.stage), settings.max_hours
    code = {
        "S3DataType": "S3Prefix", "S3Uri": remote.address(RUNS, name, CODE), "S3DataDistributionType": "FullyReplicated",
    }  # fmt: skip
    request: dict[str, Any] = {
        "TrainingJobName": name,
        "RoleArn": settings.role,
        "HyperParameters": {"stage": spec.stage, "argv": json.dumps(spec.argv)},
        "AlgorithmSpecification": {
            "TrainingImage": settings.image,
            "TrainingInputMode": "File",
            "ContainerEntrypoint": START,
            "MetricDefinitions": [{"Name": curve, "Regex": metrics_log.pattern(curve)} for curve in CURVES],
        },
        "InputDataConfig": [
            {"ChannelName": CHANNEL, "DataSource": {"S3DataSource": code}},
        ],
        "OutputDataConfig": {"S3OutputPath": remote.address(RUNS)},
        "ResourceConfig": {
            "InstanceType": instance.type, "InstanceCount": instance.count, "VolumeSizeInGB": settings.volume_gb,
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": math.ceil(hours * HOUR)},
        "CheckpointConfig": {"S3Uri": remote.address(RUNS, work, CHECKPOINTS)},
        "EnableManagedSpotTraining": settings.spot,
        "Environment": {name: os.environ[name] for name in PASSED if os.environ.get(name)},
    }  # fmt: skip
    if settings.spot:
        request["StoppingCondition"]["MaxWaitTimeInSeconds"] = math.ceil((hours + settings.max_wait_hours) * HOUR)
    if settings.keep_warm_minutes:
        request["ResourceConfig"]["KeepAlivePeriodInSeconds"] = settings.keep_warm_minutes * 60
    return request
