"""Visits that nobody recorded, or wrongly: pairs, curves and figures against their definitions, spelled out with loops."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from support.doubts import QUANTITIES, drawn
from warehouse_classifier.evaluation.mismatches.paired import PairedVerification, verify_pairs
from warehouse_classifier.evaluation.mismatches.verification import Task, prior
from warehouse_classifier.evaluation.mismatches.visits import (
    VISIT_MISMATCHES,
    change,
    lists,
    rows_of,
    wrong_lists,
)

TASK = Task(prevalence=0.05, recalls=[0.5, 0.8], budgets=[0.01, 0.1, 0.2])  # the headline's is 10 %
Case = tuple[np.ndarray, np.ndarray, np.ndarray]


def visits(seed: int, images: int = 60, digits: int = 6) -> Case:
    """Doubts of a counter that knows something, what the images hold, and pairs of them that hold different numbers."""
    doubts, actual = drawn(seed, images, digits)
    rows = np.arange(images // 2 * 2).reshape(-1, 2)
    return doubts, actual, rows[actual[rows[:, 0]] != actual[rows[:, 1]]]


cases = st.builds(visits, st.integers(0, 999), st.integers(8, 60), st.integers(1, 6)).filter(lambda case: len(case[2]))


def figures(
    doubts: np.ndarray, actual: np.ndarray, rows: np.ndarray, groups: np.ndarray | None = None, resamples: int = 20
) -> dict[str, PairedVerification]:
    groups = np.array([str(i // 2) for i in range(len(actual))]) if groups is None else groups
    asked = {kind: ask(doubts, QUANTITIES, actual, rows) for kind, ask in (("natural", lists), ("change", change))}
    return verify_pairs({"one": asked}, groups, TASK, against={}, seed=1, resamples=resamples)["one"]


def questions(case: Case) -> tuple[list[float], list[float], list[bool]]:
    """Doubts of the right and of the wrong lists, and whether items were put in beside the wrong one."""
    doubts, actual, rows = case
    right, wrong, added = [], [], []
    for pair in rows.tolist():
        for photo, other in (pair, pair[::-1]):
            right.append(doubts[photo, actual[photo] - 1])
            wrong.append(doubts[photo, actual[other] - 1])
            added.append(actual[photo] > actual[other])
    return right, wrong, added


def test_both_photos_must_be_there_and_hold_different_numbers() -> None:
    facts = pd.DataFrame({"id": ["00001", "00002", "00004", "00005", "00006"], "quantity": [2, 3, 1, 1, 4]})
    pairs = [("00001", "00002"), ("00002", "00003"), ("00004", "00005"), ("00005", "00006"), ("00008", "00009")]
    quantity = facts["quantity"].to_numpy()
    assert rows_of(pairs, facts, quantity).tolist() == [[0, 1], [3, 4]]
    assert rows_of([], facts, quantity).shape == (0, 2)
    # nobody knows what a visit did to a bin whose items do not add up to its quantity
    assert rows_of(pairs, facts, np.array([2, 4, 1, 1, 4])).tolist() == [[3, 4]]


@settings(max_examples=40)
@given(case=cases)
def test_natural_mismatches_are_each_photo_with_both_lists(case: Case) -> None:
    right, wrong, added = questions(case)
    its = figures(*case)["natural"]
    labels = [0] * len(right) + [1] * len(wrong)
    assert its.verification.auroc.value == pytest.approx(roc_auc_score(labels, right + wrong))
    better = [one < other or (one == other and 0.5) for one, other in zip(right, wrong, strict=True)]
    assert its.forced_choice.value == pytest.approx(np.mean(better))
    parts = [its.found[f"{part}_found_in_10"].value for part in ("more", "fewer")]
    assert added.count(True) == added.count(False)
    assert np.mean(parts) == pytest.approx(its.verification.recall[0.1].value)  # as many of the one as of the other
    assert its.named().keys() >= {"auroc", "forced_choice", "found_in_10", "more_found_in_10", "fewer_found_in_10"}


def test_bins_that_hold_more_and_fewer_than_listed_are_told_apart() -> None:
    """A counter that sees too much alone: it doubts a list that is too short, and believes one that is too long."""
    actual = np.array([2, 3] * 20)
    doubts = np.array([[0.9, 0.1, 0.1, 0.1, 0.1], [0.9, 0.9, 0.1, 0.1, 0.1]] * 20)
    its = figures(doubts, actual, np.arange(40).reshape(-1, 2))["natural"]
    assert (its.found["more_found_in_10"].value, its.found["fewer_found_in_10"].value) == (
        1.0, pytest.approx((0.1 - 0.025) / 0.975),  # what is left of the budget goes to all others by chance
    )  # fmt: skip


@settings(max_examples=40)
@given(case=cases)
def test_a_change_is_the_difference_of_the_mean_quantities(case: Case) -> None:
    doubts, actual, rows = case
    mean = ((1 - doubts) * np.array(QUANTITIES)).sum(1)
    against = [float(np.sign(actual[b] - actual[a]) * (mean[a] - mean[b]).round(12)) for a, b in rows]
    its = figures(*case)["change"]
    labels = [0] * len(against) + [1] * len(against)
    assert its.verification.auroc.value == pytest.approx(roc_auc_score(labels, against + [-one for one in against]))
    assert its.forced_choice.value == pytest.approx(np.mean([one < 0 or (one == 0 and 0.5) for one in against]))
    assert not its.found


@settings(max_examples=20)
@given(case=cases, shares=st.lists(st.floats(0.01, 1), min_size=5, max_size=5))
def test_who_sees_no_photo_is_at_chance_exactly(case: Case, shares: list[float]) -> None:
    its = figures(prior(np.array(shares) / sum(shares), len(case[1])), *case[1:])
    assert [its[kind].verification.auroc.value for kind in VISIT_MISMATCHES] == pytest.approx([0.5, 0.5], abs=1e-12)
    assert [its[kind].forced_choice.value for kind in VISIT_MISMATCHES] == pytest.approx([0.5, 0.5], abs=1e-12)


@settings(max_examples=20)
@given(case=cases)
def test_who_sees_no_list_is_at_chance_exactly(case: Case) -> None:
    doubts = np.repeat(case[0][:, :1], 5, axis=1)  # of the photo alone
    assert figures(doubts, *case[1:])["natural"].verification.auroc.value == pytest.approx(0.5, abs=1e-12)


def test_intervals_draw_groups_and_hold_the_figure() -> None:
    case = visits(3, 400)
    alone = figures(*case, resamples=1000)["natural"]
    together = figures(*case, np.array([str(i // 20) for i in range(400)]), resamples=1000)["natural"]
    for its in (alone, together):
        for estimate in its.named().values():
            assert estimate.low <= estimate.value <= estimate.high
    assert alone.verification.auroc.value == together.verification.auroc.value
    assert (alone.verification.auroc.low, alone.verification.auroc.high) != (
        together.verification.auroc.low, together.verification.auroc.high,
    )  # fmt: skip
    assert figures(*case, resamples=1000)["natural"] == alone


def test_a_gain_is_paired_by_draw() -> None:
    """Against oneself it is 0 in every draw; against another the figure is the difference, and the interval holds it."""
    doubts, actual, rows = visits(3, 200)
    groups = np.array([str(i // 2) for i in range(len(actual))])
    noise = np.clip(doubts + np.random.default_rng(1).normal(0, 0.3, doubts.shape), 0, 1)
    asked = {
        who: {"natural": lists(its, QUANTITIES, actual, rows)}
        for who, its in (("a", doubts), ("b", noise), ("c", doubts))
    }
    its = verify_pairs(asked, groups, TASK, against={"a": "b", "c": "a"}, seed=1, resamples=200)
    gain = its["a"]["natural"].gain
    assert gain is not None
    assert gain.value == pytest.approx(
        its["a"]["natural"].verification.auroc.value - its["b"]["natural"].verification.auroc.value
    )
    assert gain.low < gain.value < gain.high
    one, other = (its[who]["natural"].verification.auroc for who in "ab")
    assert gain.high - gain.low < (one.high - one.low) + (other.high - other.low)
    same = its["c"]["natural"].gain
    assert same is not None
    assert (same.low, same.value, same.high) == (0, 0, 0)
    assert its["b"]["natural"].gain is None


@settings(max_examples=40)
@given(case=cases)
def test_found_are_the_lists_that_somebody_comes_to(case: Case) -> None:
    """Walking from the most doubted on, 5 % of all being wrong, until a tenth of all bins is looked at."""
    right, wrong, _ = questions(case)
    table = wrong_lists(lists(case[0], QUANTITIES, case[1], case[2]), case[2], TASK)
    assert table["doubt"].tolist() == sorted(wrong, reverse=True)
    found = []
    for doubt in table["doubt"]:
        looked_at = 0.05 * np.mean(np.array(wrong) >= doubt) + 0.95 * np.mean(np.array(right) >= doubt)
        found.append(looked_at <= 0.1 + 1e-12)
    assert table["found"].tolist() == pytest.approx(found)
    photo, other = table["photo"].to_numpy(), table["other"].to_numpy()
    assert case[0][photo, case[1][other] - 1].tolist() == table["doubt"].tolist()
