"""Pairs of bins whose lists are exchanged: A with B's list and B with A's, so that each list is as often right as it is wrong.

Whoever sees a list alone, or a photo alone, is at an AUROC of exactly 0.5. A wrong list is never equal to the right one.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from warehouse_classifier.evaluation.arrays import Floats, Ints

# Kinds of wrong lists, by key; of `natural` see visits.py.
SWAPS = {"alike": "another bin’s list of as many items", "one_more": "another bin’s list of one item more or fewer"}
MORE = {"alike": 0, "one_more": 1}  # items of the second bin of a pair


def swaps(
    kind: str, quantity: Ints, lists: Floats, groups: npt.NDArray[np.str_], quantities: Sequence[int],
    *, seed: int, draws: int = 1,
) -> Ints:  # fmt: skip
    """Rows of bins, [pairs, 2], of one of SWAPS. In each draw a bin is in one pair at most.

    `quantity`: items, [bins]; `lists`: attributes, [bins, attributes], of equal lists equal; `groups`, [bins]. Only bins
    of `quantities` are taken, and no two of one group.
    """
    random, more = np.random.default_rng(seed), MORE[kind]
    parts = [np.empty((0, 2), np.int64)]
    for _ in range(draws):
        # of the bins that hold as many, one half is the first of its pair and the other the second
        halves = {n: np.array_split(random.permutation(np.flatnonzero(quantity == n)), 2) for n in quantities}
        for number in quantities:
            if number + more in halves:
                first, second = halves[number][0], halves[number + more][1]
                size = min(len(first), len(second))
                parts.append(np.stack([first[:size], second[:size]], axis=1))
    pairs: Ints = np.concatenate(parts)
    one, other = pairs.T
    apart = (groups[one] != groups[other]) & (lists[one] != lists[other]).any(axis=1)
    kept: Ints = pairs[apart]
    return kept
