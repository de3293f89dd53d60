"""Choosing bins: near-duplicates stay together, every split gets what was asked, and only the seed decides who goes where."""

import random
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.launching import error_line
from support.watching import Noted
from warehouse_classifier.bins import selection as selections
from warehouse_classifier.bins.metadata import PAIRS
from warehouse_classifier.bins.selection import OUTSIDE, SPLITS
from warehouse_classifier.runtime.errors import Fault
from warehouse_classifier.stages.select_images import SelectImages, select_images, share_out, siblings, sizes_of

PARAMS = SelectImages(
    seed=7,
    quantities=[1, 2, 3],
    max_images=None,
    test_images=20,
    validation_share=0.2,
    split="grouped",
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
    select_images(PARAMS.model_copy(update=changed), table(folder / "t.parquet", rows or many()), output, watch=Noted())
    return {row["id"]: row for row in selections.read(output).to_dict("records")}


# ---- bins of other quantities


def test_outside_bins_are_of_groups_from_which_nothing_is_learned(tmp_path: Path) -> None:
    rows = [(f"{n:05}", n % 7, {f"S{n // 2}"}) for n in range(1, 400)]  # pairs that share an item
    found = chosen(tmp_path, rows, outside_images=1000)
    outside = {id: row for id, row in found.items() if row["split"] == OUTSIDE}
    assert {row["quantity"] for row in outside.values()} == {0, 4, 5, 6}
    learned = {row["group"] for row in found.values() if row["split"] in ("train", "validation")}
    assert not learned & {row["group"] for row in outside.values()}
    assert len({row["group"] for row in outside.values()}) == len(outside)  # one of a group
    eligible = {row["group"] for row in chosen(tmp_path, rows, outside_images=1000, max_images=60).values()}
    assert len(eligible) > len(outside)  # who learns less leaves more


def test_outside_bins_change_nothing_for_those_inside(tmp_path: Path) -> None:
    without, few, more = (chosen(tmp_path, outside_images=count) for count in (0, 5, 1000))
    assert {*without} < {*few} < {*more}
    assert all(few[id] == row for id, row in without.items())
    assert sum(row["split"] == OUTSIDE for row in few.values()) == 5
    assert all(more[id] == row for id, row in few.items())


# ---- groups


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        ("00001", "00002", True), ("00001", "00003", True), ("00001", "00004", False), ("99999", "100000", True),
        ("99999", "100001", True), ("100000", "100001", True), ("1", "00001", False), ("1", "2", False),
        ("00010", "000011", False), ("523", "00524", False), ("1", "00002", False), ("0001", "00002", False),
        ("a0001", "a0002", False), ("٠٠٠٠١", "00002", False),
    ],
)  # fmt: skip
def test_neighbours_that_share_an_item_are_one_group(one: str, other: str, together: bool) -> None:
    group = siblings({one: {"A", "B"}, other: {"B", "C"}})
    assert (group[one] == group[other]) == together
    apart = siblings({one: {"A"}, other: {"C"}})
    assert apart == {one: one, other: other}
    assert siblings({one: set(), other: set()}) == {one: one, other: other}


def test_a_group_is_a_chain_named_after_its_first_id() -> None:
    asins = {"00005": {"A"}, "00006": {"A", "B"}, "00008": {"B"}, "00009": {"C"}, "00012": {"C"}, "5": {"A"}}
    group = {"00005": "00005", "00006": "00005", "00008": "00005", "00009": "00009", "00012": "00012", "5": "5"}
    assert siblings(asins) == group


@settings(max_examples=60, deadline=None)
@given(
    asins=st.dictionaries(
        st.one_of(st.integers(1, 40).map("{:05}".format), st.integers(1, 40).map(str)),
        st.sets(st.sampled_from("ABCDE"), max_size=3),
        max_size=30,
    ),
    random=st.randoms(),
)
def test_groups_are_those_of_the_definition(asins: dict[str, set[str]], random: random.Random) -> None:
    shuffled = list(asins)
    random.shuffle(shuffled)
    group = siblings({id: asins[id] for id in shuffled})
    # the slow way: colour everything that can be reached
    wanted: dict[str, str] = {}
    for id in sorted(asins):
        reached, todo = set(), [id]
        while todo:
            here = todo.pop()
            if here not in reached:
                reached.add(here)
                todo += [
                    there for there in asins
                    if len(here) == len(there) == 5 and abs(int(here) - int(there)) in (1, 2) and asins[here] & asins[there]
                ]  # fmt: skip
        wanted[id] = min(reached)
    assert group == wanted


def test_groups_are_found_before_bins_are_left_out(tmp_path: Path) -> None:
    """00002 holds too many items to be chosen, but it is what shows that 00001 and 00003 are one bin."""
    rows = [(f"{n:05}", 1 + n % 3, {f"A{n}"}) for n in range(10, 90)]
    between = [("00001", 1, {"A", "X"}), ("00002", 9, {"X", "Y"}), ("00003", 2, {"Y", "Z"})]
    got = chosen(tmp_path, [*rows, *between])
    assert "00002" not in got
    assert got["00001"]["group"] == got["00003"]["group"] == "00001"
    assert got["00001"]["split"] == got["00003"]["split"]


# ---- splits


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


@settings(max_examples=150, deadline=None)
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
    ("changed", "said"),
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
def test_too_few_images_are_told_in_one_line(tmp_path: Path, changed: dict[str, Any], said: str) -> None:
    with pytest.raises(Fault) as caught:
        chosen(tmp_path, **changed)
    assert str(caught.value).startswith(f"select_images: {said}")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "selection.csv").exists()


def test_a_group_larger_than_a_split_is_told(tmp_path: Path) -> None:
    rows = [(f"{n:05}", 1 + n % 3, {"the same"}) for n in range(40)]
    with pytest.raises(Fault, match="no group is small enough for train"):
        chosen(tmp_path, rows, test_images=5)


@pytest.mark.parametrize(("share", "validation"), [(0.05, 10), (0.5, 95), (0.01, 2)])
def test_validation_is_a_share_of_what_is_not_test(share: float, validation: int) -> None:
    params = PARAMS.model_copy(update={"test_images": 10, "validation_share": share})
    assert sizes_of(200, params) == {"test": 10, "validation": validation, "train": 190 - validation}


@pytest.mark.parametrize("quantities", [[], [1], [1, 1], [-1, 2]])
def test_quantities_are_two_or_more_and_differ(project: Path, quantities: list[int]) -> None:
    file = project / "params.yaml"
    file.write_text(file.read_text().replace("[1, 2, 3]", str(quantities), 1))
    with pytest.raises(
        Fault, match=r"data.small.quantities is \[.*\], it must be two or more quantities without a gap"
    ):
        SelectImages.load("select_images", "small")


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
    with pytest.raises(Fault, match="is missing"):
        selections.read(path)
    path.write_text(body)
    with pytest.raises(Fault, match="is no selection") as caught:
        selections.read(path)
    assert "\n" not in str(caught.value)
