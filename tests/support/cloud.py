"""AWS on loopback: moto's server for S3, IAM, ECR, STS and CloudWatch, and beside it the emulator that really runs jobs."""

import time
from collections import Counter
from pathlib import Path
from typing import Any

import boto3

from sagemaker_emulator.account import IMAGE, ROLE, furnish
from sagemaker_emulator.cloud import Cloud
from sagemaker_emulator.log import GROUP
from sagemaker_emulator.server import Emulator
from support.projects import Project
from support.s3 import CREDENTIALS, S3

BUCKET = "of-a-team"
SECRET = "a-key-that-must-not-travel"  # noqa: S105
STAGE = (
    "fetch_metadata",
    "sample",
    "data/metadata.parquet",
    "data/unreadable.parquet",
)  # a stage's name and the words of its command
REMOTE = f"[core]\nremote = storage\n['remote \"storage\"']\nurl = s3://{BUCKET}/door\n"


class Account:
    """An AWS account with a bucket, a role, an image and quotas."""

    def __init__(self, s3: S3, folder: Path) -> None:
        self.url, self.s3 = s3.url, s3.client
        self.emulator = Emulator(
            folder, s3.url, grace=60, quotas={"ml.p4d.24xlarge": 0}, runner="subprocess", say=lambda _: None
        )
        furnish(Cloud.at(s3.url))
        self.s3.create_bucket(Bucket=BUCKET)
        # so that what is sent twice is seen
        self.s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        key, secret, region = CREDENTIALS.values()
        credentials = {"aws_access_key_id": key, "aws_secret_access_key": secret, "region_name": region}
        self.sagemaker = boto3.client("sagemaker", endpoint_url=self.emulator.url, **credentials)
        self.logs = boto3.client("logs", endpoint_url=s3.url, **credentials)

    @property
    def environment(self) -> dict[str, str]:
        return {
            **CREDENTIALS, "AWS_ENDPOINT_URL": self.url, "AWS_ENDPOINT_URL_SAGEMAKER": self.emulator.url,
            "STAGE_RUNNER": "sagemaker", "SAGEMAKER_ROLE": ROLE, "SAGEMAKER_IMAGE": IMAGE, "SAGEMAKER_POLL_SECONDS": "0.4",
        }  # fmt: skip

    def settle(self, project: Project, prefix: str) -> None:
        """Lead a project here, to a remote that nobody else has; the project's default one stays a placeholder."""
        project.run("dvc", "remote", "add", "--local", "--force", "team", f"s3://{BUCKET}/{prefix}")
        project.environment |= {**self.environment, "SAGEMAKER_REMOTE": "team"}

    def written(self, prefix: str) -> Counter[str]:
        """How often each key was written, those that are removed meanwhile as well."""
        pages = self.s3.get_paginator("list_object_versions").paginate(Bucket=BUCKET, Prefix=f"{prefix}/")
        return Counter(version["Key"] for page in pages for version in page.get("Versions", []))

    def keys(self, prefix: str) -> list[str]:
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{prefix}/")
        return [item["Key"] for page in pages for item in page.get("Contents", [])]

    def body(self, key: str) -> bytes:
        body: bytes = self.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return body

    def jobs(self, stage: str = "") -> list[str]:
        """Names of all jobs so far, the oldest first."""
        named = {"NameContains": stage.replace("_", "-")} if stage else {}
        page = self.sagemaker.list_training_jobs(**named, SortBy="CreationTime", SortOrder="Ascending", MaxResults=100)
        return [job["TrainingJobName"] for job in page["TrainingJobSummaries"]]

    def described(self, job: str) -> dict[str, Any]:
        description: dict[str, Any] = self.sagemaker.describe_training_job(TrainingJobName=job)
        return description

    def log(self, job: str) -> list[str]:
        streams = self.logs.describe_log_streams(logGroupName=GROUP, logStreamNamePrefix=f"{job}/")["logStreams"]
        names = sorted(stream["logStreamName"] for stream in streams)
        return [
            event["message"]
            for name in names
            for event in self.logs.get_log_events(logGroupName=GROUP, logStreamName=name, startFromHead=True)["events"]
        ]

    def phases(self, job: str) -> list[str]:
        """All that it has gone through."""
        return [step["Status"] for step in self.described(job)["SecondaryStatusTransitions"]]

    def await_job(self, stage: str, after: int, phase: str = "Training", patience: float = 90) -> str:
        """The name of a stage's job after so many others, when it has come to that phase."""
        return await_(
            lambda: next((job for job in self.jobs(stage)[after:] if phase in self.phases(job)), ""), patience
        )


def await_(get: Any, patience: float = 90) -> Any:
    """What it returns as soon as that is something."""
    until = time.monotonic() + patience
    while not (value := get()):
        assert time.monotonic() < until, "it did not come"
        time.sleep(0.2)  # a question costs moto some processor time
    return value
