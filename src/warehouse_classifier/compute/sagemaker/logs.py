"""The log of a job in CloudWatch, line by line as it comes."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from botocore.exceptions import ClientError

from warehouse_classifier.compute.sagemaker import aws

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
        self.last: dict[str, int] = {}  # milliseconds since 1970
        self.since: dict[str, int] = {}  # from where on a stream was read anew

    def new(self) -> Iterator[Line]:
        """What has come since the last look, machine by machine."""
        with aws.asking("the job's log"):
            for stream in self._streams():
                machine = stream.removeprefix(f"{self.job}/").rpartition("-")[0]
                while True:
                    before = self.tokens.get(stream)
                    answer = self._answer(stream)
                    self.tokens[stream] = answer["nextForwardToken"]
                    for event in answer["events"]:
                        self.last[stream] = event["timestamp"]
                        yield Line(event["timestamp"] / 1000, machine, event["message"].rstrip("\n"))
                    if answer["nextForwardToken"] == before:  # this is how the service says that there is no more
                        break

    def _answer(self, stream: str) -> Any:
        asked: dict[str, Any] = {"logGroupName": GROUP, "logStreamName": stream, "startFromHead": True}
        if stream in self.since:
            asked["startTime"] = self.since[stream]
        try:
            token = {"nextToken": self.tokens[stream]} if stream in self.tokens else {}
            return self.client.get_log_events(**asked, **token)
        except ClientError as error:
            if aws.code_of(error) != "InvalidParameterException" or not token:
                raise
            # a token is good for a day, and a laptop may have slept over a weekend
            self.since[stream] = self.last.get(stream, -1) + 1
            return self.client.get_log_events(**{**asked, "startTime": self.since[stream]})

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
