"""What runs on a rented machine: the round trip of one stage, in the tree that the archive holds.

    python -m warehouse_classifier.compute.sagemaker.container

SageMaker's contract: what to do stands in JSON files below /opt/ml, a SIGTERM comes 120 seconds before the end, and
/opt/ml/output/failure tells why it failed. OPT_ML moves that folder, for the emulator.
"""

import json
import os
import signal
import subprocess
import sys
from collections import deque
from pathlib import Path
from types import FrameType
from typing import Any
from zlib import crc32

from ruamel.yaml import YAML

from warehouse_classifier.compute import metrics_log, stage_spec
from warehouse_classifier.compute.sagemaker import dvc_remote
from warehouse_classifier.runtime.errors import UserError
from warehouse_classifier.tracking.stderr import say_error
from warehouse_classifier.work.resume import VARIABLE as WORK_FOLDER

BASE = Path(os.environ.get("OPT_ML") or "/opt/ml")
DEVICE = Path("/dev/nvidia0")
REASON_LENGTH = 1024  # characters of a failure that SageMaker keeps
LAST_LINES = 20  # of stderr, in which the reason is looked for
SHUTDOWN_SECONDS = 100  # for processes to save what is done, of the 120 that SageMaker gives
# Machines meet at one of them, chosen by the job's name, as jobs of an emulator share a host. None that a system hands out by
# itself: Linux begins at 32768 (its Documentation/networking/ip-sysctl), gVisor at 16000 (its pkg/tcpip/ports).
PORTS = range(10000, 16000)


class StageFailed(UserError):
    """The stage itself has failed, and its log holds the reason already."""


# Of torchrun, which tells of machines that end one after the other with a traceback; what failed, the stage tells
QUIET = {"LOGLEVEL": "CRITICAL"}


class Container:
    """One machine of a job."""

    def __init__(self) -> None:
        hyperparameters, resources = _config("hyperparameters"), _config("resourceconfig")
        self.stage = str(hyperparameters["stage"])
        self.argv = [str(word) for word in json.loads(hyperparameters["argv"])]
        self.hosts, self.host = resources["hosts"], resources["current_host"]
        self.interface = resources.get("network_interface_name", "eth0")
        self.spec = stage_spec.read(self.stage, self.argv)
        self.process: subprocess.Popen[str] | None = None
        self.terminated = False  # by SageMaker's SIGTERM

    def run(self) -> None:
        """Raises UserError with the reason where the stage fails."""
        signal.signal(signal.SIGTERM, self._terminate)
        refuse_idle_gpu()
        if self.spec.inputs:
            dvc_remote.dvc("pull", *self.spec.inputs)
        self._work()
        if self.host == self.hosts[0]:
            dvc_remote.dvc("commit", "--force", self.stage)
            dvc_remote.dvc("push", self.stage)
            (BASE / "model").mkdir(parents=True, exist_ok=True)
            stages = {self.stage: stage_spec.locked()[self.stage]}
            YAML(typ="safe", pure=True).dump({"schema": "2.0", "stages": stages}, BASE / "model" / stage_spec.LOCK)

    def _work(self) -> None:
        """The stage's command, as dvc.yaml has it, or a share of it where several machines work together."""
        (BASE / "checkpoints").mkdir(parents=True, exist_ok=True)
        environment = {
            **os.environ, "STAGE_RUNNER": "local", "DVC_ROOT": str(Path.cwd()), WORK_FOLDER: str(BASE / "checkpoints"),
            metrics_log.VARIABLE: "log",
        }  # fmt: skip
        launcher: list[str] = []
        if len(self.hosts) > 1:
            launcher = self._torchrun()
            environment |= {"GLOO_SOCKET_IFNAME": self.interface, "NCCL_SOCKET_IFNAME": self.interface, **QUIET}
        command = [sys.executable, *launcher, "-m", "warehouse_classifier.compute", self.stage, *self.argv]
        last: deque[str] = deque(maxlen=LAST_LINES)
        with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as self.process:
            if self.terminated:  # before there was a process to hand the signal on to
                self.process.terminate()
            assert self.process.stderr is not None
            for line in self.process.stderr:
                print(line, end="", file=sys.stderr, flush=True)
                last.append(line)
        if self.process.returncode:
            errors = [line.removeprefix("error: ").strip() for line in last if line.startswith("error: ")]
            reason = errors[-1] if errors else "".join(last).strip()[-REASON_LENGTH:]
            raise StageFailed(reason or f"exit status {self.process.returncode}")

    def _torchrun(self) -> list[str]:
        processes = self.spec.params[f"{self.stage}.{self.argv[0]}"]["processes"]
        port = PORTS[crc32(os.environ.get("TRAINING_JOB_NAME", "").encode()) % len(PORTS)]
        return [
            "-m", "torch.distributed.run", f"--nnodes={len(self.hosts)}", f"--node-rank={self.hosts.index(self.host)}",
            f"--nproc-per-node={processes // len(self.hosts)}", f"--master-addr={self.hosts[0]}", f"--master-port={port}",
            f"--local-addr={self.host}", f"--shutdown-timeout={SHUTDOWN_SECONDS}",
        ]  # fmt: skip

    def _terminate(self, signum: int, frame: FrameType | None) -> None:
        """Let the stage save what is done, and end with it."""
        self.terminated = True
        if self.process is None:
            raise SystemExit(128 + signum)
        self.process.terminate()


def _config(name: str) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((BASE / "input/config" / f"{name}.json").read_text())
    return config


def refuse_idle_gpu() -> None:
    """Raises UserError where the driver is too old for the image's CUDA: torch would use the processor, at a GPU's price."""
    if DEVICE.exists():
        import torch

        if not torch.cuda.is_available():
            raise UserError(
                f"the image's torch, of CUDA {torch.version.cuda}, cannot use this machine's GPU, whose driver may be too old;"
                " choose another instance type, or build the image with an older CUDA"
            )


def main() -> int:
    """Run the stage; returns the exit status, after writing the reason of a failure where SageMaker reads it."""
    try:
        Container().run()
    except Exception as error:
        # a bug as well: whoever waits for the job sees this file and not the machine
        reason = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        (BASE / "output").mkdir(parents=True, exist_ok=True)
        (BASE / "output/failure").write_text(reason[-REASON_LENGTH:])
        if not isinstance(error, UserError):
            raise
        if not isinstance(error, StageFailed):
            say_error(reason)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
