"""Thresholds and verdicts against what they promise."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.doubts import QUANTITIES, cases
from warehouse_classifier.evaluation.mismatches.expectations import balanced_weights, right_mask, wrong_mask
from warehouse_classifier.evaluation.thresholds import VERDICTS, judge, match_threshold, mismatch_threshold, verdicts


@given(st.lists(st.floats(0, 1), min_size=1, max_size=200), st.sampled_from([0.01, 0.05, 0.2, 0.5]))
def test_no_more_false_alarms_than_promised(doubts: list[float], rate: float) -> None:
    above = mismatch_threshold(np.array(doubts), rate)
    assert np.mean(np.array(doubts) > above) <= rate
    lower = [doubt for doubt in doubts if doubt < above]
    if above < 1 and lower:  # the next lower one would break the promise, with one bin more to come
        assert (sum(doubt > max(lower) for doubt in doubts) + 1) / (len(doubts) + 1) > rate


def test_false_alarms_on_bins_to_come_are_as_promised() -> None:
    rng = np.random.default_rng(0)
    rates = [np.mean(rng.random(2000) > mismatch_threshold(rng.random(99), 0.05)) for _ in range(400)]
    assert np.mean(rates) == pytest.approx(0.05, abs=0.005)
    # with few bins the next lower doubt would promise too much: 3 of 11
    few = [np.mean(rng.random(2000) > mismatch_threshold(rng.random(10), 0.2)) for _ in range(400)]
    assert np.mean(few) == pytest.approx(2 / 11, abs=0.02)


@settings(max_examples=60)
@given(case=cases, rate=st.sampled_from([0.01, 0.05, 0.3]))
def test_no_more_misses_than_promised(case: tuple[np.ndarray, np.ndarray], rate: float) -> None:
    doubts, actual = case
    right, wrong = right_mask(QUANTITIES, actual), wrong_mask(QUANTITIES, actual, "one_off")
    upto = match_threshold(doubts, right, wrong, rate)
    weights = balanced_weights(right, wrong, np.ones(len(actual)))[1]
    if not weights.sum():
        assert upto == -1
        return
    passed = weights[doubts <= upto].sum() / weights.sum()
    if upto > 0:
        assert passed <= rate + 1e-12
    higher = doubts[wrong & (doubts > upto)]
    if higher.size:
        assert weights[wrong & (doubts <= higher.min())].sum() / weights.sum() > rate


def test_verdicts() -> None:
    doubts = np.array([[0.0, 0.2, 0.20001, 0.9, 0.90001]])
    wanted = ["match", "match", "look", "look", "mismatch"]
    assert judge(doubts, 0.2, 0.9).tolist() == [wanted]
    shares = verdicts(doubts, np.array([[1.0, 1, 1, 1, 4]]), 0.2, 0.9)
    assert shares == {"match": 0.25, "look": 0.25, "mismatch": 0.5}
    assert (*shares,) == VERDICTS
