"""What is checked before a job is asked for, and before anything is sent: a mistake here costs seconds, there money."""

import re
from typing import Any

from botocore.exceptions import ClientError

from warehouse_classifier.compute import parameters
from warehouse_classifier.compute.sagemaker import aws
from warehouse_classifier.compute.sagemaker.settings import PREFIX, SECTION, Settings
from warehouse_classifier.compute.stage_spec import StageSpec
from warehouse_classifier.runtime.errors import UserError
from warehouse_classifier.runtime.files import root

IMAGE = re.compile(r"(?P<account>\d+)\.dkr\.ecr\.(?P<region>[^.]+)\.[^/]+/(?P<repository>[^:@]+)(?P<version>.*)")


def check(told: StageSpec, settings: Settings, tree: parameters.Tree) -> None:
    """Raises UserError for what cannot work, in the order of what it costs to find out."""
    for name, way in (("role", "the ARN of the role that jobs take"), ("image", "what `make sagemaker-image` prints")):
        if not getattr(settings, name):
            raise UserError(
                f"params.yaml: {SECTION}.{name} is null; set it or {PREFIX}{name.upper()} to {way}, see README"
            )
    _parameters(told, settings, tree)
    with aws.asking("your AWS account"):
        aws.client("sts", settings.region, attempts=2).get_caller_identity()
    _image(settings)


def _parameters(told: StageSpec, settings: Settings, tree: parameters.Tree) -> None:
    stage, scale = told.stage, told.argv[0]
    params = parameters.checked(stage, told.argv, tree)
    for name, value in _texts(told.params):
        if (name.endswith(".bucket") and "://" not in value) or (root() / value).exists():
            raise UserError(
                f"params.yaml: {name} is {value}, which is on this machine alone; {stage} cannot run on SageMaker"
            )
    count, processes = settings.instance(stage).count, getattr(params, "processes", 1)
    if processes % count:
        raise UserError(
            f"params.yaml: {SECTION}.instances.{stage}.count is {count}, and {stage} has {processes} processes to share out;"
            f" set {stage}.{scale}.processes to a multiple, or the count to 1"
        )


def _texts(value: Any, name: str = "") -> list[tuple[str, str]]:
    if isinstance(value, dict):
        return [found for key, inner in value.items() for found in _texts(inner, f"{name}.{key}".strip("."))]
    return [(name, value)] if isinstance(value, str) and value else []


def _image(settings: Settings) -> None:
    """Whether ECR holds it, where one may look."""
    found = IMAGE.fullmatch(settings.image or "")
    assert found is not None, settings.image  # as Settings has it
    if found["region"] != settings.region:
        raise UserError(
            f"the image {settings.image} is not in {settings.region}, where {SECTION}.region has the jobs run"
        )
    kind, version = (
        ("imageDigest", found["version"][1:]) if "@" in found["version"] else ("imageTag", found["version"][1:])
    )
    with aws.asking("the image"):
        try:
            aws.client("ecr", settings.region).describe_images(
                registryId=found["account"], repositoryName=found["repository"], imageIds=[{kind: version}]
            )
        except ClientError as error:
            if aws.code_of(error) in ("RepositoryNotFoundException", "ImageNotFoundException"):
                raise UserError(
                    f"there is no image {settings.image} in ECR; `make sagemaker-image` brings it there"
                ) from None
            if aws.code_of(error) not in aws.DENIED:
                raise
