"""The emulator: an HTTP server on loopback that boto3's sagemaker client takes for the service."""

import threading
from collections.abc import Callable, Mapping
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

from sagemaker_emulator import limits
from sagemaker_emulator.cloud import Cloud, unled
from sagemaker_emulator.job import Context, Job
from sagemaker_emulator.limits import INVALID, Refusal
from sagemaker_emulator.listing import page
from sagemaker_emulator.protocol import HOST, handler
from sagemaker_emulator.shapes import WrongType, refusal, violations
from warehouse_classifier.runtime.errors import UserError
from warehouse_classifier.tracking.stderr import say

CLOSE_TIMEOUT = 20  # seconds for a job to end whose processes are killed


class Emulator:
    """`folder`: for the jobs' files; `aws`: address of a server of S3, CloudWatch, IAM and ECR; `runner`: auto, subprocess, docker.

    `quotas`: instances by type ("ml.m5.xlarge"), or by the service's own name ("ml.m5.xlarge for spot training job
    usage"); what is not named is not limited. Raises UserError if the port is taken.
    """

    def __init__(
        self, folder: Path, aws: str, *, port: int = 0, grace: float = 120, quotas: Mapping[str, int] | None = None,
        runner: str = "auto", say: Callable[[str], None] | None = None,
    ) -> None:  # fmt: skip
        self.quotas, self.jobs, self.lock, self.closed = quotas or {}, dict[str, Job](), threading.RLock(), False
        self.model = unled().get_service_model("sagemaker")
        self.context = Context(folder.resolve(), aws, Cloud.at(aws), grace, runner, say or _say)
        self.operations = {
            "CreateTrainingJob": self._create, "DescribeTrainingJob": self._describe, "StopTrainingJob": self._stop,
            "ListTrainingJobs": self._list,
        }  # fmt: skip
        try:
            self.server = ThreadingHTTPServer((HOST, port), handler(self.answer, self.interrupt))
        except OSError as error:
            raise UserError(f"port {port} of {HOST} cannot be had ({error.strerror}); name another") from None
        self.url = f"http://{HOST}:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End every process of every job."""
        with self.lock:
            self.closed = True
        for job in self.jobs.values():
            job.closed.set()
        for job in self.jobs.values():
            job.thread.join(CLOSE_TIMEOUT)
        self.server.shutdown()
        self.server.server_close()

    def answer(self, operation: str, request: Any) -> dict[str, Any] | None:
        """The response to an operation, None for an empty one. Raises Refusal."""
        if operation not in self.operations:
            raise Refusal("UnknownOperationException", f"the emulator has no {operation or 'unnamed operation'}")
        try:
            violated = [*violations(self.model.operation_model(operation).input_shape, request)]
        except WrongType as error:
            raise Refusal("SerializationException", str(error)) from None
        if violated:
            raise Refusal(INVALID, refusal(violated))
        return self.operations[operation]({name: value for name, value in request.items() if value is not None})

    def interrupt(self, name: str) -> None:
        """Take away the instances of a spot job that is Training. Raises Refusal."""
        self._job(name).interrupt()

    def _create(self, request: dict[str, Any]) -> dict[str, Any]:
        name = request["TrainingJobName"]
        self._is_new(name)
        limits.check(request, self.context.cloud)
        with self.lock:
            self._is_new(name)
            if self.closed:
                raise Refusal("ServiceUnavailable", "the emulator ends", 503)
            running = [job.request for job in self.jobs.values() if job.record.is_running()]
            limits.quota(request, running, self.quotas)
            job = self.jobs[name] = Job(request, self.context)
            job.thread.start()
        return {"TrainingJobArn": job.record.arn}

    def _is_new(self, name: str) -> None:
        """Of all jobs that ever were: a name is never free again."""
        if name in self.jobs:
            says = "Training job names must be unique within an AWS account and region"
            arn = self.jobs[name].record.arn
            raise Refusal("ResourceInUse", f"{says}, and a training job with this name already exists ({arn})")

    def _describe(self, request: dict[str, Any]) -> dict[str, Any]:
        return self._job(request["TrainingJobName"]).record.describe()

    def _stop(self, request: dict[str, Any]) -> None:
        self._job(request["TrainingJobName"]).record.stop()

    def _list(self, request: dict[str, Any]) -> dict[str, Any]:
        with self.lock:
            descriptions = [job.record.describe() for job in self.jobs.values()]
        return page(descriptions, request)

    def _job(self, name: str) -> Job:
        if name not in self.jobs:
            raise Refusal(INVALID, "Requested resource not found.")
        return self.jobs[name]


def _say(line: str) -> None:
    say(f"emulator: {line}")
