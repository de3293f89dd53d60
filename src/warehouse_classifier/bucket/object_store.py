"""A bucket in an S3-compatible store or in a local folder: all of it, and nothing that is wrong, whatever its server does.

Every page of a listing is asked for until two answers agree, every body until it is the one that was listed.
"""

import time
from collections import Counter
from collections.abc import Generator, Iterable
from itertools import pairwise
from pathlib import Path

from warehouse_classifier.bucket import client, retry
from warehouse_classifier.bucket.client import Client, Place, Refused, Trouble, Wrong
from warehouse_classifier.bucket.objects import LARGEST, Body, Entry, Unreadable, folder_of
from warehouse_classifier.bucket.retry import Patience
from warehouse_classifier.runtime.errors import Fault
from warehouse_classifier.work.parallel import in_order

TRIES_WRONG = 10  # of what is not what was listed: three in ten spoiled at random leave 6 in a million
TRIES_OTHER = 3  # that bring one other ETag, before an object counts as changed
TRIES_FAILED = 12  # of an object that does not come while others do
TRIES_UNPROVEN = 3  # of these, that count before it is looked whether anything comes
TRIES_REFUSED = 3  # of an object that is missing or denied
AHEAD = 64 << 20  # bytes that are asked for beyond the one that is next: one that hangs does not stop the others
OVERHEAD = 16 << 10  # bytes that an object counts for beside its body
LOOKS = 2  # at a page of keys, that agree
LOOKS_EMPTY = 10  # at a folder of which nothing is known: a page of HTML looks like an empty one
DIFFERS = "lists something else every time it is asked; wait until it is at rest"

Entries = list[Entry]  # by these names, since a bucket has a `list` of its own
Cuts = list[str]


class StoreBucket:
    """A Bucket (see bucket.py)."""

    def __init__(self, url: str, place: Place | Path, concurrency: int) -> None:
        self.client = Client(url, place)
        self._patience = Patience(self.client, concurrency)

    @property
    def errors(self) -> int:
        return self._patience.errors

    def close(self) -> None:
        """Nothing is held."""

    def checked(self, entry: Entry) -> str:
        return "md5" if entry.md5 else "length"

    def stamp(self, entry: Entry) -> str | None:
        if not isinstance(self.client.place, Path):
            return entry.etag
        try:
            file = (self.client.place / entry.key).stat()
        except OSError as error:
            return str(error.errno)  # it cannot be had; a part with what could not be had asks for it again
        return f"{file.st_ino}-{file.st_mtime_ns}-{file.st_size}"

    # ---- listing

    def list(self, folder: str, most: int | None = None) -> Generator[Entry, None, None]:
        if isinstance(self.client.place, Path):
            yield from self.client.files(folder)
            return
        first = self._page(folder, None, None)
        yield from first
        if not first:
            return
        # Pages follow one another only within a stretch. Stretches are cut where ids of digits spread evenly, finely if there
        # are ids far up or only the first are wanted; keys need not be of digits, then some stretches are long and some empty.
        cuts: Cuts = []
        if len(first) >= client.PAGE:
            digits = 2 if most is not None or self._page(folder, f"{folder}/5", None) else 1
            cuts = [cut for n in range(10**digits) if (cut := f"{folder}/{n:0{digits}}") > first[-1].key]
        with self._patience.threads() as pool:
            ahead = self._patience.concurrency if most is None else most // 10_000
            begun = in_order(pool, lambda ends: self._stretch(folder, [], *ends), pairwise([*cuts, None]), ahead)
            entries, beyond = self._stretch(folder, first, None, cuts[0] if cuts else None)
            yield from entries
            known = [*first, *entries][-2:]
            for (_, end), (entries, after) in begun:
                # each stretch has seen the first key of the next one, so none can be empty or begin late unnoticed
                if (entries[0] if entries else after) != beyond:
                    entries, after = self._stretch(folder, known, None, end)
                yield from entries
                known, beyond = [*known, *entries][-2:], after

    def _stretch(self, folder: str, known: Entries, start: str | None, end: str | None) -> tuple[Entries, Entry | None]:
        """All that is listed after the last of `known`, or after `start`, up to `end`; and the first entry beyond."""
        entries: Entries = []
        while True:
            last = [*known, *entries][-2:]
            after = last[0].key if len(last) == 2 else start
            page = self._page(folder, after, last[-1] if last else None)
            entries += [entry for entry in page if end is None or entry.key <= end]
            beyond = next((entry for entry in page if end is not None and entry.key > end), None)
            if beyond or not page:
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
                with self._patience.throttle.turn():
                    page = self.client.page(folder, after, failed)
                if last is not None and page[:1] != [last]:
                    raise Wrong(DIFFERS)
                differs, before, agree = before not in (None, page), page, agree + 1 if page == before else 1
                if differs:
                    raise Wrong(DIFFERS)
            except Trouble as trouble:
                failed += 1
                self._patience.again(trouble, failed, "")
            except Wrong as problem:
                self._patience.errors += 1
                wrong += 1
                if wrong >= TRIES_WRONG:
                    self.client.fault(str(problem))
                self._patience.pause(wrong, longest=1.0)
            else:
                self._patience.good()
                if agree >= (LOOKS if page or after is not None else LOOKS_EMPTY):
                    return page if last is None else page[1:]
                if not page:
                    self._patience.pause(agree, longest=1.0)

    # ---- reading

    def get_many(self, entries: Iterable[Entry]) -> Generator[tuple[Entry, Body], None, None]:
        with self._patience.threads() as pool:
            yield from in_order(pool, self.get, entries, AHEAD, lambda entry: (entry.size or 0) + OVERHEAD)

    def get(self, entry: Entry) -> Body:
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

    def _is_there(self, entry: Entry) -> bool:
        """Whether the bucket gives an answer, which one object that never comes does not tell."""
        try:
            self.client.page(folder_of(entry.key), None, 0)
        except Trouble:
            return False
        except (Wrong, Fault):
            pass
        self._patience.good()
        return True
