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

from warehouse_classifier.bins.sizes import VOLUME
from warehouse_classifier.evaluation.arrays import Features, Floats, Ints, Masks
from warehouse_classifier.evaluation.mismatches import lists as list_kinds
from warehouse_classifier.evaluation.mismatches.lists import NATURAL
from warehouse_classifier.evaluation.thresholds import Limits
from warehouse_classifier.runtime.errors import UserError
from warehouse_classifier.verifier import evidence
from warehouse_classifier.verifier.evidence import Spread
from warehouse_classifier.verifier.fitting import antisymmetric, fitted_heads, logistic, scale_of
from warehouse_classifier.verifier.verifier import Verifier, recorded

FAR = 3.0  # spreads of the lists' volumes, where nobody knows better what a photo's may be
COVERAGE = 0.8  # of the range of volumes that a photo is said to look like
ENOUGH = 2  # lists of another visit that may be missed: with fewer the threshold would be one photo's
USUAL = 0.99  # of the bins that are learned from; lists of more items than these hold are not judged
LOOSE = 0.01  # penalty of the few numbers that the validation split decides on


@dataclass(frozen=True)
class Bins:
    """Of some photos: what networks see, the attributes of their right lists, items, groups, and pairs of rows
    [visits, 2] that are one bin before and after a visit."""

    features: Features
    lists: Floats
    quantity: Ints
    groups: npt.NDArray[np.str_]
    visits: Ints

    def pairs(self, recipe: "VerifierRecipe") -> dict[str, Ints]:
        """By kind the rows whose lists are exchanged, [pairs, 2]; no kind without a pair, and no visits if they are too few to
        show the share of misses that is allowed."""
        numbers = np.unique(self.quantity).tolist()
        visits = self.visits if 2 * len(self.visits) * recipe.misses >= ENOUGH else self.visits[:0]
        return list_kinds.pairs(
            self.quantity, self.lists, self.groups, visits, numbers, seed=recipe.seed, draws=recipe.draws
        )


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

    @property
    def errors(self) -> tuple[float, float]:
        """The shares that verdicts may be wrong of: false alarms and misses."""
        return self.false_alarms, self.misses


def learn(train: Bins, validation: Bins, quantities: Sequence[int], recipe: VerifierRecipe) -> Verifier:
    """From bins that the networks, which tell `quantities` apart, learned from; calibrated on others.

    Raises UserError where there is nothing to learn from.
    """
    if len(np.unique(train.groups)) < 2:
        raise UserError("train_verifier: all photos to learn from are of one group; raise max_images")
    middle, spread = _centre(train.lists)
    lists = (train.lists - middle) / spread
    wanted = evidence.completed(lists, evidence.covariance(np.nan_to_num(lists)))
    its_heads, read = fitted_heads(train.features, wanted, train.groups, recipe.folds, recipe.ridge)
    scatter = Spread.of(read, wanted)

    pairs = train.pairs(recipe)
    if not pairs:
        raise UserError("train_verifier: no two bins to learn from have lists that differ; raise max_images")
    questions = questions_of(pairs, lambda photo, its: evidence.against(scatter, read[photo], lists[its]))
    weights, bias = logistic(*questions, recipe.penalty)
    direction = np.zeros(train.features.shape[1])  # where there is no visit to learn from
    if len(train.visits):
        direction = antisymmetric(_changes(train), recipe.change_penalty)
    most = int(np.quantile(train.quantity, USUAL, method="lower"))
    counted = min(quantities), max(quantities)
    raw = Verifier(its_heads, middle, spread, scatter, weights, bias, direction, most, counted)
    return _calibrated(raw, validation, recipe)


def _calibrated(raw: Verifier, bins: Bins, recipe: VerifierRecipe) -> Verifier:
    """The verifier whose doubts are probabilities on bins that nothing was learned from, with thresholds for its verdicts."""
    read, lists, pairs = raw.heads.read(bins.features), raw.scaled(bins.lists), bins.pairs(recipe)
    if not pairs:
        raise UserError("train_verifier: no two bins of the validation split have lists that differ; raise max_images")

    def logit(photo: Ints, its: Ints) -> Floats:
        return (evidence.against(raw.scatter, read[photo], lists[its]) @ raw.weights + raw.bias)[:, None]

    (slope,), offset = logistic(*questions_of(pairs, logit), LOOSE)
    slope, offset = (slope, offset) if slope > 0 else (0.0, 0.0)  # on a handful of bins chance may turn it
    sharp = 1.0
    if len(bins.visits):
        sharp = max(antisymmetric((_changes(bins) @ raw.direction)[:, None], LOOSE)[0], 0.0)
    calibrated = replace(
        raw, weights=slope * raw.weights, bias=float(slope * raw.bias + offset), direction=sharp * raw.direction
    )
    residuals = (lists - read)[:, VOLUME]
    tails = [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2]
    low, high = (-FAR, FAR) if np.isnan(residuals).all() else np.nanquantile(residuals, tails)
    calibrated = replace(calibrated, volume_low=float(low), volume_high=float(high))
    return _with_limits(calibrated, bins, read, lists, pairs, recipe)


def _with_limits(
    verifier: Verifier, bins: Bins, read: Floats, lists: Floats, pairs: Mapping[str, Ints], recipe: VerifierRecipe
) -> Verifier:
    """With thresholds for its verdicts, apart for lists whose number of items the networks tell apart and for others.

    `read`: what heads read in the photos of `bins`; `lists`: scaled; `pairs`: rows whose lists are exchanged.
    """
    among = verifier.among_counted(bins.lists)

    def limits(own: Masks, *, counted: bool) -> tuple[Limits, Limits]:
        part = {kind: rows[among[rows].all(axis=1) == counted] for kind, rows in pairs.items()}
        wrong = _hardest(part, recipe)
        photo, its = wrong.ravel(), wrong[:, ::-1].ravel()
        of_list = Limits.of(
            verifier.doubts_of_readings(read[own], lists[own]),
            verifier.doubts_of_readings(read[photo], lists[its]),
            *recipe.errors,
        )
        return of_list, _of_visits(verifier, bins, bins.visits[among[bins.visits].all(axis=1) == counted], recipe)

    of_list, of_record = limits(among, counted=True)
    other_list, other_record = limits(~among, counted=False)
    return replace(verifier, of_list=of_list, of_record=of_record, other_list=other_list, other_record=other_record)


def _hardest(pairs: Mapping[str, Ints], recipe: VerifierRecipe) -> Ints:
    """The rows, [pairs, 2], by whose exchanged lists misses are counted: of another visit or, where these are too few, all others."""
    natural = pairs.get(NATURAL)
    if natural is not None and 2 * len(natural) * recipe.misses >= ENOUGH:
        return natural
    others = [rows for kind, rows in pairs.items() if kind != NATURAL]
    return np.concatenate(others or [np.empty((0, 2), np.int64)])


def _of_visits(verifier: Verifier, bins: Bins, visits: Ints, recipe: VerifierRecipe) -> Limits:
    """Where verdicts end for doubts of records: right are photos and lists in their order, and wrong the photos in the other.

    Nothing is a match or a mismatch by too few visits.
    """
    if len(visits) * recipe.misses < ENOUGH:
        return Limits()
    before, after = visits.T
    right = verifier.doubts_of_change(
        bins.features[before], bins.features[after], bins.lists[before], bins.lists[after]
    )
    return Limits.of(right, 1 - right, *recipe.errors)


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
    return middle, scale_of(spread)


def questions_of(pairs: Mapping[str, Ints], inputs: Callable[[Ints, Ints], Floats]) -> tuple[Floats, Masks, Floats]:
    """Inputs of both photos of every pair with both lists, whether the list is wrong, and weights: as much for `natural` as for
    all other kinds."""
    parts, wrong, weights = [], [], []
    others = max(1, len(pairs.keys() - {NATURAL}))
    for kind, rows in pairs.items():
        photo, own, other = rows.ravel(), rows.ravel(), rows[:, ::-1].ravel()
        parts += [inputs(photo, own), inputs(photo, other)]
        wrong += [np.zeros(len(photo), bool), np.ones(len(photo), bool)]
        weights.append(np.full(2 * len(photo), (others if kind == NATURAL else 1) / len(photo)))
    every = np.concatenate(weights)
    return np.concatenate(parts), np.concatenate(wrong), every / every.mean()
