"""The trained networks' logits of a split's images, and the probabilities that calibration makes of them."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from warehouse_classifier.evaluation.arrays import Floats, Ints
from warehouse_classifier.evaluation.temperature import probabilities


@dataclass(frozen=True)
class Predictions:
    """Of some images: facts [images] (id, quantity, group), logits by network and probabilities by counter, each
    [images, quantities]."""

    facts: pd.DataFrame
    logits: Mapping[str, Floats]
    probabilities: Mapping[str, Floats]

    @property
    def quantity(self) -> Ints:
        """Items that each image holds."""
        return self.facts["quantity"].to_numpy(dtype=np.int64)

    @property
    def groups(self) -> npt.NDArray[np.str_]:
        """The near-duplicates that each image belongs to."""
        return self.facts["group"].to_numpy(dtype=str)

    def doubts(self, counter: str) -> Floats:
        """1 minus the probability of each quantity, [images, quantities]."""
        return 1 - self.probabilities[counter]


def of_split(
    split: str, facts: pd.DataFrame, logits: Mapping[str, Floats], temperatures: Mapping[str, float]
) -> Predictions:
    """The predictions for one split's images. `facts`: id, quantity, group and split of every row of `logits`."""
    rows = (facts["split"] == split).to_numpy()
    own = {network: values[rows] for network, values in logits.items()}
    return Predictions(facts.loc[rows, ["id", "quantity", "group"]], own, probabilities(own, temperatures))
