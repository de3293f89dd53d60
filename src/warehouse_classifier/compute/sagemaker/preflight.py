"""What is checked before a job is asked for, and before anything is sent: a mistake here costs seconds, there money."""

from typing import Any

from botocore.exceptions import ClientError

from warehouse_classifier.compute import parameters
from warehouse_classifier.compute.sagemaker import aws
from warehouse_classifier.compute.sagemaker.settings import PREFIX, SECTION, Settings
from warehouse_classifier.compute.stage_spec import StageSpec
from warehouse_classifier.runtime.errors import UserError
from warehouse_classifier.runtime.files import root


def check(spec: StageSpec, settings: Settings, tree: parameters.Tree) -> None:
    """Raises UserError for what cannot work; what costs least to find out comes first."""
    for name, way in (("role", "the ARN of the role that jobs take"), ("image", "what `make sagemaker-image` prints")):
        if not getattr(settings, name):
            raise UserError(
                f"params.yaml: {SECTION}.{name} is null; set it or {PREFIX}{name.upper()} to {way}, see README"
            )
    _parameters(spec, settings, tree)
    with aws.asking("your AWS account"):
        aws.client("sts", settings.region, attempts=2).get_caller_identity()
    _image(settings)


def _parameters(spec: StageSpec, settings: Settings, tree: parameters.Tree) -> None:
    stage, scale = spec.stage, spec.argv[0]
    params = parameters.checked(stage, spec.argv, tree)
    for name, value in _texts(spec.params):
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
    """Dotted name and text of all that is a text."""
    if isinstance(value, dict):
        return [text for key, inner in value.items() for text in _texts(inner, f"{name}.{key}".strip("."))]
    return [(name, value)] if isinstance(value, str) and value else []


def _image(settings: Settings) -> None:
    """Whether ECR holds it; not known where one may not ask. Its address is <account>.dkr.ecr.<region>.../<name>."""
    registry, _, name = str(settings.image).partition("/")
    account, _, _, region, *_ = registry.split(".")
    if region != settings.region:
        raise UserError(
            f"the image {settings.image} is not in {settings.region}, where {SECTION}.region has the jobs run"
        )
    kind, mark = ("imageDigest", "@") if "@" in name else ("imageTag", ":")
    repository, _, version = name.partition(mark)
    with aws.asking("the image"):
        try:
            aws.client("ecr", settings.region).describe_images(
                registryId=account, repositoryName=repository, imageIds=[{kind: version}]
            )
        except ClientError as error:
            if aws.code_of(error) in ("RepositoryNotFoundException", "ImageNotFoundException"):
                raise UserError(
                    f"there is no image {settings.image} in ECR; `make sagemaker-image` brings it there"
                ) from None
            if aws.code_of(error) not in aws.DENIED:
                raise
