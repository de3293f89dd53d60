"""The project's repository in ECR. Each function takes boto3's client of ECR, and raises what that raises."""

from typing import Any

REPOSITORY = "warehouse-classifier"


def repository(ecr: Any) -> str | None:
    """Its address; None if there is none."""
    try:
        return str(ecr.describe_repositories(repositoryNames=[REPOSITORY])["repositories"][0]["repositoryUri"])
    except ecr.exceptions.RepositoryNotFoundException:
        return None


def create(ecr: Any) -> str:
    """Make the repository, whose tags cannot be moved to another image; returns its address."""
    response = ecr.create_repository(
        repositoryName=REPOSITORY, imageTagMutability="IMMUTABLE", imageScanningConfiguration={"scanOnPush": True}
    )
    return str(response["repository"]["repositoryUri"])


def holds(ecr: Any, tag: str) -> bool:
    """Whether it has an image of this tag."""
    try:
        return bool(ecr.describe_images(repositoryName=REPOSITORY, imageIds=[{"imageTag": tag}])["imageDetails"])
    except ecr.exceptions.ImageNotFoundException:
        return False
