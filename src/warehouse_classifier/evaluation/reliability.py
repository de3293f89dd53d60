"""Is a counter right as often as it says? Confidence against accuracy, in bins of confidence.

`probabilities` are [images, quantities], `label`, [images], holds 0-based classes; the confidence is the largest probability.
"""

import numpy as np
import pandas as pd

from warehouse_classifier.evaluation.arrays import Floats, Ints

DRAWS = 200
BINS = 15  # of equal width, as the published figures have it


def table(probabilities: Floats, label: Ints) -> pd.DataFrame:
    """One row per bin that holds an image: mean confidence, accuracy, images."""
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == label
    bins = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    images = np.bincount(bins, minlength=BINS)
    full = images > 0
    return pd.DataFrame(
        {
            "confidence": np.bincount(bins, confidence, BINS)[full] / images[full],
            "accuracy": np.bincount(bins, correct, BINS)[full] / images[full],
            "images": images[full],
        }
    )


def chance(probabilities: Floats, seed: int) -> float:
    """The calibration error that chance alone makes on so many images: the mean over draws of labels by `probabilities`."""
    rng, cumulated = np.random.default_rng(seed), probabilities.cumsum(axis=1)
    last = probabilities.shape[1] - 1
    draws = (np.minimum((cumulated < rng.random((len(cumulated), 1))).sum(axis=1), last) for _ in range(DRAWS))
    return float(np.mean([error(table(probabilities, label)) for label in draws]))


def error(table: pd.DataFrame) -> float:
    """The expected calibration error of a `table`, in [0, 1] (Naeini et al. 2015; Guo et al. 2017): the mean distance of
    confidence and accuracy, by images."""
    share = table["images"] / table["images"].sum()
    return float((share * (table["confidence"] - table["accuracy"]).abs()).sum())
