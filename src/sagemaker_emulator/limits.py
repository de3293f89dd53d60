"""What the service refuses beyond its model, and what it can do and the emulator cannot."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from sagemaker_emulator.cloud import REGION, Cloud

INVALID = "ValidationException"
DAY = 24 * 60 * 60
LONGEST = 28 * DAY  # of a job, in seconds
IMAGE = re.compile(r"(\d{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com/([^:@]+)(?::([^@]+))?(?:@(sha256:[0-9a-f]{64}))?")
ABSENT = (
    "AlgorithmSpecification.AlgorithmName", "AlgorithmSpecification.TrainingImageConfig", "ResourceConfig.InstanceGroups",
    "ResourceConfig.InstancePreferences", "ResourceConfig.TrainingPlanArn", "VpcConfig", "ServerlessJobConfig",
    "EnableNetworkIsolation", "OutputDataConfig.KmsKeyId", "ModelPackageConfig",
)  # fmt: skip


class Refusal(Exception):
    """What the service answers instead of doing it."""

    def __init__(self, code: str, says: str, status: int = 400) -> None:
        super().__init__(says)
        self.code, self.says, self.status = code, says, status


def check(request: dict[str, Any], cloud: Cloud) -> None:
    """Raises Refusal for a CreateTrainingJob request that the model has nothing against."""
    for path in ABSENT:
        if _at(request, path):
            raise Refusal(INVALID, f"{path} is beyond the emulator")
    resources, stopping = request.get("ResourceConfig", {}), request.get("StoppingCondition", {})
    if not resources.get("InstanceType") or not resources.get("InstanceCount"):
        raise Refusal(INVALID, "InstanceType and InstanceCount must be specified in ResourceConfig")
    if not IMAGE.fullmatch(str(_at(request, "AlgorithmSpecification.TrainingImage"))):
        raise Refusal(
            INVALID,
            "Invalid training image. Please provide a valid Amazon Elastic Container Registry path of the Docker image"
            " to run.",
        )
    _times(bool(request.get("EnableManagedSpotTraining")), stopping, resources)
    _paths(request)
    _role(request["RoleArn"], cloud)
    _inputs(request, cloud)


def quota(request: dict[str, Any], running: Iterable[dict[str, Any]], quotas: Mapping[str, int]) -> None:
    """Raises Refusal where the account has too few instances left. Spot instances are counted for themselves."""
    name = _usage(request)
    limit = quotas.get(name, quotas.get(request["ResourceConfig"]["InstanceType"]))
    used = sum(other["ResourceConfig"]["InstanceCount"] for other in running if _usage(other) == name)
    count = request["ResourceConfig"]["InstanceCount"]
    if limit is not None and used + count > limit:
        raise Refusal(
            "ResourceLimitExceeded",
            f"The account-level service limit '{name}' is {limit} Instances, with current utilization of {used}"
            f" Instances and a request delta of {count} Instances. Please use AWS Service Quotas to request an increase"
            " for this quota. If AWS Service Quotas is not available, contact AWS support to request an increase for this"
            " quota.",
        )


def has_image(address: str, cloud: Cloud) -> bool:
    """Whether ECR holds the image, in the region of the jobs."""
    account, region, repository, tag, digest = IMAGE.fullmatch(address).groups()  # type: ignore[union-attr]
    missing = cloud.ecr.exceptions.RepositoryNotFoundException, cloud.ecr.exceptions.ImageNotFoundException
    which = {"imageDigest": digest} if digest else {"imageTag": tag or "latest"}
    try:
        cloud.ecr.describe_images(registryId=account, repositoryName=repository, imageIds=[which])
    except missing:
        return False
    return region == REGION


def _times(spot: bool, stopping: dict[str, Any], resources: dict[str, Any]) -> None:
    longest, wait = stopping.get("MaxRuntimeInSeconds", DAY), stopping.get("MaxWaitTimeInSeconds")
    if longest > LONGEST:
        raise Refusal(INVALID, f"Invalid MaxRuntimeInSeconds. It must be less than or equal to {LONGEST}")
    if wait is not None and not spot:
        says = "It is only supported when EnableManagedSpotTraining is set to true"
        raise Refusal(INVALID, f"Invalid MaxWaitTimeInSeconds. {says}")
    if spot and (wait is None or wait < longest):
        says = "It must be present and be greater than or equal to MaxRuntimeInSeconds"
        raise Refusal(INVALID, f"Invalid MaxWaitTimeInSeconds. {says}")
    if spot and resources.get("KeepAlivePeriodInSeconds"):
        says = "It is not supported when EnableManagedSpotTraining is set to true"
        raise Refusal(INVALID, f"Invalid KeepAlivePeriodInSeconds. {says}")


def _paths(request: dict[str, Any]) -> None:
    checkpoints = request.get("CheckpointConfig", {})
    local = checkpoints.get("LocalPath", "/opt/ml/checkpoints")
    if not re.match(r"/opt/ml/\w", local) or ".." in local:
        raise Refusal(INVALID, f"CheckpointConfig.LocalPath {local} is beyond the emulator, which has /opt/ml alone")
    addresses = [checkpoints.get("S3Uri"), request["OutputDataConfig"]["S3OutputPath"]]
    for channel in request.get("InputDataConfig", []):
        source = channel["DataSource"].get("S3DataSource", {})
        mode = channel.get("InputMode", _at(request, "AlgorithmSpecification.TrainingInputMode"))
        kind = (mode, source.get("S3DataType"), source.get("S3DataDistributionType", "FullyReplicated"))
        packed = {channel.get("CompressionType", "None"), channel.get("RecordWrapperType", "None")}
        if kind != ("File", "S3Prefix", "FullyReplicated") or packed != {"None"}:
            says = "is beyond the emulator, which has File, S3Prefix and FullyReplicated alone"
            raise Refusal(INVALID, f"The channel {channel['ChannelName']} {says}")
        addresses.append(source["S3Uri"])
    for address in addresses:
        if address is not None and not address.startswith("s3://"):
            raise Refusal(INVALID, f"{address} is beyond the emulator, which has s3:// alone")


def _role(arn: str, cloud: Cloud) -> None:
    try:
        role = cloud.iam.get_role(RoleName=arn.rpartition("/")[2])["Role"]
    except cloud.iam.exceptions.NoSuchEntityException:
        role = {}
    trusted = "sagemaker.amazonaws.com" in json.dumps(role.get("AssumeRolePolicyDocument"))
    if role.get("Arn") != arn or not trusted:
        raise Refusal(
            INVALID,
            f"Could not assume role {arn}. Please ensure that the role exists and allows principal"
            " 'sagemaker.amazonaws.com' to assume the role.",
        )


def _inputs(request: dict[str, Any], cloud: Cloud) -> None:
    for channel in request.get("InputDataConfig", []):
        uri = channel["DataSource"]["S3DataSource"]["S3Uri"]
        if next(cloud.keys(uri), None) is None:
            raise Refusal(
                INVALID,
                f'No S3 objects found under S3 URL "{uri}" given in input data source. Please ensure that the bucket'
                f" exists in the selected region ({REGION}), that objects exist under that S3 prefix, and that the role"
                f' "{request["RoleArn"]}" has "s3:ListBucket" permissions on bucket "{uri.split("/")[2]}".',
            )


def _usage(request: dict[str, Any]) -> str:
    spot = "spot " if request.get("EnableManagedSpotTraining") else ""
    return f"{request['ResourceConfig']['InstanceType']} for {spot}training job usage"


def _at(request: dict[str, Any], path: str) -> Any:
    value: Any = request
    for name in path.split("."):
        value = value.get(name, {}) if isinstance(value, dict) else {}
    return value
