"""How good a column of predictions is: pure figures over quantities, no files and no networks.

Every array here is one-dimensional, has one entry per image, and holds quantities (never 0-based labels).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    f1_score,
    mean_absolute_error,
    recall_score,
    root_mean_squared_error,
)

from warehouse_classifier.evaluation.arrays import Ints, Masks

Quantities = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Metrics:
    """The figures of one predictor. Shares lie in [0, 1]; `rmse` and `mae` are in items."""

    accuracy: float
    accuracy_low: float
    accuracy_high: float
    balanced_accuracy: float
    macro_f1: float
    rmse: float
    mae: float
    within_one: float
    recall: dict[int, float | None]  # by quantity; None where no image holds it


@dataclass(frozen=True)
class McNemar:
    """How two predictors disagree: images that only the one or only the other got right, and the chance of that."""

    first_only: int
    second_only: int
    p: float


def measure(
    actual: Quantities, predicted: Quantities, groups: npt.NDArray[Any], quantities: Sequence[int],
    *, seed: int, resamples: int,
) -> Metrics:  # fmt: skip
    """All figures of one predictor.

    Balanced accuracy and macro-F1 are means over the quantities that are present in `actual`, so a quantity without an
    image counts neither for nor against anyone. `groups` names, for each image, the near-duplicates it belongs to.
    """
    present = np.unique(actual)
    recalls = recall_score(actual, predicted, labels=present, average=None, zero_division=0)
    low, high = interval(actual == predicted, groups, seed=seed, resamples=resamples)
    return Metrics(
        accuracy=float(accuracy_score(actual, predicted)),
        accuracy_low=low,
        accuracy_high=high,
        balanced_accuracy=float(recalls.mean()),
        macro_f1=float(f1_score(actual, predicted, labels=present, average="macro", zero_division=0)),
        rmse=float(root_mean_squared_error(actual, predicted)),
        mae=float(mean_absolute_error(actual, predicted)),
        within_one=float(np.mean(np.abs(actual - predicted) <= 1)),
        recall=dict.fromkeys(quantities, None) | dict(zip(present.tolist(), recalls.tolist(), strict=True)),
    )


def interval(
    correct: Masks, groups: npt.NDArray[Any], *, seed: int, resamples: int, level: float = 0.95
) -> tuple[float, float]:
    """The percentile bootstrap interval of the share of `correct` (Efron & Tibshirani 1993, chapter 13).

    Whole groups are drawn, not images (the cluster bootstrap; Davison & Hinkley 1997, section 3.8): photos of one bin
    before and after a pick are right or wrong together, and drawn alone they would make the interval too narrow.

    Groups of equal size with equally many correct images are interchangeable, so it is enough to draw how many of each
    such kind come up. That is the same distribution, takes a few dozen columns instead of one for every group, and
    does not depend on the order of the images.
    """
    _, member = np.unique(groups, return_inverse=True)
    sizes = np.bincount(member)
    rights = np.bincount(member, weights=correct).astype(np.int64)
    kinds, counts = np.unique(np.stack([sizes, rights]), axis=1, return_counts=True)
    draws = np.random.default_rng(seed).multinomial(sizes.size, counts / sizes.size, size=resamples)
    shares = (draws @ kinds[1]) / (draws @ kinds[0])
    tail = (1 - level) / 2
    low, high = np.quantile(shares, [tail, 1 - tail])
    return float(low), float(high)


def mcnemar(actual: Quantities, first: Quantities, second: Quantities) -> McNemar:
    """McNemar's exact test, two-sided (McNemar 1947, in its binomial form, which holds for small counts too).

    Only images that exactly one of the two got right tell them apart. Without any, p is 1.
    """
    first_only = int(np.sum((first == actual) & (second != actual)))
    second_only = int(np.sum((first != actual) & (second == actual)))
    discordant = first_only + second_only
    p = float(binomtest(first_only, discordant, 0.5).pvalue) if discordant else 1.0
    return McNemar(first_only, second_only, p)


def pairwise(actual: Quantities, predicted: Mapping[str, Quantities]) -> dict[tuple[str, str], McNemar]:
    """McNemar's test of every two predictors, by their names in the order of `predicted`."""
    pairs = combinations(predicted, 2)
    return {(first, second): mcnemar(actual, predicted[first], predicted[second]) for first, second in pairs}


def commonest(quantities: Quantities) -> int:
    """The quantity that occurs most often; of several, the smallest."""
    return int(np.bincount(quantities).argmax())


def confusion(actual: Quantities, predicted: Quantities, quantities: Sequence[int]) -> Ints:
    """Images by [actual, predicted], both in the order of `quantities`."""
    return np.asarray(confusion_matrix(actual, predicted, labels=list(quantities)))


def flat(metrics: Mapping[str, Metrics], tests: Mapping[tuple[str, str], McNemar]) -> dict[str, float]:
    """Each under one name: resnet34_accuracy, vit_recall_3, mcnemar_p_resnet34_vit. What is None is left out."""
    values = {f"mcnemar_p_{first}_{second}": test.p for (first, second), test in tests.items()}
    for predictor, figures in metrics.items():
        by_name = asdict(figures)
        by_name |= {f"recall_{quantity}": share for quantity, share in by_name.pop("recall").items()}
        values |= {f"{predictor}_{name}": value for name, value in by_name.items() if value is not None}
    return values


def rounded(value: Any) -> Any:
    """At six digits, in mappings and lists within each other; as JSON has them: keys are text, what is not finite is None."""
    if isinstance(value, Mapping):
        return {str(key): rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    if isinstance(value, float):
        return round(value, 6) if np.isfinite(value) else None
    return value
