"""The docker command: build, and push to a registry with a password that stays nowhere."""

import base64
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from warehouse_classifier.runtime.errors import UserError


def docker(*words: str, why: str, environment: Mapping[str, str] | None = None, stdin: str | None = None) -> None:
    """Run docker. What takes long is shown, on stderr, since stdout is for the address; of the rest the last line of an error.

    `environment`: in place of this process's own. Raises UserError, which begins with `why`.
    """
    shown = words[0] in ("build", "buildx", "push")
    stream = 2 if shown else subprocess.PIPE
    try:
        ran = subprocess.run(
            ["docker", *words], check=False, env=environment, input=stdin, text=True, stdout=stream, stderr=stream
        )
    except OSError as error:
        raise UserError(
            f"docker cannot be started ({error.strerror}); install it, or see to it that PATH has it"
        ) from None
    if ran.returncode:
        reason = f"docker says above why, status {ran.returncode}" if shown else " ".join(ran.stderr.splitlines()[-1:])
        raise UserError(f"{why} ({reason or f'status {ran.returncode}'})")


@contextmanager
def signed_in(registry: str, token: str) -> Iterator[dict[str, str]]:
    """Yield an environment in which docker may push to the registry. `token`: ECR's. Raises UserError as `docker` does.

    The password stands in a folder that goes away, and never in ~/.docker or a keychain. The daemon is still the user's.
    """
    own = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    user, _, password = base64.b64decode(token).decode().partition(":")
    with tempfile.TemporaryDirectory() as folder:
        # without `auths` docker would look for a keychain
        config = {"auths": {registry: {}}, "currentContext": _context(own / "config.json")}
        Path(folder, "config.json").write_text(json.dumps(config))
        if (own / "contexts").is_dir():
            Path(folder, "contexts").symlink_to((own / "contexts").resolve())
        environment = {**os.environ, "DOCKER_CONFIG": folder}
        words = ("login", "--username", user, "--password-stdin", registry)
        docker(*words, why=f"no login to {registry}", environment=environment, stdin=password)
        yield environment


def build_command() -> list[str]:
    """The words after `docker`. SageMaker takes no OCI manifest, which buildx makes unless told otherwise (moby/buildkit#5480)."""
    if (
        os.environ.get("DOCKER_BUILDKIT") == "0"
        or subprocess.run(["docker", "buildx", "version"], capture_output=True, check=False).returncode
    ):
        return ["build"]
    return ["buildx", "build", "--provenance=false", "--output=type=docker"]


def _context(config: Path) -> str:
    """docker's name for the user's daemon."""
    try:
        return str(json.loads(config.read_text())["currentContext"])
    except (OSError, ValueError, KeyError, TypeError):  # docker says itself what is wrong with the file
        return ""
