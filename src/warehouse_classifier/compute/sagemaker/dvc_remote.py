"""The DVC remote, through which the data goes to a rented machine and back."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from warehouse_classifier.compute.sagemaker import aws
from warehouse_classifier.compute.sagemaker.settings import SECTION
from warehouse_classifier.runtime.errors import UserError

# what a rented machine needs of the remote's configuration, and nothing that is a secret or a place on this machine
SAFE = ("url", "endpointurl", "region", "verify", "use_ssl", "sse", "sse_kms_key_id")
# the user's own variables, which a command of DVC within another one keeps; all others are of the outer one
KEPT = ("DVC_SITE_CACHE_DIR", "DVC_GLOBAL_CONFIG_DIR", "DVC_SYSTEM_CONFIG_DIR")
CREDENTIALS = {
    "access_key_id": "aws_access_key_id",
    "secret_access_key": "aws_secret_access_key",
    "session_token": "aws_session_token",
}


@dataclass(frozen=True)
class Remote:
    """A DVC remote in S3."""

    name: str
    section: dict[str, Any]  # of DVC's configuration

    @property
    def url(self) -> str:
        """s3://bucket/prefix, with no slash at its end."""
        return str(self.section["url"]).rstrip("/")

    @property
    def bucket(self) -> str:
        """Its name."""
        return urlsplit(self.url).netloc

    def key(self, *names: str) -> str:
        """Of an object below the remote's address."""
        return "/".join([urlsplit(self.url).path, *names]).strip("/")

    def address(self, *names: str) -> str:
        """s3://bucket/prefix/... of an object below the remote's address."""
        return f"s3://{self.bucket}/{self.key(*names)}"

    def config(self) -> str:
        """.dvc/config for a tree that has no git and no secret."""
        lines = ["[core]", "analytics = false", "check_update = false", "no_scm = true", f"remote = {self.name}"]
        options = [f"{key} = {self.section[key]}" for key in SAFE if self.section.get(key)]
        return "\n".join([*lines, f"['remote \"{self.name}\"']", *options, ""])

    def client(self, region: str) -> Any:
        """boto3's S3, with the credentials that DVC would take. Raises UserError where there are none."""
        with aws.asking("the DVC remote"):
            credentials = {name: self.section[key] for key, name in CREDENTIALS.items() if self.section.get(key)}
            return aws.client(
                "s3", self.section.get("region") or region, profile=self.section.get("profile"),
                endpoint_url=self.section.get("endpointurl"), **credentials,
            )  # fmt: skip


def read(name: str | None) -> Remote:
    """The remote of that name, or the default one. Raises UserError if there is none, or none that a rented machine can reach."""
    from dvc.config import Config, ConfigError

    try:
        config = Config.from_cwd()
    except ConfigError as error:
        raise UserError(f"DVC cannot read its configuration: {error}") from None
    chosen, name = name, name or config["core"].get("remote")
    section = dict(config["remote"].get(name) or {}) if name else {}
    way_out = f"point it at a bucket of yours: `dvc remote modify --local {name or 'storage'} url s3://...`"
    if not section and chosen:
        raise UserError(
            f"{SECTION}.remote is {chosen}, and DVC has no such remote; `dvc remote list` lists those there are"
        )
    if not section:
        raise UserError(f"DVC has no default remote; {way_out}")
    address = urlsplit(str(section["url"]))
    if address.scheme != "s3":
        raise UserError(f"the DVC remote {name} is {section['url']}, and SageMaker reaches S3 alone; {way_out}")
    if "<" in address.netloc or not address.netloc:
        raise UserError(f"the DVC remote {name} is still {section['url']}; {way_out}")
    if "@" in str(section.get("endpointurl") or ""):
        raise UserError(
            f"the endpointurl of the DVC remote {name} holds a name or a password, which would travel; take it out"
        )
    # what comes back changed is noticed; without, DVC takes it for what it was, and does so for a remote just added
    return Remote(name, {**section, "verify": True})


def cache() -> Path:
    """The folder of DVC's cache, as `dvc cache dir` tells it."""
    from dvc.config import Config

    config = Config.from_cwd()
    return Path(config["cache"].get("dir") or Path(config.dvc_dir, "cache"))


def dvc(*words: str, folder: Path | None = None) -> None:
    """Run DVC within a command of DVC, in `folder` if it is another one. Raises UserError with DVC's reason."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DVC_") or name in KEPT}
    # DVC shows bars and explanations where stderr is a terminal, and nowhere else
    stderr = None if sys.stderr.isatty() else subprocess.PIPE
    ran = subprocess.run(
        [sys.executable, "-m", "dvc", *words], cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=stderr,
        text=True, check=False,
    )  # fmt: skip
    if ran.returncode:
        errors = [line.removeprefix("ERROR: ") for line in (ran.stderr or "").splitlines() if line.startswith("ERROR")]
        raise UserError(f"`dvc {' '.join(words)}` failed: {'; '.join(errors[:2]) or 'its reason is above'}")
