"""Figures as the report says them, and its sentences about them."""

from collections.abc import Mapping, Sequence
from math import isnan
from pathlib import Path

from warehouse_classifier.evaluation.metrics import McNemar, Metrics
from warehouse_classifier.evaluation.mismatches.verification import Estimate

SIGNIFICANT = 0.05
UNKNOWN = "–"
LICENCE = "Photos of the Amazon Bin Image Dataset are under CC BY-NC-SA 3.0 US, and so is a page that shows them."


def origin(bucket: str) -> str:
    """In words, what kind of bins these are."""
    if bucket.startswith("synthetic:"):
        return "This run’s bins are synthetic: rendered, not photographed."
    return f"This run’s bins are photos from {named(bucket)}. {LICENCE}"


def named(bucket: str) -> str:
    """The bucket's address; of a local folder only the name: the rest is about the machine."""
    return bucket if "://" in bucket else Path(bucket).name


def separation(test: Sequence[str], others: Sequence[str]) -> str:
    """In words, how many test images have a near-duplicate among those the networks learned from.

    Counted, not believed: `test` and `others` are the groups of the images on either side.
    """
    learned = set(others)
    leaked = sum(group in learned for group in test)
    if not leaked:
        return "No test image has a near-duplicate in train or validation."
    return f"{leaked:,} of {len(test):,} test images have a near-duplicate in train or validation, which flatters."


def comparisons(titles: Mapping[str, str], tests: Mapping[tuple[str, str], McNemar]) -> list[str]:
    """In words, for every two networks, whether they differ. `titles`: of the networks, by key."""
    alone = len(tests) == 1
    return [comparison(titles[one], titles[other], test, alone=alone) for (one, other), test in tests.items()]


def comparison(first: str, second: str, test: McNemar, *, alone: bool) -> str:
    """Of two titles. `alone`: there are no other networks that the two could be confused with."""
    counts = (
        f"{first} alone is right on {test.first_only:,}, {second} alone on {test.second_only:,}; "
        f"McNemar’s exact test, {chance(test.p)}"
    )
    if test.p >= SIGNIFICANT:
        return f"The test does not tell {'the two networks' if alone else f'{first} and {second}'} apart ({counts})."
    better, worse = (first, second) if test.first_only > test.second_only else (second, first)
    return f"{better} is better than {worse} by more than chance explains ({counts})."


def percent(share: float | None, digits: int = 1) -> str:
    """0.6134 -> 61.3 %, with a space that does not break."""
    return UNKNOWN if share is None or isnan(share) else f"{100 * share:.{digits}f}\u00a0%"


def share(value: float) -> str:
    """A share that somebody chose, with as many digits as it has: 0.05 -> 5 %, 0.005 -> 0.5 %."""
    return f"{100 * value:g}\u00a0%"


def between(figure: Metrics | Estimate, digits: int = 1) -> str:
    """The interval, of an accuracy or an estimate: 57.0 to 65.6."""
    low, high = (
        (figure.low, figure.high) if isinstance(figure, Estimate) else (figure.accuracy_low, figure.accuracy_high)
    )
    if isnan(low) or isnan(high):
        return UNKNOWN
    return f"{100 * low:.{digits}f}\u00a0to\u00a0{100 * high:.{digits}f}"


def points(gain: Estimate) -> str:
    """Of a difference of shares, with its interval: 0.0312 -> +3.1 points (1.0 to 5.2)."""
    return f"{100 * gain.value:+.1f}".replace("-", "−") + f" points ({between(gain)})".replace("-", "−")


def number(value: float) -> str:
    """0.61342 -> 0.613."""
    return f"{value:.3f}"


def chance(p: float) -> str:
    """Two digits that matter: p = 0.012, and nothing below p < 0.0001."""
    if p < 0.0001:
        return "p < 0.0001"
    return f"p = {p:.2f}" if p >= 0.1 else f"p = {p:.2g}"
