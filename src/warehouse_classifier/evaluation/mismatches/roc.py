"""The curves of a counter's doubts: which share of the mismatches lies above each doubt, and which of the false alarms."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from warehouse_classifier.evaluation.arrays import Floats, Ints, Masks
from warehouse_classifier.evaluation.mismatches.expectations import right_mask, wrong_mask


class Pairs:
    """Every image with every right and wrong expectation, in the order of doubt: sorted once for many weightings.

    `doubts`, `right` and `wrong` are [images, quantities].
    """

    def __init__(self, doubts: Floats, right: Masks, wrong: Masks) -> None:
        used = np.flatnonzero((right | wrong).ravel())
        order = used[np.argsort(-doubts.ravel()[used], kind="stable")]
        self.right, self.wrong = right.astype(np.float64), wrong.astype(np.float64)
        self.image, self.expected = np.divmod(order, right.shape[1])
        self.off = wrong.ravel()[order]
        # the last of those with the same doubt
        self.last = np.append(np.flatnonzero(np.diff(doubts.ravel()[order])), len(order) - 1)

    def curve(self, images: Floats) -> "Curve":
        """`images`, [weightings, images]: how often each image counts in each. Weights as balanced_weights has them."""
        right, wrong = images @ self.right, images @ self.wrong
        both = (right > 0) & (wrong > 0)
        scale = np.stack([both, np.divide(right, wrong, out=np.zeros_like(right), where=both)], axis=-1)
        weights = images[:, self.image] * scale[:, self.expected, self.off.astype(np.int64)]
        return Curve(_shares(weights * ~self.off, self.last), _shares(weights * self.off, self.last))


class Questions:
    """Single questions, each of them right or wrong, in the order of doubt: sorted once for many weightings.

    `doubts` and `wrong` are [questions].
    """

    def __init__(self, doubts: Floats, wrong: Masks) -> None:
        self.order = np.argsort(-doubts, kind="stable")
        self.wrong = wrong[self.order]
        self.last = np.append(np.flatnonzero(np.diff(doubts[self.order])), len(doubts) - 1)

    def curve(self, weights: Floats) -> "Curve":
        """`weights`, [weightings, questions]: how often each counts in each."""
        ordered = weights[:, self.order]
        return Curve(_shares(ordered * ~self.wrong, self.last), _shares(ordered * self.wrong, self.last))

    def above(self, which: Masks, weights: Floats) -> Floats:
        """The share of `which` questions, [questions], above each doubt of `curve`: [weightings, doubts]."""
        return _shares((weights * which)[:, self.order], self.last)


@dataclass(frozen=True)
class Curve:
    """False and true positive rate: the shares of right and of wrong expectations above each doubt, [weightings, doubts].

    Every figure is [weightings], in [0, 1]; nan for a weighting that holds no right or no wrong expectation.
    """

    fpr: Floats
    tpr: Floats

    def auroc(self) -> Floats:
        """The area under the curve, by trapezoids."""
        return np.asarray(np.trapezoid(self.tpr, self.fpr, axis=1))

    def precision_at(self, recall: float, prevalence: float) -> Floats:
        """The share of wrong ones above the doubt that has that share of all wrong ones above it."""
        fpr = _at(self.tpr, self.fpr, recall)
        return np.asarray(prevalence * recall / (prevalence * recall + (1 - prevalence) * fpr))

    def looked_at(self, prevalence: float) -> Floats:
        """The share of all bins above each doubt, [weightings, doubts]."""
        return prevalence * self.tpr + (1 - prevalence) * self.fpr

    def recall_at(self, budget: float, prevalence: float, of: Floats | None = None) -> Floats:
        """The share of the wrong ones among that share of all bins that is doubted most; or of those that `of`, [weightings,
        doubts], has the share of above each doubt."""
        return _at(self.looked_at(prevalence), self.tpr if of is None else of, budget)


def curves(
    doubts: Mapping[str, Floats], quantities: Sequence[int], actual: Ints, mismatch: str, prevalence: float
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """ROC and gains curve, each a column by counter: recall by share of false alarms, and by share of all bins looked at.

    `doubts` are [images, quantities], `actual`, [images], in items, and `mismatch` one of MISMATCHES.
    """
    right, wrong = right_mask(quantities, actual), wrong_mask(quantities, actual, mismatch)
    false_alarms, budgets = np.linspace(0, 1, 201), np.linspace(0, 0.3, 151)
    roc, gains = {"false_alarms": false_alarms}, {"looked_at": budgets}
    for counter, values in doubts.items():
        curve = Pairs(values, right, wrong).curve(np.ones((1, len(actual))))
        roc[counter] = np.array([_at(curve.fpr, curve.tpr, share)[0] for share in false_alarms])
        gains[counter] = np.array([curve.recall_at(budget, prevalence)[0] for budget in budgets])
    return pd.DataFrame(roc), pd.DataFrame(gains)


def _shares(weights: Floats, last: Ints) -> Floats:
    """Cumulated and scaled to 1, from 0 on: [weightings, doubts]."""
    summed = np.cumsum(weights, axis=1)[:, last]
    with np.errstate(invalid="ignore"):  # a draw may hold no pair at all: its figures are nan, and left out
        shares = summed / summed[:, -1:]
    return np.concatenate([np.zeros((len(weights), 1)), shares], axis=1)


def _at(x: Floats, y: Floats, point: float) -> Floats:
    """`y` where `x`, which rises, first comes to `point`; in between, in a line.

    Not numpy.interp, which takes the last of several equal `x`.
    """
    return np.array([_first(*row, point) for row in zip(x, y, strict=True)])


def _first(x: Floats, y: Floats, point: float) -> float:
    after = int(np.searchsorted(x, point))
    if after in {0, len(x)}:
        return float(y[min(after, len(x) - 1)])
    share = (point - x[after - 1]) / (x[after] - x[after - 1])
    return float(y[after - 1] + share * (y[after] - y[after - 1]))
