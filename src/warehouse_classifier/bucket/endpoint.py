"""Where a bucket in S3 is, by the usual AWS variables."""

import os
import re
from dataclasses import dataclass
from urllib.parse import quote

from warehouse_classifier.runtime.errors import UserError

PUBLIC = "aft-vbi-pds"  # the Amazon Bin Image Dataset, open to everyone without credentials
CREDENTIALS = ("AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")


@dataclass(frozen=True)
class Endpoint:
    """Where a bucket in S3 is, and how it is asked."""

    bucket: str
    prefix: str
    endpoint: str
    region: str
    signed: bool

    def url(self, key: str) -> str:
        """For a client that signs nothing."""
        path = quote("/".join(filter(None, (self.bucket, self.prefix, key))))
        return f"{self.endpoint.rstrip('/')}/{path}"


def s3(bucket: str, prefix: str) -> Endpoint:
    """By the usual AWS variables. Raises UserError where they make no sense."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if endpoint and not _is_address(endpoint):  # obstore would panic
        raise UserError(f"AWS_ENDPOINT_URL is {endpoint}, it must look like http://127.0.0.1:9000 or https://host")
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    signed = bucket != PUBLIC and any(os.environ.get(name) for name in CREDENTIALS)
    return Endpoint(bucket, prefix, endpoint or f"https://s3.{region}.amazonaws.com", region, signed)


def _is_address(url: str) -> bool:
    host = re.fullmatch(r"https?://([\w.-]+|\[[0-9a-fA-F:]+\])(:(\d{1,5}))?(/\S*)?", url, re.ASCII)
    return host is not None and int(host[3] or 0) < 65536
