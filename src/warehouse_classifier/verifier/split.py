"""The verifier before the photos and lists of a split, which are asked about by their rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from warehouse_classifier.bins.sizes import VOLUME, attributes
from warehouse_classifier.evaluation.arrays import Floats, Ints
from warehouse_classifier.verifier.verifier import Verifier


@dataclass(frozen=True)
class SplitVerifier:
    """Features of photos and attributes of their lists, by row; what is asked is evaluation's ListVerifier."""

    verifier: Verifier
    features: Floats
    lists: Floats

    @classmethod
    def of(cls, verifier: Verifier, features: Floats, items: Sequence[Sequence[Mapping[str, Any]]]) -> "SplitVerifier":
        """`items`: the list of each photo."""
        return cls(verifier, features, np.array([attributes(its) for its in items]))

    def covered(self) -> float:
        """The share of the photos whose list's total volume lies where the photo is said to look like; NaN where none is known."""
        volume = np.exp(self.lists[:, VOLUME])
        known = ~np.isnan(volume)
        low, high = self.verifier.volumes(self.features[known]).T
        return float(np.mean((low <= volume[known]) & (volume[known] <= high))) if known.any() else float("nan")

    def doubts(self, photos: Ints, lists: Ints) -> Floats:
        """How much the list of each question is doubted, [questions]."""
        return self.verifier.doubts(self.features[photos], self.lists[lists])

    def doubts_of_change(self, before: Ints, after: Ints, first: Ints, second: Ints) -> Floats:
        """How much is doubted that between the photos `before` and `after` the list `first` became `second`, [questions]."""
        photos = self.features[before], self.features[after]
        return self.verifier.doubts_of_change(*photos, self.lists[first], self.lists[second])
