"""Items as people hand them in: units that are named, and what is wrong in a line."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warehouse_classifier.bins.expectation import FIELDS, item
from warehouse_classifier.bins.sizes import ATTRIBUTES, attributes


def test_units_are_what_they_are_by_definition() -> None:
    """An inch is 25.4 mm and a pound 0.45359237 kg (NIST Special Publication 811, appendix B)."""
    cm = item(
        {
            "quantity": "2",
            "length": "25.4",
            "width": 12.7,
            "height": 2.54,
            "unit": "cm",
            "weight": 0.45359237,
            "weight_unit": "kg",
        }
    )
    mm = item(
        {
            "quantity": 2,
            "length": 254,
            "width": 127,
            "height": 25.4,
            "unit": "mm",
            "weight": 453.59237,
            "weight_unit": "g",
        }
    )
    inches = item(
        {"quantity": 2, "length": 10, "width": 5, "height": 1, "unit": "in", "weight": 16, "weight_unit": "oz"}
    )
    for its in (cm, mm, inches):
        assert its == pytest.approx({"quantity": 2, "length": 10.0, "width": 5.0, "height": 1.0, "weight": 1.0})


def test_what_is_left_out_is_not_known() -> None:
    assert item({"quantity": 3}) == {"quantity": 3, "length": None, "width": None, "height": None, "weight": None}
    half = attributes([item({"quantity": 1, "length": 3, "unit": "in"})])
    assert math.isnan(half[ATTRIBUTES.index("total volume")])


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({}, "quantity is missing"),
        ({"quantity": "-1"}, "quantity is '-1'; input should be greater than or equal to 0"),
        ({"quantity": "2.5"}, "quantity is '2.5'; input should be a valid integer"),
        ({"quantity": 1_000_001}, "quantity is '1000001'; input should be less than or equal to 1000000"),
        ({"quantity": 1, "length": "0", "unit": "in"}, "length is '0'; input should be greater than 0"),
        ({"quantity": 1, "width": "nan", "unit": "in"}, "width is 'nan'; input should be a finite number"),
        ({"quantity": 1, "height": "two", "unit": "in"}, "height is 'two'; write a number, with a point and without a unit: 9.5"),
        ({"quantity": 1, "height": 2}, "height needs a unit: in, cm or mm"),
        ({"quantity": 1, "weight": 2}, "weight needs a weight_unit: lb, oz, kg or g"),
        ({"quantity": 1, "length": 2, "unit": "furlong"}, "unit is 'furlong'; input should be 'in', 'cm' or 'mm'"),
        ({"quantity": 1, "weight": 2, "weight_unit": "stone"}, "weight_unit is 'stone'; input should be 'lb', 'oz', 'kg' or 'g'"),
        ({"quantity": 1, "depth": 2}, "'depth' is not known"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said_in_a_line(given: dict[str, object], fault: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        item(given)
    assert str(caught.value).startswith(fault)
    assert "\n" not in str(caught.value)


values = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.lists(st.integers(), max_size=2)
)


@given(st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=8), values))
def test_whatever_is_handed_in_is_an_item_or_a_fault_in_a_line(given: dict[str, object]) -> None:
    try:
        its = item(given)
    except ValueError as error:
        fault = str(error)
    else:
        fault = "none"
        assert 0 <= its["quantity"] <= 1_000_000
        assert all(size is None or 0 < size < math.inf for name, size in its.items() if name != "quantity")
    assert len(fault.splitlines()) == 1
