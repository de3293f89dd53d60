"""The project's repository in ECR: whether it is there, and what it holds. Each takes boto3's client of ECR."""

from typing import Any

REPOSITORY = "warehouse-classifier"


def repository(ecr: Any) -> str | None:
    """Its address; None if there is none. Raises what boto3 raises, as all of these do."""
    try:
        return str(ecr.describe_repositories(repositoryNames=[REPOSITORY])["repositories"][0]["repositoryUri"])
    except ecr.exceptions.RepositoryNotFoundException:
        return None


def create(ecr: Any) -> str:
    """Make the repository, with tags that keep what they have; returns its address."""
    made = ecr.create_repository(
        repositoryName=REPOSITORY, imageTagMutability="IMMUTABLE", imageScanningConfiguration={"scanOnPush": True}
    )
    return str(made["repository"]["repositoryUri"])


def holds(ecr: Any, tag: str) -> bool:
    """Whether it has an image of this tag."""
    try:
        return bool(ecr.describe_images(repositoryName=REPOSITORY, imageIds=[{"imageTag": tag}])["imageDetails"])
    except ecr.exceptions.ImageNotFoundException:
        return False
