"""A bucket of bins: `bin-images/<id>.jpg` and `metadata/<id>.json`, opened by URL and alike wherever it is.

synthetic://?pairs=5000&seed=7   bins drawn on demand
s3://bucket/prefix               any S3-compatible store; AWS_ENDPOINT_URL and the usual AWS variables are honoured
a folder's path                  a local mirror of the layout, relative to $DVC_ROOT
"""

import hashlib
import multiprocessing
import os
import re
import signal
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from datetime import timedelta
from typing import NoReturn, Protocol, cast
from urllib.parse import parse_qs, urlsplit

from obstore import exceptions
from obstore.store import LocalStore, S3Store

from warehouse_classifier.fault import Fault
from warehouse_classifier.files import root
from warehouse_classifier.stream import in_order
from warehouse_classifier.synthetic import SyntheticBins

PHOTOS, METADATA = "bin-images", "metadata"
SUFFIX = {PHOTOS: ".jpg", METADATA: ".json"}
ID = re.compile(r"[A-Za-z0-9_-]{1,64}")  # no dot nor slash: ids sort like their keys and name files
PUBLIC = "aft-vbi-pds"  # the Amazon Bin Image Dataset, open to everyone without credentials
CREDENTIALS = ("AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")


@dataclass(frozen=True)
class Entry:
    """One object as a bucket lists it: size in bytes and ETag, each None where the listing does not tell."""

    key: str
    size: int | None = None
    etag: str | None = None


@dataclass(frozen=True)
class Unreadable:
    """Stands for a body that could not be had, while others can."""

    reason: str


Body = bytes | Unreadable


class Bucket(Protocol):
    def list(self, folder: str) -> Iterator[Entry]:
        """Every object of PHOTOS or METADATA in the order of keys. Raises Fault if the bucket cannot be listed."""

    def get(self, entry: Entry) -> Body:
        """The object, checked against what `entry` says of it. Raises Fault if the bucket as a whole cannot be read."""

    def get_many(self, entries: Iterable[Entry], concurrency: int) -> Generator[tuple[Entry, Body], None, None]:
        """`get` of each, `concurrency` at a time, in the order asked for; holds no more than a few bodies a worker."""


def open_bucket(url: str) -> Bucket:
    """Raises Fault for a URL that names no bucket."""
    if url.startswith("synthetic:"):
        return SyntheticBucket(url)
    if url.startswith("s3:"):
        named = re.fullmatch(r"s3://([A-Za-z0-9._-]+)(/.*)?", url)
        if not named:
            raise Fault(f"bucket {url} names no bucket; it looks like s3://{PUBLIC} or s3://bucket/prefix")
        return StoreBucket(url, _s3(named[1], (named[2] or "").strip("/")))
    if "://" in url:
        raise Fault(f"bucket {url} is of no known kind; it is synthetic://, s3:// or the path of a folder")
    folder = (root() / url).resolve()
    if not (folder / METADATA).is_dir():
        raise Fault(f"bucket {url}: there is no folder {folder / METADATA}; it must hold {METADATA}/ and {PHOTOS}/")
    return StoreBucket(url, LocalStore(prefix=folder))


def key_of(folder: str, id: str) -> str:
    return f"{folder}/{id}{SUFFIX[folder]}"


def id_of(key: str) -> str | None:
    """The id that a key of the layout names; None if it is no such key. An id is a text: "1" is not "00001"."""
    folder, _, name = key.partition("/")
    suffix = SUFFIX.get(folder, "")
    id = name.removesuffix(suffix)
    return id if suffix and name.endswith(suffix) and ID.fullmatch(id) else None


class StoreBucket:
    """A bucket in an S3-compatible store or a local folder, read by obstore."""

    def __init__(self, url: str, store: S3Store | LocalStore) -> None:
        self.url = url
        self.store = store

    def list(self, folder: str) -> Iterator[Entry]:
        local = isinstance(self.store, LocalStore)
        try:
            chunks = self.store.list(f"{folder}/", chunk_size=1000)
            entries: Iterator[Entry] = (
                Entry(meta["path"], meta["size"], None if local else (meta["e_tag"] or "").strip('"') or None)
                for chunk in chunks
                for meta in chunk
            )
            if local:  # a file system lists in no order at all
                entries = iter(sorted(entries, key=lambda entry: entry.key))
            last = ""
            for entry in entries:
                if entry.key < last:
                    raise Fault(
                        f"bucket {self.url} lists {entry.key} after {last}; a bucket must list in the order of keys"
                    )
                last = entry.key
                yield entry
        except (exceptions.BaseError, OSError) as error:
            self._fail(error)

    def get(self, entry: Entry) -> Body:
        try:
            body = bytes(self.store.get(entry.key).bytes())
        except FileNotFoundError:
            return Unreadable("missing")
        except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError):
            return Unreadable("access denied")
        except (exceptions.BaseError, OSError) as error:
            self._fail(error)
        if entry.size is not None and len(body) != entry.size:
            return Unreadable(f"{len(body)} bytes came, {entry.size} were listed")
        etag = entry.etag or "-"
        # an ETag with a dash is that of an upload in parts and no MD5
        if "-" not in etag and hashlib.md5(body, usedforsecurity=False).hexdigest() != etag:
            return Unreadable(f"its MD5 is not the ETag {etag} that was listed")
        return body

    def get_many(self, entries: Iterable[Entry], concurrency: int) -> Generator[tuple[Entry, Body], None, None]:
        with ThreadPoolExecutor(concurrency) as pool:
            yield from in_order(pool, self.get, entries, 4 * concurrency)

    def _fail(self, error: Exception) -> NoReturn:
        """The store as a whole does not answer: say in one line why and what to look at."""
        whole = " ".join(str(error).split())
        text = whole[:300]
        if isinstance(error, exceptions.InvalidPathError):
            raise Fault(f"bucket {self.url} holds a key that cannot be read; remove or rename it ({text})") from error
        if isinstance(self.store, LocalStore):
            raise Fault(f"bucket {self.url} cannot be read; check the folder and its rights ({text})") from error
        if re.search(r"status code: 40[13]\b", whole):  # of a listing obstore has no error of its own
            way_out = f"set {CREDENTIALS[0]} and its secret, or check what they may read (AWS_PROFILE is not read here)"
            raise Fault(f"bucket {self.url} denies access; {way_out}") from error
        if isinstance(error, FileNotFoundError) or "NoSuchBucket" in whole:
            raise Fault(f"bucket {self.url} does not exist; check its name and AWS_ENDPOINT_URL") from error
        raise Fault(f"bucket {self.url} cannot be reached; check the network and AWS_ENDPOINT_URL ({text})") from error


class SyntheticBucket:
    """Bins drawn on demand. A fingerprint of what would be drawn stands for size and ETag."""

    def __init__(self, url: str) -> None:
        query = parse_qs(urlsplit(url).query)
        try:
            (pairs,), (seed,) = query.pop("pairs"), query.pop("seed")
            if query or int(pairs) < 0 or int(seed) < 0:
                raise ValueError
        except (KeyError, ValueError):
            raise Fault(f"bucket {url} must look like synthetic://?pairs=5000&seed=7") from None
        self.bins = SyntheticBins(int(pairs), int(seed))

    def list(self, folder: str) -> Iterator[Entry]:
        for id in self.bins.ids():
            yield Entry(key_of(folder, id), None, self.bins.fingerprint(id, folder))

    def get(self, entry: Entry) -> Body:
        return _draw(self.bins, entry)

    def get_many(self, entries: Iterable[Entry], concurrency: int) -> Generator[tuple[Entry, Body], None, None]:
        # drawing is work for the processor, so more processes than processors gain nothing
        workers = min(concurrency, len(os.sched_getaffinity(0)))
        spawn = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang
        with ProcessPoolExecutor(workers, spawn, initializer=_start_worker, initargs=(self.bins,)) as pool:
            try:
                yield from in_order(pool, _draw_in_worker, entries, 16 * workers)
            except BrokenProcessPool:
                raise Fault("a process that draws bins was killed; perhaps there is too little memory") from None


def _s3(bucket: str, prefix: str) -> S3Store:
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if endpoint and not _is_address(endpoint):  # obstore would panic
        raise Fault(f"AWS_ENDPOINT_URL is {endpoint}, it must look like http://127.0.0.1:9000 or https://host")
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    signed = bucket != PUBLIC and any(os.environ.get(name) for name in CREDENTIALS)
    return S3Store(
        bucket,
        prefix=prefix or None,
        region=region,
        endpoint=endpoint or f"https://s3.{region}.amazonaws.com",
        virtual_hosted_style_request=False,
        skip_signature=not signed,
        client_options={
            "allow_http": bool(endpoint and endpoint.startswith("http://")),
            "timeout": timedelta(seconds=60),
        },
        retry_config={"max_retries": 4, "retry_timeout": timedelta(seconds=60)},
    )


def _is_address(url: str) -> bool:
    host = re.fullmatch(r"https?://([\w.-]+|\[[0-9a-fA-F:]+\])(:(\d{1,5}))?(/\S*)?", url, re.ASCII)
    return host is not None and int(host[3] or 0) < 65536


def _draw(bins: SyntheticBins, entry: Entry) -> Body:
    folder, id = entry.key.split("/")[0], id_of(entry.key)
    if id is None or id not in bins:
        return Unreadable("missing")
    if entry.etag is not None and entry.etag != bins.fingerprint(id, folder):
        return Unreadable(f"it is no longer the {entry.etag} that was listed")
    return bins.photo(id) if folder == PHOTOS else bins.metadata(id)


_bins: SyntheticBins | None = None


def _start_worker(bins: SyntheticBins) -> None:
    """Give the worker its bins, and have it end when its parent is killed: nobody else would end it."""
    global _bins  # noqa: PLW0603
    _bins = bins
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process; the parent alone answers it
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.join,), daemon=True).start()


def _end_with(join: Callable[[], None]) -> None:
    join()
    os._exit(1)


def _draw_in_worker(entry: Entry) -> Body:
    return _draw(cast("SyntheticBins", _bins), entry)
