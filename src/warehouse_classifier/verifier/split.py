"""The verifier before the photos and lists of a split, which are asked about by their rows."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from warehouse_classifier.bins import contents
from warehouse_classifier.bins.sizes import VOLUME
from warehouse_classifier.evaluation.arrays import Features, Floats, Ints
from warehouse_classifier.verifier.verifier import Verifier


@dataclass(frozen=True)
class SplitVerifier:
    """Features of photos and attributes of their lists, by row; what is asked is evaluation's ListVerifier."""

    verifier: Verifier
    features: Features
    lists: Floats

    @classmethod
    def of(cls, verifier: Verifier, features: Features, inside: pd.DataFrame) -> "SplitVerifier":
        """`inside`: what is in the bin of each photo, as contents.read has it."""
        return cls(verifier, features, contents.attributes(inside))

    def covered(self) -> float:
        """The share of the photos whose list's total volume lies where the photo is said to look like; NaN where none is known."""
        listed = np.flatnonzero(~np.isnan(self.lists[:, VOLUME]))
        if not listed.size:
            return float("nan")
        volume, (low, high) = np.exp(self.lists[listed, VOLUME]), self.verifier.volumes(self.features[listed]).T
        return float(np.mean((low <= volume) & (volume <= high)))

    def verdicts(self, doubts: Floats, lists: Ints | None = None) -> npt.NDArray[np.str_]:
        """What each doubt of a list comes to; without `lists`, of lists whose number of items the networks tell apart."""
        return (
            self.verifier.of_list.judge(doubts) if lists is None else self.verifier.verdicts(doubts, self.lists[lists])
        )

    def doubts(self, photos: Ints, lists: Ints) -> Floats:
        """How much the list of each question is doubted, [questions]."""
        return self.verifier.doubts(self.features[photos], self.lists[lists])

    def doubts_of_lists(self, photos: Ints, lists: Floats) -> Floats:
        """The same of other lists than these photos have, [questions, attributes]."""
        return self.verifier.doubts(self.features[photos], lists)

    def doubts_of_change(self, before: Ints, after: Ints, first: Ints, second: Ints) -> Floats:
        """How much is doubted that between the photos `before` and `after` the list `first` became `second`, [questions]."""
        photos = self.features[before], self.features[after]
        return self.verifier.doubts_of_change(*photos, self.lists[first], self.lists[second])

    def verdicts_of_visit(self, before: Ints, after: Ints, first: Ints, second: Ints) -> npt.NDArray[np.str_]:
        """What is said of the second list, with the photo before and the list of then, [questions]."""
        photos = self.features[before], self.features[after]
        return self.verifier.verdicts_of_visit(*photos, self.lists[first], self.lists[second])
