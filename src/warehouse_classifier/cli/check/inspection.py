"""The inspection of photos: each read, counted and judged, in the order given, as fast as the networks are."""

from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from warehouse_classifier.bins.expectation import Expectation
from warehouse_classifier.bucket.objects import Body, Unreadable
from warehouse_classifier.cli.check.expectations import Expected, Unknown
from warehouse_classifier.cli.check.finding import Finding
from warehouse_classifier.cli.check.local_photos import body_of
from warehouse_classifier.cli.check.photos import Photo, Seen
from warehouse_classifier.dataset.photo import Pixels
from warehouse_classifier.serving.predictor import Predictor
from warehouse_classifier.serving.questions import Answer, Before, Question
from warehouse_classifier.work.parallel import ordered_map

HEAVY = 1 << 18  # bytes of a body that are worth one more photo ahead


Draw = Callable[[Photo, Pixels, Answer, int | None], None]  # the last: what is expected


class Picture(NamedTuple):
    """A photo's pixels, and why it is unlike those that the networks learned from, if it is."""

    pixels: Pixels
    strange: str | None


Decoded = tuple[Picture | Unreadable, Picture | Unreadable | None]  # a photo, and the one before


def inspect(
    counter: Predictor, seen: Iterable[Seen], batch: int, workers: int, threads: int, draw: Draw | None = None
) -> Generator[list[Finding], None, None]:
    """What is found, some `batch` photos at a time. `draw` is called for each photo that was counted.

    `workers` threads read, decode and resize, while `threads` others each have a batch seen by the networks. Where the
    counter was opened with one thread these never wait for one another, as those that share a batch do for the slowest.
    Some batches are held, however many photos there are.
    """

    def decoded(read: Seen) -> Decoded:
        own = _decoded(counter, read.body)
        earlier = None if read.before is None or isinstance(own, Unreadable) else _decoded(counter, read.before.body)
        if isinstance(own, Picture) and isinstance(earlier, Picture) and np.array_equal(own.pixels, earlier.pixels):
            return own, Unreadable("is the very photo that is checked", again=False)
        return own, earlier

    readers, counters = ThreadPoolExecutor(workers), ThreadPoolExecutor(threads)
    try:
        begun = ordered_map(readers, decoded, seen, 2 * batch, _weight)
        groups = iter(lambda: list(islice(begun, batch)), [])
        for _, findings in ordered_map(counters, lambda group: list(_findings(counter, group, draw)), groups, threads):
            yield findings
    finally:
        readers.shutdown(cancel_futures=True)
        counters.shutdown(cancel_futures=True)


def _decoded(counter: Predictor, body: Body | Path) -> Picture | Unreadable:
    if isinstance(body, Unreadable):
        return body
    try:
        content = body_of(body) if isinstance(body, Path) else body
        pixels = counter.pixels(content)
    except OSError as error:
        return Unreadable(f"cannot be read ({error.strerror})")
    except ValueError as error:
        return Unreadable(str(error), again=False)
    return Picture(pixels, counter.strange(content, pixels))


def _weight(read: Seen) -> int:
    bodies = [read.body, *([read.before.body] if read.before else [])]
    return 1 + sum(len(body) // HEAVY for body in bodies if isinstance(body, bytes))


def _findings(counter: Predictor, group: list[tuple[Seen, Decoded]], draw: Draw | None) -> Iterator[Finding]:
    counted = [(read, own, before) for read, (own, before) in group if not isinstance(own, Unreadable)]
    answers: Iterator[Answer] = iter(())
    if counted:
        questions = [_question(*its) for its in counted]
        answers = iter(counter.inspect(np.stack([own.pixels for _, own, _ in counted]), questions))
    for read, (own, before) in group:
        name, expected = read.photo.name, read.photo.expected
        quantity = expected.quantity if isinstance(expected, Expectation) else None
        if isinstance(own, Unreadable):
            yield Finding(name, quantity, None, None, None, "look", own.reason, own.again or read.again)
            continue
        answer = next(answers)
        if draw:
            draw(read.photo, own.pixels, answer, quantity)
        verdict, reason, again = _said(answer, read, before)
        yield Finding(name, quantity, answer.predicted, answer.probability, answer.doubt, verdict, reason, again)


def _question(read: Seen, own: Picture, before: Picture | Unreadable | None) -> Question:
    expected, earlier = read.photo.expected, read.before.photo.expected if read.before else None
    asked = Question(expected if isinstance(expected, Expectation) else None, strange=own.strange)
    if asked.expected and isinstance(earlier, Expectation) and isinstance(before, Picture) and before.strange is None:
        return replace(asked, before=Before(before.pixels, earlier))
    return asked


def _said(answer: Answer, read: Seen, before: Picture | Unreadable | None) -> tuple[str | None, str | None, bool]:
    """Verdict, reason, and whether another run may say something else. What was to be done and could not be is no match."""
    expected, earlier = read.photo.expected, read.before.photo.expected if read.before else None
    if isinstance(expected, Unknown):
        return "look", expected.reason, read.again
    lacking, again = _lacking(before, earlier)
    if lacking is None or answer.verdict is None:
        return answer.verdict, answer.reason, read.again
    verdict = "look" if answer.verdict == "match" else answer.verdict
    return verdict, "; ".join(filter(None, (answer.reason, lacking))), read.again or again


def _lacking(before: Picture | Unreadable | None, earlier: Expected) -> tuple[str | None, bool]:
    """Why the photo before, of which `earlier` was expected, tells nothing, and whether it may tell another run something."""
    if isinstance(before, Unreadable):
        return f"the photo before {before.reason}", before.again
    if before and before.strange:
        return f"the photo before is {before.strange}", False
    if before and isinstance(earlier, Unknown):
        return f"the photo before: {earlier.reason}", False
    return None, False
