"""The figures against values worked out by hand, against scikit-learn, and under changes that must not matter."""

import warnings
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from warehouse_classifier.evaluation.metrics import (
    McNemar,
    Metrics,
    commonest,
    confusion,
    flat,
    interval,
    mcnemar,
    measure,
    pairwise,
    rounded,
)

QUANTITIES = (1, 2, 3, 4, 5)
COUNTED = st.lists(
    st.tuples(st.sampled_from(QUANTITIES), st.sampled_from(QUANTITIES), st.integers(0, 20)), min_size=1, max_size=60
)


def columns(rows: Iterable[tuple[Any, ...]]) -> Iterator[npt.NDArray[Any]]:
    return (np.array(column) for column in zip(*rows, strict=True))


def scored(actual: npt.ArrayLike, predicted: npt.ArrayLike, groups: npt.ArrayLike | None = None) -> Metrics:
    actual, predicted = np.array(actual), np.array(predicted)
    groups = np.arange(actual.size) if groups is None else np.array(groups)
    return measure(actual, predicted, groups, QUANTITIES, seed=1, resamples=2000)


def test_values_worked_out_by_hand() -> None:
    scores = scored([1, 1, 2, 2, 3, 5], [1, 2, 2, 2, 1, 3])
    assert scores.accuracy == pytest.approx(3 / 6)
    assert scores.recall == {1: 0.5, 2: 1.0, 3: 0.0, 4: None, 5: 0.0}
    assert scores.balanced_accuracy == pytest.approx((0.5 + 1 + 0 + 0) / 4)
    # F1 of 1: precision 1/2, recall 1/2; of 2: precision 2/3, recall 1; of 3 and 5: 0
    assert scores.macro_f1 == pytest.approx((0.5 + 0.8 + 0 + 0) / 4)
    assert scores.mae == pytest.approx((0 + 1 + 0 + 0 + 2 + 2) / 6)
    assert scores.rmse == pytest.approx(np.sqrt((0 + 1 + 0 + 0 + 4 + 4) / 6))
    assert scores.within_one == pytest.approx(4 / 6)


@pytest.mark.slow
@given(COUNTED)
def test_agrees_with_sklearn_and_the_interval_holds_the_point(rows: list[tuple[int, int, int]]) -> None:
    actual, predicted, groups = columns(rows)
    scores = scored(actual, predicted, groups)
    assert scores.accuracy == pytest.approx(accuracy_score(actual, predicted))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of predicted quantities that are absent, which ours must not do
        assert scores.balanced_accuracy == pytest.approx(balanced_accuracy_score(actual, predicted))
    assert 0 <= scores.accuracy_low <= scores.accuracy <= scores.accuracy_high <= 1


@pytest.mark.slow
@given(COUNTED)
def test_perfect_predictions_are_perfect(rows: list[tuple[int, int, int]]) -> None:
    actual, _, groups = columns(rows)
    scores = scored(actual, actual, groups)
    ones = ("accuracy", "accuracy_low", "accuracy_high", "balanced_accuracy", "macro_f1", "within_one")
    assert [getattr(scores, name) for name in ones] == [1] * len(ones)
    assert (scores.rmse, scores.mae) == (0, 0)
    assert {share for share in scores.recall.values() if share is not None} == {1}


@pytest.mark.slow
@given(COUNTED, st.randoms(use_true_random=False))
def test_the_order_of_images_and_the_names_of_groups_do_not_matter(
    rows: list[tuple[int, int, int]], random: Random
) -> None:
    actual, predicted, groups = columns(rows)
    shuffled = random.sample(rows, len(rows))
    again = scored(*columns([(a, b, f"group {20 - g}") for a, b, g in shuffled]))
    first = asdict(scored(actual, predicted, groups))
    assert {**asdict(again), "recall": None} == pytest.approx({**first, "recall": None})
    assert again.recall == pytest.approx(first["recall"])


@pytest.mark.slow
@given(COUNTED, st.permutations(QUANTITIES))
def test_renaming_the_quantities_changes_no_score_that_only_asks_for_right_or_wrong(
    rows: list[tuple[int, int, int]], names: list[int]
) -> None:
    actual, predicted, groups = columns(rows)
    renamed = np.array([0, *names])
    before, after = scored(actual, predicted, groups), scored(renamed[actual], renamed[predicted], groups)
    for name in ("accuracy", "accuracy_low", "accuracy_high", "balanced_accuracy", "macro_f1"):
        assert getattr(before, name) == pytest.approx(getattr(after, name))


def test_the_interval_agrees_with_the_binomial_when_every_image_is_its_own_group() -> None:
    correct = np.arange(400) < 240
    low, high = interval(correct, np.arange(400), seed=3, resamples=20000)
    error = 1.96 * np.sqrt(0.6 * 0.4 / 400)  # the normal approximation
    assert (low, high) == pytest.approx((0.6 - error, 0.6 + error), abs=0.004)


def test_images_that_always_agree_count_as_one() -> None:
    """400 images in pairs that are right or wrong together tell as much as 200, and the interval is that much wider."""
    correct, pairs = np.arange(400) % 400 < 240, np.arange(400) // 2
    alone, together = (interval(correct, groups, seed=3, resamples=20000) for groups in (np.arange(400), pairs))
    half = interval(correct[::2], np.arange(200), seed=3, resamples=20000)
    assert together == pytest.approx(half)
    assert together[1] - together[0] == pytest.approx(np.sqrt(2) * (alone[1] - alone[0]), rel=0.05)


def test_drawing_outside_cases_groups_is_drawing_groups() -> None:
    """The short cut against the bootstrap as the book has it, group by group."""
    rng = np.random.default_rng(0)
    groups = np.sort(rng.integers(0, 60, 200))
    correct = rng.random(200) < 0.5
    names = np.unique(groups)
    sizes = np.array([np.sum(groups == name) for name in names])
    rights = np.array([np.sum(correct[groups == name]) for name in names])
    drawn = rng.integers(0, names.size, (20000, names.size))
    shares = rights[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    slow = np.quantile(shares, [0.025, 0.975])
    assert interval(correct, groups, seed=1, resamples=20000) == pytest.approx(slow, abs=0.006)


def test_the_seed_decides_the_interval() -> None:
    correct, groups = np.arange(5003) % 3 == 0, np.arange(5003)
    one, again, other = (interval(correct, groups, seed=seed, resamples=1000) for seed in (1, 1, 2))
    assert one == again
    assert one != other


def test_mcnemar_by_hand() -> None:
    """11 against 1: both tails of twelve fair coins that show at most one head."""
    actual = np.ones(12, dtype=int)
    first = np.where(np.arange(12) < 11, 1, 2)
    scores = mcnemar(actual, first, 3 - first)
    assert (scores.first_only, scores.second_only) == (11, 1)
    assert scores.p == pytest.approx(2 * (1 + 12) / 2**12)


@pytest.mark.parametrize(
    ("ours", "theirs", "p"), [(70, 59, 0.378688), (80, 59, 0.089452), (30, 60, 0.00206), (10, 30, 0.002221)]
)
def test_mcnemar_against_published_values(ours: int, theirs: int, p: float) -> None:
    """Exact p-values by VassarStats, http://vassarstats.net/propcorr.html, which statsmodels' own tests use too."""
    first = np.repeat([1, 2, 1, 2], [ours, theirs, 101, 33])
    second = np.repeat([2, 1, 1, 2], [ours, theirs, 101, 33])
    scores = mcnemar(np.ones(first.size, dtype=int), first, second)
    assert (scores.first_only, scores.second_only, round(scores.p, 6)) == (ours, theirs, p)


@given(COUNTED, st.lists(st.sampled_from(QUANTITIES), min_size=60, max_size=60))
def test_mcnemar_is_symmetric_and_a_probability(rows: list[tuple[int, int, int]], others: list[int]) -> None:
    actual, first, _ = columns(rows)
    second = np.array(others[: actual.size])
    there, back = mcnemar(actual, first, second), mcnemar(actual, second, first)
    assert (there.first_only, there.second_only) == (back.second_only, back.first_only)
    assert there.p == pytest.approx(back.p)
    assert 0 <= there.p <= 1
    assert there.first_only - there.second_only == np.sum(first == actual) - np.sum(second == actual)


def test_networks_that_are_right_on_the_same_images_do_not_differ() -> None:
    actual = np.array([1, 2, 3])
    assert mcnemar(actual, np.array([1, 2, 4]), np.array([1, 2, 5])) == McNemar(0, 0, 1.0)


def test_mcnemar_of_three_is_of_every_pair() -> None:
    actual = np.array([1, 2, 3, 4])
    predicted = {"one": actual, "two": np.array([1, 2, 3, 5]), "three": np.array([5, 5, 5, 4])}
    assert pairwise(actual, predicted) == {
        ("one", "two"): McNemar(1, 0, 1.0), ("one", "three"): McNemar(3, 0, 0.25), ("two", "three"): McNemar(3, 1, 0.625),
    }  # fmt: skip
    assert pairwise(actual, {"alone": actual}) == {}


def test_the_commonest_and_of_equals_the_smaller() -> None:
    assert commonest(np.array([5, 3, 3, 2, 2, 1])) == 2


def test_confusion_counts_every_pair_in_the_order_of_quantities() -> None:
    matrix = confusion(np.array([1, 1, 5]), np.array([1, 2, 5]), QUANTITIES)
    assert matrix.shape == (5, 5)
    assert (matrix[0, 0], matrix[0, 1], matrix[4, 4], matrix.sum()) == (1, 1, 1, 3)


def test_a_quantity_without_an_image_is_null_and_silent() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores = scored([2, 2, 3], [2, 5, 3])
        tree = rounded({"vit": asdict(scores)})
    assert tree["vit"]["recall"] == {"1": None, "2": 0.5, "3": 1.0, "4": None, "5": None}
    assert tree["vit"]["balanced_accuracy"] == 0.75
    assert "resnet34_recall_1" not in flat({"resnet34": scores, "vit": scores}, {})


def test_what_goes_into_json_is_short_and_a_number() -> None:
    scores = replace(scored([1, 2], [1, 1]), rmse=1 / 3, mae=float("nan"))
    tree = rounded({"vit": asdict(scores), 2: [1, {"p": 1 / 3}]})
    assert tree["vit"]["rmse"] == 0.333333
    assert tree["vit"]["mae"] is None  # JSON has no nan
    assert tree["2"] == [1, {"p": 0.333333}]
    values = flat({"vit": scores, "resnet34": scores}, {("resnet34", "vit"): McNemar(1, 2, 0.5)})
    assert values["vit_rmse"] == 1 / 3
    assert values["mcnemar_p_resnet34_vit"] == 0.5
