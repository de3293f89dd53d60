"""Heads read off a photo's features what the inventory would say of it: ridge regressions, one for each attribute of a list."""

from dataclasses import dataclass

import numpy as np

from warehouse_classifier.evaluation.arrays import Features, Floats


@dataclass(frozen=True)
class Heads:
    """Linear, from features [photos, features] to attributes [photos, attributes]."""

    weights: Floats  # [features, attributes]
    bias: Floats  # [attributes]

    def read(self, features: Features) -> Floats:
        """What each photo's list should say, [photos, attributes]."""
        return np.asarray(features @ self.weights + self.bias)
