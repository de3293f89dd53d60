"""A Training job from Starting to its end, in a thread of its own."""

import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sagemaker_emulator.artifacts import upload
from sagemaker_emulator.cloud import ERRORS, Cloud
from sagemaker_emulator.instance import REASON_LENGTH, Instance
from sagemaker_emulator.limits import INVALID, Refusal, has_image
from sagemaker_emulator.record import Record

POLL_EVERY = 0.05  # seconds between two looks at the containers


@dataclass(frozen=True)
class Context:
    """What all jobs of an emulator share."""

    folder: Path
    address: str  # of the other services
    cloud: Cloud
    grace: float  # seconds from SIGTERM to SIGKILL
    runner: str  # auto (docker for an image that it has), subprocess or docker
    say: Callable[[str], None]


class Failure(Exception):
    """The reason that the service will give."""


class Closed(Exception):
    """The emulator ends, and nobody waits for the job any more."""


class Job:
    """`thread` runs it, once started; `closed` ends it without a trace."""

    def __init__(self, request: dict[str, Any], context: Context) -> None:
        self.request, self.context, self.record = request, context, Record(request)
        self.image = request["AlgorithmSpecification"]["TrainingImage"]
        self.folder = context.folder / self.record.name
        self.instances: list[Instance] = []
        self.interrupted, self.closed = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self._live, name=self.record.name, daemon=True)

    def interrupt(self) -> None:
        """Take its instances away, as somebody would who pays more. Raises Refusal."""
        with self.record.lock:
            name, secondary = self.record.name, self.record.secondary
            if not self.request.get("EnableManagedSpotTraining"):
                raise Refusal(INVALID, f"{name} is no spot job, nobody takes its instances away")
            if secondary != "Training":
                raise Refusal(INVALID, f"{name} is {secondary}, it can be interrupted while it is Training")
            self.interrupted.set()

    def _live(self) -> None:
        try:
            ending = self._work()
            if self.instances:
                self.record.enter("Uploading")
                upload(self.instances, self.folder, self.record.output, self.context.cloud)
                self.record.model = f"{self.record.output}/model.tar.gz"
            self.record.end(ending)
        except Failure as failure:
            self.record.end("Failed", str(failure))
        except Closed:
            pass
        except ERRORS as error:
            reason = f"InternalServerError: We encountered an internal error. Please try again. ({error})"
            self.record.end("Failed", reason[:REASON_LENGTH])
        finally:
            self._give_back()
            shutil.rmtree(self.folder, ignore_errors=True)
            if self.record.is_running() and not self.closed.is_set():  # by a mistake in here, which the thread tells
                self.record.end("Failed", "InternalServerError: We encountered an internal error. Please try again.")

    def _work(self) -> str:
        """Run it, as often as it is interrupted; returns the secondary status that it is to end with."""
        attempt = 0
        while not self.record.stop_as:
            self._rent(attempt)
            ending = self.record.stop_as or self._train()
            for instance in self.instances:
                instance.finish()
            if ending != "Interrupted":
                return ending
            self.record.enter("Interrupted")
            self._give_back()
            self.record.enter("Starting")
            attempt += 1
        return self.record.stop_as

    def _rent(self, attempt: int) -> None:
        """Have instances, with all that a container finds on them. Raises Failure."""
        docker = self._in_docker()
        self.interrupted.clear()
        self.record.rent()
        for number in range(1, self.request["ResourceConfig"]["InstanceCount"] + 1):
            self._refuse_closed()
            folder = self.folder / f"{attempt}-algo-{number}"
            self.instances.append(Instance(self.request, self.record.arn, number, folder, docker))
            self.instances[-1].prepare(self.context.cloud)
        if not has_image(self.image, self.context.cloud):
            # the service refuses some such requests at once; this is the later way to learn of it
            says = "Cannot pull algorithm container. Either the image does not exist or its permissions are incorrect."
            raise Failure(f"ClientError: {says}")
        if not docker and not self.request["AlgorithmSpecification"].get("ContainerEntrypoint"):
            raise Failure("ClientError: without docker the emulator runs a ContainerEntrypoint, and there is none")
        where = f"in docker, from {self.image}" if docker else "as a subprocess"
        self.context.say(f"{self.record.name} runs {where}; its /opt/ml is {self.instances[0].ml}")

    def _train(self) -> str:
        """Returns a secondary status. Raises Failure."""
        self.record.enter("Training")
        try:
            for instance in self.instances:
                instance.start(self.context.cloud, self.context.address)
        except (FileNotFoundError, PermissionError, ValueError) as error:
            raise Failure(f"AlgorithmError: {error}, exit code: 127"[:REASON_LENGTH]) from None
        while True:
            statuses = [instance.status() for instance in self.instances]
            for instance, status in zip(self.instances, statuses, strict=True):
                if status:
                    self._fail(instance, status)
            if None not in statuses:
                return "Completed"
            self._refuse_closed()
            self.record.check_timeouts()
            if self.record.stop_as or self.interrupted.is_set():
                self._terminate()
                return self.record.stop_as or "Interrupted"
            time.sleep(POLL_EVERY)

    def _fail(self, first: Instance, status: int) -> None:
        """End the other instances too, and keep all but a model. Raises Failure."""
        self.record.enter("Uploading")
        for instance in self.instances:
            instance.kill()
        for instance in self.instances:
            instance.finish()
        raise Failure(first.failure(status))

    def _terminate(self) -> None:
        for instance in self.instances:
            instance.terminate()
        last = time.monotonic() + self.context.grace
        while time.monotonic() < last and None in [instance.status() for instance in self.instances]:
            self._refuse_closed()
            time.sleep(POLL_EVERY)
        for instance in self.instances:
            instance.kill()

    def _in_docker(self) -> bool:
        if self.context.runner != "auto" or shutil.which("docker") is None:
            return self.context.runner == "docker"
        inspected = subprocess.run(["docker", "image", "inspect", self.image], check=False, capture_output=True)
        return inspected.returncode == 0

    def _refuse_closed(self) -> None:
        """Raises Closed if the emulator ends."""
        if self.closed.is_set():
            raise Closed

    def _give_back(self) -> None:
        self.record.give_back()
        for instance in self.instances:
            instance.remove()
        self.instances = []
