"""A bucket in an S3-compatible store or in a local folder, read by obstore.

No client checks what it is given: obstore and its like hand out a flipped bit, a short body or a page of HTML with status
200 as if it were the object, and such a page in the place of a listing as if there were no more objects. So every body is
held against the listed length and MD5, every page of a listing is asked for until two answers agree, and what is wrong is
asked for again.
"""

import hashlib
import http.client
import math
import os
import random
import re
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from itertools import pairwise
from pathlib import Path
from typing import NoReturn
from urllib.parse import quote

import obstore
from obstore import exceptions
from obstore.store import LocalStore, S3Store

from warehouse_classifier.entry import LARGEST, Body, Entry, Unreadable
from warehouse_classifier.fault import Fault
from warehouse_classifier.stream import in_order
from warehouse_classifier.throttle import Throttle

PUBLIC = "aft-vbi-pds"  # the Amazon Bin Image Dataset, open to everyone without credentials
CREDENTIALS = ("AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
REFUSED = re.compile(
    r"ExpiredToken|InvalidToken|TokenRefreshRequired|InvalidAccessKeyId|SignatureDoesNotMatch|RequestTimeTooSkewed"
)

# Seconds that a request may take, its body included, from its first try on: what hangs is asked for again soon, and what is
# slow has the time it needs in the end.
TIMEOUTS = (10.0, 20.0, 40.0, 80.0)
SILENCE = 300.0  # seconds without one good answer after which the bucket as a whole counts as out of reach
FIRST_SILENCE = 8.0  # the same before the first good answer: a wrong address should be told soon
PAUSES = (0.1, 10.0)  # seconds before a second try, doubled up to the longest
LONGEST_WAIT = 120.0  # seconds that a server can ask for by Retry-After
TRIES_WRONG = 10  # of what is not what was listed: three in ten spoiled at random leave 6 in a million
TRIES_OTHER = 3  # that bring one other ETag, before an object counts as changed
TRIES_FAILED = 12  # of an object that does not come while others do
TRIES_UNPROVEN = 3  # of these, that count before it is looked whether anything comes
TRIES_REFUSED = 3  # of an object that is missing or denied
SPARE = 1 << 20  # bytes beyond those that were listed; what says that it has more of them is not read
AHEAD = 64 << 20  # bytes that are asked for beyond the one that is next: one that hangs does not stop the others
OVERHEAD = 16 << 10  # bytes that an object counts for beside its body
PAGE = 1000  # keys that a server lists at a time
LOOKS = 2  # at a page of keys, that agree
LOOKS_EMPTY = 10  # at a folder of which nothing is known: a page of HTML looks like an empty one


Entries = list[Entry]  # by this name, since a bucket has a `list` of its own
Cuts = list[str]


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


class StoreBucket:
    """A Bucket (see bucket.py). What the answers have told of the place so far is kept from call to call."""

    def __init__(self, url: str, place: Place | Path, concurrency: int) -> None:
        self.url, self.place, self.concurrency = url, place, concurrency
        self.errors = 0
        self._stores: list[S3Store | LocalStore]
        try:
            self._stores = (
                [LocalStore(prefix=place)]
                if isinstance(place, Path)
                else [place.store(timeout) for timeout in TIMEOUTS]
            )
        except exceptions.BaseError as error:  # one half of a pair of credentials
            self._fault(f"cannot be asked for; check the AWS variables ({_reason(error)})")
        self._throttle = Throttle(concurrency)
        self._own = threading.local()  # of each thread: the event that ends its waiting
        self._met = False  # one good answer has come
        self._answers = 0  # good ones so far
        self._silent: float | None = None  # since when none has

    def close(self) -> None:
        """Nothing is held."""

    def checked(self, entry: Entry) -> str:
        return "md5" if entry.md5 else "length"

    def stamp(self, entry: Entry) -> str | None:
        if not isinstance(self.place, Path):
            return entry.etag
        try:
            file = (self.place / entry.key).stat()
        except OSError as error:
            return str(error.errno)  # it cannot be had; a part with what could not be had asks for it again
        return f"{file.st_ino}-{file.st_mtime_ns}-{file.st_size}"

    @contextmanager
    def _threads(self) -> Iterator[ThreadPoolExecutor]:
        over = threading.Event()
        pool = ThreadPoolExecutor(self.concurrency, initializer=lambda: setattr(self._own, "over", over))
        try:
            yield pool
        finally:  # nobody waits for who still waits for an answer that nobody wants any more
            over.set()
            pool.shutdown(wait=False, cancel_futures=True)

    # ---- listing

    def list(self, folder: str, most: int | None = None) -> Generator[Entry, None, None]:
        if isinstance(self.place, Path):
            yield from self._files(folder)
            return
        first = self._page(folder, None, None)
        yield from first
        if not first:
            return
        # Pages follow one another only within a stretch. Stretches are cut where ids of digits spread evenly, finely if there
        # are ids far up or only the first are wanted; keys need not be of digits, then some stretches are long and some empty.
        cuts: Cuts = []
        if len(first) >= PAGE:
            digits = 2 if most is not None or self._page(folder, f"{folder}/5", None) else 1
            cuts = [cut for n in range(10**digits) if (cut := f"{folder}/{n:0{digits}}") > first[-1].key]
        known, beyond = first, None
        with self._threads() as pool:
            ahead = self.concurrency if most is None else most // 10_000
            begun = in_order(pool, lambda ends: self._stretch(folder, [], *ends), pairwise([*cuts, None]), ahead)
            entries, beyond = self._stretch(folder, first, None, cuts[0] if cuts else None)
            yield from entries
            known = [*known, *entries][-2:]
            for (_, end), (entries, after) in begun:
                # each stretch has seen the first key of the next one, so none can be empty or begin late unnoticed
                if (entries[0] if entries else after) != beyond:
                    entries, after = self._stretch(folder, known, None, end)
                yield from entries
                known, beyond = [*known, *entries][-2:], after

    def _files(self, folder: str) -> Entries:
        try:
            entries = [
                Entry(meta["path"], meta["size"]) for page in self._stores[0].list(f"{folder}/") for meta in page
            ]
        except (exceptions.BaseError, OSError) as error:
            raise self._trouble(error) from None
        return sorted(entries, key=lambda entry: entry.key)  # a file system lists in no order at all

    def _stretch(self, folder: str, known: Entries, start: str | None, end: str | None) -> tuple[Entries, Entry | None]:
        """All that is listed after the last of `known`, or after `start`, up to `end`; and the first entry beyond."""
        entries: Entries = []
        while True:
            last = [*known, *entries][-2:]
            after = last[0].key if len(last) == 2 else start
            page = self._page(folder, after, last[-1] if last else None)
            entries += [entry for entry in page if end is None or entry.key <= end]
            beyond = page[-1] if page and end is not None and page[-1].key > end else None
            if beyond is not None:
                beyond = next(entry for entry in page if entry.key > str(end))
            if beyond is not None or not page:
                return entries, beyond

    def _page(self, folder: str, after: str | None, last: Entry | None) -> Entries:
        """The next keys as looks that agree have it; none at the end.

        `last`: what is known to follow on `after`. The page must begin with it, and is given without: else nothing would
        tell a page of HTML, in which obstore finds no keys, from the end.
        """
        before: Entries | None = None
        agree = wrong = failed = 0
        while True:
            try:
                with self._throttle.turn():
                    page = self._look(folder, after, failed)
                if last is not None and page[:1] != [last]:
                    raise Wrong("lists something else every time it is asked; wait until it is at rest")
            except Trouble as trouble:
                failed += 1
                self._again(trouble, failed, "")
                continue
            except Wrong as problem:
                self.errors += 1
                wrong += 1
                if wrong >= TRIES_WRONG:
                    self._fault(str(problem))
                self._pause(wrong, longest=1.0)
                continue
            self._good()
            agree = agree + 1 if page == before else 1
            if agree >= (LOOKS if page or after is not None else LOOKS_EMPTY):
                return page if last is None else page[1:]
            if before is not None and page != before:
                self.errors += 1
                wrong += 1
                if wrong >= TRIES_WRONG:
                    self._fault("lists something else every time it is asked; wait until it is at rest")
            if not page:
                self._pause(agree, longest=1.0)
            before = page

    def _look(self, folder: str, after: str | None, failed: int) -> Entries:
        store = self._stores[min(failed, len(self._stores) - 1)]
        try:
            listed = next(iter(store.list(f"{folder}/", offset=after, chunk_size=PAGE)), [])
        except exceptions.InvalidPathError as error:
            raise Wrong(f"holds a key that cannot be read; remove or rename it ({_reason(error)})") from None
        except (exceptions.BaseError, OSError) as error:
            raise self._trouble(error) from None
        entries: Entries = []
        for meta in listed:
            entry = Entry(meta["path"], meta["size"], _etag(meta["e_tag"]))
            one = entries[-1].key if entries else after or ""
            if entry.key > one:
                entries.append(entry)
            elif entry.size:  # obstore takes the slash off the mark of a folder, an object of no bytes, which moves it
                raise Wrong(f"lists {entry.key} after {one}; a bucket must list in the order of keys")
        return entries

    # ---- reading

    def get_many(self, entries: Iterable[Entry]) -> Generator[tuple[Entry, Body], None, None]:
        with self._threads() as pool:
            yield from in_order(pool, self.get, entries, AHEAD, lambda entry: (entry.size or 0) + OVERHEAD)

    def get(self, entry: Entry) -> Body:
        most = LARGEST[entry.key.partition("/")[0]]
        if entry.size is not None and entry.size > most:
            return Unreadable(f"has {entry.size} bytes, more than the {most} that are ever fetched", again=False)
        wrong = failed = refused = tries = counted = seen = 0
        began = None
        others: Counter[str | None] = Counter()
        while True:
            try:
                with self._throttle.turn():
                    body = self._body(entry, failed, most)
            except Trouble as trouble:
                tries, failed = tries + 1, failed + (not trouble.busy)
                began = began or time.monotonic()
                if trouble.busy and time.monotonic() - began > SILENCE and self._is_there(entry):
                    return Unreadable(f"could not be had in {SILENCE:.0f} seconds: {trouble}")
                if not trouble.busy:  # what fails while nothing comes at all says nothing of this object
                    counted += failed <= TRIES_UNPROVEN or self._answers != seen or self._is_there(entry)
                    seen = self._answers
                if counted >= TRIES_FAILED:
                    return Unreadable(f"could not be had in {failed} tries: {trouble}")
                self._again(trouble, tries, entry.key)
            except Wrong as problem:
                self._good()
                wrong += 1
                others[problem.etag] += 1
                if problem.etag is not None and others[problem.etag] >= TRIES_OTHER:
                    raise Fault(
                        f"bucket {self.url}: {entry.key} is no longer what was listed (ETag {entry.etag}, now"
                        f" {problem.etag}); `dvc repro -f fetch_metadata` lists the bucket anew"
                    ) from None
                if wrong >= TRIES_WRONG:
                    return Unreadable(str(problem))
                self.errors += 1
                self._pause(wrong, longest=1.0)
            except Refused as problem:
                self._good()
                refused += 1
                if refused >= TRIES_REFUSED or isinstance(self.place, Path):
                    return Unreadable(str(problem))
                self.errors += 1
                self._pause(refused)
            else:
                self._good()
                self._throttle.went_well()
                return body

    def _body(self, entry: Entry, failed: int, most: int) -> bytes:
        """One try. Raises Trouble, Wrong or Refused."""
        try:
            result = self._stores[min(failed, len(self._stores) - 1)].get(entry.key)
            length, etag = result.meta["size"], _etag(result.meta["e_tag"])
            if isinstance(self.place, Path) and entry.size not in (None, length):
                raise Fault(
                    f"bucket {self.url}: {entry.key} is no longer what was listed ({entry.size} bytes, now {length});"
                    " `dvc repro -f fetch_metadata` lists the bucket anew"
                )
            if length > most or (entry.size is not None and length > entry.size + SPARE):
                other = etag if entry.etag is not None and etag != entry.etag else None
                raise Wrong(f"{length} bytes were to come, {entry.size} were listed", other)
            body = bytes(result.bytes())
        except FileNotFoundError as error:
            if "NoSuchBucket" in str(error):
                raise self._trouble(error) from None
            raise Refused("missing") from None
        except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError) as error:
            if REFUSED.search(str(error)):
                raise self._trouble(error) from None
            raise Refused("access denied") from None
        except (exceptions.BaseError, OSError) as error:
            raise self._trouble(error) from None
        if isinstance(self.place, Path):
            return body
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
        return body

    # ---- when it does not answer

    def _is_there(self, entry: Entry) -> bool:
        """Whether the bucket gives an answer, which one object that never comes does not tell."""
        try:
            self._look(entry.key.partition("/")[0], None, 0)
        except Trouble:
            return False
        except (Wrong, Fault):
            pass
        self._good()
        return True

    def _good(self) -> None:
        self._met, self._silent = True, None
        self._answers += 1  # what gets lost between threads is of no account

    def _again(self, trouble: Trouble, tries: int, key: str) -> None:
        """Count what failed and wait for the time of the next try. Raises Fault if nothing has come for long."""
        self.errors += 1
        wait = None
        if trouble.busy:
            self._throttle.slow_down()
            wait = self._asked_to_wait(key)
        now = time.monotonic()
        since = self._silent = self._silent or now
        if now - since > (SILENCE if self._met or wait is not None else FIRST_SILENCE):
            raise Fault(
                f"bucket {self.url} cannot be reached; check the network and AWS_ENDPOINT_URL ({trouble})"
            ) from None
        self._pause(tries)
        if wait is not None:
            self._sleep(wait)

    def _pause(self, tries: int, longest: float = math.inf) -> None:
        """Ever longer, and never the same for two that failed together."""
        self._sleep(min(longest, PAUSES[1], PAUSES[0] * 2 ** min(tries - 1, 20)) * random.uniform(0.5, 1))

    def _sleep(self, seconds: float) -> None:
        over: threading.Event = getattr(self._own, "over", None) or threading.Event()
        if over.wait(seconds):
            raise Fault(f"bucket {self.url}: nobody waits for this any more")

    def _asked_to_wait(self, key: str) -> float | None:
        """Seconds that a busy server wants to be left in peace. Its header is asked for once more: obstore drops it."""
        store = self._stores[0]
        if not isinstance(self.place, Place) or not isinstance(store, S3Store):
            return None
        try:
            sign = self.place.signed and key
            url = obstore.sign(store, "GET", key, timedelta(minutes=5)) if sign else self.place.url(key)
            urllib.request.urlopen(url, timeout=TIMEOUTS[0]).close()  # noqa: S310 -- http or https, see _is_address
        except urllib.error.HTTPError as error:
            error.close()
            if error.code in (429, 503):
                return _seconds(error.headers.get("Retry-After"))
        except (OSError, http.client.HTTPException, exceptions.BaseError):
            pass
        return None

    def _trouble(self, error: Exception) -> Trouble:
        """What to do about an error. Raises Fault where another try is of no use, with what to look at."""
        whole = " ".join(str(error).split())
        said = _reason(error)
        if isinstance(error, exceptions.InvalidPathError):
            self._fault(f"holds a key that cannot be read; remove or rename it ({said})")
        if isinstance(self.place, Path):
            self._fault(f"cannot be read; check the folder and its rights ({said})")
        if code := REFUSED.search(whole):
            self._fault(f"refuses the credentials ({code[0]}); renew them, `dvc repro` goes on from what is done")
        if re.search(r"status code: 40[13]\b", whole):  # of a listing obstore has no error of its own
            way_out = f"set {CREDENTIALS[0]} and its secret, or check what they may read (AWS_PROFILE is not read here)"
            self._fault(f"denies access; {way_out}")
        if isinstance(error, FileNotFoundError) or "NoSuchBucket" in whole:
            self._fault("does not exist; check its name and AWS_ENDPOINT_URL")
        if "InvalidCertificate" in whole:
            self._fault(f"is at {self.place.endpoint}, whose certificate is not to be trusted ({said})")
        return Trouble(said, busy=bool(re.search(r"status code: (429|503)\b", whole)))

    def _fault(self, what: str) -> NoReturn:
        raise Fault(f"bucket {self.url} {what}") from None


def _etag(said: str | None) -> str | None:
    return (said or "").removeprefix("W/").strip('"') or None


def _seconds(retry_after: str | None) -> float | None:
    """Of a Retry-After header: a number, or a date."""
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
