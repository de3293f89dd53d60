"""Work on a pool: in the order it went in, and no more of it begun than was asked for."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warehouse_classifier.work.parallel import ordered_map


@given(st.lists(st.integers(1, 9), max_size=40), st.integers(0, 30), st.integers(1, 4))
def test_all_comes_in_its_order_and_little_is_begun_beforehand(weights: list[int], ahead: int, threads: int) -> None:
    begun: list[int] = []

    def items() -> Iterator[int]:
        for place in range(len(weights)):
            begun.append(place)
            yield place

    came = []
    with ThreadPoolExecutor(threads) as pool:
        for place, doubled in ordered_map(pool, lambda place: 2 * place, items(), ahead, weights.__getitem__):
            assert doubled == 2 * place
            came.append(place)
            # all but the newest, which made it too much, and the one that is given out
            waiting = begun[place + 1 : -1]
            assert sum(weights[other] for other in waiting) <= ahead
    assert came == [*range(len(weights))]


def test_an_error_comes_in_the_place_of_its_item_and_ends_the_rest() -> None:
    def work(place: int) -> int:
        if place == 3:
            raise ValueError(place)
        return place

    came: list[int] = []
    with ThreadPoolExecutor(2) as pool, pytest.raises(ValueError, match="3"):
        came.extend(place for place, _ in ordered_map(pool, work, range(100), 4))
    assert came == [0, 1, 2]
