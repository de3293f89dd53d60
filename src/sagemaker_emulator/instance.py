"""One instance of a job: an /opt/ml of its own and the container that works in it.

Without docker the container is a process of this machine, for which OPT_ML names the folder that /opt/ml would be.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from sagemaker_emulator.cloud import KEYS, REGION, Checkpoints, Cloud
from sagemaker_emulator.input_config import configs
from sagemaker_emulator.log import Log
from sagemaker_emulator.processes import kill_all

OPT, FOLDER = "/opt/ml", "OPT_ML"
REASON_LENGTH = 1024  # characters of a reason that the service keeps


class Instance:
    """Prepared, started, and at last removed, by one thread."""

    def __init__(self, request: dict[str, Any], arn: str, number: int, folder: Path, docker: bool) -> None:
        self.request, self.arn, self.number, self.folder, self.docker = request, arn, number, folder, docker
        self.ml = folder / "ml"
        self.name = f"{request['TrainingJobName']}-algo-{number}-{time.time_ns() // 1_000_000}"
        self.process: subprocess.Popen[bytes] | None = None
        self.log: Log | None = None
        self.checkpoints: Checkpoints | None = None

    def prepare(self, cloud: Cloud) -> None:
        """Lay out what a container finds. Raises one of ERRORS."""
        for name in ("input/config", "input/data", "model", "output/data", "checkpoints"):
            (self.ml / name).mkdir(parents=True)
        for name in ("home", "tmp", "site"):
            (self.folder / name).mkdir()
        for name, content in configs(self.request, self.number).items():
            (self.ml / f"input/config/{name}.json").write_text(json.dumps(content))
        for channel in self.request.get("InputDataConfig", []):
            uri = channel["DataSource"]["S3DataSource"]["S3Uri"]
            cloud.download(uri, self.ml / "input/data" / channel["ChannelName"])
        if config := self.request.get("CheckpointConfig"):
            local = config.get("LocalPath", f"{OPT}/checkpoints").removeprefix(OPT).strip("/")
            self.checkpoints = Checkpoints(cloud, config["S3Uri"], self.ml / local)

    def start(self, cloud: Cloud, address: str) -> None:
        """Raises OSError where there is no such command, and one of ERRORS."""
        platform = {
            "TRAINING_JOB_NAME": self.request["TrainingJobName"], "TRAINING_JOB_ARN": self.arn,
            "AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION, "AWS_ENDPOINT_URL": address, **KEYS,
        }  # fmt: skip
        variables = {**platform, **self.request.get("Environment", {})}
        command, environment = (self._in_docker if self.docker else self._as_process)(variables)
        self.process = subprocess.Popen(
            command, cwd=self.folder / "home", env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        stream = f"{self.request['TrainingJobName']}/algo-{self.number}-{self.name.rpartition('-')[2]}"
        self.log = Log(cloud, stream, self.process.stdout)

    def status(self) -> int | None:
        """The container's exit status, or None while it runs. With its first process a container ends whole."""
        if self.process is None or self.process.poll() is None:
            return None
        self.kill()
        code = self.process.returncode
        return 128 - code if code < 0 else code

    def terminate(self) -> None:
        """As `docker stop` does: a SIGTERM to the first process alone."""
        if self.process is None:
            return
        if self.docker:
            self._docker_kill("--signal=TERM")
        else:
            self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End every process of the container, and wait for that."""
        if self.process is None:
            return
        if not self.docker:
            kill_all(f"{FOLDER}={self.ml}", self.process)
        while self.process.poll() is None:  # there may be no such container yet
            self._docker_kill()
            time.sleep(0.05)

    def finish(self) -> None:
        """Send what is not sent yet: the end of the log, the last checkpoints. Raises one of ERRORS."""
        if self.log is not None:
            self.log.finish()
        if self.checkpoints is not None:
            self.checkpoints.finish()

    def remove(self) -> None:
        """Kill the container and delete its files."""
        self.kill()
        if self.checkpoints is not None:
            self.checkpoints.over.set()
        shutil.rmtree(self.folder, ignore_errors=True)  # docker's root may have written there

    def failure(self, code: int) -> str:
        """Why it failed, in as many characters as the service has for it."""
        file, ending = self.ml / "output/failure", f", exit code: {code}"
        reason = file.read_bytes().decode(errors="replace") if file.is_file() else ""
        return f"AlgorithmError: {reason}"[: REASON_LENGTH - len(ending)] + ending

    def _as_process(self, variables: dict[str, str]) -> tuple[list[str], dict[str, str]]:
        """Nothing of this environment but where to find programs: an instance has nothing else of it either."""
        specification = self.request["AlgorithmSpecification"]
        words = [*specification["ContainerEntrypoint"], *specification.get("ContainerArguments", [])]
        bare = {
            # of this very Python first: an image would have its packages
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
            "LANG": os.environ.get("LANG", "C.UTF-8"), "HOME": str(self.folder / "home"),
            "TMPDIR": str(self.folder / "tmp"), "DVC_SITE_CACHE_DIR": str(self.folder / "site"),
        }  # fmt: skip
        own = {name: self._here(value) for name, value in variables.items()}
        return [self._here(word) for word in words], {**bare, **own, FOLDER: str(self.ml)}

    def _in_docker(self, variables: dict[str, str]) -> tuple[list[str], dict[str, str]]:
        specification = self.request["AlgorithmSpecification"]
        first, *rest = specification.get("ContainerEntrypoint", [""])
        words = [*rest, *specification.get("ContainerArguments", [])] if first else ["train"]
        environment = [word for name, value in variables.items() for word in ("--env", f"{name}={value}")]
        entrypoint = ["--entrypoint", first] if first else []
        # its network is this machine's, for moto is on this machine's loopback
        options = [
            "--rm",
            "--network=host",
            f"--name={self.name}",
            f"--volume={self.ml}:{OPT}",
            *environment,
            *entrypoint,
        ]
        return ["docker", "run", *options, specification["TrainingImage"], *words], {**os.environ}

    def _here(self, text: str) -> str:
        """A path under /opt/ml as it is on this machine."""
        return f"{self.ml}{text.removeprefix(OPT)}" if text == OPT or text.startswith(f"{OPT}/") else text

    def _docker_kill(self, *options: str) -> None:
        subprocess.run(["docker", "kill", *options, self.name], check=False, capture_output=True)
