"""A label is the position of a quantity among those that a network tells apart."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from warehouse_classifier.dataset.labels import QuantityEncoder


@given(quantities=st.lists(st.integers(0, 200), min_size=2, max_size=9, unique=True))
def test_labels_and_quantities_are_each_others_inverse(quantities: list[int]) -> None:
    labels = QuantityEncoder(quantities)
    assert len(labels) == len(quantities)
    assert labels.decode(labels.encode(quantities)).tolist() == quantities
    assert labels.encode(sorted(quantities)).tolist() == list(range(len(quantities)))


def test_labels_come_from_zero_and_quantities_from_the_inventory() -> None:
    labels = QuantityEncoder([5, 3, 1])
    assert labels.encode([1, 3, 5, 5]).tolist() == [0, 1, 2, 2]
    assert labels.encode(3) == 1
    assert labels.decode(np.array([[2, 0]])).tolist() == [[5, 1]]


@pytest.mark.parametrize("quantity", [0, 2, 6, -1])
def test_a_quantity_without_a_label_is_an_error(quantity: int) -> None:
    with pytest.raises(ValueError, match=r"is not among the quantities \(1, 3, 5\)"):
        QuantityEncoder([1, 3, 5]).encode([1, quantity])
