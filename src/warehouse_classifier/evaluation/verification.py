"""Given a photo and the quantity that is expected, do they disagree? How well a counter's doubts tell, and its verdicts.

`doubts`, [images, quantities], hold 1 minus the probability of each quantity that may be expected. Every image is asked with
the quantity that it holds, which is right, and with others, which are wrong: those one off, or of any size. Wrong
expectations weigh so much that, of each expected quantity, as many are wrong as right: who looks at the expectation alone
finds nothing. Of what the images hold that cannot hold too: a quantity in the middle can be missed by one in two ways, so that
a photo alone tells a little of whether its expectation is off by one. Weights, and not a draw, because they are what the mean over all draws comes to.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Masks = npt.NDArray[np.bool_]

KINDS = ("one_off", "any_size")
# In words, what a photo is asked with, by KINDS and for what is right; and what bins hold whose quantity no network knows.
CASES = {"right": "as expected", "one_off": "wrong by one", "any_size": "wrong by any number"}
HOLDS = "holds"
VERDICTS = ("match", "look", "mismatch")
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


def right_of(quantities: Sequence[int], actual: Ints) -> Masks:
    """Which expectations, [images, quantities], are what the image holds."""
    return np.asarray(np.asarray(quantities)[None, :] == actual[:, None])


def wrong_of(quantities: Sequence[int], actual: Ints, kind: str) -> Masks:
    """Which expectations, [images, quantities], are wrong by one item, or by any number of them."""
    off = np.abs(np.asarray(quantities)[None, :] - actual[:, None])
    return off == 1 if kind == "one_off" else off > 0


def match_expected(right: Masks, wrong: Masks, images: Floats) -> tuple[Floats, Floats]:
    """Weights of right and of wrong expectations, [.., images, quantities], alike in sum for each expected quantity.

    `images`, [.., images]: how often each image counts. A quantity that is only right or only wrong anywhere has no weight.
    """
    rights, wrongs = images[..., None] * right, images[..., None] * wrong
    of_right, of_wrong = rights.sum(-2, keepdims=True), wrongs.sum(-2, keepdims=True)
    share = np.divide(of_right, of_wrong, out=np.zeros_like(of_right), where=of_wrong > 0)
    return rights * (of_wrong > 0), wrongs * share


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


def _figures(curve: Curve, task: Task) -> Floats:
    """[weightings, figures]: AUROC, precisions, shares found."""
    columns = [curve.auroc()]
    columns += [curve.precision(recall, task.prevalence) for recall in task.recalls]
    columns += [curve.within(budget, task.prevalence) for budget in task.budgets]
    return np.stack(columns, axis=1)


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
