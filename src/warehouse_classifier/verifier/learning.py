"""How a verifier is learned: heads and weights of their evidence from bins that the networks learned from, how sure it may be from
others.

Half of the wrong lists are of the same bin at another visit, half of other bins; they come in swaps, so that nothing is to be
learned from a list alone. What weighs the heads' evidence learns from heads that did not see the photo's group. The networks did, but
were told the number of items alone; the validation split, which only chose their best epoch, decides how sure the verifier is.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GroupKFold

from warehouse_classifier.bins.sizes import VOLUME
from warehouse_classifier.evaluation.arrays import Floats, Ints, Masks
from warehouse_classifier.evaluation.mismatches.swaps import SWAPS, swaps
from warehouse_classifier.evaluation.thresholds import match_threshold, mismatch_threshold
from warehouse_classifier.runtime.errors import UserError
from warehouse_classifier.verifier import evidence
from warehouse_classifier.verifier.evidence import Spread
from warehouse_classifier.verifier.heads import Heads
from warehouse_classifier.verifier.verifier import Verifier, recorded

STILL = 1e-6  # what varies less is as good as constant
COVERAGE = 0.8  # of the range of volumes that a photo is said to look like
STEPS = 2000  # of the solver, at most
LOOSE = 0.01  # penalty of the few numbers that the validation split decides on


@dataclass(frozen=True)
class Bins:
    """Of some photos: what networks see, the attributes of their right lists, items, groups, and pairs of rows
    [visits, 2] that are one bin before and after a visit."""

    features: Floats
    lists: Floats
    quantity: Ints
    groups: npt.NDArray[np.str_]
    visits: Ints

    def pairs(self, quantities: Sequence[int], draws: int, seed: int) -> dict[str, Ints]:
        """By kind the rows whose lists are exchanged, [pairs, 2]; no kind without a pair."""
        lists = np.nan_to_num(self.lists)
        drawn = {
            kind: swaps(kind, self.quantity, lists, self.groups, quantities, seed=seed, draws=draws) for kind in SWAPS
        }
        return {kind: rows for kind, rows in {"natural": self.visits, **drawn}.items() if len(rows)}


@dataclass(frozen=True)
class VerifierRecipe:
    """How a verifier is learned."""

    seed: int  # of the wrong lists
    folds: int  # of the heads
    ridge: float  # penalty of the heads
    penalty: float  # of the weights of evidence
    change_penalty: float  # of the direction of a change
    draws: int  # of wrong lists, for each bin and kind
    false_alarms: float  # share of right lists that may be called a mismatch
    misses: float  # share of the lists of another visit that may be called a match


def learn(train: Bins, validation: Bins, quantities: Sequence[int], recipe: VerifierRecipe) -> Verifier:
    """From bins that the networks learned from; calibrated on others. Wrong lists are of bins that hold `quantities`.

    Raises UserError where there is nothing to learn from.
    """
    if len(np.unique(train.groups)) < 2:
        raise UserError("train_verifier: all photos to learn from are of one group; raise max_images")
    middle, spread = _centre(train.lists)
    lists = (train.lists - middle) / spread
    wanted = np.nan_to_num(lists)
    read = out_of_fold(train.features, wanted, train.groups, recipe.folds, recipe.ridge)
    its_heads = fitted_heads(train.features, wanted, recipe.ridge)
    scatter = Spread.of(read, wanted)

    pairs = train.pairs(quantities, recipe.draws, recipe.seed)
    if not pairs:
        raise UserError("train_verifier: no two bins to learn from have lists that differ; raise max_images")
    questions = _questions(pairs, lambda photo, its: evidence.against(scatter, read[photo], lists[its]))
    weights, bias = _logistic(*questions, recipe.penalty)
    more = np.zeros(train.features.shape[1])  # where there is no visit to learn from
    if len(train.visits):
        more = _even(_changes(train), recipe.change_penalty)
    return _calibrated(
        Verifier(its_heads, middle, spread, scatter, weights, bias, more), validation, quantities, recipe
    )


def _calibrated(raw: Verifier, bins: Bins, quantities: Sequence[int], recipe: VerifierRecipe) -> Verifier:
    """The verifier whose doubts are probabilities on bins that nothing was learned from, with thresholds for its verdicts."""
    read, lists, pairs = (
        raw.heads.read(bins.features), raw.scaled(bins.lists), bins.pairs(quantities, recipe.draws, recipe.seed)
    )  # fmt: skip
    if not pairs:
        raise UserError("train_verifier: no two bins of the validation split have lists that differ; raise max_images")

    def logit(photo: Ints, its: Ints) -> Floats:
        return (evidence.against(raw.scatter, read[photo], lists[its]) @ raw.weights + raw.bias)[:, None]

    (slope,), offset = _logistic(*_questions(pairs, logit), LOOSE)
    slope, offset = (slope, offset) if slope > 0 else (0.0, 0.0)  # on a handful of bins chance may turn it
    sharp = 1.0
    if len(bins.visits):
        sharp = max(_even((_changes(bins) @ raw.more)[:, None], LOOSE)[0], 0.0)
    calibrated = replace(raw, weights=slope * raw.weights, bias=float(slope * raw.bias + offset), more=sharp * raw.more)
    known = ~np.isnan(lists[:, VOLUME])
    beside = (lists - read)[known, VOLUME] if known.any() else np.zeros(1)
    low, high = np.quantile(beside, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
    natural = pairs["natural"] if "natural" in pairs else np.concatenate(list(pairs.values()))
    photo, other = natural.ravel(), natural[:, ::-1].ravel()
    right, wrong = (calibrated.doubts_of_readings(*its) for its in ((read, lists), (read[photo], lists[other])))
    every, off = np.concatenate([right, wrong])[:, None], np.repeat([False, True], [len(right), len(wrong)])[:, None]
    mismatch = mismatch_threshold(right, recipe.false_alarms)
    match = min(mismatch, match_threshold(every, ~off, off, recipe.misses))
    return replace(calibrated, match=match, mismatch=mismatch, low=float(low), high=float(high))


def fitted_heads(features: Floats, attributes: Floats, ridge: float) -> Heads:
    """Heads with the least squared error on these photos, and weights that `ridge` keeps small.

    `features`, [photos, features], are brought to a mean of 0 and a spread of 1 for that.
    """
    middle, spread = features.mean(axis=0), features.std(axis=0)
    scale = np.divide(1.0, spread, out=np.zeros_like(spread), where=spread > STILL)
    fitted = Ridge(ridge, solver="cholesky").fit((features - middle) * scale, attributes)
    weights = fitted.coef_.T * scale[:, None]
    return Heads(weights, fitted.intercept_ - middle @ weights)


def out_of_fold(features: Floats, attributes: Floats, groups: npt.NDArray[np.str_], folds: int, ridge: float) -> Floats:
    """What heads read in each photo that learned from photos of other groups alone, [photos, attributes]."""
    read = np.empty_like(attributes)
    folds = min(folds, len(np.unique(groups)))
    for others, own in GroupKFold(folds).split(features, groups=groups):
        read[own] = fitted_heads(features[others], attributes[others], ridge).read(features[own])
    return read


def _changes(bins: Bins) -> Floats:
    """What two photos of a visit show differently, from fewer items to more, [visits, features]."""
    before, after = bins.visits.T
    signs = recorded(bins.lists[before], bins.lists[after])
    return np.asarray(signs[:, None] * (bins.features[after] - bins.features[before]))


def _centre(lists: Floats) -> tuple[Floats, Floats]:
    """Mean and spread of what is known, [attributes]; 0 and 1 where nothing is, or all is the same."""
    known = ~np.isnan(lists)
    count = np.maximum(known.sum(axis=0), 1)
    middle = np.where(known, lists, 0).sum(axis=0) / count
    spread = np.sqrt((np.where(known, lists - middle, 0) ** 2).sum(axis=0) / count)
    return middle, _scale(spread)


def _scale(spread: Floats) -> Floats:
    """What to divide by: the spread, and 1 where all is the same."""
    return np.where(spread > STILL, spread, 1.0)


def _questions(pairs: Mapping[str, Ints], inputs: Callable[[Ints, Ints], Floats]) -> tuple[Floats, Masks, Floats]:
    """Inputs of both photos of every pair with both lists, whether the list is wrong, and weights: as much for `natural` as for
    all other kinds."""
    parts, wrong, weights = [], [], []
    for kind, rows in pairs.items():
        photo, own, other = rows.ravel(), rows.ravel(), rows[:, ::-1].ravel()
        parts += [inputs(photo, own), inputs(photo, other)]
        wrong += [np.zeros(len(photo), bool), np.ones(len(photo), bool)]
        weights.append(np.full(2 * len(photo), (len(SWAPS) if kind == "natural" else 1) / len(photo)))
    every = np.concatenate(weights)
    return np.concatenate(parts), np.concatenate(wrong), every / every.mean()


def _logistic(inputs: Floats, wrong: Masks, weights: Floats, penalty: float) -> tuple[Floats, float]:
    """Weights and constant of a logistic regression; `penalty` keeps those of inputs scaled to a spread of 1 small."""
    scale = _scale(inputs.std(axis=0))
    fitted = LogisticRegression(C=1 / penalty, max_iter=STEPS).fit(inputs / scale, wrong, sample_weight=weights)
    return fitted.coef_[0] / scale, float(fitted.intercept_[0])


def _even(shown: Floats, penalty: float) -> Floats:
    """Weights of a logistic regression that tells each row from the same with its sign turned: without a constant."""
    scale = _scale(np.sqrt((shown**2).mean(axis=0)))
    fitted = LogisticRegression(C=1 / penalty, max_iter=STEPS, fit_intercept=False)
    fitted.fit(np.concatenate([shown, -shown]) / scale, np.repeat([1, 0], len(shown)))
    return np.asarray(fitted.coef_[0] / scale)
