"""With which quantities each photo is asked: the one that it holds, which is right, and others, which are wrong.

Wrong expectations are one off, or of any size. They weigh so much that, of each expected quantity, as many are wrong as right:
who looks at the expectation alone finds nothing. Of what the images hold that cannot hold too: a quantity in the middle can be
missed by one in two ways, so that a photo alone tells a little of whether its expectation is off by one. Weights, and not a
draw, because they are what the mean over all draws comes to.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Masks = npt.NDArray[np.bool_]

KINDS = ("one_off", "any_size")
# In words, what a photo is asked with, by KINDS and for what is right; and what bins hold whose quantity no network knows.
CASES = {"right": "as expected", "one_off": "wrong by one", "any_size": "wrong by any number"}
HOLDS = "holds"


def right_of(quantities: Sequence[int], actual: Ints) -> Masks:
    """Which expectations, [images, quantities], are what the image holds."""
    return np.asarray(np.asarray(quantities)[None, :] == actual[:, None])


def wrong_of(quantities: Sequence[int], actual: Ints, kind: str) -> Masks:
    """Which expectations, [images, quantities], are wrong by one item, or by any number of them."""
    off = np.abs(np.asarray(quantities)[None, :] - actual[:, None])
    return off == 1 if kind == "one_off" else off > 0


def match_expected(right: Masks, wrong: Masks, images: Floats) -> tuple[Floats, Floats]:
    """Weights of right and of wrong expectations, [.., images, quantities], alike in sum for each expected quantity.

    `images`, [.., images]: how often each image counts. A quantity that is only right or only wrong anywhere has no weight.
    """
    rights, wrongs = images[..., None] * right, images[..., None] * wrong
    of_right, of_wrong = rights.sum(-2, keepdims=True), wrongs.sum(-2, keepdims=True)
    share = np.divide(of_right, of_wrong, out=np.zeros_like(of_right), where=of_wrong > 0)
    return rights * (of_wrong > 0), wrongs * share
