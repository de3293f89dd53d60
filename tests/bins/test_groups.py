"""Near-duplicates form a group, by the definition and by no more than that."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from warehouse_classifier.bins.groups import siblings, visits


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


def test_a_visit_lies_between_ids_that_follow_each_other_and_share_an_item() -> None:
    asins = {
        "00002": {"A"}, "00001": {"A"}, "00003": {"B"}, "00004": {"A"}, "99999": {"C", "D"}, "100000": {"D"}, "1": {"A"}, "2": {"A"},
        "00010": set(), "00011": set(),
    }  # fmt: skip
    assert sorted(visits(asins)) == [("00001", "00002"), ("99999", "100000")]


def test_a_group_is_a_chain_named_after_its_first_id() -> None:
    asins = {"00005": {"A"}, "00006": {"A", "B"}, "00008": {"B"}, "00009": {"C"}, "00012": {"C"}, "5": {"A"}}
    group = {"00005": "00005", "00006": "00005", "00008": "00005", "00009": "00009", "00012": "00012", "5": "5"}
    assert siblings(asins) == group


@settings(max_examples=60)
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
