"""Do a photo and the expected quantity disagree? How well a counter's doubts tell, with intervals.

`doubts`, [images, quantities], hold 1 minus the probability of each quantity that may be expected.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from warehouse_classifier.evaluation.arrays import Floats, Ints
from warehouse_classifier.evaluation.mismatches.expectations import MISMATCHES, right_mask, wrong_mask
from warehouse_classifier.evaluation.mismatches.roc import Curve, Pairs

WEIGHTS_AT_ONCE = 1 << 18  # held in memory by the bootstrap


@dataclass(frozen=True)
class Estimate:
    """A figure and its bootstrap 95 % interval, all in [0, 1]."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Verification:
    """How one counter tells wrong expectations of one kind from right ones."""

    auroc: Estimate
    precision: dict[float, Estimate]  # by recall
    recall: dict[float, Estimate]  # by budget: the share of all bins that is looked at

    def named(self) -> dict[str, Estimate]:
        """Each under one name: auroc, precision_at_recall_80, found_in_5 (per cent)."""
        return {
            "auroc": self.auroc,
            **{f"precision_at_recall_{100 * recall:g}": estimate for recall, estimate in self.precision.items()},
            **{f"found_in_{100 * budget:g}": estimate for budget, estimate in self.recall.items()},
        }


@dataclass(frozen=True)
class Task:
    """A warehouse that looks for mismatches."""

    prevalence: float  # share of the bins whose content is not what is expected
    recalls: Sequence[float]  # at which precision is told
    budgets: Sequence[float]  # shares of all bins that somebody can look at

    @property
    def headline(self) -> float:
        """The budget where there is room for one figure: the middle one."""
        return sorted(self.budgets)[len(self.budgets) // 2]


def verify(
    doubts: Mapping[str, Floats], quantities: Sequence[int], actual: Ints, groups: npt.NDArray[np.str_], task: Task,
    *, seed: int, resamples: int,
) -> dict[str, dict[str, Verification]]:  # fmt: skip
    """By counter and by kind of mismatch, on images that hold `actual` items, [images].

    The intervals are of the percentile bootstrap over whole groups of near-duplicates, see interval in metrics.py.
    """
    right = right_mask(quantities, actual)
    _, member = np.unique(groups, return_inverse=True)
    count = int(member.max()) + 1
    pairs = {
        (counter, mismatch): Pairs(values, right, wrong_mask(quantities, actual, mismatch))
        for counter, values in doubts.items()
        for mismatch in MISMATCHES
    }
    figures = {key: [figures_of(its.curve(np.ones((1, len(actual)))), task)] for key, its in pairs.items()}
    rng = np.random.default_rng(seed)
    at_once = max(1, WEIGHTS_AT_ONCE // right.size)
    for start in range(0, resamples, at_once):
        draws = rng.integers(count, size=(min(at_once, resamples - start), count))
        images = np.stack([np.bincount(draw, minlength=count)[member] for draw in draws]).astype(np.float64)
        for key, its in pairs.items():
            figures[key].append(figures_of(its.curve(images), task))
    verified: dict[str, dict[str, Verification]] = {counter: {} for counter in doubts}
    for (counter, mismatch), (value, *drawn) in figures.items():
        verified[counter][mismatch] = verification_of(value[0], np.concatenate(drawn), task)
    return verified


def prior(shares: Floats, images: int) -> Floats:
    """The doubts of someone who knows how often each quantity occurs, `shares`, and sees no photo: [images, quantities]."""
    return np.tile(1 - shares, (images, 1))


def figures_of(curve: Curve, task: Task) -> Floats:
    """[weightings, figures]: AUROC, precision by recall, recall by budget."""
    columns = [curve.auroc()]
    columns += [curve.precision_at(recall, task.prevalence) for recall in task.recalls]
    columns += [curve.recall_at(budget, task.prevalence) for budget in task.budgets]
    return np.stack(columns, axis=1)


def verification_of(values: Floats, drawn: Floats, task: Task) -> Verification:
    """From the figures, [figures], and those of the bootstrap, [resamples, figures]."""
    low, high = np.nanquantile(drawn, [0.025, 0.975], axis=0)
    auroc, *estimates = (Estimate(*map(float, row)) for row in zip(values, low, high, strict=True))
    precisions, recalls = estimates[: len(task.recalls)], estimates[len(task.recalls) :]
    return Verification(
        auroc, dict(zip(task.recalls, precisions, strict=True)), dict(zip(task.budgets, recalls, strict=True))
    )
