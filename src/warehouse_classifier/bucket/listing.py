"""All keys of a folder in a bucket, and none that is wrong: each page is asked for until two answers agree."""

from collections.abc import Generator
from itertools import pairwise
from pathlib import Path

from warehouse_classifier.bucket import client as clients
from warehouse_classifier.bucket.client import Client
from warehouse_classifier.bucket.errors import TransientError, WrongAnswer
from warehouse_classifier.bucket.objects import ObjectInfo
from warehouse_classifier.bucket.retry import TRIES_WRONG, Retries
from warehouse_classifier.work.parallel import ordered_map

LOOKS = 2  # answers that must agree before a page of keys is believed
LOOKS_EMPTY = 10  # the same for a folder without keys: a page of HTML looks like an empty folder
DIFFERS = "lists something else every time it is asked; wait until it is at rest"


class Listing:
    """Walks a bucket's folders, page by page, with the retries that all who ask the bucket share."""

    def __init__(self, client: Client, retries: Retries) -> None:
        self._client, self._retries = client, retries

    def entries(self, folder: str, most: int | None) -> Generator[ObjectInfo, None, None]:
        """As Bucket.list has it. Raises UserError if the bucket cannot be listed."""
        if isinstance(self._client.place, Path):
            yield from self._client.files(folder)
            return
        first = self._page(folder, None, None)
        yield from first
        if not first:
            return
        # Pages follow one another only within a stretch. Stretches are cut where ids of digits spread evenly, finely if there
        # are ids far up or only the first are wanted; keys need not be of digits, then some stretches are long and some empty.
        cuts: list[str] = []
        if len(first) >= clients.PAGE:
            digits = 2 if most is not None or self._page(folder, f"{folder}/5", None) else 1
            cuts = [cut for n in range(10**digits) if (cut := f"{folder}/{n:0{digits}}") > first[-1].key]
        with self._retries.threads() as pool:
            ahead = self._retries.concurrency if most is None else most // 10_000
            begun = ordered_map(pool, lambda ends: self._stretch(folder, [], *ends), pairwise([*cuts, None]), ahead)
            entries, beyond = self._stretch(folder, first, None, cuts[0] if cuts else None)
            yield from entries
            listed = [*first, *entries][-2:]
            for (_, end), (entries, after) in begun:
                # each stretch has seen the first key of the next one, so none can be empty or begin late unnoticed
                if (entries[0] if entries else after) != beyond:
                    entries, after = self._stretch(folder, listed, None, end)
                yield from entries
                listed, beyond = [*listed, *entries][-2:], after

    def _stretch(
        self, folder: str, listed: list[ObjectInfo], start: str | None, end: str | None
    ) -> tuple[list[ObjectInfo], ObjectInfo | None]:
        """All that is listed after the last of `listed`, or after `start`, up to `end`; and the first entry beyond."""
        entries: list[ObjectInfo] = []
        while True:
            last = [*listed, *entries][-2:]
            after = last[0].key if len(last) == 2 else start
            page = self._page(folder, after, last[-1] if last else None)
            entries += [entry for entry in page if end is None or entry.key <= end]
            beyond = next((entry for entry in page if end is not None and entry.key > end), None)
            if beyond or not page:
                return entries, beyond

    def _page(self, folder: str, after: str | None, last: ObjectInfo | None) -> list[ObjectInfo]:
        """The next keys as looks that agree have it; none at the end.

        `last`: what is known to follow on `after`. The page must begin with it, and is given without: else nothing would
        tell a page of HTML, in which obstore finds no keys, from the end.
        """
        before: list[ObjectInfo] | None = None
        agree = wrong = failed = 0
        while True:
            try:
                with self._retries.throttle.turn():
                    page = self._client.page(folder, after, failed)
                if last is not None and page[:1] != [last]:
                    raise WrongAnswer(DIFFERS)
                differs, before, agree = before not in (None, page), page, agree + 1 if page == before else 1
                if differs:
                    raise WrongAnswer(DIFFERS)
            except TransientError as error:
                failed += 1
                self._retries.wait_after(error, failed, "")
            except WrongAnswer as error:
                wrong += 1
                if wrong >= TRIES_WRONG:
                    self._client.refuse(str(error))
                self._retries.pause_after(wrong, longest=1.0)
            else:
                self._retries.answered()
                if agree >= (LOOKS if page or after is not None else LOOKS_EMPTY):
                    return page if last is None else page[1:]
                if not page:
                    self._retries.pause(agree, longest=1.0)
