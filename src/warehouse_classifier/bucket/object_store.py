"""A bucket in an S3-compatible store or in a local folder: all of it, and nothing that is wrong, whatever its server does.

Every page of a listing is asked for until two answers agree (see listing.py), every body until it is the one that was listed.
"""

import time
from collections import Counter
from collections.abc import Generator, Iterable
from pathlib import Path

from warehouse_classifier.bucket import retry
from warehouse_classifier.bucket.client import Client
from warehouse_classifier.bucket.endpoint import Place
from warehouse_classifier.bucket.errors import Refused, Trouble, Wrong
from warehouse_classifier.bucket.listing import Listing
from warehouse_classifier.bucket.objects import LARGEST, Body, ObjectInfo, Unreadable, folder_of
from warehouse_classifier.bucket.retry import TRIES_WRONG, Patience
from warehouse_classifier.runtime.errors import UserError
from warehouse_classifier.work.parallel import ordered_map

TRIES_OTHER = 3  # that bring one other ETag, before an object counts as changed
TRIES_FAILED = 12  # of an object that does not come while others do
TRIES_UNPROVEN = 3  # of these, that count before it is looked whether anything comes
TRIES_REFUSED = 3  # of an object that is missing or denied
AHEAD = 64 << 20  # bytes that are asked for beyond the one that is next: one that hangs does not stop the others
OVERHEAD = 16 << 10  # bytes that an object counts for beside its body


class StoreBucket:
    """A Bucket (see bucket.py)."""

    def __init__(self, url: str, place: Place | Path, concurrency: int) -> None:
        self.client = Client(url, place)
        self._patience = Patience(self.client, concurrency)
        self._listing = Listing(self.client, self._patience)

    @property
    def errors(self) -> int:
        return self._patience.errors

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
        with self._patience.threads() as pool:
            yield from ordered_map(pool, self.get, entries, AHEAD, lambda entry: (entry.size or 0) + OVERHEAD)

    def get(self, entry: ObjectInfo) -> Body:
        most = LARGEST[folder_of(entry.key)]
        if entry.size is not None and entry.size > most:
            return Unreadable(f"has {entry.size} bytes, more than the {most} that are ever fetched", again=False)
        wrong = failed = refused = tries = counted = seen = 0
        began = None
        others: Counter[str | None] = Counter()
        while True:
            try:
                with self._patience.throttle.turn():
                    body = self.client.body(entry, failed)
            except Trouble as trouble:
                tries, failed = tries + 1, failed + (not trouble.busy)
                began = began or time.monotonic()
                if trouble.busy and time.monotonic() - began > retry.SILENCE and self._is_there(entry):
                    return Unreadable(f"could not be had in {retry.SILENCE:.0f} seconds: {trouble}")
                if not trouble.busy:  # what fails while nothing comes at all says nothing of this object
                    counted += failed <= TRIES_UNPROVEN or self._patience.answers != seen or self._is_there(entry)
                    seen = self._patience.answers
                if counted >= TRIES_FAILED:
                    return Unreadable(f"could not be had in {failed} tries: {trouble}")
                self._patience.again(trouble, tries, entry.key)
            except Wrong as problem:
                self._patience.good()
                wrong += 1
                others[problem.etag] += 1
                if problem.etag is not None and others[problem.etag] >= TRIES_OTHER:
                    self.client.changed(entry, f"ETag {entry.etag}, now {problem.etag}")
                if wrong >= TRIES_WRONG:
                    return Unreadable(str(problem))
                self._patience.errors += 1
                self._patience.pause(wrong, longest=1.0)
            except Refused as problem:
                self._patience.good()
                refused += 1
                if refused >= TRIES_REFUSED or isinstance(self.client.place, Path):
                    return Unreadable(str(problem))
                self._patience.errors += 1
                self._patience.pause(refused)
            else:
                self._patience.good()
                self._patience.throttle.went_well()
                return body

    def _is_there(self, entry: ObjectInfo) -> bool:
        """Whether the bucket gives an answer, which one object that never comes does not tell."""
        try:
            self.client.page(folder_of(entry.key), None, 0)
        except Trouble:
            return False
        except (Wrong, UserError):
            pass
        self._patience.good()
        return True
