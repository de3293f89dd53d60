"""One request to an S3-compatible store or a local folder, by obstore, and what came of it.

No client checks what it is given: obstore and its like hand out a flipped bit, a short body or a page of HTML with status
200 as if it were the object, and such a page in the place of a listing as if there were no more objects. Here a body is held
against the listed length, ETag and MD5, and an error says whether another try is of use. Whether there is one is for others.
"""

import hashlib
import http.client
import os
import re
import urllib.error
import urllib.request
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import NoReturn
from urllib.parse import quote

import obstore
from obstore import exceptions
from obstore.store import LocalStore, S3Store

from warehouse_classifier.bucket.objects import LARGEST, Entry, folder_of
from warehouse_classifier.runtime.errors import Fault

PUBLIC = "aft-vbi-pds"  # the Amazon Bin Image Dataset, open to everyone without credentials
CREDENTIALS = ("AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
EXPIRED = re.compile(
    r"ExpiredToken|InvalidToken|TokenRefreshRequired|InvalidAccessKeyId|SignatureDoesNotMatch|RequestTimeTooSkewed"
)

# Seconds that a request may take, its body included, from its first try on: what hangs is asked for again soon, and what is
# slow has the time it needs in the end.
TIMEOUTS = (10.0, 20.0, 40.0, 80.0)
SPARE = 1 << 20  # bytes beyond those that were listed; what says that it has more of them is not read
LONGEST_WAIT = 120.0  # seconds that a server can ask for by Retry-After
PAGE = 1000  # keys that a server lists at a time


class Trouble(Exception):
    """One try failed, and the next may not. `busy`: because the server has too much to do."""

    def __init__(self, reason: str, *, busy: bool = False) -> None:
        super().__init__(reason)
        self.busy = busy


class Wrong(Exception):
    """What came is not what was listed. `etag`: of what came, where that is an object, and whole."""

    def __init__(self, reason: str, etag: str | None = None) -> None:
        super().__init__(reason)
        self.etag = etag


class Refused(Exception):
    """The server will not give this object."""


@dataclass(frozen=True)
class Place:
    """Where a bucket in S3 is, and how it is asked."""

    bucket: str
    prefix: str
    endpoint: str
    region: str
    signed: bool

    def store(self, timeout: float) -> S3Store:
        return S3Store(
            self.bucket,
            prefix=self.prefix or None,
            region=self.region,
            endpoint=self.endpoint,
            virtual_hosted_style_request=False,
            skip_signature=not self.signed,
            client_options={
                "allow_http": self.endpoint.startswith("http://"),
                "timeout": timedelta(seconds=timeout),
                "connect_timeout": timedelta(seconds=min(timeout, 10)),
            },
            retry_config={"max_retries": 0},  # retries are told of, counted and paced here
        )

    def url(self, key: str) -> str:
        """For a client that signs nothing."""
        path = quote("/".join(filter(None, (self.bucket, self.prefix, key))))
        return f"{self.endpoint.rstrip('/')}/{path}"


def s3(bucket: str, prefix: str) -> Place:
    """By the usual AWS variables. Raises Fault where they make no sense."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if endpoint and not _is_address(endpoint):  # obstore would panic
        raise Fault(f"AWS_ENDPOINT_URL is {endpoint}, it must look like http://127.0.0.1:9000 or https://host")
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    signed = bucket != PUBLIC and any(os.environ.get(name) for name in CREDENTIALS)
    return Place(bucket, prefix, endpoint or f"https://s3.{region}.amazonaws.com", region, signed)


class Client:
    """Asks one place, once each time. `failed`: how often this was asked for in vain, which gives it more time."""

    def __init__(self, url: str, place: Place | Path) -> None:
        self.url, self.place = url, place
        self._stores: list[S3Store | LocalStore]
        try:
            self._stores = (
                [LocalStore(prefix=place)]
                if isinstance(place, Path)
                else [place.store(timeout) for timeout in TIMEOUTS]
            )
        except exceptions.BaseError as error:  # one half of a pair of credentials
            self.fault(f"cannot be asked for; check the AWS variables ({_reason(error)})")

    def fault(self, what: str) -> NoReturn:
        raise Fault(f"bucket {self.url} {what}") from None

    def changed(self, entry: Entry, how: str) -> NoReturn:
        raise Fault(
            f"bucket {self.url}: {entry.key} is no longer what was listed ({how}); start again, the"
            " pipeline with `dvc repro -f fetch_metadata`, and it is listed anew"
        ) from None

    def files(self, folder: str) -> list[Entry]:
        """Everything in a local folder, in the order of keys, of which a file system has none."""
        try:
            entries = [Entry(meta["path"], meta["size"]) for page in self._store(0).list(f"{folder}/") for meta in page]
        except (exceptions.BaseError, OSError) as error:
            raise self._trouble(error) from None
        return sorted(entries, key=lambda entry: entry.key)

    def page(self, folder: str, after: str | None, failed: int) -> list[Entry]:
        """The next PAGE keys after one. Raises Trouble, or Wrong for what no server lists."""
        try:
            listed = next(iter(self._store(failed).list(f"{folder}/", offset=after, chunk_size=PAGE)), [])
        except exceptions.InvalidPathError as error:
            raise Wrong(f"holds a key that cannot be read; remove or rename it ({_reason(error)})") from None
        except (exceptions.BaseError, OSError) as error:
            raise self._trouble(error) from None
        entries: list[Entry] = []
        for meta in listed:
            entry = Entry(meta["path"], meta["size"], _etag(meta["e_tag"]))
            one = entries[-1].key if entries else after or ""
            if entry.key > one:
                entries.append(entry)
            elif entry.size:  # obstore takes the slash off the mark of a folder, an object of no bytes, which moves it
                raise Wrong(f"lists {entry.key} after {one}; a bucket must list in the order of keys")
        return entries

    def body(self, entry: Entry, failed: int) -> bytes:
        """The object that was listed, and no other. Raises Trouble, Wrong or Refused."""
        try:
            result = self._store(failed).get(entry.key)
            length, etag = result.meta["size"], _etag(result.meta["e_tag"])
            if isinstance(self.place, Path) and entry.size not in (None, length):
                self.changed(entry, f"{entry.size} bytes, now {length}")
            # before the body is read: obstore makes room for all that is claimed
            if length > LARGEST[folder_of(entry.key)] or (entry.size is not None and length > entry.size + SPARE):
                other = etag if entry.etag is not None and etag != entry.etag else None
                raise Wrong(f"{length} bytes were to come, {entry.size} were listed", other)
            body = bytes(result.bytes())
        except FileNotFoundError as error:
            if "NoSuchBucket" in str(error):
                raise self._trouble(error) from None
            raise Refused("missing") from None
        except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError) as error:
            if EXPIRED.search(str(error)):
                raise self._trouble(error) from None
            raise Refused("access denied") from None
        except (exceptions.BaseError, OSError) as error:
            raise self._trouble(error) from None
        if not isinstance(self.place, Path):
            self._check(entry, body, etag)
        return body

    def asked_to_wait(self, key: str) -> float | None:
        """Seconds that a busy server wants to be left in peace. Its header is asked for once more: obstore drops it."""
        store = self._store(0)
        if not isinstance(self.place, Place) or not isinstance(store, S3Store):
            return None
        try:
            sign = self.place.signed and key
            url = obstore.sign(store, "GET", key, timedelta(minutes=5)) if sign else self.place.url(key)
            urllib.request.urlopen(url, timeout=TIMEOUTS[0]).close()  # noqa: S310 -- http or https, see _is_address
        except urllib.error.HTTPError as error:
            error.close()
            if error.code in (429, 503):
                return seconds(error.headers.get("Retry-After"))
        except (OSError, http.client.HTTPException, exceptions.BaseError):
            pass
        return None

    def _store(self, failed: int) -> S3Store | LocalStore:
        return self._stores[min(failed, len(self._stores) - 1)]

    def _check(self, entry: Entry, body: bytes, etag: str | None) -> None:
        """Raises Wrong if this is not what was listed."""
        digest = hashlib.md5(body, usedforsecurity=False).hexdigest()
        if entry.etag is not None and etag != entry.etag:
            whole = etag is not None and Entry(entry.key, None, etag).md5 in (None, digest)
            raise Wrong(f"its ETag is {etag}, {entry.etag} was listed", etag if whole else None)
        if entry.size is not None and len(body) != entry.size:
            raise Wrong(f"{len(body)} bytes came, {entry.size} were listed")
        if entry.md5 not in (None, digest):
            raise Wrong(
                f"its MD5 is not the ETag {entry.etag} that was listed (one encrypted with KMS has no MD5 there)"
            )

    def _trouble(self, error: Exception) -> Trouble:
        """What to do about an error. Raises Fault where another try is of no use, with what to look at."""
        whole = " ".join(str(error).split())
        said = _reason(error)
        if isinstance(error, exceptions.InvalidPathError):
            self.fault(f"holds a key that cannot be read; remove or rename it ({said})")
        if isinstance(self.place, Path):
            self.fault(f"cannot be read; check the folder and its rights ({said})")
        if code := EXPIRED.search(whole):
            self.fault(f"refuses the credentials ({code[0]}); renew them and start again, what is done stays")
        if re.search(r"status code: 40[13]\b", whole):  # of a listing obstore has no error of its own
            way_out = f"set {CREDENTIALS[0]} and its secret, or check what they may read (AWS_PROFILE is not read here)"
            self.fault(f"denies access; {way_out}")
        if isinstance(error, FileNotFoundError) or "NoSuchBucket" in whole:
            self.fault("does not exist; check its name and AWS_ENDPOINT_URL")
        if "InvalidCertificate" in whole:
            self.fault(f"is at {self.place.endpoint}, whose certificate is not to be trusted ({said})")
        return Trouble(said, busy=bool(re.search(r"status code: (429|503)\b", whole)))


def _etag(said: str | None) -> str | None:
    return (said or "").removeprefix("W/").strip('"') or None


def seconds(retry_after: str | None) -> float | None:
    """What a Retry-After header says, which is a number or a date; at most LONGEST_WAIT. None if it says neither."""
    try:
        wait = float(retry_after or "")
    except ValueError:
        try:
            wait = (parsedate_to_datetime(retry_after or "") - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):
            return None
    return min(LONGEST_WAIT, max(0.0, wait)) if wait == wait else None


def _reason(error: Exception) -> str:
    """The few words that matter of what obstore says at length."""
    whole = " ".join(str(error).split())
    for pattern, words in (
        (r"status code: (\d+[A-Za-z ]*)", r"it answers \1"),
        (r"InvalidCertificate\( ?(\w+)", r"\1"),
        (r"dns error", "no such host is known"),
        (r'message: "([^"]+)"', r"\1"),
        (r"Timeout|TimedOut", "no answer in time"),
        (r"IncompleteBody|Interrupted", "the connection was cut"),
    ):
        if found := re.search(pattern, whole):
            return found.expand(words).strip()
    return whole.partition(" Debug source")[0][:300]


def _is_address(url: str) -> bool:
    host = re.fullmatch(r"https?://([\w.-]+|\[[0-9a-fA-F:]+\])(:(\d{1,5}))?(/\S*)?", url, re.ASCII)
    return host is not None and int(host[3] or 0) < 65536
