"""The regressions of the verifier, for as many photos as there are: what they need beside the features is small.

Features are [photos, features] of float32, at full scale some gigabytes; they are read in blocks and never copied whole.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg import solve
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold

from warehouse_classifier.evaluation.arrays import Features, Floats, Ints, Masks
from warehouse_classifier.verifier.heads import Heads

STILL = 1e-6  # what varies less is as good as constant
STEPS = 2000  # of the solver, at most
BLOCK = 4096  # photos whose features are in float64 at once


@dataclass(frozen=True)
class Moments:
    """Sums over photos, of features from `origin` on, from which a ridge regression follows (Hoerl & Kennard 1970)."""

    origin: Floats  # [features]; near the mean, so that no digits are lost in differences of large sums
    count: int
    seen: Floats  # [features]
    wanted: Floats  # [attributes]
    squares: Floats  # [features, features]
    products: Floats  # [features, attributes]

    @classmethod
    def of(cls, features: Features, attributes: Floats, rows: Ints, origin: Floats) -> "Moments":
        """Of the photos in `rows`."""
        width, answers = features.shape[1], attributes.shape[1]
        seen, wanted = np.zeros(width), np.zeros(answers)
        squares, products = np.zeros((width, width)), np.zeros((width, answers))
        for start in range(0, len(rows), BLOCK):
            part = rows[start : start + BLOCK]
            x, y = features[part] - origin, attributes[part]
            seen += x.sum(axis=0)
            wanted += y.sum(axis=0)
            squares += x.T @ x
            products += x.T @ y
        return cls(origin, len(rows), seen, wanted, squares, products)

    def without(self, other: "Moments") -> "Moments":
        """Of these photos but the other's, which are among them."""
        return Moments(
            self.origin, self.count - other.count, self.seen - other.seen, self.wanted - other.wanted,
            self.squares - other.squares, self.products - other.products,
        )  # fmt: skip

    def heads(self, ridge: float) -> Heads:
        """With the least squared error on these photos, and weights that `ridge` keeps small, of features brought to a mean of 0
        and a spread of 1."""
        middle, answer = self.seen / self.count, self.wanted / self.count
        squares = self.squares - self.count * np.outer(middle, middle)
        spread = np.sqrt(np.maximum(np.diag(squares), 0) / self.count)
        scale = np.divide(1.0, spread, out=np.zeros_like(spread), where=spread > STILL)
        scaled = squares * np.outer(scale, scale) + ridge * np.eye(len(scale))
        products = (self.products - self.count * np.outer(middle, answer)) * scale[:, None]
        weights = solve(scaled, products, assume_a="pos") * scale[:, None]
        return Heads(weights, answer - (self.origin + middle) @ weights)


def fitted_heads(
    features: Features, attributes: Floats, groups: npt.NDArray[np.str_], folds: int, ridge: float
) -> tuple[Heads, Floats]:
    """Heads that learned from all photos; and what heads read in each photo that learned from other groups alone,
    [photos, attributes]."""
    origin, every = features.mean(axis=0, dtype=np.float64), np.arange(len(features))
    whole, read = Moments.of(features, attributes, every, origin), np.empty_like(attributes)
    folds = min(folds, len(np.unique(groups)))
    for _, own in GroupKFold(folds).split(features, groups=groups):
        others = whole.without(Moments.of(features, attributes, own, origin))
        read[own] = others.heads(ridge).read(features[own])
    return whole.heads(ridge), read


def logistic(inputs: Floats, wrong: Masks, weights: Floats, penalty: float) -> tuple[Floats, float]:
    """Weights and constant of a logistic regression; `penalty` keeps those of inputs scaled to a spread of 1 small."""
    scale = scale_of(inputs.std(axis=0))
    fitted = LogisticRegression(C=1 / penalty, max_iter=STEPS).fit(inputs / scale, wrong, sample_weight=weights)
    return fitted.coef_[0] / scale, float(fitted.intercept_[0])


def antisymmetric(shown: Floats, penalty: float) -> Floats:
    """Weights of a logistic regression that tells each row, which is right, from the same with its sign turned: without a constant.

    Every second row stands with its sign turned for both: their losses are the same.
    """
    scale = scale_of(np.sqrt((shown**2).mean(axis=0)))
    if len(shown) == 1:  # the regression wants rows of both kinds
        shown = np.repeat(shown, 2, axis=0)
    signs = np.where(np.arange(len(shown)) % 2, -1.0, 1.0)
    fitted = LogisticRegression(C=2 / penalty, max_iter=STEPS, fit_intercept=False)  # each row counts for two
    fitted.fit(shown * (signs[:, None] / scale), signs > 0)
    return np.asarray(fitted.coef_[0] / scale)


def scale_of(spread: Floats) -> Floats:
    """What to divide by: the spread, and 1 where all is the same."""
    return np.where(spread > STILL, spread, 1.0)
