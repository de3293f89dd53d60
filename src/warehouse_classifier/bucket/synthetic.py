"""A bucket whose bins are drawn on demand, by as many processes as draw side by side."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import cast
from urllib.parse import parse_qs, urlsplit

from warehouse_classifier.bucket.objects import PHOTOS, Body, ObjectInfo, Unreadable, folder_of, id_of, key_of
from warehouse_classifier.runtime.errors import UserError
from warehouse_classifier.synthetic.bins import SyntheticBins
from warehouse_classifier.work.parallel import ordered_map


class SyntheticBucket:
    """Bins drawn on demand. A fingerprint of what would be drawn stands for size and ETag."""

    errors = 0

    def __init__(self, url: str, concurrency: int) -> None:
        query = parse_qs(urlsplit(url).query)
        try:
            (pairs,), (seed,) = query.pop("pairs"), query.pop("seed")
            if query or int(pairs) < 0 or int(seed) < 0:
                raise ValueError
        except (KeyError, ValueError):
            raise UserError(f"bucket {url} must look like synthetic://?pairs=5000&seed=7") from None
        self.url = url
        self.bins = SyntheticBins(int(pairs), int(seed))
        # drawing is work for the processor, so more processes than processors gain nothing
        self._workers = min(concurrency, len(os.sched_getaffinity(0)))
        self._pool: ProcessPoolExecutor | None = None

    def list(self, folder: str, most: int | None = None) -> Generator[ObjectInfo, None, None]:
        for id in self.bins.ids():
            yield ObjectInfo(key_of(folder, id), None, self.bins.fingerprint(id, folder))

    def get(self, entry: ObjectInfo) -> Body:
        return self._same(entry, _draw(self.bins, entry))

    def get_many(self, entries: Iterable[ObjectInfo]) -> Generator[tuple[ObjectInfo, Body], None, None]:
        if self._pool is None:
            self._start()
        assert self._pool is not None
        try:
            for entry, body in ordered_map(self._pool, _draw_in_worker, entries, 16 * self._workers):
                yield entry, self._same(entry, body)
        except BrokenProcessPool:
            raise UserError("a process that draws bins was killed; perhaps there is too little memory") from None

    def _start(self) -> None:
        spawn = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang
        # `close` has to find it, if a signal comes while it starts
        self._pool = ProcessPoolExecutor(self._workers, spawn, initializer=_start_worker, initargs=(self.bins,))
        # Ctrl-C reaches every process of a terminal; the parent alone answers it. Who is started while it is blocked has it
        # blocked for good, and the tasks of nothing start them all.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            for _ in range(self._workers):
                self._pool.submit(int)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def checked(self, entry: ObjectInfo) -> str:
        return "fingerprint"

    def stamp(self, entry: ObjectInfo) -> str | None:
        return entry.etag

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def _same(self, entry: ObjectInfo, body: Body | None) -> Body:
        if body is None:
            raise UserError(
                f"bucket {self.url}: {entry.key} is no longer what was listed (fingerprint {entry.etag});"
                " start again, the pipeline with `dvc repro -f fetch_metadata`, and it is listed anew"
            )
        return body


def _draw(bins: SyntheticBins, entry: ObjectInfo) -> Body | None:
    """None if another object was listed."""
    folder, id = folder_of(entry.key), id_of(entry.key)
    if id is None or id not in bins:
        return Unreadable("missing")
    if entry.etag is not None and entry.etag != bins.fingerprint(id, folder):
        return None
    return bins.photo(id) if folder == PHOTOS else bins.metadata(id)


_bins: SyntheticBins | None = None


def _start_worker(bins: SyntheticBins) -> None:
    """Give the worker its bins, and have it end when its parent is killed: nobody else would end it."""
    global _bins  # noqa: PLW0603
    _bins = bins
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.join,), daemon=True).start()


def _end_with(join: Callable[[], None]) -> None:
    join()
    os._exit(1)


def _draw_in_worker(entry: ObjectInfo) -> Body | None:
    return _draw(cast("SyntheticBins", _bins), entry)
