"""Expectations, curves and figures against their definitions, spelled out with loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from sklearn.metrics import roc_auc_score

from support.doubts import QUANTITIES, cases, drawn
from warehouse_classifier.evaluation.mismatches.expectations import MISMATCHES, balanced_weights, right_mask, wrong_mask
from warehouse_classifier.evaluation.mismatches.roc import Curve, Pairs, curves
from warehouse_classifier.evaluation.mismatches.verification import Task, prior, verify

TASK = Task(prevalence=0.05, recalls=[0.5, 0.8], budgets=[0.01, 0.1])


# ---- who is asked with which expectation


def test_right_and_wrong_expectations() -> None:
    actual = np.array([1, 3])
    assert right_mask(QUANTITIES, actual).tolist() == [[True, *4 * [False]], [False, False, True, False, False]]
    assert wrong_mask(QUANTITIES, actual, "one_off").tolist() == [
        [False, True, False, False, False],
        [False, True, False, True, False],
    ]
    assert wrong_mask(QUANTITIES, actual, "any_size").tolist() == [
        [False, *4 * [True]],
        [True, True, False, True, True],
    ]
    assert wrong_mask((1, 3), np.array([1, 3]), "one_off").sum() == 0  # 2 is no quantity that may be expected


@pytest.mark.parametrize("kind", MISMATCHES)
@given(case=cases)
def test_every_expected_quantity_is_as_often_wrong_as_right(kind: str, case: tuple[np.ndarray, np.ndarray]) -> None:
    actual = case[1]
    counts = np.random.default_rng(3).integers(0, 3, (2, len(actual))).astype(float)
    right, wrong = balanced_weights(right_mask(QUANTITIES, actual), wrong_mask(QUANTITIES, actual, kind), counts)
    assert right.sum(axis=1) == pytest.approx(wrong.sum(axis=1))
    assert (wrong >= 0).all()


@settings(max_examples=30)
@given(case=cases)
def test_a_weighting_is_as_good_as_so_many_images(case: tuple[np.ndarray, np.ndarray]) -> None:
    doubts, actual = case
    counts = np.random.default_rng(4).integers(0, 4, len(actual))
    if not counts.sum():
        return

    def curve(doubts: np.ndarray, actual: np.ndarray, images: np.ndarray) -> Curve:
        pairs = Pairs(doubts, right_mask(QUANTITIES, actual), wrong_mask(QUANTITIES, actual, "any_size"))
        return pairs.curve(images[None].astype(float))

    weighted = curve(doubts, actual, counts)
    many = curve(np.repeat(doubts, counts, axis=0), np.repeat(actual, counts), np.ones(counts.sum()))
    assert weighted.auroc() == pytest.approx(many.auroc(), nan_ok=True)
    assert weighted.recall_at(0.1, 0.05) == pytest.approx(many.recall_at(0.1, 0.05), nan_ok=True)


# ---- figures


@pytest.mark.parametrize("kind", MISMATCHES)
@settings(max_examples=40)
@given(case=cases)
def test_auroc_is_the_weighted_one_of_scikit_learn(kind: str, case: tuple[np.ndarray, np.ndarray]) -> None:
    doubts, actual = case
    right, wrong = right_mask(QUANTITIES, actual), wrong_mask(QUANTITIES, actual, kind)
    rights, wrongs = balanced_weights(right, wrong, np.ones(len(actual)))
    used = (rights + wrongs > 0).ravel()
    if not (rights.sum() and wrongs.sum()):
        return
    wanted = roc_auc_score(wrong.ravel()[used], doubts.ravel()[used], sample_weight=(rights + wrongs).ravel()[used])
    assert Pairs(doubts, right, wrong).curve(np.ones((1, len(actual)))).auroc()[0] == pytest.approx(wanted)


@pytest.mark.parametrize("kind", MISMATCHES)
def test_what_is_found_and_how_precisely_is_what_a_warehouse_sees(kind: str) -> None:
    """Against the bins of a warehouse made of the same pairs, a twentieth of them wrong, looked at in the order of doubt."""
    doubts, actual = drawn(5, 4000)
    right, wrong = right_mask(QUANTITIES, actual), wrong_mask(QUANTITIES, actual, kind)
    rights, wrongs = balanced_weights(right, wrong, np.ones(len(actual)))
    rng = np.random.default_rng(0)
    pairs = [
        rng.choice(rights.size, n, p=shares.ravel() / shares.sum())
        for shares, n in ((rights, 190_000), (wrongs, 10_000))
    ]
    bins = np.concatenate([doubts.ravel()[shares] for shares in pairs])
    off = np.repeat([False, True], [190_000, 10_000])
    order = np.argsort(-bins, kind="stable")
    caught = np.cumsum(off[order])
    curve = Pairs(doubts, right, wrong).curve(np.ones((1, len(actual))))
    for budget in (0.01, 0.05, 0.1):
        assert curve.recall_at(budget, 0.05)[0] == pytest.approx(caught[int(budget * len(bins)) - 1] / 10_000, abs=0.02)
    looked = np.searchsorted(caught, 8000) + 1
    assert curve.precision_at(0.8, 0.05)[0] == pytest.approx(8000 / looked, abs=0.02)


@given(case=cases)
def test_who_sees_no_photo_finds_what_chance_finds(case: tuple[np.ndarray, np.ndarray]) -> None:
    actual = case[1]
    doubts = prior(np.array([0.1, 0.3, 0.3, 0.2, 0.1]), len(actual))
    for kind in MISMATCHES:
        curve = Pairs(doubts, right_mask(QUANTITIES, actual), wrong_mask(QUANTITIES, actual, kind)).curve(
            np.ones((1, len(actual)))
        )
        if np.isnan(curve.auroc()[0]):
            continue
        assert curve.auroc()[0] == pytest.approx(0.5)
        assert curve.recall_at(0.1, 0.05)[0] == pytest.approx(0.1)


def test_who_knows_everything_finds_everything() -> None:
    actual = np.repeat(QUANTITIES, 20)
    doubts = 1.0 - right_mask(QUANTITIES, actual)
    verified = verify({"all": doubts}, QUANTITIES, actual, actual.astype(str), TASK, seed=1, resamples=100)["all"][
        "any_size"
    ]
    assert verified.auroc.value == verified.precision[0.8].value == 1
    assert verified.recall[0.1].value == pytest.approx(1)
    assert verified.recall[0.01].value == pytest.approx(0.2)  # a hundredth of the bins is a fifth of the mismatches


def test_intervals_hold_the_figure_and_widen_where_bins_come_in_groups() -> None:
    doubts, actual = drawn(2, 400)
    alone = verify({"it": doubts}, QUANTITIES, actual, np.arange(400).astype(str), TASK, seed=1, resamples=1000)["it"]
    twice = verify(
        {"it": np.repeat(doubts[:200], 2, axis=0)}, QUANTITIES, np.repeat(actual[:200], 2),
        np.repeat(np.arange(200), 2).astype(str), TASK, seed=1, resamples=1000,
    )["it"]  # fmt: skip
    for kind in MISMATCHES:
        for figure in alone[kind].named().values():
            assert 0 <= figure.low <= figure.value <= figure.high <= 1
        widths = [verified[kind].auroc.high - verified[kind].auroc.low for verified in (alone, twice)]
        assert widths[1] > 1.2 * widths[0]
    again = verify({"it": doubts}, QUANTITIES, actual, np.arange(400).astype(str), TASK, seed=1, resamples=1000)["it"]
    assert again == alone
    assert [*alone["one_off"].named()] == [
        "auroc", "precision_at_recall_50", "precision_at_recall_80", "found_in_1", "found_in_10",
    ]  # fmt: skip


def test_the_interval_is_as_wide_as_figures_scatter() -> None:
    """Over many test splits drawn anew, the interval of one of them is about as wide as the middle 95 % of all."""
    covered = []
    for seed in range(200):
        doubts, actual = drawn(seed)
        curve = Pairs(doubts, right_mask(QUANTITIES, actual), wrong_mask(QUANTITIES, actual, "one_off")).curve(
            np.ones((1, 300))
        )
        covered.append(curve.auroc()[0])
    low, high = np.quantile(covered, [0.025, 0.975])
    doubts, actual = drawn(7)
    mine = verify({"it": doubts}, QUANTITIES, actual, np.arange(300).astype(str), TASK, seed=1, resamples=1000)["it"]
    assert (mine["one_off"].auroc.high - mine["one_off"].auroc.low) / (high - low) == pytest.approx(1, abs=0.3)


def test_the_curves_are_those_of_the_figures() -> None:
    doubts, actual = drawn(4)
    roc, gains = curves({"it": doubts}, QUANTITIES, actual, "one_off", 0.05)
    figures = verify({"it": doubts}, QUANTITIES, actual, np.arange(300).astype(str), TASK, seed=1, resamples=100)["it"]
    assert np.trapezoid(roc["it"], roc["false_alarms"]) == pytest.approx(figures["one_off"].auroc.value, abs=0.01)
    at = gains.loc[np.isclose(gains["looked_at"], 0.1), "it"].item()
    assert at == pytest.approx(figures["one_off"].recall[0.1].value)
    for column in (roc["it"], gains["it"]):
        assert (np.diff(column) >= -1e-12).all()
