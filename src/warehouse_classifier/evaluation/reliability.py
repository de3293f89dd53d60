"""Is a counter right as often as it says? Confidence against accuracy, in bins of confidence.

`probabilities` are [images, quantities], `label` the 0-based class of each image; the confidence is the largest probability.
"""

import numpy as np
import numpy.typing as npt
import pandas as pd

Floats = npt.NDArray[np.float64]

DRAWS = 200
BINS = 15  # of equal width, as the published figures have it


def table(probabilities: Floats, label: npt.NDArray[np.int64]) -> pd.DataFrame:
    """One row per bin that holds an image: mean confidence, accuracy, images."""
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == label
    place = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    images = np.bincount(place, minlength=BINS)
    there = images > 0
    return pd.DataFrame(
        {
            "confidence": np.bincount(place, confidence, BINS)[there] / images[there],
            "accuracy": np.bincount(place, correct, BINS)[there] / images[there],
            "images": images[there],
        }
    )


def chance(probabilities: Floats, seed: int) -> float:
    """The error that a counter would show on so many images if it were right exactly as often as it says: the mean of draws."""
    rng, sums = np.random.default_rng(seed), probabilities.cumsum(axis=1)
    last = probabilities.shape[1] - 1
    draws = (np.minimum((sums < rng.random((len(sums), 1))).sum(axis=1), last) for _ in range(DRAWS))
    return float(np.mean([error(table(probabilities, drawn)) for drawn in draws]))


def error(table: pd.DataFrame) -> float:
    """The expected calibration error (Naeini et al. 2015; Guo et al. 2017): how far the two are apart, over all images."""
    share = table["images"] / table["images"].sum()
    return float((share * (table["confidence"] - table["accuracy"]).abs()).sum())
