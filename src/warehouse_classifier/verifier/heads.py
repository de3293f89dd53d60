"""Heads read off a photo's features what the inventory would say of it: ridge regressions, one for each attribute of a list."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import Ridge
from sklearn.model_selection import GroupKFold

from warehouse_classifier.evaluation.arrays import Floats

STILL = 1e-6  # a feature that varies less is as good as constant


@dataclass(frozen=True)
class Heads:
    """Linear, from features [photos, features] to attributes [photos, attributes]."""

    weights: Floats  # [features, attributes]
    bias: Floats  # [attributes]

    def read(self, features: Floats) -> Floats:
        """What each photo's list should say, [photos, attributes]."""
        return features @ self.weights + self.bias


def learned(features: Floats, attributes: Floats, ridge: float) -> Heads:
    """Heads with the least squared error on these photos, and weights that `ridge` keeps small.

    `features`, [photos, features], are brought to a mean of 0 and a spread of 1 for that.
    """
    middle, spread = features.mean(axis=0), features.std(axis=0)
    scale = np.divide(1.0, spread, out=np.zeros_like(spread), where=spread > STILL)
    fitted = Ridge(ridge, solver="cholesky").fit((features - middle) * scale, attributes)
    weights = fitted.coef_.T * scale[:, None]
    return Heads(weights, fitted.intercept_ - middle @ weights)


def out_of_fold(features: Floats, attributes: Floats, groups: npt.NDArray[Any], folds: int, ridge: float) -> Floats:
    """What heads read in each photo that learned from photos of other groups alone, [photos, attributes]."""
    read = np.empty_like(attributes)
    folds = min(folds, len(np.unique(groups)))
    for others, own in GroupKFold(folds).split(features, groups=groups):
        read[own] = learned(features[others], attributes[others], ridge).read(features[own])
    return read
