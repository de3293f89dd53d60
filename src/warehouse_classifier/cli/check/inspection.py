"""The inspection of photos: each read, counted and judged, in the order given, as fast as the networks are."""

from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np

from warehouse_classifier.bucket.objects import Unreadable
from warehouse_classifier.cli.check.expectations import Unknown
from warehouse_classifier.cli.check.finding import Finding
from warehouse_classifier.cli.check.local_photos import body_of
from warehouse_classifier.cli.check.photos import Photo, Seen
from warehouse_classifier.dataset.photo import Pixels
from warehouse_classifier.serving.predictor import Answer, Predictor
from warehouse_classifier.work.parallel import ordered_map

HEAVY = 1 << 18  # bytes of a body that are worth one more photo ahead


Draw = Callable[[Photo, Pixels, Answer, int | None], None]  # the last: what is expected


def inspect(
    counter: Predictor, seen: Iterable[Seen], batch: int, workers: int, threads: int, draw: Draw | None = None
) -> Generator[list[Finding], None, None]:
    """What is found, some `batch` photos at a time. `draw` is called for each photo that was counted.

    `workers` threads read, decode and resize, while `threads` others each have a batch seen by the networks. Where the
    counter was opened with one thread these never wait for one another, as those that share a batch do for the slowest.
    Some batches are held, however many photos there are.
    """

    def pixels(read: Seen) -> Pixels | Unreadable:
        if isinstance(read.body, Unreadable):
            return read.body
        try:
            return counter.pixels(body_of(read.body) if isinstance(read.body, Path) else read.body)
        except OSError as error:
            return Unreadable(f"cannot be read ({error.strerror})")
        except ValueError as error:
            return Unreadable(str(error), again=False)

    readers, counters = ThreadPoolExecutor(workers), ThreadPoolExecutor(threads)
    try:
        begun = ordered_map(readers, pixels, seen, 2 * batch, _weight)
        groups = iter(lambda: list(islice(begun, batch)), [])
        for _, findings in ordered_map(counters, lambda group: list(_findings(counter, group, draw)), groups, threads):
            yield findings
    finally:
        readers.shutdown(cancel_futures=True)
        counters.shutdown(cancel_futures=True)


def _weight(read: Seen) -> int:
    return 1 + (len(read.body) // HEAVY if isinstance(read.body, bytes) else 0)


def _findings(
    counter: Predictor, group: list[tuple[Seen, Pixels | Unreadable]], draw: Draw | None
) -> Iterator[Finding]:
    counted = [(read.photo, pixels) for read, pixels in group if not isinstance(pixels, Unreadable)]
    answers: Iterator[Answer] = iter(())
    if counted:
        asked = [None if isinstance(photo.expected, Unknown) else photo.expected for photo, _ in counted]
        lists = [photo.items for photo, _ in counted]
        answers = iter(counter.inspect(np.stack([pixels for _, pixels in counted]), asked, lists))
    for read, pixels in group:
        name, expected = read.photo.name, read.photo.expected
        quantity, unknown = (None, expected.reason) if isinstance(expected, Unknown) else (expected, None)
        if isinstance(pixels, Unreadable):
            yield Finding(name, quantity, None, None, None, "look", pixels.reason, pixels.again or read.again)
            continue
        answer = next(answers)
        if draw:
            draw(read.photo, pixels, answer, quantity)
        verdict, reason = ("look", unknown) if unknown else (answer.verdict, answer.reason)
        yield Finding(name, quantity, answer.predicted, answer.probability, answer.doubt, verdict, reason, read.again)
