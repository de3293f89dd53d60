"""A real S3 server on loopback."""

import itertools
from collections.abc import Mapping

import boto3

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "a-tester",
    "AWS_SECRET_ACCESS_KEY": "of-no-worth",
    "AWS_DEFAULT_REGION": "us-east-1",
}


class S3:
    """A real S3 server on loopback."""

    def __init__(self, url: str) -> None:
        self.url = url
        id, secret, region = CREDENTIALS.values()
        self.client = boto3.Session(id, secret, None, region).client("s3", endpoint_url=url)
        self.numbers = itertools.count()

    def bucket(self, bodies: Mapping[str, bytes], prefix: str = "") -> str:
        """A new bucket that holds the bodies; returns its URL."""
        name = f"bins-{next(self.numbers)}"
        self.client.create_bucket(Bucket=name)
        for key, body in bodies.items():
            self.client.put_object(Bucket=name, Key=f"{prefix}/{key}".strip("/"), Body=body)
        return f"s3://{name}/{prefix}".rstrip("/")
