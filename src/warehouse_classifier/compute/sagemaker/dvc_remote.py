"""The DVC remote, through which the data goes to a rented machine and back."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from warehouse_classifier.compute.sagemaker import aws
from warehouse_classifier.compute.sagemaker.settings import SECTION
from warehouse_classifier.runtime.errors import UserError

# what a rented machine needs of the remote's configuration, and nothing that is a secret or a place on this machine
SAFE = ("url", "endpointurl", "region", "verify", "use_ssl", "sse", "sse_kms_key_id")
KEPT = ("DVC_SITE_CACHE_DIR", "DVC_GLOBAL_CONFIG_DIR", "DVC_SYSTEM_CONFIG_DIR")  # people's own; others are of a run
SECRET = {
    "access_key_id": "aws_access_key_id",
    "secret_access_key": "aws_secret_access_key",
    "session_token": "aws_session_token",
}


@dataclass(frozen=True)
class Remote:
    name: str
    told: dict[str, Any]  # its section of DVC's configuration

    @property
    def url(self) -> str:
        return str(self.told["url"]).rstrip("/")

    @property
    def bucket(self) -> str:
        return urlsplit(self.url).netloc

    def key(self, *names: str) -> str:
        """Of an object below the remote's address."""
        return "/".join([urlsplit(self.url).path, *names]).strip("/")

    def config(self) -> str:
        """.dvc/config for a tree that has no git and no secret."""
        lines = ["[core]", "analytics = false", "check_update = false", "no_scm = true", f"remote = {self.name}"]
        lines += [f"['remote \"{self.name}\"']", *(f"{key} = {self.told[key]}" for key in SAFE if self.told.get(key))]
        return "\n".join(lines) + "\n"

    def client(self, region: str) -> Any:
        """boto3's S3, with the credentials that DVC would take."""
        with aws.asking("the DVC remote"):
            known = {name: self.told[key] for key, name in SECRET.items() if self.told.get(key)}
            return aws.client(
                "s3", self.told.get("region") or region, profile=self.told.get("profile"),
                endpoint_url=self.told.get("endpointurl"), **known,
            )  # fmt: skip


def read(name: str | None) -> Remote:
    """The remote of that name, or the default one. Raises UserError if there is none, or none that a rented machine can reach."""
    from dvc.config import Config, ConfigError

    try:
        config = Config.from_cwd()
    except ConfigError as error:
        raise UserError(f"DVC cannot read its configuration: {error}") from None
    chosen, name = name, name or config["core"].get("remote")
    told = dict(config["remote"].get(name) or {}) if name else {}
    way_out = f"point it at a bucket of yours: `dvc remote modify --local {name or 'storage'} url s3://...`"
    if not told and chosen:
        raise UserError(
            f"{SECTION}.remote is {chosen}, and DVC has no such remote; `dvc remote list` lists those there are"
        )
    if not told:
        raise UserError(f"DVC has no default remote; {way_out}")
    address = urlsplit(str(told["url"]))
    if address.scheme != "s3":
        raise UserError(f"the DVC remote {name} is {told['url']}, and SageMaker reaches S3 alone; {way_out}")
    if "<" in address.netloc or not address.netloc:
        raise UserError(f"the DVC remote {name} is still {told['url']}; {way_out}")
    if "@" in str(told.get("endpointurl") or ""):
        raise UserError(
            f"the endpointurl of the DVC remote {name} holds a name or a password, which would travel; take it out"
        )
    return Remote(name, told)


def changed(paths: Iterable[str]) -> list[str]:
    """Those of the outputs that are not in the working tree as dvc.lock has them."""
    told = json.loads(dvc("data", "status", "--json")).get("uncommitted", {})
    others = {path.rstrip("/") for listed in told.values() for path in listed if isinstance(path, str)}
    return [path for path in paths if path in others]


def dvc(*words: str, folder: Path | None = None) -> str:
    """Run DVC within a command of DVC; what it writes on stdout. Raises UserError with its reason."""
    known = {name: value for name, value in os.environ.items() if not name.startswith("DVC_") or name in KEPT}
    # its bars are for a terminal, and so is what it says then
    shown = sys.stderr.isatty()
    ran = subprocess.run(
        [sys.executable, "-m", "dvc", *words], cwd=folder, env=known, stdout=subprocess.PIPE,
        stderr=None if shown else subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    if ran.returncode:
        said = [line.removeprefix("ERROR: ") for line in (ran.stderr or "").splitlines() if line.startswith("ERROR")]
        raise UserError(f"`dvc {' '.join(words)}` failed: {'; '.join(said[:2]) or 'its reason is above'}")
    return ran.stdout.strip()
