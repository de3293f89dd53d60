"""One request to an S3-compatible store or a local folder, by obstore, and what came of it.

No client checks what it is given: obstore and its like hand out a flipped bit, a short body or a page of HTML with status
200 as if it were the object, and such a page in the place of a listing as if there were no more objects. Here a body is held
against the listed length, ETag and MD5, and an error says whether another try is of use. Whether there is one is for others.
"""

import http.client
import re
import urllib.error
import urllib.request
from datetime import timedelta
from pathlib import Path
from typing import NoReturn

import obstore
from obstore import exceptions
from obstore.store import LocalStore, S3Store

from warehouse_classifier.bucket import integrity, retry_after
from warehouse_classifier.bucket.endpoint import CREDENTIALS, Endpoint
from warehouse_classifier.bucket.errors import ObjectRefused, TransientError, WrongAnswer, reason_of
from warehouse_classifier.bucket.integrity import plain
from warehouse_classifier.bucket.objects import LARGEST, ObjectInfo, folder_of
from warehouse_classifier.runtime.errors import UserError

EXPIRED = re.compile(
    r"ExpiredToken|InvalidToken|TokenRefreshRequired|InvalidAccessKeyId|SignatureDoesNotMatch|RequestTimeTooSkewed"
)

# Seconds that a request may take, its body included, from its first try on: what hangs is asked for again soon, and what is
# slow has the time it needs in the end.
TIMEOUTS = (10.0, 20.0, 40.0, 80.0)
SPARE = 1 << 20  # bytes beyond those that were listed; what says that it has more of them is not read
PAGE = 1000  # keys that a server lists at a time


class Client:
    """Asks one place, once each time. `failed`: how often this was asked for in vain, which gives it more time."""

    def __init__(self, url: str, place: Endpoint | Path) -> None:
        self.url, self.place = url, place
        self._stores: list[S3Store | LocalStore]
        try:
            self._stores = (
                [LocalStore(prefix=place)]
                if isinstance(place, Path)
                else [_store(place, timeout) for timeout in TIMEOUTS]
            )
        except exceptions.BaseError as error:  # one half of a pair of credentials
            self.refuse(f"cannot be asked for; check the AWS variables ({reason_of(error)})")

    def refuse(self, what: str) -> NoReturn:
        """Raises UserError: the bucket as a whole cannot be read."""
        raise UserError(f"bucket {self.url} {what}") from None

    def refuse_changed(self, entry: ObjectInfo, how: str) -> NoReturn:
        """Raises UserError: the object is another one than was listed."""
        raise UserError(
            f"bucket {self.url}: {entry.key} is no longer what was listed ({how}); start again, the"
            " pipeline with `dvc repro -f fetch_metadata`, and it is listed anew"
        ) from None

    def files(self, folder: str) -> list[ObjectInfo]:
        """Everything in a local folder, in the order of keys, of which a file system has none."""
        try:
            entries = [
                ObjectInfo(meta["path"], meta["size"]) for page in self._store(0).list(f"{folder}/") for meta in page
            ]
        except (exceptions.BaseError, OSError) as error:
            raise self._transient(error) from None
        return sorted(entries, key=lambda entry: entry.key)

    def page(self, folder: str, after: str | None, failed: int) -> list[ObjectInfo]:
        """The next PAGE keys after one. Raises TransientError, or WrongAnswer for what no server lists."""
        try:
            listed = next(iter(self._store(failed).list(f"{folder}/", offset=after, chunk_size=PAGE)), [])
        except exceptions.InvalidPathError as error:
            raise WrongAnswer(f"holds a key that cannot be read; remove or rename it ({reason_of(error)})") from None
        except (exceptions.BaseError, OSError) as error:
            raise self._transient(error) from None
        entries: list[ObjectInfo] = []
        for meta in listed:
            entry = ObjectInfo(meta["path"], meta["size"], plain(meta["e_tag"]))
            before = entries[-1].key if entries else after or ""
            if entry.key > before:
                entries.append(entry)
            elif entry.size:  # obstore takes the slash off the mark of a folder, an object of no bytes, which moves it
                raise WrongAnswer(f"lists {entry.key} after {before}; a bucket must list in the order of keys")
        return entries

    def body(self, entry: ObjectInfo, failed: int) -> bytes:
        """The object that was listed, and no other. Raises TransientError, WrongAnswer or ObjectRefused."""
        try:
            result = self._store(failed).get(entry.key)
            length, etag = result.meta["size"], plain(result.meta["e_tag"])
            if isinstance(self.place, Path) and entry.size not in (None, length):
                self.refuse_changed(entry, f"{entry.size} bytes, now {length}")
            # before the body is read: obstore makes room for all that is claimed
            if length > LARGEST[folder_of(entry.key)] or (entry.size is not None and length > entry.size + SPARE):
                other = etag if entry.etag is not None and etag != entry.etag else None
                raise WrongAnswer(f"{length} bytes were to come, {entry.size} were listed", other)
            body = bytes(result.bytes())
        except FileNotFoundError as error:
            if "NoSuchBucket" in str(error):
                raise self._transient(error) from None
            raise ObjectRefused("missing") from None
        except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError) as error:
            if EXPIRED.search(str(error)):
                raise self._transient(error) from None
            raise ObjectRefused("access denied") from None
        except (exceptions.BaseError, OSError) as error:
            raise self._transient(error) from None
        if not isinstance(self.place, Path):
            integrity.check(entry, body, etag)
        return body

    def asked_to_wait(self, key: str) -> float | None:
        """Seconds that a busy server wants to be left in peace. Its header is asked for once more: obstore drops it."""
        store = self._store(0)
        if not isinstance(self.place, Endpoint) or not isinstance(store, S3Store):
            return None
        try:
            sign = self.place.signed and key
            url = obstore.sign(store, "GET", key, timedelta(minutes=5)) if sign else self.place.url(key)
            urllib.request.urlopen(url, timeout=TIMEOUTS[0]).close()  # noqa: S310 -- http or https, see endpoint.s3
        except urllib.error.HTTPError as error:
            error.close()
            if error.code in (429, 503):
                return retry_after.seconds(error.headers.get("Retry-After"))
        except (OSError, http.client.HTTPException, exceptions.BaseError):
            pass
        return None

    def _store(self, failed: int) -> S3Store | LocalStore:
        return self._stores[min(failed, len(self._stores) - 1)]

    def _transient(self, error: Exception) -> TransientError:
        """What to do about an error. Raises UserError where another try is of no use, with what to look at."""
        whole = " ".join(str(error).split())
        reason = reason_of(error)
        if isinstance(error, exceptions.InvalidPathError):
            self.refuse(f"holds a key that cannot be read; remove or rename it ({reason})")
        if isinstance(self.place, Path):
            self.refuse(f"cannot be read; check the folder and its rights ({reason})")
        if code := EXPIRED.search(whole):
            self.refuse(f"refuses the credentials ({code[0]}); renew them and start again, what is done stays")
        if re.search(r"status code: 40[13]\b", whole):  # of a listing obstore has no error of its own
            way_out = f"set {CREDENTIALS[0]} and its secret, or check what they may read (AWS_PROFILE is not read here)"
            self.refuse(f"denies access; {way_out}")
        if isinstance(error, FileNotFoundError) or "NoSuchBucket" in whole:
            self.refuse("does not exist; check its name and AWS_ENDPOINT_URL")
        if "InvalidCertificate" in whole:
            self.refuse(f"is at {self.place.endpoint}, whose certificate is not to be trusted ({reason})")
        return TransientError(reason, busy=bool(re.search(r"status code: (429|503)\b", whole)))


def _store(place: Endpoint, timeout: float) -> S3Store:
    return S3Store(
        place.bucket,
        prefix=place.prefix or None,
        region=place.region,
        endpoint=place.endpoint,
        virtual_hosted_style_request=False,
        skip_signature=not place.signed,
        client_options={
            "allow_http": place.endpoint.startswith("http://"),
            "timeout": timedelta(seconds=timeout),
            "connect_timeout": timedelta(seconds=min(timeout, 10)),
        },
        retry_config={"max_retries": 0},  # retries are counted and paced in retry.py
    )
