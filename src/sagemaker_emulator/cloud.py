"""The other services, which moto stands in for: what a job reads, writes and says."""

import contextlib
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import botocore.session
from boto3.exceptions import Boto3Error
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

ACCOUNT, REGION = "123456789012", "us-east-1"  # moto's, where nobody says another
# of nobody; whoever has a real key must not see it sent to a server that asks for none
KEYS = {"AWS_ACCESS_KEY_ID": "nobody-of-the-emulator", "AWS_SECRET_ACCESS_KEY": "none"}
SYNC_EVERY = 0.1  # seconds between two comparisons of the checkpoints with what is in S3
ERRORS = (ClientError, BotoCoreError, Boto3Error, OSError)
ALONE = TransferConfig(use_threads=False)  # an instance's transfers leave the processors to the jobs


@dataclass(frozen=True)
class Cloud:
    """Clients of one address. Neither the environment nor ~/.aws have a say in them."""

    s3: Any
    logs: Any
    iam: Any
    ecr: Any

    @classmethod
    def at(cls, address: str) -> "Cloud":
        """`address`: URL of a server that stands in for all of them."""
        session = boto3.Session(botocore_session=unled(), region_name=REGION)
        config = Config(proxies={}, retries={"mode": "standard"})
        names = ("s3", "logs", "iam", "ecr")
        return cls(*(session.client(name, endpoint_url=address, config=config) for name in names))

    def keys(self, uri: str) -> Iterator[str]:
        """Of every object whose key begins as the URI does; a bucket that is not there holds none."""
        bucket, prefix = _parts(uri)
        try:
            for page in self.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
                yield from (item["Key"] for item in page.get("Contents", []))
        except self.s3.exceptions.NoSuchBucket:
            return

    def download(self, uri: str, folder: Path) -> None:
        """Lay the objects out by what their keys have beyond the URI's folder."""
        bucket, prefix = _parts(uri)
        folder.mkdir(parents=True, exist_ok=True)
        for key in self.keys(uri):
            inside = key.startswith(f"{prefix.rstrip('/')}/") or not prefix
            name = key.removeprefix(prefix).lstrip("/") if inside else key[prefix.rfind("/") + 1 :]
            if name and not name.endswith("/"):
                file = folder / name
                if not file.resolve().is_relative_to(folder.resolve()):
                    raise OSError(f"{key} would leave {folder}")
                file.parent.mkdir(parents=True, exist_ok=True)
                self.s3.download_file(bucket, key, str(file), Config=ALONE)

    def upload(self, file: Path, uri: str) -> None:
        """Raises one of ERRORS."""
        bucket, key = _parts(uri)
        self.s3.upload_file(str(file), bucket, key, Config=ALONE)

    def remove(self, uri: str) -> None:
        """An object that is not there is fine."""
        bucket, key = _parts(uri)
        self.s3.delete_object(Bucket=bucket, Key=key)


class Checkpoints:
    """A folder whose files are copied to S3 while a container writes them, and removed there when they are removed here.

    A file may be sent half-written, and one of several without the others: the service promises no better.
    """

    def __init__(self, cloud: Cloud, uri: str, folder: Path) -> None:
        self.cloud, self.uri, self.folder = cloud, uri.rstrip("/"), folder
        cloud.download(f"{self.uri}/", folder)
        self.sent = {file: _stamp(file) for file in _files(folder)}
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._follow, daemon=True)
        self.thread.start()

    def finish(self) -> None:
        """Send what has not been sent. Raises one of ERRORS."""
        self.over.set()
        self.thread.join()
        self._remove()
        for file in _files(self.folder):
            self._send(file)

    def _follow(self) -> None:
        while not self.over.wait(SYNC_EVERY):
            for file in _files(self.folder):
                try:
                    self._send(file)
                except ERRORS:  # the file is gone already, or changes; the next comparison sees it
                    continue
            with contextlib.suppress(*ERRORS):
                self._remove()

    def _send(self, file: Path) -> None:
        stamp = _stamp(file)
        if self.sent.get(file) != stamp:
            self.cloud.upload(file, self._uri(file))
            self.sent[file] = stamp

    def _remove(self) -> None:
        for file in [file for file in self.sent if not file.exists()]:
            self.cloud.remove(self._uri(file))
            del self.sent[file]

    def _uri(self, file: Path) -> str:
        return f"{self.uri}/{file.relative_to(self.folder).as_posix()}"


def unled() -> botocore.session.Session:
    """botocore's session, which follows neither a profile in the environment nor ~/.aws."""
    variables = {"profile": None, "config_file": os.devnull, "credentials_file": os.devnull}
    session = botocore.session.Session({name: (None, None, value, None) for name, value in variables.items()})
    session.set_credentials(*KEYS.values())
    return session


def _files(folder: Path) -> list[Path]:
    files = (Path(top, name) for top, _, names in os.walk(folder) for name in names)
    return sorted(file for file in files if file.is_file())


def _stamp(file: Path) -> tuple[int, int, int]:
    status = file.stat()
    return status.st_mtime_ns, status.st_size, status.st_ino


def _parts(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.partition("://")[2].partition("/")
    return bucket, key
