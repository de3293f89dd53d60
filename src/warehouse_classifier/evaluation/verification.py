"""Given a photo and the quantity that is expected, do they disagree? How well a counter's doubts tell, with intervals.

`doubts`, [images, quantities], hold 1 minus the probability of each quantity that may be expected.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from warehouse_classifier.evaluation.expectations import KINDS, Floats, Ints, right_of, wrong_of
from warehouse_classifier.evaluation.roc import Curve, Pairs

AT_ONCE = 1 << 18  # weights that are held while the bootstrap works


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
    found: dict[float, Estimate]  # share of the mismatches, by the share of all bins that is looked at

    def named(self) -> dict[str, Estimate]:
        """Each under one name: auroc, precision_at_recall_80, found_in_5 (per cent)."""
        return {
            "auroc": self.auroc,
            **{f"precision_at_recall_{100 * recall:g}": figure for recall, figure in self.precision.items()},
            **{f"found_in_{100 * budget:g}": figure for budget, figure in self.found.items()},
        }


@dataclass(frozen=True)
class Task:
    """What is asked of a counter's doubts."""

    prevalence: float  # share of the bins whose content is not what is expected
    recalls: Sequence[float]  # at which precision is told
    budgets: Sequence[float]  # shares of all bins that somebody can look at

    @property
    def headline(self) -> float:
        """The budget that one figure is told for where there is room for one: the middle one."""
        return sorted(self.budgets)[len(self.budgets) // 2]


def verify(
    doubts: Mapping[str, Floats], quantities: Sequence[int], actual: Ints, groups: npt.NDArray[np.str_], task: Task,
    *, seed: int, resamples: int,
) -> dict[str, dict[str, Verification]]:  # fmt: skip
    """By counter and kind, on images that hold `actual`. The intervals draw whole groups of near-duplicates."""
    right = right_of(quantities, actual)
    _, member = np.unique(groups, return_inverse=True)
    count = int(member.max()) + 1
    everyone = np.ones((1, len(actual)))
    asked = {
        (who, kind): Pairs(of, right, wrong_of(quantities, actual, kind))
        for who, of in doubts.items()
        for kind in KINDS
    }
    figures = {which: [_figures(pairs.curve(everyone), task)] for which, pairs in asked.items()}
    rng = np.random.default_rng(seed)
    at_once = max(1, AT_ONCE // right.size)
    for start in range(0, resamples, at_once):
        draws = rng.integers(count, size=(min(at_once, resamples - start), count))
        drawn = np.stack([np.bincount(draw, minlength=count)[member] for draw in draws]).astype(np.float64)
        for which, pairs in asked.items():
            figures[which].append(_figures(pairs.curve(drawn), task))
    found: dict[str, dict[str, Verification]] = {who: {} for who in doubts}
    for (who, kind), parts in figures.items():
        low, high = np.nanquantile(np.concatenate(parts[1:]), [0.025, 0.975], axis=0)
        estimates = [Estimate(*map(float, three)) for three in zip(parts[0][0], low, high, strict=True)]
        cut = 1 + len(task.recalls)
        found[who][kind] = Verification(
            estimates[0],
            dict(zip(task.recalls, estimates[1:cut], strict=True)),
            dict(zip(task.budgets, estimates[cut:], strict=True)),
        )
    return found


def prior(shares: Floats, images: int) -> Floats:
    """The doubts of someone who knows how often each quantity occurs and sees no photo."""
    return np.tile(1 - shares, (images, 1))


def _figures(curve: Curve, task: Task) -> Floats:
    """[weightings, figures]: AUROC, precisions, shares found."""
    columns = [curve.auroc()]
    columns += [curve.precision(recall, task.prevalence) for recall in task.recalls]
    columns += [curve.within(budget, task.prevalence) for budget in task.budgets]
    return np.stack(columns, axis=1)
