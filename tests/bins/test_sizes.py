"""What a list says of how a bin should look, against sums done by hand."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from warehouse_classifier.bins.sizes import ATTRIBUTES, attributes

Item = dict[str, Any]


def item(quantity: int = 1, sides: tuple[float | None, ...] = (1.0, 2.0, 3.0), weight: float | None = 1.5) -> Item:
    return {"quantity": quantity, **dict(zip(("height", "length", "width"), sides, strict=True)), "weight": weight}


def told(*items: Item) -> dict[str, float]:
    return dict(zip(ATTRIBUTES, attributes(items), strict=True))


def test_every_attribute_by_hand() -> None:
    its = told(item(2, (3.0, 1.0, 2.0), 1.5), item(1, (4.0, 10.0, 2.0), 0.5))
    wanted = {
        "number": math.log(4), "different items": math.log(3), "total volume": math.log(12 + 80),
        "largest volume": math.log(80), "second volume": math.log(6), "smallest volume": math.log(6),
        "longest side": math.log(10), "shortest side": 0.0, "total front": math.log(2 * 6 + 40),
        "total weight": math.log(3.5),
    }  # fmt: skip
    assert its == pytest.approx(wanted)


def test_the_second_of_two_alike_is_as_large_and_a_single_one_has_none() -> None:
    assert told(item(2))["second volume"] == pytest.approx(math.log(6))
    assert told(item(1))["second volume"] == pytest.approx(math.log(6 / 20))


@pytest.mark.parametrize(
    "sides", [(None, 2.0, 3.0), (0.0, 2.0, 3.0), (-1.0, 2.0, 3.0), (None,) * 3, (1e308, 2.0, 3.0), (1e-200, 2.0, 3.0)]
)
@pytest.mark.parametrize("others", [(), (item(2),)])
def test_without_the_size_of_one_that_of_all_is_not_known(
    sides: tuple[float | None, ...], others: tuple[Item, ...]
) -> None:
    its = told(item(3, sides, None), *others)
    assert [name for name, value in its.items() if not math.isnan(value)] == ["number", "different items"]


def test_a_weight_that_is_not_known_leaves_the_sizes_known() -> None:
    its = told(item(1), item(1, (4.0, 5.0, 6.0), None))
    assert [name for name, value in its.items() if math.isnan(value)] == ["total weight"]
    assert its["total volume"] == pytest.approx(math.log(126))


def test_nothing_expected_and_thousands() -> None:
    assert told()["number"] == 0 == told(item(0))["number"]
    assert math.isnan(told(item(0))["total volume"])
    assert told(item(10_000))["total volume"] == pytest.approx(math.log(60_000))


@given(
    st.lists(
        st.builds(
            item,
            st.integers(0, 10_000),
            st.tuples(*[st.none() | st.floats(-1, 200)] * 3),
            st.none() | st.floats(-1, 200),
        ),
        max_size=8,
    ),
    st.randoms(),
)
def test_the_order_of_items_says_nothing_and_nothing_is_infinite(items: list[Item], random: Any) -> None:
    shuffled = random.sample(items, len(items))
    one, other = np.array(attributes(items)), np.array(attributes(shuffled))
    assert np.allclose(one, other, equal_nan=True)
    assert not np.isinf(one).any()
