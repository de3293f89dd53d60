"""SageMaker on this machine for those without an account, until Ctrl-C or the end of a command.

    python -m sagemaker_emulator.dry_run <port> [command], as `make sagemaker-dry-run` says it

moto's server stands for S3, IAM, ECR and CloudWatch, the emulator beside it, one port on, for SageMaker. The
former is DVC's remote `laptop`, as with `make s3`, and everything else is led to both by the variables in a file that a shell
reads. Where docker has an image of the name in SAGEMAKER_IMAGE, the jobs run in it, else as processes of this machine.
"""

import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sagemaker_emulator import local_s3
from sagemaker_emulator.account import IMAGE, ROLE, furnish
from sagemaker_emulator.cloud import REGION, Cloud
from sagemaker_emulator.protocol import HOST
from sagemaker_emulator.server import Emulator
from sagemaker_emulator.signals import Signals
from warehouse_classifier.runtime.errors import UserError
from warehouse_classifier.runtime.files import replacing
from warehouse_classifier.tracking.stderr import say_error

TARGET = "sagemaker-dry-run"  # make's
WAKE_EVERY = 0.1  # seconds; a signal may come to another thread, and would leave this one asleep
VARIABLES = Path(".dvc/tmp/sagemaker-dry-run.env")
EMPTY = VARIABLES.with_suffix(".aws")  # DVC wants people's AWS configuration to be a file, and not a device
# people's own profile, keys and addresses, whatever they are called
NOWHERE = dict.fromkeys(("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"), os.devnull)
FORGET = "for name in $(env | sed -n 's/^\\(AWS_[A-Z0-9_]*\\)=.*/\\1/p'); do unset \"$name\"; done; unset name"


def dry_run(port: int, command: str) -> int:
    """Returns the command's exit status, or 0 after Ctrl-C where there is none. Raises UserError if it cannot begin."""
    signals = Signals()
    for name in [name for name in os.environ if name.startswith("AWS_")]:  # moto stumbles over a profile too
        del os.environ[name]
    os.environ |= NOWHERE
    with (
        local_s3.server(port, TARGET) as aws,
        tempfile.TemporaryDirectory(prefix=f"{TARGET}-") as folder,
        _emulator(Path(folder), aws, port + 1) as emulator,
    ):
        _refuse_other_address(aws)
        furnish(Cloud.at(aws))
        variables = _variables(aws, emulator.url)
        with _written(variables):
            return _run(command, variables, signals) if command else _wait(emulator.url, signals)


def _refuse_other_address(aws: str) -> None:
    """Raises UserError unless DVC looks for its remote here."""
    from dvc.config import Config, ConfigError

    try:
        remote = Config.from_cwd()["remote"].get(local_s3.REMOTE)
    except ConfigError as error:
        raise UserError(f"DVC cannot read its configuration: {error}") from None
    if not remote:
        raise UserError(f"DVC has no remote {local_s3.REMOTE} here; run this in the project's folder")
    if remote.get("endpointurl") != aws:
        raise UserError(
            f"DVC looks for its remote {local_s3.REMOTE} at {remote.get('endpointurl')}; `{local_s3.lead_to(aws)}` leads it here"
        )


def _emulator(folder: Path, aws: str, port: int) -> Emulator:
    try:
        return Emulator(folder, aws, port=port)
    except UserError as error:
        raise UserError(f"{error}: `make {TARGET} PORT={port + 99 if port < 65000 else 9000}`") from None


def _variables(aws: str, sagemaker: str) -> dict[str, str]:
    direct = ",".join([HOST, "localhost", *filter(None, [os.environ.get("no_proxy")])])
    return {
        **dict.fromkeys(NOWHERE, str(EMPTY.resolve())), "AWS_ENDPOINT_URL": aws, "AWS_ENDPOINT_URL_SAGEMAKER": sagemaker, "AWS_ACCESS_KEY_ID": "nobody",
        "AWS_SECRET_ACCESS_KEY": "none", "AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION, "no_proxy": direct,
        "NO_PROXY": direct, "STAGE_RUNNER": "sagemaker", "SAGEMAKER_REGION": REGION, "SAGEMAKER_ROLE": ROLE,
        "SAGEMAKER_IMAGE": IMAGE, "SAGEMAKER_REMOTE": local_s3.REMOTE, "SAGEMAKER_POLL_SECONDS": "1",
    }  # fmt: skip


@contextmanager
def _written(variables: dict[str, str]) -> Iterator[None]:
    try:
        EMPTY.touch()
        with replacing(VARIABLES) as half:
            lines = [FORGET, *(f"export {name}={shlex.quote(value)}" for name, value in variables.items())]
            half.write_text("\n".join([*lines, ""]))
        yield
    finally:
        VARIABLES.unlink(missing_ok=True)
        EMPTY.unlink(missing_ok=True)


def _wait(sagemaker: str, signals: Signals) -> int:
    print(f"SageMaker is at {sagemaker}; DVC's remote {local_s3.REMOTE} is an empty bucket beside it")
    print(f"in another terminal: . {VARIABLES}, and then dvc repro")
    print(f"""to take a spot job's machine away: curl -d '{{"TrainingJobName": "<its name>"}}' {sagemaker}/interrupt""")
    print("Ctrl-C ends it, its jobs and all that they have stored", flush=True)
    while not signals.come.wait(WAKE_EVERY):
        pass
    return 0


def _run(command: str, variables: dict[str, str], signals: Signals) -> int:
    signals.child = subprocess.Popen(["/bin/sh", "-c", command], env={**os.environ, **variables})
    if signals.come.is_set():  # before there was a child to hand it on to
        signals.child.terminate()
    while (status := signals.child.poll()) is None:
        time.sleep(WAKE_EVERY)
    return 128 - status if status < 0 else status


def main(words: list[str]) -> int:
    """`words`: port and command. Returns the exit status; what is wrong is said in one line on stderr."""
    try:
        port, command = (*words, "", "")[:2]
        if not port.isdecimal() or not 0 < int(port) < 65535:
            raise UserError(f"PORT is {port or 'missing'}, it must be a number from 1 to 65534")
        return dry_run(int(port), command)
    except (UserError, OSError) as error:
        say_error(error)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
