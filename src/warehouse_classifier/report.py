"""The report: one HTML page that carries its own pictures and asks the network for nothing.

It holds what was measured and what it was measured on, and no time, place or speed, so that it is the same bytes
whenever it is made from the same things.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from warehouse_classifier.scores import McNemar, Quantities, Scores

Floats = npt.NDArray[np.float64]

SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Bin:
    """One bin of the gallery: its photo as a JPEG, what the inventory says, and what each network says."""

    id: str
    photo: bytes
    quantity: int
    predicted: Mapping[str, int]  # by the network's name

    @property
    def source(self) -> str:
        return "data:image/jpeg;base64," + base64.b64encode(self.photo).decode("ascii")


@dataclass(frozen=True)
class Findings:
    """Everything the page shows. `scores` are in the order of the columns, the networks first and the baseline last."""

    scores: Mapping[str, Scores]
    mcnemar: McNemar
    images: Mapping[str, int]  # by split: train, validation, test
    bins: str  # in words, where the bins are from
    split: str  # in words, how test and train are kept apart
    drawings: Mapping[str, str]  # <svg> elements by name
    published: Sequence[Mapping[Any, str]]  # rows with quantities, model, trained_on, result
    gallery: Sequence[Bin]
    provenance: Mapping[str, str]


def page(findings: Findings) -> str:
    """The whole page as HTML. All text is escaped; only the drawings, which are ours, are taken as they are."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"percent": percent, "between": between, "number": number}
    networks = list(findings.scores)[:-1]
    return environment.get_template("report.html.j2").render(
        findings=findings,
        drawings={name: Markup(svg) for name, svg in findings.drawings.items()},  # noqa: S704 -- drawn by charts.py
        networks=networks,
        baseline=list(findings.scores)[-1],
        quantities=list(findings.scores[networks[0]].recall),
        verdict=verdict(networks, findings.mcnemar),
        rows=ROWS,
    )


ROWS: Sequence[tuple[str, str, str]] = (
    ("balanced_accuracy", "Balanced accuracy", "percent"),
    ("macro_f1", "Macro-F1", "number"),
    ("within_one", "Within one item", "percent"),
    ("mae", "Mean absolute error, items", "number"),
    ("rmse", "RMSE, items", "number"),
)


def choose(
    quantity: Quantities,
    said: npt.NDArray[np.integer[Any]],
    sure: Floats,
    groups: Sequence[str],
    *,
    bins: int,
    seed: int,
) -> list[int]:
    """Positions of the bins to show: a third all networks get right, a third some get right, the rest misses by most.

    `said` and `sure`, [networks, images], are the quantities that the networks predict and their probabilities. The
    right ones are drawn by `seed`, every quantity in turn. Mistakes are ordered by how many items the networks
    together are off, and then by how sure they were. No two bins are of one group, as they look alike.
    """
    off = np.abs(said - quantity)
    right = (off == 0).sum(axis=0)
    shuffled = np.random.default_rng(seed).permutation(quantity.size)
    turn = np.empty(quantity.size, dtype=np.int64)  # the how-manieth of its quantity each image is
    for value in np.unique(quantity):
        mine = shuffled[quantity[shuffled] == value]
        turn[mine] = np.arange(mine.size)
    drawn = np.lexsort((quantity, turn))
    worst = np.lexsort((-sure.sum(axis=0).round(6), -off.sum(axis=0)))
    everyone = len(said)
    kinds = (
        drawn[right[drawn] == everyone],
        drawn[(right[drawn] > 0) & (right[drawn] < everyone)],
        worst[right[worst] == 0],
    )

    chosen: list[int] = []
    shown: set[str] = set()
    for kind, upto in zip(kinds, (bins // 3, 2 * bins // 3, bins), strict=True):
        for position in kind.tolist():
            if len(chosen) < upto and groups[position] not in shown:
                chosen.append(position)
                shown.add(groups[position])
    return chosen


def origin(bucket: str) -> str:
    """In words, what kind of bins these are. Of a local folder only the name: the rest is about the machine."""
    if bucket.startswith("synthetic:"):
        return "This run’s bins are synthetic: rendered, not photographed."
    return f"This run’s bins are photos from {bucket if '://' in bucket else Path(bucket).name}."


def separation(test: Sequence[str], others: Sequence[str]) -> str:
    """In words, how many test images have a near-duplicate among those the networks learned from. Found, not believed.

    `test` and `others` are the groups of the images on either side.
    """
    known = set(others)
    leaked = sum(group in known for group in test)
    if not leaked:
        return "No test image has a near-duplicate in train or validation."
    return f"{leaked:,} of {len(test):,} test images have a near-duplicate in train or validation, which flatters."


def verdict(networks: Sequence[str], test: McNemar) -> str:
    """In words, whether the two networks differ."""
    first, second = networks
    counts = (
        f"{first} alone is right on {test.first_only:,}, {second} alone on {test.second_only:,}; "
        f"McNemar’s exact test, {chance(test.p)}"
    )
    if test.p >= SIGNIFICANT:
        return f"The test does not tell the two networks apart ({counts})."
    better, worse = (first, second) if test.first_only > test.second_only else (second, first)
    return f"{better} is better than {worse} by more than chance explains ({counts})."


def percent(share: float | None, digits: int = 1) -> str:
    """0.6134 -> 61.3 %, with a space that does not break."""
    return "–" if share is None else f"{100 * share:.{digits}f}\u00a0%"


def between(scores: Scores) -> str:
    """The accuracy's interval: 57.0 to 65.6."""
    return f"{100 * scores.accuracy_low:.1f}\u00a0to\u00a0{100 * scores.accuracy_high:.1f}"


def number(value: float) -> str:
    return f"{value:.3f}"


def chance(p: float) -> str:
    """Two digits that matter: p = 0.012, and nothing below p < 0.0001."""
    if p < 0.0001:
        return "p < 0.0001"
    return f"p = {p:.2f}" if p >= 0.1 else f"p = {p:.2g}"
