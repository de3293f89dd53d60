"""Groups go whole to one split, each split gets what was asked, and a fair share of every quantity."""

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from warehouse_classifier.bins.split import share_out
from warehouse_classifier.bins.split_names import SPLITS


@st.composite
def shelves(draw: st.DrawFn) -> tuple[dict[str, int], dict[str, str], dict[str, int]]:
    """(quantity, group, sizes) of bins in groups of one to five."""
    quantity, group, n = {}, {}, 0
    for first in range(draw(st.integers(8, 40))):
        for _ in range(draw(st.sampled_from([1, 1, 2, 2, 3, 5]))):
            id = f"{n:05}"
            quantity[id], group[id] = draw(st.integers(1, 4)), f"g{first}"
            n += 1
    test = draw(st.integers(1, max(1, n // 3)))
    validation = draw(st.integers(1, max(1, n // 4)))
    train = draw(st.integers(1, n - test - validation))
    return quantity, group, {"test": test, "validation": validation, "train": train}


@pytest.mark.slow
@settings(max_examples=150)
@given(shelf=shelves(), seed=st.integers(0, 1000), random=st.randoms())
def test_whole_groups_are_dealt_out_as_asked(
    shelf: tuple[dict[str, int], dict[str, str], dict[str, int]], seed: int, random: random.Random
) -> None:
    quantity, group, sizes = shelf
    split = share_out(quantity, group, sizes, seed)
    for name in set(group.values()):
        assert len({split.get(id) for id in group if group[id] == name}) == 1
    counts, largest = Counter(split.values()), max(Counter(group.values()).values())
    for name, size in sizes.items():
        assert size - largest < counts[name] <= size
    shuffled = list(quantity)
    random.shuffle(shuffled)
    assert share_out({id: quantity[id] for id in shuffled}, group, sizes, seed) == split


@pytest.mark.parametrize("asked", [5000, 3500])
def test_every_quantity_has_its_share_of_every_split(asked: int) -> None:
    rng = random.Random(3)
    quantity = {f"{n:05}": rng.choice([1, 2, 2, 3, 3, 3, 4, 4, 5]) for n in range(5000)}
    group = {id: f"{int(id) // 3}" if int(id) % 3 else id for id in quantity}
    sizes = {"test": asked // 10, "validation": asked // 20, "train": asked - asked // 10 - asked // 20}
    split = share_out(quantity, group, sizes, 7)
    assert Counter(split.values()) == sizes
    whole = Counter(quantity.values())
    for name in SPLITS:
        got = Counter(quantity[id] for id in split if split[id] == name)
        for q, n in whole.items():
            assert abs(got[q] - sizes[name] * n / 5000) <= 3, (name, q)
