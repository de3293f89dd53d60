"""The doubts from which on a verdict is look or mismatch: thresholds for the errors that are allowed, and the verdicts."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from warehouse_classifier.evaluation.arrays import Floats, Masks
from warehouse_classifier.evaluation.mismatches.expectations import balanced_weights

VERDICTS = ("match", "look", "mismatch")


@dataclass(frozen=True)
class Limits:
    """Where verdicts end."""

    match: float = -1.0  # the largest doubt that is a match; -1 where none is
    mismatch: float = 1.0  # the largest doubt that is no mismatch

    @classmethod
    def of(cls, right: Floats, wrong: Floats, false_alarms: float, misses: float) -> "Limits":
        """From doubts of right and of wrong expectations that nothing was learned from, [expectations] each."""
        doubts = np.concatenate([right, wrong])[:, None]
        is_wrong = np.repeat([False, True], [len(right), len(wrong)])[:, None]
        mismatch = mismatch_threshold(right, false_alarms)
        return cls(min(mismatch, match_threshold(doubts, ~is_wrong, is_wrong, misses)), mismatch)

    def judge(self, doubts: Floats) -> npt.NDArray[np.str_]:
        """The verdict of each doubt, in the shape of `doubts`."""
        return judge(doubts, self.match, self.mismatch)


def mismatch_threshold(doubts: Floats, false_alarms: float) -> float:
    """The doubt above which at most that share of right expectations is called a mismatch; 1 where that is none.

    `doubts`, [expectations], of right ones held out. It is the quantile of split conformal prediction (Vovk et al. 2005;
    Sadinle et al. 2019, arXiv:1609.00451): among bins that are exchangeable with these, the share is met on
    average, if these had no part in making the counter.
    """
    rank = int(np.ceil((len(doubts) + 1) * (1 - false_alarms)))
    return float(np.sort(doubts)[rank - 1]) if rank <= len(doubts) else 1.0


def match_threshold(doubts: Floats, right: Masks, wrong: Masks, misses: float) -> float:
    """The doubt up to which at most that share of wrong expectations is called a match; -1 where no doubt is low enough.

    `doubts`, `right` and `wrong`: [images, quantities].
    """
    _, weights = balanced_weights(right, wrong, np.ones(len(doubts)))
    order = np.argsort(doubts[wrong], kind="stable")
    values, missed = doubts[wrong][order], np.cumsum(weights[wrong][order])
    if not missed.size or missed[-1] == 0:
        return -1.0
    ends = np.append(np.flatnonzero(np.diff(values)), len(values) - 1)
    allowed = ends[missed[ends] / missed[-1] <= misses]
    return float(values[allowed[-1]]) if allowed.size else -1.0


def judge(doubts: Floats, match: float, mismatch: float) -> npt.NDArray[np.str_]:
    """The verdict of each doubt, in the shape of `doubts`."""
    return np.where(doubts <= match, "match", np.where(doubts > mismatch, "mismatch", "look"))


def verdicts(doubts: Floats, weights: Floats, match: float, mismatch: float) -> dict[str, float]:
    """The share of each verdict among expectations that weigh so much, both [images, quantities]."""
    judged = judge(doubts, match, mismatch)
    return {verdict: float(weights[judged == verdict].sum() / weights.sum()) for verdict in VERDICTS}
