"""Lists with an item exchanged: what is in them, and that a list alone may tell them."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from warehouse_classifier.bins.sizes import attributes
from warehouse_classifier.evaluation.mismatches import exchanged
from warehouse_classifier.evaluation.mismatches.exchanged import ListAlone, edited_lists


def item(edge: float | None, quantity: int = 1) -> dict[str, Any]:
    return {"quantity": quantity, "height": edge, "length": edge, "width": edge, "weight": edge}


bins = st.lists(
    st.lists(st.builds(item, st.sampled_from([None, 1.0, 2.0, 5.0]), st.integers(0, 3)), max_size=3),
    min_size=2, max_size=8,
)  # fmt: skip


@settings(max_examples=60)
@given(bins=bins, seed=st.integers(0, 99))
def test_one_unit_is_replaced_by_one_of_the_other_bin(bins: list[list[dict[str, Any]]], seed: int) -> None:
    pairs = np.arange(len(bins) // 2 * 2).reshape(-1, 2)
    with pytest.MonkeyPatch.context() as patch:
        seen: list[list[dict[str, Any]]] = []
        patch.setattr(exchanged, "attributes", lambda items: seen.append(items) or attributes(items))
        rows, lists = edited_lists(bins, pairs, seed=seed)
    assert lists.shape == (len(rows), len(attributes([])))
    held = [sum(its["quantity"] for its in content) for content in bins]
    owners = [row for row, other in np.concatenate([pairs, pairs[:, ::-1]]).tolist() if held[row] and held[other]]
    assert {*rows.tolist()} <= {*owners}
    edited, before = seen[: len(owners)], seen[len(owners) :]
    assert before == [bins[row] for row in owners]
    for row, its in zip(owners, edited, strict=True):
        assert sum(one["quantity"] for one in its) == held[row]
        edges = [one["height"] for one in its for _ in range(one["quantity"])]
        own = [one["height"] for one in bins[row] for _ in range(one["quantity"])]
        other = row + 1 - 2 * (row % 2)
        assert edges[-1] in [one["height"] for one in bins[other] if one["quantity"]]
        for edge in edges[:-1]:
            own.remove(edge)
        assert len(own) == 1
    again, same = edited_lists(bins, pairs, seed=seed)
    assert np.array_equal(rows, again)
    assert np.array_equal(lists, same, equal_nan=True)


def test_equal_lists_are_none() -> None:
    rows, lists = edited_lists([[item(2.0)], [item(2.0)]], np.array([[0, 1]]), seed=1)
    assert len(rows) == len(lists) == 0
    assert ListAlone.of([[item(2.0)], [item(2.0)]], np.array([[0, 1]]), seed=1) is None


def test_a_list_of_items_that_are_not_of_a_kind_betrays_itself() -> None:
    """All items of a bin are of one size here, so whoever sees the list alone knows; of items that are no kind it knows nothing."""
    random = np.random.default_rng(0)
    pairs = np.arange(400).reshape(-1, 2)

    def auroc(bins: list[list[dict[str, Any]]]) -> float:
        alone = ListAlone.of(bins, pairs[:100], seed=1)
        assert alone
        rows, wrong = edited_lists(bins, pairs[100:], seed=2)
        right = np.array([attributes(bins[row]) for row in rows])
        doubts = np.concatenate([alone.doubts(right), alone.doubts(wrong)])
        return float(roc_auc_score(np.repeat([0, 1], len(rows)), doubts))

    kinds = np.exp(random.normal(size=400))
    assert auroc([[item(edge) for _ in range(3)] for edge in kinds]) > 0.95
    assert auroc([[item(edge) for edge in np.exp(random.normal(size=3))] for _ in kinds]) == pytest.approx(
        0.5, abs=0.08
    )


def test_what_is_not_known_of_a_list_is_as_good_as_the_mean() -> None:
    bins = [[item(None if n % 5 == 0 else 1.0 + n)] for n in range(40)]
    alone = ListAlone.of(bins, np.arange(40).reshape(-1, 2), seed=1)
    assert alone
    assert np.isfinite(alone.doubts(np.array([attributes(its) for its in bins]))).all()
