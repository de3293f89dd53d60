"""Lists exchanged between bins: who is paired with whom, and that a list or a photo alone tells nothing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from warehouse_classifier.evaluation.mismatches.swaps import MORE, SWAPS, swaps

QUANTITIES = [1, 2, 3, 4, 5]
bins = st.lists(
    st.tuples(st.integers(0, 7), st.integers(0, 3), st.integers(0, 9)), min_size=1, max_size=60
)  # quantity, list, group


@settings(max_examples=60)
@given(bins=bins, kind=st.sampled_from(sorted(SWAPS)), draws=st.integers(1, 3))
def test_pairs_are_of_other_groups_other_lists_and_the_right_numbers(
    bins: list[tuple[int, int, int]], kind: str, draws: int
) -> None:
    quantity, content, group = np.array(bins).T
    lists, groups = content[:, None].astype(float), group.astype(str)
    pairs = swaps(kind, quantity, lists, groups, QUANTITIES, seed=3, draws=draws)
    assert pairs.shape == (len(pairs), 2)
    for one, other in pairs.tolist():
        assert quantity[other] - quantity[one] == MORE[kind]
        assert {quantity[one], quantity[other]} <= {*QUANTITIES}
        assert group[one] != group[other]
        assert content[one] != content[other]
    used = np.bincount(pairs.ravel(), minlength=len(bins))
    assert used.max(initial=0) <= draws
    assert np.array_equal(pairs, swaps(kind, quantity, lists, groups, QUANTITIES, seed=3, draws=draws))


@pytest.mark.parametrize("kind", sorted(SWAPS))
def test_a_list_alone_and_a_photo_alone_are_at_chance(kind: str) -> None:
    random = np.random.default_rng(0)
    quantity = random.choice(QUANTITIES, 200)
    lists, groups = random.normal(size=(200, 2)), np.arange(200).astype(str)
    pairs = swaps(kind, quantity, lists, groups, QUANTITIES, seed=1, draws=2)
    assert len(pairs) > 80
    own, other = pairs.ravel(), pairs[:, ::-1].ravel()
    wrong = np.repeat([0, 1], len(own))
    for alone in (lists[np.concatenate([own, other]), 0], random.normal(size=200)[np.concatenate([own, own])]):
        assert roc_auc_score(wrong, alone) == pytest.approx(0.5, abs=1e-12)


def test_other_seeds_are_other_pairs() -> None:
    quantity, lists, groups = np.full(40, 2), np.arange(40.0)[:, None], np.arange(40).astype(str)
    one, other = (swaps("alike", quantity, lists, groups, QUANTITIES, seed=seed) for seed in (1, 2))
    assert len(one) == len(other) == 20
    assert not np.array_equal(one, other)
