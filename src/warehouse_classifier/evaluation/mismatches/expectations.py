"""Expectations of each photo: the quantity that it holds, which is right, and others, which are wrong.

Wrong expectations are one off, or of any size. They weigh so much that, of each expected quantity, as many are wrong as right:
the expectation alone then tells nothing. The quantities that images hold cannot be balanced too: one in the middle can be
missed by one in two ways, so that a photo alone tells a little of whether its expectation is off by one. Weights, and not a
draw, because they are what the mean over all draws comes to.
"""

from collections.abc import Sequence

import numpy as np

from warehouse_classifier.evaluation.arrays import Floats, Ints, Masks

MISMATCHES = ("one_off", "any_size")  # kinds of wrong expectation
# Titles of right and wrong expectations, and what those of bins begin with whose quantity no network knows.
CASES = {"right": "as expected", "one_off": "wrong by one", "any_size": "wrong by any number"}
HOLDS = "holds"


def right_mask(quantities: Sequence[int], actual: Ints) -> Masks:
    """Which expectations, [images, quantities], are what the image holds. `actual`: [images], in items."""
    return np.asarray(np.asarray(quantities)[None, :] == actual[:, None])


def wrong_mask(quantities: Sequence[int], actual: Ints, mismatch: str) -> Masks:
    """Which expectations, [images, quantities], are wrong by one item, or by any number of them (MISMATCHES)."""
    off = np.abs(np.asarray(quantities)[None, :] - actual[:, None])
    return off == 1 if mismatch == "one_off" else off > 0


def balanced_weights(right: Masks, wrong: Masks, images: Floats) -> tuple[Floats, Floats]:
    """Weights of right and of wrong expectations, [.., images, quantities], alike in sum for each expected quantity.

    `images`, [.., images]: how often each image counts. A quantity that is only right or only wrong anywhere has no weight.
    """
    rights, wrongs = images[..., None] * right, images[..., None] * wrong
    right_sum, wrong_sum = rights.sum(-2, keepdims=True), wrongs.sum(-2, keepdims=True)
    scale = np.divide(right_sum, wrong_sum, out=np.zeros_like(right_sum), where=wrong_sum > 0)
    return rights * (wrong_sum > 0), wrongs * scale
