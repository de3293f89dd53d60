"""How many items bins hold: the real shares, and how a quantity changes from one photo of a bin to the next."""

from bisect import bisect_right
from itertools import accumulate

# Real pairs per quantity for 1 to 5; a tenth of the bins beyond, with ever fewer items, stands for the real 6 to 111.
SHARES = (41147, 76863, 90058, 80550, 62448, 15000, 10000, 6500, 4000, 2500, 1500, 900, 500, 300, 200)
SHARE_SUMS = tuple(total / sum(SHARES) for total in accumulate(SHARES))


def quantity_of(chance: float) -> int:
    """The quantity of a bin that is not empty, 1 to 15, by a draw in [0, 1)."""
    return 1 + bisect_right(SHARE_SUMS, chance)


def later(before: tuple[int, ...], new: int, d: tuple[float, ...]) -> tuple[int, ...]:
    """The units in the next photo: the new one stowed, one picked, or all as before. `d`: three draws in [0, 1).

    A Metropolis step: a rarer quantity is refused in proportion, so that every photo of a run follows the same shares.
    """
    quantity = len(before)
    wanted = quantity + (1 if d[0] < 0.5 else -1)
    likely = SHARES[wanted - 1] / SHARES[quantity - 1] if 1 <= wanted <= len(SHARES) else 0.0
    if d[1] >= likely:
        return before
    if wanted > quantity:
        return (*before, new)
    picked = before[int(d[2] * quantity)]
    return tuple(unit for unit in before if unit != picked)
