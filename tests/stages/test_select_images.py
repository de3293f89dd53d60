"""Choosing bins: near-duplicates stay together, every split gets what was asked, and only the seed decides who goes where."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from support.launching import error_line, loaded
from support.watching import Noted
from warehouse_classifier.bins import selection as selections
from warehouse_classifier.bins.groups import siblings
from warehouse_classifier.bins.metadata import PAIRS
from warehouse_classifier.bins.split_names import OTHERS, OUTSIDE
from warehouse_classifier.runtime.errors import UserError
from warehouse_classifier.stages.select_images import SelectImages, select_images, sizes_of

PARAMS = SelectImages(
    seed=7,
    quantities=[1, 2, 3],
    max_images=None,
    test_images=20,
    validation_share=0.2,
    split="grouped",
    verifier_images=0,
    outside_images=0,
)


def table(path: Path, rows: Iterable[tuple[str, int, set[str]]]) -> Path:
    items = {"quantity": 1, **dict.fromkeys(("height", "length", "width", "weight", "name"))}
    pairs = [
        {
            "id": id, "quantity": quantity, "image_bytes": 9, "image_etag": f"e-{id}",
            "items": [{"asin": asin, **items} for asin in sorted(asins)],
        }
        for id, quantity, asins in rows
    ]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(pairs, PAIRS), path)
    return path


def many(count: int = 200) -> list[tuple[str, int, set[str]]]:
    """Bins of quantities 0 to 4; of three in a row the last two share an item."""
    return [(f"{n:05}", n % 5, {f"S{n // 3}" if n % 3 else f"A{n}"}) for n in range(1, count + 1)]


def chosen(
    folder: Path, rows: list[tuple[str, int, set[str]]] | None = None, **changed: Any
) -> dict[str, dict[str, Any]]:
    output = folder / "selection.csv"
    select_images(
        PARAMS.model_copy(update=changed), table(folder / "t.parquet", rows or many()), output, progress=Noted()
    )
    return {row["id"]: row for row in selections.read(output).to_dict("records")}


# ---- bins of other quantities


def test_outside_bins_are_of_groups_from_which_nothing_is_learned(tmp_path: Path) -> None:
    rows = [(f"{n:05}", n % 7, {f"S{n // 2}"}) for n in range(1, 400)]  # pairs that share an item
    selected = chosen(tmp_path, rows, outside_images=1000)
    outside = {id: row for id, row in selected.items() if row["split"] == OUTSIDE}
    assert {row["quantity"] for row in outside.values()} == {0, 4, 5, 6}
    learned = {row["group"] for row in selected.values() if row["split"] in ("train", "validation")}
    assert not learned & {row["group"] for row in outside.values()}
    eligible = list(chosen(tmp_path, rows, outside_images=1000, max_images=60).values())
    assert len([row for row in eligible if row["split"] == OUTSIDE]) > len(outside)  # who learns less leaves more


def test_groups_of_outside_bins_are_whole_but_for_the_last(tmp_path: Path) -> None:
    """So that they hold visits too."""
    rows = [(f"{n:05}", n % 7, {f"S{n // 3}"}) for n in range(3, 400)]
    outside = {
        id: row["group"] for id, row in chosen(tmp_path, rows, outside_images=20).items() if row["split"] == OUTSIDE
    }
    every = {
        id: row["group"] for id, row in chosen(tmp_path, rows, outside_images=1000).items() if row["split"] == OUTSIDE
    }
    assert len(outside) == 20 < len(every)
    cut = [name for name in {*outside.values()} if sum(own == name for own in every.values()) > sum(own == name for own in outside.values())]  # fmt: skip
    assert len(cut) <= 1


def test_bins_whose_sizes_are_learned_are_where_their_groups_are(tmp_path: Path) -> None:
    rows = [(f"{n:05}", n % 7, {f"S{n // 2}"}) for n in range(1, 400)]  # pairs that share an item
    selected = chosen(tmp_path, rows, outside_images=10, verifier_images=None)
    sides: dict[str, set[str]] = {}
    for row in selected.values():
        sides.setdefault(row["group"], set()).add(row["split"])
    allowed = [
        {"train", "train_other"}, {"validation", "validation_other"}, {"test", OUTSIDE},
    ]  # fmt: skip
    assert all(any(its <= pair for pair in allowed) for its in sides.values())
    assert {"train", "train_other"} in sides.values()
    assert {row["quantity"] for row in selected.values() if row["split"] in OTHERS.values()} == {0, 4, 5, 6}
    # all are taken, but for those of the test's groups and of those that are outside
    left = {id for id, quantity, _ in rows if quantity in (0, 4, 5, 6)} - {*selected}
    groups = siblings({id: asins for id, _, asins in rows})
    tested = {row["group"] for row in selected.values() if row["split"] in ("test", OUTSIDE)}
    assert {groups[id] for id in left} <= tested


def test_groups_without_a_chosen_bin_are_dealt_out_by_the_seed_alone(tmp_path: Path) -> None:
    inside = [(f"{n:05}", 1 + n % 3, {f"A{n}"}) for n in range(100, 160)]
    others = [(f"{n:05}", 9, {f"B{n}"}) for n in range(200, 400)]
    got = {seed: chosen(tmp_path, [*inside, *others], verifier_images=None, seed=seed) for seed in (1, 2)}
    sides = {seed: {id: row["split"] for id, row in its.items() if row["quantity"] == 9} for seed, its in got.items()}
    assert sides[1] != sides[2]
    for its in sides.values():
        assert 20 <= Counter(its.values())["validation_other"] <= 60  # a fifth of 200, as validation_share says
    again = chosen(tmp_path, [*others, *inside], verifier_images=None, seed=1)
    assert again == got[1]
    few = chosen(tmp_path, [*inside, *others], verifier_images=50, seed=1)
    chosen_few = {id: row["split"] for id, row in few.items() if row["quantity"] == 9}
    assert len(chosen_few) == 50
    assert chosen_few.items() <= sides[1].items()
    assert "validation_other" in chosen_few.values()
    assert "train_other" in chosen_few.values()


def test_bins_whose_sizes_are_learned_change_nothing_for_the_others(tmp_path: Path) -> None:
    without, every = (chosen(tmp_path, outside_images=5, verifier_images=count) for count in (0, None))
    assert without.items() < every.items()


def test_of_a_random_split_nothing_is_learned_beside_a_tested_sibling(tmp_path: Path) -> None:
    rows = [(f"{n:05}", n % 7, {f"S{n // 4}"}) for n in range(4, 400)]
    selected = chosen(tmp_path, rows, split="random", verifier_images=None)
    tested = {row["group"] for row in selected.values() if row["split"] == "test"}
    learned = {row["group"] for row in selected.values() if row["split"] in OTHERS.values()}
    assert learned
    assert not learned & tested


def test_outside_bins_change_nothing_for_those_inside(tmp_path: Path) -> None:
    without, few, more = (chosen(tmp_path, outside_images=count) for count in (0, 5, 1000))
    assert {*without} < {*few} < {*more}
    assert all(few[id] == row for id, row in without.items())
    assert sum(row["split"] == OUTSIDE for row in few.values()) == 5
    assert all(more[id] == row for id, row in few.items())


# ---- groups


def test_groups_are_found_before_bins_are_left_out(tmp_path: Path) -> None:
    """00002 holds too many items to be chosen, but it is what shows that 00001 and 00003 are one bin."""
    rows = [(f"{n:05}", 1 + n % 3, {f"A{n}"}) for n in range(10, 90)]
    between = [("00001", 1, {"A", "X"}), ("00002", 9, {"X", "Y"}), ("00003", 2, {"Y", "Z"})]
    got = chosen(tmp_path, [*rows, *between])
    assert "00002" not in got
    assert got["00001"]["group"] == got["00003"]["group"] == "00001"
    assert got["00001"]["split"] == got["00003"]["split"]


# ---- splits


def test_only_the_seed_decides(tmp_path: Path) -> None:
    sides = {seed: {id: row["split"] for id, row in chosen(tmp_path, seed=seed).items()} for seed in (1, 2)}
    backwards = {id: row["split"] for id, row in chosen(tmp_path, many()[::-1], seed=1).items()}
    assert backwards == sides[1] != sides[2]
    first = (tmp_path / "selection.csv").read_bytes()
    chosen(tmp_path, seed=1)
    assert (tmp_path / "selection.csv").read_bytes() == first


def test_a_selection_is_what_was_asked_for(tmp_path: Path) -> None:
    got = chosen(tmp_path)
    assert list(got) == sorted(id for id, quantity, _ in many() if quantity in (1, 2, 3))
    assert {id: row["quantity"] for id, row in got.items()} == {id: q for id, q, _ in many() if q in (1, 2, 3)}
    assert got["00001"]["image_bytes"] == 9
    assert got["00001"]["image_etag"] == "e-00001"
    assert Counter(row["split"] for row in got.values()) == {"test": 20, "validation": 20, "train": 80}
    sides: dict[str, set[str]] = {}
    for row in got.values():
        sides.setdefault(row["group"], set()).add(row["split"])
    assert len(sides) < len(got)
    assert {len(side) for side in sides.values()} == {1}


def test_a_random_split_tears_groups_apart(tmp_path: Path) -> None:
    got = chosen(tmp_path, split="random")
    assert Counter(row["split"] for row in got.values()) == {"test": 20, "validation": 20, "train": 80}
    sides: dict[str, set[str]] = {}
    for row in got.values():
        sides.setdefault(row["group"], set()).add(row["split"])
    assert max(map(len, sides.values())) > 1
    # which group a bin belongs to is a fact about the bucket, whatever is made of it: the report counts the leaks by it
    assert {id: row["group"] for id, row in got.items()} == {id: row["group"] for id, row in chosen(tmp_path).items()}


def test_no_more_images_than_asked_for(tmp_path: Path) -> None:
    got = chosen(tmp_path, max_images=60, test_images=10)
    counts = Counter(row["split"] for row in got.values())
    assert counts == {"test": 10, "validation": 10, "train": 40}
    assert chosen(tmp_path, max_images=10_000) == chosen(tmp_path)


def test_an_id_stays_a_text(tmp_path: Path) -> None:
    rows = [*many(), ("1", 1, {"A"}), ("NA", 2, {"A"}), ("nan", 3, {"A"}), ("1e5", 1, {"A"}), ("007", 1, {"A"})]
    assert {"1", "NA", "nan", "1e5", "007", "00001"} <= set(chosen(tmp_path, rows))


# ---- what cannot be chosen


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"test_images": 120},
            "120 images of quantity 1, 2, 3 are too few, train gets 0 of them; lower test_images (120)",
        ),
        (
            {"test_images": 500},
            "120 images of quantity 1, 2, 3 are too few, train gets 0 of them; lower test_images (500)",
        ),
        ({"validation_share": 0.001}, "120 images of quantity 1, 2, 3 are too few, validation gets 0 of them"),
        ({"max_images": 5}, "5 images of quantity 1, 2, 3 are too few, train gets 0 of them"),
        ({"quantities": [8, 9]}, "0 images of quantity 8, 9 are too few"),
        (
            {"quantities": [1, 2, 3, 4, 5], "test_images": 2},
            "train holds no image of quantity 5; drop it from data.quantities",
        ),
    ],
)
def test_too_few_images_are_told_in_one_line(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        chosen(tmp_path, **changed)
    assert str(caught.value).startswith(f"select_images: {message}")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "selection.csv").exists()


def test_a_group_larger_than_a_split_is_told(tmp_path: Path) -> None:
    rows = [(f"{n:05}", 1 + n % 3, {"the same"}) for n in range(40)]
    with pytest.raises(UserError, match="no group is small enough for train"):
        chosen(tmp_path, rows, test_images=5)


@pytest.mark.parametrize(("share", "validation"), [(0.05, 10), (0.5, 95), (0.01, 2)])
def test_validation_is_a_share_of_what_is_not_test(share: float, validation: int) -> None:
    params = PARAMS.model_copy(update={"test_images": 10, "validation_share": share})
    assert sizes_of(200, params) == {"test": 10, "validation": validation, "train": 190 - validation}


@pytest.mark.parametrize("quantities", [[], [1], [1, 1], [-1, 2], [1, 3], [3, 2, 1]])
def test_quantities_are_two_or_more_and_differ(project: Path, quantities: list[int]) -> None:
    file = project / "params.yaml"
    file.write_text(file.read_text().replace("[1, 2, 3]", str(quantities), 1))
    with pytest.raises(
        UserError, match=r"data.small.quantities is \[.*\], it must be two or more quantities that ascend one by one"
    ):
        loaded("select_images", "small")


def test_a_stage_that_cannot_choose_ends_with_one_line(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    argv = ("select_images", "small", "metadata.parquet", "selection.csv")
    assert error_line(capfd, *argv) == "metadata.parquet is missing; `dvc repro fetch_metadata` makes it"
    table(project / "metadata.parquet", many(12))
    assert "8 images of quantity 1, 2, 3 are too few, validation gets 0 of them" in error_line(capfd, *argv)
    assert sorted(path.name for path in project.iterdir()) == ["metadata.parquet", "params.yaml"]


@pytest.mark.parametrize(
    "body", ["", "id,quantity\n1,2\n", "id,quantity,split,group,image_bytes,image_etag\n1,x,a,b,,\n"]
)
def test_a_damaged_selection_is_a_fault(tmp_path: Path, body: str) -> None:
    path = tmp_path / "selection.csv"
    with pytest.raises(UserError, match="is missing"):
        selections.read(path)
    path.write_text(body)
    with pytest.raises(UserError, match="is no selection") as caught:
        selections.read(path)
    assert "\n" not in str(caught.value)
