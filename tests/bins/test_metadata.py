"""One metadata file: what it says, or the reason why nobody should believe it."""

import json
import math
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from support.bins import metadata
from warehouse_classifier.bins.metadata import ITEM, LARGEST, parse

INCHES = {"unit": "IN", "value": 1.5}
ITEM_KEYS = ["asin", "height", "length", "name", "normalizedName", "quantity", "weight", "width"]
ODD = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5))
ANYTHING = st.recursive(
    ODD,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.one_of(st.sampled_from([*ITEM_KEYS, "unit", "value"]), st.text(max_size=4)), inner, max_size=5
        ),
    ),
    max_leaves=12,
)
MEASURE = st.one_of(ANYTHING, st.fixed_dictionaries({"unit": st.sampled_from(["IN", "pounds"]), "value": ODD}))
ALMOST = st.fixed_dictionaries(
    {},
    optional={
        "EXPECTED_QUANTITY": st.one_of(st.integers(0, 9), ANYTHING),
        "BIN_FCSKU_DATA": st.one_of(
            st.dictionaries(
                st.text(max_size=4),
                st.fixed_dictionaries(
                    {"quantity": st.one_of(st.integers(0, 9), ODD)},
                    optional={
                        "asin": ODD, "name": ODD, "height": MEASURE, "weight": MEASURE, "length": MEASURE, "width": MEASURE,
                    },
                ),
                max_size=2,
            ),
            ANYTHING,
        ),
    },
)  # fmt: skip


def item(**changed: Any) -> bytes:
    facts = {"asin": "A", "height": INCHES, "quantity": 1, "name": "a thing", **changed}
    return json.dumps({"BIN_FCSKU_DATA": {"KEY": facts}, "EXPECTED_QUANTITY": 1}).encode()


def reason(body: bytes) -> str:
    with pytest.raises(ValueError, match=r".") as caught:
        parse(body)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 300
    message.encode()  # what a table can hold
    return message


def test_a_good_file_says_quantity_and_items() -> None:
    quantity, items = parse(metadata(3, "B01", "B02"))
    assert quantity == 3
    assert items == [
        {
            "asin": asin,
            "quantity": 1,
            "height": 2.5,
            "length": 2.5,
            "width": None,
            "weight": 0.4,
            "name": f"thing {asin}",
        }
        for asin in ("B01", "B02")
    ]
    assert parse(b'{"BIN_FCSKU_DATA": {}, "EXPECTED_QUANTITY": 0}') == (0, [])


def test_an_item_without_asin_has_that_of_its_key() -> None:
    assert parse(item(asin=None))[1][0]["asin"] == "KEY"
    assert parse(item())[1][0]["asin"] == "A"


@pytest.mark.parametrize(
    ("quantity", "message"),
    [
        (b"-1", "EXPECTED_QUANTITY is -1, not 0 to 1000000"),
        (b"1000001", "EXPECTED_QUANTITY is 1000001, not 0 to 1000000"),
        (b"1" + b"0" * 400, f"EXPECTED_QUANTITY is 1{'0' * 39}, not 0 to 1000000"),
        (b'"3"', 'EXPECTED_QUANTITY is "3", not a whole number'),
        (b"true", "EXPECTED_QUANTITY is true, not a whole number"),
        (b"3.0", "EXPECTED_QUANTITY is 3.0, not a whole number"),
        (b"1e400", "EXPECTED_QUANTITY is Infinity, not a whole number"),
        (b"NaN", "EXPECTED_QUANTITY is NaN, not a whole number"),
        (b"null", "EXPECTED_QUANTITY is null, not a whole number"),
        (b"[3]", "EXPECTED_QUANTITY is [3], not a whole number"),
        (b'"\\ud800"', 'EXPECTED_QUANTITY is "\\ud800", not a whole number'),
    ],
)
def test_a_quantity_that_is_none_is_named(quantity: bytes, message: str) -> None:
    assert reason(b'{"BIN_FCSKU_DATA": {}, "EXPECTED_QUANTITY": ' + quantity + b"}") == message


def test_nesting_of_any_depth_has_its_reason() -> None:
    """At some depth the file can be read, but not be said again."""
    seen = set()
    for depth in (*range(300, 1000, 3), 100_000):
        nested = b"[" * depth + b"]" * depth
        assert reason(nested) in {"is nested too deep", "is not a JSON object"}
        seen.add(reason(b'{"BIN_FCSKU_DATA": {}, "EXPECTED_QUANTITY": ' + nested + b"}"))
    assert seen == {"is nested too deep", f"EXPECTED_QUANTITY is {'[' * 40}, not a whole number"}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (metadata(3, "B01")[:60], "is not JSON ("),
        (b"", "is not JSON ("),
        (b"<html>", "is not JSON ("),
        (b"9" * 5000, "is not JSON ("),
        (b'{"EXPECTED_QUANTITY": 1} x', "is not JSON ("),
        (b'{"a": "\xff"}', "is not UTF-8"),
        (b"[1]", "is not a JSON object"),
        (b"null", "is not a JSON object"),
        (b'{"BIN_FCSKU_DATA": {}}', "has no EXPECTED_QUANTITY"),
        (b'{"EXPECTED_QUANTITY": 1}', "has no BIN_FCSKU_DATA"),
        (b'{"EXPECTED_QUANTITY": 1, "BIN_FCSKU_DATA": []}', "has no BIN_FCSKU_DATA"),
        (b'{"EXPECTED_QUANTITY": 1, "BIN_FCSKU_DATA": {"K": 3}}', 'item "K" is not a JSON object'),
        (
            b'{"EXPECTED_QUANTITY": 1, "BIN_FCSKU_DATA": {"a\\nb\\ud800": 3}}',
            'item "a\\nb\\ud800" is not a JSON object',
        ),
        (item(quantity=-2), 'item "KEY": quantity is -2, not 0 to 1000000'),
        (item(quantity=None), 'item "KEY": quantity is null, not a whole number'),
        (item(asin=3), 'item "KEY": asin is no text'),
        (item(name=["x"]), 'item "KEY": name is no text'),
        (item(height=3), 'item "KEY": height is no measure'),
        (item(height={"unit": "IN", "value": "3"}), 'item "KEY": height is no measure'),
        (item(height={"unit": "IN", "value": True}), 'item "KEY": height is no measure'),
        (item(height={"unit": "IN", "value": math.nan}), 'item "KEY": height is no measure'),
        (item(height={"unit": "IN", "value": -math.inf}), 'item "KEY": height is no measure'),
        (item(height={"unit": "IN", "value": 10**400}), 'item "KEY": height is no measure'),
        (item(height={"unit": "CM", "value": 3}), 'item "KEY": height is not in IN'),
        (item(weight={"unit": "IN", "value": 3}), 'item "KEY": weight is not in pounds'),
    ],
)
def test_a_file_that_cannot_be_trusted_has_its_reason(body: bytes, message: str) -> None:
    assert reason(body).startswith(message)


def test_half_a_character_in_a_name_is_replaced() -> None:
    (thing,) = parse(item(name="a\ud800b", asin="\udfff"))[1]
    assert (thing["name"], thing["asin"]) == ("a?b", "?")


@pytest.mark.slow
@settings(max_examples=300)
@given(body=st.one_of(st.binary(max_size=80), ALMOST.map(lambda data: json.dumps(data).encode())))
@example(body=b"\xff\xfe")
@example(body=b"\x00\x00\x00[")
def test_whatever_a_file_holds_it_is_a_row_or_a_reason(body: bytes) -> None:
    try:
        quantity, items = parse(body)
    except ValueError as error:
        message = str(error)
    else:
        message = ""
        assert 0 <= quantity <= LARGEST
        assert pa.array(items, ITEM).to_pylist() == items
    assert "\n" not in message
    assert message == message.encode().decode()
