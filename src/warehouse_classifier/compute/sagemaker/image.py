"""The environment as an image in ECR: `make sagemaker-image` brings it there and prints its address.

Its tag is a hash of all that goes into it, so the same environment has the same address, and what ECR has is neither built nor
sent again.
"""

import base64
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from warehouse_classifier.compute.sagemaker import aws
from warehouse_classifier.compute.sagemaker.settings import Settings
from warehouse_classifier.runtime.errors import Fault

REPOSITORY = "warehouse-classifier"
PLATFORM = "linux/amd64"  # of SageMaker's machines
DOCKERFILE, ADMITTED = Path("Dockerfile"), Path(".dockerignore")


def bring(region: str, base: str | None) -> str:
    """Returns the image's address. `base`: another one than the Dockerfile's. Raises Fault of one line."""
    tag = fingerprint(base)
    ecr = aws.client("ecr", region)
    with aws.asking("the image"):
        account = aws.client("sts", region).get_caller_identity()["Account"]
        repository = _found(ecr)
        if repository and _holds(ecr, tag):
            _say(f"account {account} has this environment in {region} already")
            return f"{repository}:{tag}"
    _docker("version", why="no docker daemon answers")
    with aws.asking("the image"):
        repository = repository or _made(ecr)
        token = ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]
    address = f"{repository}:{tag}"
    with _signed_in(repository.partition("/")[0], token) as environment:
        _say(f"building {address}")
        _docker(*_builder(), "--platform", PLATFORM, "--tag", address, *_argument(base), ".", why="the build failed")
        _say(f"sending it to account {account} in {region}")
        try:
            _docker("push", address, why="the push failed", environment=environment)
        except Fault:
            with aws.asking("the image"):
                if not _holds(ecr, tag):  # else somebody was faster, and a tag keeps what it has
                    raise
    return address


def fingerprint(base: str | None) -> str:
    """A hash of the platform, the base's name, the Dockerfile, and every file that .dockerignore lets through to it."""
    digest = hashlib.sha256(f"{PLATFORM} {base or ''}\n".encode())
    try:
        names = [line[1:].strip() for line in ADMITTED.read_text().splitlines() if line.startswith("!")]
        for file in (DOCKERFILE, *map(Path, names)):
            body = file.read_bytes()
            digest.update(f"{file} {len(body)}\n".encode() + body)
    except OSError as error:
        raise Fault(f"{error.filename} cannot be read ({error.strerror}); run from the top of the project") from None
    return digest.hexdigest()[:16]


def _found(ecr: Any) -> str | None:
    try:
        return str(ecr.describe_repositories(repositoryNames=[REPOSITORY])["repositories"][0]["repositoryUri"])
    except ecr.exceptions.RepositoryNotFoundException:
        return None


def _made(ecr: Any) -> str:
    made = ecr.create_repository(
        repositoryName=REPOSITORY, imageTagMutability="IMMUTABLE", imageScanningConfiguration={"scanOnPush": True}
    )
    _say(f"made the repository {REPOSITORY}")
    return str(made["repository"]["repositoryUri"])


def _holds(ecr: Any, tag: str) -> bool:
    try:
        return bool(ecr.describe_images(repositoryName=REPOSITORY, imageIds=[{"imageTag": tag}])["imageDetails"])
    except ecr.exceptions.ImageNotFoundException:
        return False


@contextmanager
def _signed_in(registry: str, token: str) -> Iterator[dict[str, str]]:
    """Yield an environment in which docker may send to the registry.

    The password stands in a folder that goes away, and never in ~/.docker or a keychain. The daemon is still the user's.
    """
    own = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    user, _, password = base64.b64decode(token).decode().partition(":")
    with tempfile.TemporaryDirectory() as folder:
        # docker would look for a keychain if it found no `auths`
        told = {"auths": {registry: {}}, "currentContext": _context(own / "config.json")}
        Path(folder, "config.json").write_text(json.dumps(told))
        if (own / "contexts").is_dir():
            Path(folder, "contexts").symlink_to((own / "contexts").resolve())
        environment = {**os.environ, "DOCKER_CONFIG": folder}
        words = ("login", "--username", user, "--password-stdin", registry)
        _docker(*words, why=f"no login to {registry}", environment=environment, stdin=password)
        yield environment


def _context(config: Path) -> str:
    """Where the user's daemon is, in docker's words."""
    try:
        return str(json.loads(config.read_text())["currentContext"])
    except (OSError, ValueError, KeyError, TypeError):  # docker says itself what is wrong with the file
        return ""


def _builder() -> list[str]:
    """SageMaker takes no OCI manifest, which is what buildx makes unless it is told (moby/buildkit#5480)."""
    if os.environ.get("DOCKER_BUILDKIT") == "0":
        return ["build"]
    known = subprocess.run(["docker", "buildx", "version"], capture_output=True, check=False).returncode == 0
    return ["buildx", "build", "--provenance=false", "--output=type=docker"] if known else ["build"]


def _argument(base: str | None) -> list[str]:
    return ["--build-arg", f"BASE={base}"] if base else []


def _docker(*words: str, why: str, environment: Mapping[str, str] | None = None, stdin: str | None = None) -> None:
    """Run docker. What takes long is shown, on stderr, since stdout is for the address; of the rest the last line tells."""
    shown = words[0] in ("build", "buildx", "push")
    where = 2 if shown else subprocess.PIPE
    try:
        done = subprocess.run(
            ["docker", *words], check=False, env=environment, input=stdin, text=True, stdout=where, stderr=where
        )
    except OSError as error:
        raise Fault(f"docker cannot be started ({error.strerror}); install it, or see to it that PATH has it") from None
    if done.returncode:
        said = f"docker says above why, status {done.returncode}" if shown else " ".join(done.stderr.splitlines()[-1:])
        raise Fault(f"{why} ({said or f'status {done.returncode}'})")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt  # so that the folder with the password goes


def main() -> int:
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        address = bring(Settings.load().region, os.environ.get("BASE"))
    except Fault as fault:
        print(f"error: {' '.join(str(fault).split())}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("error: interrupted; the same command goes on from what is built and sent", file=sys.stderr)
        return 130
    _say("in params.yaml, under sagemaker, it is the `image`; or say: export SAGEMAKER_IMAGE=" + address)
    print(address)
    return 0


if __name__ == "__main__":
    sys.exit(main())
