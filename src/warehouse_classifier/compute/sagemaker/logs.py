"""The log of a job in CloudWatch, line by line as it comes."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from botocore.exceptions import ClientError

from warehouse_classifier.compute.sagemaker import aws

GROUP = "/aws/sagemaker/TrainingJobs"


class Line(NamedTuple):
    """One line of a job's log."""

    at: float  # seconds since 1970
    machine: str  # algo-1, algo-2, ...
    text: str


class Log:
    """Each machine of a job has a stream of its own, and another one after a spot machine was taken away."""

    def __init__(self, job: str, region: str) -> None:
        self.job = job
        self.client = aws.client("logs", region)
        self.tokens: dict[str, str] = {}
        self.last: dict[str, int] = {}  # time of the last line by stream, milliseconds since 1970
        self.since: dict[str, int] = {}  # from when on a stream is read whose token was too old

    def new(self) -> Iterator[Line]:
        """What has come since the last call, machine by machine. Raises UserError or Unreachable as `aws.asking` does."""
        with aws.asking("the job's log"):
            for stream in self._streams():
                machine = stream.removeprefix(f"{self.job}/").rpartition("-")[0]
                while True:
                    before = self.tokens.get(stream)
                    response = self._read(stream)
                    self.tokens[stream] = response["nextForwardToken"]
                    for event in response["events"]:
                        self.last[stream] = event["timestamp"]
                        yield Line(event["timestamp"] / 1000, machine, event["message"].rstrip("\n"))
                    if response["nextForwardToken"] == before:  # the same token again means that there is no more
                        break

    def _read(self, stream: str) -> Any:
        request: dict[str, Any] = {"logGroupName": GROUP, "logStreamName": stream, "startFromHead": True}
        if stream in self.since:
            request["startTime"] = self.since[stream]
        try:
            token = {"nextToken": self.tokens[stream]} if stream in self.tokens else {}
            return self.client.get_log_events(**request, **token)
        except ClientError as error:
            if aws.code_of(error) != "InvalidParameterException" or not token:
                raise
            # a token is good for a day, and a laptop may have slept over a weekend
            self.since[stream] = self.last.get(stream, -1) + 1
            return self.client.get_log_events(**{**request, "startTime": self.since[stream]})

    def _streams(self) -> list[str]:
        """Names in the order in which the streams were made: the time is their end."""
        try:
            pages = self.client.get_paginator("describe_log_streams").paginate(
                logGroupName=GROUP, logStreamNamePrefix=f"{self.job}/"
            )
            names = [stream["logStreamName"] for page in pages for stream in page["logStreams"]]
        except ClientError as error:
            if aws.code_of(error) != "ResourceNotFoundException":  # an account that never had a job has no log group
                raise
            names = []
        return sorted(names, key=lambda name: (name.rpartition("-")[2], name))
