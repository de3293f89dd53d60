"""The curves of a counter's doubts: what is found of the mismatches, by false alarms and by how many bins are looked at."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from warehouse_classifier.evaluation.expectations import Floats, Ints, Masks, right_of, wrong_of


class Pairs:
    """Every image with every right and wrong expectation, in the order of doubt: sorted once for many weightings."""

    def __init__(self, doubts: Floats, right: Masks, wrong: Masks) -> None:
        used = np.flatnonzero((right | wrong).ravel())
        order = used[np.argsort(-doubts.ravel()[used], kind="stable")]
        self.right, self.wrong = right.astype(np.float64), wrong.astype(np.float64)
        self.image, self.expected = np.divmod(order, right.shape[1])
        self.off = wrong.ravel()[order]
        # the last of those that are doubted alike
        self.last = np.append(np.flatnonzero(np.diff(doubts.ravel()[order])), len(order) - 1)

    def curve(self, images: Floats) -> "Curve":
        """`images`, [weightings, images]: how often each image counts in each."""
        right, wrong = images @ self.right, images @ self.wrong
        both = (right > 0) & (wrong > 0)
        scale = np.stack([both, np.divide(right, wrong, out=np.zeros_like(right), where=both)], axis=-1)
        weights = images[:, self.image] * scale[:, self.expected, self.off.astype(np.int64)]
        return Curve(_shares(weights * ~self.off, self.last), _shares(weights * self.off, self.last))


@dataclass(frozen=True)
class Curve:
    """Shares of right and of wrong expectations that are doubted more than each threshold, [weightings, thresholds]."""

    false: Floats
    found: Floats

    def auroc(self) -> Floats:
        return np.asarray(np.trapezoid(self.found, self.false, axis=1))

    def precision(self, recall: float, prevalence: float) -> Floats:
        """Of those that are doubted so much that `recall` of the wrong ones are among them, the share that is wrong."""
        false = _at(self.found, self.false, recall)
        share: Floats = prevalence * recall / (prevalence * recall + (1 - prevalence) * false)
        return share

    def within(self, budget: float, prevalence: float) -> Floats:
        """The share of the wrong ones among that share of all bins that is doubted most."""
        return _at(prevalence * self.found + (1 - prevalence) * self.false, self.found, budget)


def curves(
    doubts: Mapping[str, Floats], quantities: Sequence[int], actual: Ints, kind: str, prevalence: float
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What to draw: share found by share of right ones that are doubted, and by share of all bins that is looked at."""
    right, everyone = right_of(quantities, actual), np.ones((1, len(actual)))
    false, looked = np.linspace(0, 1, 201), np.linspace(0, 0.3, 151)
    roc, found = {"false_alarms": false}, {"looked_at": looked}
    for who, of in doubts.items():
        curve = Pairs(of, right, wrong_of(quantities, actual, kind)).curve(everyone)
        roc[who] = np.array([_at(curve.false, curve.found, share)[0] for share in false])
        found[who] = np.array([curve.within(share, prevalence)[0] for share in looked])
    return pd.DataFrame(roc), pd.DataFrame(found)


def _shares(weights: Floats, last: Ints) -> Floats:
    """Cumulated and scaled to 1, from 0 on: [weightings, thresholds]."""
    summed = np.cumsum(weights, axis=1)[:, last]
    with np.errstate(invalid="ignore"):  # a draw may hold no pair at all: its figures are nan, and left out
        shares = summed / summed[:, -1:]
    return np.concatenate([np.zeros((len(weights), 1)), shares], axis=1)


def _at(along: Floats, values: Floats, point: float) -> Floats:
    """`values` where `along`, which rises, first comes to `point`; in between, in a line."""
    return np.array([_first(a, v, point) for a, v in zip(along, values, strict=True)])


def _first(along: Floats, values: Floats, point: float) -> float:
    after = int(np.searchsorted(along, point, side="left"))
    if after == 0:
        return float(values[0])
    if after == len(along) or np.isnan(along[-1]):
        return float("nan") if np.isnan(along[-1]) else float(values[-1])
    step = along[after] - along[after - 1]
    share = (point - along[after - 1]) / step
    return float(values[after - 1] + share * (values[after] - values[after - 1]))
