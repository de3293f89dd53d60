"""Files that list the items that are expected: a CSV with a row for each, a JSON of the same words."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warehouse_classifier.bins.expectation import Expectation, item
from warehouse_classifier.cli.check.expectation_csv import from_csv
from warehouse_classifier.cli.check.expectation_json import from_json
from warehouse_classifier.cli.check.expectations import Listed, expectations
from warehouse_classifier.runtime.errors import UserError

HEAD = "photo,quantity,length,width,height,unit,weight,weight_unit"
BOOK = {"quantity": 2, "length": 9, "width": 6, "height": 1, "unit": "in"}
CUP = {"quantity": 1, "length": 8.5, "width": 8.5, "height": 10, "unit": "cm", "weight": 300, "weight_unit": "g"}


def of_csv(folder: Path, *lines: str) -> Listed:
    (folder / "i.csv").write_text("\n".join(lines), encoding="utf-8")
    return from_csv(folder / "i.csv")


def of_json(folder: Path, tree: Any) -> Listed:
    (folder / "i.json").write_text(tree if isinstance(tree, str) else json.dumps(tree), encoding="utf-8")
    return from_json(folder / "i.json")


def test_rows_of_a_photo_are_its_list_and_a_json_says_the_same(tmp_path: Path) -> None:
    rows = of_csv(tmp_path, HEAD, "a.jpg,2,9,6,1,in,,", "b.jpg,4,,,,,,", 'a.jpg,1,8.5,8.5,"10",cm,300,g')
    tree = of_json(tmp_path, [{"photo": "a.jpg", "items": [BOOK, CUP]}, {"photo": "b.jpg", "items": [{"quantity": 4}]}])
    for table in (rows, tree):
        assert table.lists
        assert table.of(["a.jpg"]) == Expectation(3, (item(BOOK), item(CUP)))
        assert table.of(["b.jpg"]) == Expectation(4, (item({"quantity": 4}),))
        assert table.unused() is None


def test_columns_of_an_inventory_that_are_no_sizes_are_passed_over(tmp_path: Path) -> None:
    table = of_csv(tmp_path, "photo,quantity,unit,weight,price", "a.jpg,2,each,heavy,1.50")
    assert table.of(["a.jpg"]) == Expectation(2)
    assert not table.lists


def test_what_spreadsheets_leave_is_passed_over(tmp_path: Path) -> None:
    """A line that names the comma, rows of commas, cells of nothing beyond the last column, units in capitals."""
    table = of_csv(tmp_path, "sep=,", HEAD, ",,,,,,,", "a.jpg,2,9,6,1,IN,,,,", "", "a.jpg,1,8.5,8.5,10,cm,300,G")
    assert table.of(["a.jpg"]) == Expectation(3, (item(BOOK), item(CUP)))


def test_a_photo_is_known_by_its_path_however_that_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    table = of_csv(tmp_path, "photo,quantity", "./shelf/../shelf/1.jpg,3")
    assert table.of([str(tmp_path / "shelf/1.jpg"), "shelf/1.jpg", "1.jpg"]) == Expectation(3)
    assert table.unused() is None


def test_a_json_may_say_numbers_alone_or_a_number_beside_a_list(tmp_path: Path) -> None:
    """As the data set's metadata does: where both disagree, whoever judges the list says so."""
    table = of_json(
        tmp_path, [{"id": "7", "quantity": 3}, {"id": "8", "quantity": 5, "items": [BOOK]}, {"id": "9", "items": []}]
    )
    assert table.by_id
    assert [table.of([id]) for id in "789"] == [Expectation(3), Expectation(5, (item(BOOK),)), Expectation(0, ())]


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        ([HEAD, "a.jpg,2,9,6,1,,,"], r"i.csv, line 2: of an item of a.jpg length needs a unit: in, cm or mm"),
        ([HEAD, "a.jpg,2,9,6,1,ft,,"], "line 2: of an item of a.jpg unit is 'ft'; input should be 'in', 'cm' or 'mm'"),
        ([HEAD, "a.jpg,-1,9,6,1,in,,"], "line 2: of an item of a.jpg quantity is '-1'; input should be greater than or equal to 0"),
        ([HEAD, "a.jpg,,9,6,1,in,,"], "line 2: of an item of a.jpg quantity is missing"),
        ([HEAD, ",1,9,6,1,in,,"], "line 2: names no photo"),
        ([HEAD, *["a.jpg,600000,,,,,,"] * 2], "line 2: its items add up to 1200000, more than 1000000"),
        ([f"{HEAD},length", "a.jpg,2,9,6,1,in,,,9"], "i.csv has the column length 2 times; keep one of them"),
        ([f"{HEAD},before", "a.jpg,2,9,6,1,in,,,x.jpg", "a.jpg,1,9,6,1,in,,,y.jpg"],
         "line 3: before of a.jpg is y.jpg, and x.jpg in line 2; keep one of them"),
        ([HEAD, "a.jpg,2,9.5e9,6,1,in,,"], r"line 2: of an item of a.jpg length is 9.5e\+09 in, and no item of a bin has less than 0.0001 or more than 10000 in"),
        ([HEAD, "a.jpg,2,9,6,1,in,1e12,g"], "of an item of a.jpg weight is 1e\\+12 g, and no item of a bin has less than 0.0001 or more than 10000 lb"),
        ([HEAD, 'a.jpg,2,"9,5",6,1,in,,'], "length is '9,5'; write a number, with a point and without a unit: 9.5"),
        ([HEAD, "a.jpg,2,9,6,1,in,,,blue"], "line 2: has 9 cells, and the first line names 8 columns"),
        (["photo,quantity,lenght,width,height,unit", "a.jpg,2,9,6,1,in"],
         "i.csv has a column 'lenght', which is not known; write length, and its unit in a column of its own, or leave it out"),
        (["photo,quantity,Length (cm)", "a.jpg,2,9"], r"has a column 'length \(cm\)', which is not known; write length"),
        (["photo,quantity,befor", "a.jpg,2,b.jpg"], "has a column 'befor', which is not known; write before, or leave it out"),
        (["photo,id,quantity", "a.jpg,1,2"], "has the columns photo and id; keep one of them"),
        (["photo,quantity", "a.jpg,1", "a.jpg,1"],
         "line 3: 1 are expected of a.jpg, and 1 in line 2; keep one of them; where a row is an item, it needs its sizes: length"),
        (["photo,quantity", ",", ""], "i.csv holds no row below its first line"),
        (["", ""], r"i.csv is empty; it must have the columns photo \(or id\) and quantity"),
    ],
)  # fmt: skip
def test_a_list_that_cannot_be_is_one_line(tmp_path: Path, lines: list[str], fault: str) -> None:
    with pytest.raises(UserError, match=fault) as caught:
        of_csv(tmp_path, *lines)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("tree", "fault"),
    [
        ({"photo": "a.jpg", "quantity": 1}, r"i.json: it must be an array of objects with photo \(or id\) and quantity or items"),
        ([], r"i.json: it holds no entry"),
        ([{"photo": "a.jpg"}], "i.json: entry 1: it must have quantity or items"),
        ([{"quantity": 1}], "entry 1: it must have photo or id, and not both"),
        ([{"photo": "a", "quantity": 1}, {"photo": "b", "id": "b", "quantity": 1}], "entry 2: it must have photo or id, and not both"),
        ([{"photo": "a", "quantity": 1}, {"id": "b", "quantity": 1}], "entry 2: names no photo, as entry 1 does"),
        ([{"photo": "a", "items": [BOOK, {**CUP, "unit": None}]}], "entry 1: items.2: length needs a unit: in, cm or mm"),
        ([{"photo": "a", "items": [{**BOOK, "quantity": "2"}]}], "entry 1: items.1.quantity is '2'; input should be a valid integer"),
        ([{"photo": "a", "items": [{**BOOK, "quantity": True}]}], "entry 1: items.1.quantity is 'True'; input should be a valid integer"),
        ([{"photo": "a", "items": [{"quantity": 1, "length": -2, "unit": "in"}]}], r"entry 1: items.1.length is '-2'; input should be greater"),
        ([{"photo": "a", "quantity": 1, "size": 2}], "entry 1: 'size' is not known"),
        ([{"photo": "a", "quantity": 1}, {"photo": "a", "quantity": 2}], "entry 2: 2 are expected of a, and 1 in entry 1"),
        ('[{"photo": "a", "quantity": 1, "quantity": 2}]', "a key stands twice in one object"),
        ("[{", "i.json is not JSON in UTF-8"),
        ("[" * 100_000, "i.json is nested too deep"),
    ],
)  # fmt: skip
def test_a_json_that_cannot_be_is_one_line(tmp_path: Path, tree: Any, fault: str) -> None:
    with pytest.raises(UserError, match=fault) as caught:
        of_json(tmp_path, tree)
    assert "\n" not in str(caught.value)


def test_expected_takes_a_json_by_its_name(tmp_path: Path) -> None:
    of_json(tmp_path, [{"photo": "a", "items": [BOOK]}])
    assert expectations(str(tmp_path / "i.json")).lists
    with pytest.raises(UserError, match=r"nowhere.json cannot be read \(No such file or directory\)"):
        expectations(str(tmp_path / "nowhere.json"))


trees = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["photo", "id", "quantity", "items", "before", "length", "unit"]), inner, max_size=4
        )
    ),
    max_leaves=8,
)


@given(trees.map(json.dumps) | st.text(max_size=20))
def test_any_json_is_expectations_or_a_fault_in_one_line(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    folder = tmp_path_factory.getbasetemp()
    with suppress(UserError):
        assert of_json(folder, text).entries
