"""From which doubt on a verdict is look or mismatch: thresholds chosen for a promise, and the verdicts that follow from them."""

import numpy as np
import numpy.typing as npt

from warehouse_classifier.evaluation.expectations import Floats, Masks, match_expected

VERDICTS = ("match", "look", "mismatch")


def mismatch_above(doubts: Floats, false_alarms: float) -> float:
    """The doubt above which a right expectation is called a mismatch in at most that share of cases.

    `doubts`, one of each right expectation held out. It is the quantile of split conformal prediction (Vovk et al. 2005;
    Sadinle et al. 2019, arXiv:1609.00451): among bins that are exchangeable with these, the share is met on
    average, if these had no part in making the counter.
    """
    rank = int(np.ceil((len(doubts) + 1) * (1 - false_alarms)))
    return float(np.sort(doubts)[rank - 1]) if rank <= len(doubts) else 1.0


def match_upto(doubts: Floats, right: Masks, wrong: Masks, misses: float) -> float:
    """The doubt up to which a wrong expectation is called a match in at most that share of cases; -1 where none will do."""
    _, weights = match_expected(right, wrong, np.ones(len(doubts)))
    order = np.argsort(doubts[wrong], kind="stable")
    values, passed = doubts[wrong][order], np.cumsum(weights[wrong][order])
    if not passed.size or passed[-1] == 0:
        return -1.0
    passed = passed / passed[-1]
    ends = np.append(np.flatnonzero(np.diff(values)), len(values) - 1)
    fine = ends[passed[ends] <= misses]
    return float(values[fine[-1]]) if fine.size else -1.0


def judge(doubts: Floats, match: float, mismatch: float) -> npt.NDArray[np.str_]:
    """The verdict of each doubt."""
    return np.where(doubts <= match, "match", np.where(doubts > mismatch, "mismatch", "look"))


def verdicts(doubts: Floats, weights: Floats, match: float, mismatch: float) -> dict[str, float]:
    """The share of each verdict among expectations that weigh so much, both [images, quantities]."""
    judged = judge(doubts, match, mismatch)
    return {verdict: float(weights[judged == verdict].sum() / weights.sum()) for verdict in VERDICTS}
