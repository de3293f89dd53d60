"""A bucket of bins: `bin-images/<id>.jpg` and `metadata/<id>.json`, opened by URL and alike wherever it is.

synthetic://?pairs=5000&seed=7   bins drawn on demand
s3://bucket/prefix               any S3-compatible store; AWS_ENDPOINT_URL and the usual AWS variables are honoured
a folder's path                  a local mirror of the layout, relative to $DVC_ROOT
"""

import re
from collections.abc import Generator, Iterable
from typing import Protocol

from warehouse_classifier.bucket.endpoint import PUBLIC, s3
from warehouse_classifier.bucket.object_store import StoreBucket
from warehouse_classifier.bucket.objects import METADATA, PHOTOS, Body, ObjectInfo
from warehouse_classifier.bucket.synthetic import SyntheticBucket
from warehouse_classifier.runtime.errors import UserError
from warehouse_classifier.runtime.files import root


class Bucket(Protocol):
    """Photos and metadata, listed and read alike wherever they lie."""

    @property
    def errors(self) -> int:
        """Tries that failed so far, each followed by another."""

    def list(self, folder: str, most: int | None = None) -> Generator[ObjectInfo, None, None]:
        """Every object of PHOTOS or METADATA in the order of keys. `most`: how many the caller will want.

        Raises UserError if the bucket cannot be listed.
        """

    def get(self, entry: ObjectInfo) -> Body:
        """The object, checked against what `entry` says of it.

        Raises UserError if the bucket as a whole cannot be read, or if the object is another than the one that was listed.
        """

    def get_many(self, entries: Iterable[ObjectInfo]) -> Generator[tuple[ObjectInfo, Body], None, None]:
        """`get` of each, many at a time, in the order asked for; holds no more than some 64 MB of bodies."""

    def checked(self, entry: ObjectInfo) -> str:
        """What `get` holds a body against: its md5, its length, or the fingerprint of what draws it."""

    def stamp(self, entry: ObjectInfo) -> str | None:
        """Something that changes whenever the object does, had without reading it; None where nothing can tell."""

    def close(self) -> None:
        """End what `get_many` has started."""


def open_bucket(url: str, concurrency: int = 1) -> Bucket:
    """`concurrency`: objects asked for at once. Raises UserError for a URL that names no bucket."""
    if url.startswith("synthetic:"):
        return SyntheticBucket(url, concurrency)
    if url.startswith("s3:"):
        named = re.fullmatch(r"s3://([A-Za-z0-9._-]+)(/.*)?", url)
        if not named:
            raise UserError(f"bucket {url} names no bucket; it looks like s3://{PUBLIC} or s3://bucket/prefix")
        return StoreBucket(url, s3(named[1], (named[2] or "").strip("/")), concurrency)
    if "://" in url:
        raise UserError(f"bucket {url} is of no known kind; it is synthetic://, s3:// or the path of a folder")
    folder = (root() / url).resolve()
    if not (folder / METADATA).is_dir():
        raise UserError(f"bucket {url}: there is no folder {folder / METADATA}; it must hold {METADATA}/ and {PHOTOS}/")
    return StoreBucket(url, folder, concurrency)
