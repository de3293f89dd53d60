"""The environment as an image in ECR: `make sagemaker-image` brings it there and prints its address.

Its tag is a hash of all that goes into it: the same environment has the same address, and is built and sent once.
"""

import hashlib
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

from warehouse_classifier.compute.sagemaker import aws
from warehouse_classifier.compute.sagemaker.docker import build_command, docker, signed_in
from warehouse_classifier.compute.sagemaker.settings import Settings
from warehouse_classifier.compute.sagemaker.status_line import say
from warehouse_classifier.runtime.errors import UserError
from warehouse_classifier.tracking.stderr import ignore_signals, say_error

REPOSITORY = "warehouse-classifier"  # in ECR
PLATFORM = "linux/amd64"  # of SageMaker's machines
DOCKERFILE, IGNORED = Path("Dockerfile"), Path(".dockerignore")


def bring(region: str, base: str | None) -> str:
    """Returns the image's address in ECR. `base`: another base image than the Dockerfile's. Raises UserError of one line."""
    tag = fingerprint(base)
    client = aws.client("ecr", region)
    with aws.asking("the image"):
        account = aws.client("sts", region).get_caller_identity()["Account"]
        repository = _repository(client)
        if repository and _holds(client, tag):
            say(f"account {account} has this environment in {region} already")
            return f"{repository}:{tag}"
    docker("version", why="no docker daemon answers")
    with aws.asking("the image"):
        if not repository:
            repository = _made(client)
            say(f"made the repository {REPOSITORY}")
        token = client.get_authorization_token()["authorizationData"][0]["authorizationToken"]
    address, argument = f"{repository}:{tag}", ["--build-arg", f"BASE={base}"] if base else []
    with signed_in(repository.partition("/")[0], token) as environment:
        say(f"building {address}")
        docker(*build_command(), "--platform", PLATFORM, "--tag", address, *argument, ".", why="the build failed")
        say(f"sending it to account {account} in {region}")
        try:
            docker("push", address, why="the push failed", environment=environment)
        except UserError:
            with aws.asking("the image"):
                if not _holds(client, tag):  # else somebody was faster, and a tag keeps what it has
                    raise
    return address


def fingerprint(base: str | None) -> str:
    """A hash of the platform, the base's name, the Dockerfile, and every file that .dockerignore lets through to it."""
    digest = hashlib.sha256(f"{PLATFORM} {base or ''}\n".encode())
    try:
        names = [line[1:].strip() for line in IGNORED.read_text().splitlines() if line.startswith("!")]
        for file in (DOCKERFILE, *map(Path, names)):
            body = file.read_bytes()
            digest.update(f"{file} {len(body)}\n".encode() + body)
    except OSError as error:
        raise UserError(
            f"{error.filename} cannot be read ({error.strerror}); run from the top of the project"
        ) from None
    return digest.hexdigest()[:16]


def _repository(ecr: Any) -> str | None:
    """Its address; None if there is none."""
    try:
        return str(ecr.describe_repositories(repositoryNames=[REPOSITORY])["repositories"][0]["repositoryUri"])
    except ecr.exceptions.RepositoryNotFoundException:
        return None


def _made(ecr: Any) -> str:
    """The address of a new repository, whose tags cannot be moved to another image."""
    options = {"imageTagMutability": "IMMUTABLE", "imageScanningConfiguration": {"scanOnPush": True}}
    return str(ecr.create_repository(repositoryName=REPOSITORY, **options)["repository"]["repositoryUri"])


def _holds(ecr: Any, tag: str) -> bool:
    try:
        return bool(ecr.describe_images(repositoryName=REPOSITORY, imageIds=[{"imageTag": tag}])["imageDetails"])
    except ecr.exceptions.ImageNotFoundException:
        return False


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt  # so that the folder with the password goes


def main() -> int:
    """Print the image's address on stdout, and everything else on stderr; returns the exit status."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        address = bring(Settings.load().region, os.environ.get("BASE"))
    except UserError as error:
        say_error(error)
        return 1
    except KeyboardInterrupt:
        ignore_signals()
        say_error("interrupted; the same command goes on from what is built and sent")
        return 130
    say("in params.yaml, under sagemaker, it is the `image`; or say: export SAGEMAKER_IMAGE=" + address)
    print(address)
    return 0


if __name__ == "__main__":
    sys.exit(main())
