"""A bucket in an S3-compatible store or in a local folder: all of it, and nothing that is wrong, whatever its server does.

Every page of a listing is asked for until two answers agree (see listing.py), every body until it is the one that was listed
(see attempts.py).
"""

from collections.abc import Generator, Iterable
from pathlib import Path

from warehouse_classifier.bucket.attempts import Attempts
from warehouse_classifier.bucket.client import Client
from warehouse_classifier.bucket.endpoint import Endpoint
from warehouse_classifier.bucket.errors import ObjectRefused, TransientError, WrongAnswer
from warehouse_classifier.bucket.listing import Listing
from warehouse_classifier.bucket.objects import LARGEST, Body, ObjectInfo, Unreadable, folder_of
from warehouse_classifier.bucket.retry import Retries
from warehouse_classifier.work.parallel import ordered_map

AHEAD = 64 << 20  # bytes that are asked for beyond the one that is next: one that hangs does not stop the others
OVERHEAD = 16 << 10  # bytes that an object counts for beside its body


class StoreBucket:
    """A Bucket (see bucket.py)."""

    def __init__(self, url: str, place: Endpoint | Path, concurrency: int) -> None:
        self.client = Client(url, place)
        self._retries = Retries(self.client, concurrency)
        self._listing = Listing(self.client, self._retries)

    @property
    def errors(self) -> int:
        return self._retries.errors

    def close(self) -> None:
        """Nothing is held."""

    def checked(self, entry: ObjectInfo) -> str:
        return "md5" if entry.md5 else "length"

    def stamp(self, entry: ObjectInfo) -> str | None:
        if not isinstance(self.client.place, Path):
            return entry.etag
        try:
            file = (self.client.place / entry.key).stat()
        except OSError as error:
            return str(error.errno)  # it cannot be had; a part with what could not be had asks for it again
        return f"{file.st_ino}-{file.st_mtime_ns}-{file.st_size}"

    def list(self, folder: str, most: int | None = None) -> Generator[ObjectInfo, None, None]:
        return self._listing.entries(folder, most)

    def get_many(self, entries: Iterable[ObjectInfo]) -> Generator[tuple[ObjectInfo, Body], None, None]:
        with self._retries.threads() as pool:
            yield from ordered_map(pool, self.get, entries, AHEAD, lambda entry: (entry.size or 0) + OVERHEAD)

    def get(self, entry: ObjectInfo) -> Body:
        most = LARGEST[folder_of(entry.key)]
        if entry.size is not None and entry.size > most:
            return Unreadable(f"has {entry.size} bytes, more than the {most} that are ever fetched", again=False)
        attempts = Attempts(entry, self.client, self._retries)
        unreadable = None
        while unreadable is None:
            try:
                with self._retries.throttle.turn():
                    body = self.client.body(entry, attempts.failed)
            except TransientError as error:
                unreadable = attempts.after_transient(error)
            except WrongAnswer as error:
                unreadable = attempts.after_wrong(error)
            except ObjectRefused as error:
                unreadable = attempts.after_refusal(error)
            else:
                self._retries.answered()
                self._retries.throttle.went_well()
                return body
        return unreadable
