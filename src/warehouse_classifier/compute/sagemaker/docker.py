"""The docker command: build, and send to a registry with a password that stays nowhere."""

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
    """Run docker. What takes long is shown, on stderr, since stdout is for the address; of the rest the last line tells.

    `environment`: in place of this process's own; `stdin`: what it reads. Raises UserError, which begins with `why`.
    """
    shown = words[0] in ("build", "buildx", "push")
    where = 2 if shown else subprocess.PIPE
    try:
        done = subprocess.run(
            ["docker", *words], check=False, env=environment, input=stdin, text=True, stdout=where, stderr=where
        )
    except OSError as error:
        raise UserError(
            f"docker cannot be started ({error.strerror}); install it, or see to it that PATH has it"
        ) from None
    if done.returncode:
        said = f"docker says above why, status {done.returncode}" if shown else " ".join(done.stderr.splitlines()[-1:])
        raise UserError(f"{why} ({said or f'status {done.returncode}'})")


@contextmanager
def signed_in(registry: str, token: str) -> Iterator[dict[str, str]]:
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
        docker(*words, why=f"no login to {registry}", environment=environment, stdin=password)
        yield environment


def build_command() -> list[str]:
    """The words after `docker`. SageMaker takes no OCI manifest, which is what buildx makes unless told (moby/buildkit#5480)."""
    if os.environ.get("DOCKER_BUILDKIT") == "0":
        return ["build"]
    known = subprocess.run(["docker", "buildx", "version"], capture_output=True, check=False).returncode == 0
    return ["buildx", "build", "--provenance=false", "--output=type=docker"] if known else ["build"]


def _context(config: Path) -> str:
    """Where the user's daemon is, in docker's words."""
    try:
        return str(json.loads(config.read_text())["currentContext"])
    except (OSError, ValueError, KeyError, TypeError):  # docker says itself what is wrong with the file
        return ""
