"""The log of a job in CloudWatch, line by line as it comes."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from botocore.exceptions import ClientError

from warehouse_classifier.compute import aws

GROUP = "/aws/sagemaker/TrainingJobs"


class Line(NamedTuple):
    at: float  # seconds since 1970
    machine: str  # algo-1, algo-2, ...
    text: str


class Log:
    """Each machine of a job has a stream of its own, and a new one when a spot machine was taken away."""

    def __init__(self, job: str, region: str) -> None:
        self.job = job
        self.client = aws.client("logs", region)
        self.tokens: dict[str, str] = {}

    def new(self) -> Iterator[Line]:
        """What has come since the last look, machine by machine."""
        with aws.asking("the job's log"):
            for stream in self._streams():
                while True:
                    asked: dict[str, Any] = {"logGroupName": GROUP, "logStreamName": stream, "startFromHead": True}
                    before = self.tokens.get(stream)
                    if before:
                        asked["nextToken"] = before
                    answer = self.client.get_log_events(**asked)
                    self.tokens[stream] = answer["nextForwardToken"]
                    machine = stream.removeprefix(f"{self.job}/").rpartition("-")[0]
                    for event in answer["events"]:
                        yield Line(event["timestamp"] / 1000, machine, event["message"].rstrip("\n"))
                    if answer["nextForwardToken"] == before:  # this is how the service says that there is no more
                        break

    def _streams(self) -> list[str]:
        """By the time they were made, which stands at the end of their names."""
        names: list[str] = []
        try:
            pages = self.client.get_paginator("describe_log_streams").paginate(
                logGroupName=GROUP, logStreamNamePrefix=f"{self.job}/"
            )
            names = [stream["logStreamName"] for page in pages for stream in page["logStreams"]]
        except ClientError as error:
            if aws.code_of(error) != "ResourceNotFoundException":  # of an account that never had a job
                raise
        return sorted(names, key=lambda name: (name.rpartition("-")[2], name))
