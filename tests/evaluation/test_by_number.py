"""The verifier's figures by how many items the bins hold."""

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from warehouse_classifier.bins.sizes import SIDES
from warehouse_classifier.evaluation.arrays import Floats, Ints
from warehouse_classifier.evaluation.by_number import KINDS, by_number, words
from warehouse_classifier.evaluation.mismatches.verification import Task

TASK = Task(0.05, (0.5,), (0.05,))
QUANTITIES = (2, 3, 4)


class Guess:
    """Doubts of every photo with every list, of which right ones are a little lower, and verdicts of these."""

    def __init__(self, bins: int) -> None:
        self.of = np.random.default_rng(1).random((bins, bins)) - 0.3 * np.eye(bins)

    def covered(self) -> float:
        return 0.8

    def doubts(self, photos: Ints, lists: Ints) -> Floats:
        return np.asarray(self.of[photos, lists])

    def doubts_of_lists(self, photos: Ints, lists: Floats) -> Floats:
        raise AssertionError

    def doubts_of_change(self, before: Ints, after: Ints, first: Ints, second: Ints) -> Floats:
        return np.asarray(self.of[before, first] + self.of[after, second])

    def verdicts(self, doubts: Floats, lists: Ints | None = None) -> npt.NDArray[np.str_]:
        return np.where(doubts < 0.2, "match", "look")

    def verdicts_of_visit(self, *_: Ints) -> npt.NDArray[np.str_]:
        raise AssertionError


def facts(quantity: Ints) -> pd.DataFrame:
    """Every second bin is the one before after a visit."""
    ids = [f"{10000 + row + row // 2}" for row in range(len(quantity))]
    return pd.DataFrame({"id": ids, "quantity": quantity, "group": (np.arange(len(quantity)) // 2).astype(str)})


def holding(asins: list[str], quantity: Ints, edges: Floats) -> pd.DataFrame:
    items = [
        [{"asin": asin, "quantity": n, "weight": None, **dict.fromkeys(SIDES, 1 + edge)}] if n else []
        for asin, n, edge in zip(asins, quantity.tolist(), edges.tolist(), strict=True)
    ]
    return pd.DataFrame({"items": items})


def test_each_part_has_its_own_bins_and_pairs() -> None:
    random = np.random.default_rng(0)
    quantity = random.integers(0, 8, 240)
    visits = np.arange(240).reshape(-1, 2)  # an empty bin shares no item with another one
    visits = visits[(quantity[visits[:, 0]] != quantity[visits[:, 1]]) & (quantity[visits] > 0).all(axis=1)]
    guess, inside = Guess(240), holding([f"A{row // 2}" for row in range(240)], quantity, random.random(240))
    table = by_number(guess, facts(quantity), inside, QUANTITIES, TASK, seed=3, resamples=50).set_index("holds")
    assert list(table.index) == ["0 to 1", "2 to 4", "5 or more"]
    of_part = {"0 to 1": quantity < 2, "2 to 4": (quantity > 1) & (quantity < 5), "5 or more": quantity > 4}
    for part, own in of_part.items():
        assert table.loc[part, "bins"] == own.sum()
        right = guess.doubts(np.flatnonzero(own), np.flatnonzero(own))
        assert table.loc[part, "match"] == np.mean(right < 0.2)
        assert table.loc[part, ["match", "look", "mismatch"]].sum() == pytest.approx(1)
    inside_both, above = of_part["2 to 4"][visits].all(axis=1), of_part["5 or more"][visits].any(axis=1)
    for part, which in {"2 to 4": inside_both, "5 or more": above, "0 to 1": ~inside_both & ~above}.items():
        rows = visits[which]
        photo, other = rows.ravel(), rows[:, ::-1].ravel()
        doubts = np.concatenate([guess.doubts(photo, photo), guess.doubts(photo, other)])
        assert table.loc[part, "natural_pairs"] == table.loc[part, "change_pairs"] == len(rows)
        assert table.loc[part, "natural"] == pytest.approx(roc_auc_score(np.repeat([0, 1], len(photo)), doubts))
        assert table.loc[part, "natural_low"] < table.loc[part, "natural"] < table.loc[part, "natural_high"]
    assert table["natural_pairs"].sum() == len(visits)


def test_a_part_without_pairs_has_no_figures() -> None:
    """Two empty bins have one list, and neither has another bin of the same visit."""
    quantity = np.array([0, 0, 2, 2, 4, 4])
    inside = holding([f"A{row}" for row in range(6)], quantity, np.arange(6.0))
    bins = facts(quantity).assign(group=[*"abcdef"])
    table = by_number(Guess(6), bins, inside, QUANTITIES, TASK, seed=3, resamples=50).set_index("holds")
    assert list(table.index) == ["0 to 1", "2 to 4"]
    assert table.loc["0 to 1", [f"{kind}_pairs" for kind in KINDS]].tolist() == [0, 0, 0, 0]
    assert np.isnan(table.loc["0 to 1", list(KINDS)].astype(float)).all()
    assert table.loc["2 to 4", "alike_pairs"] == 2


def test_where_the_networks_tell_all_numbers_there_are_no_parts() -> None:
    quantity = np.array([2, 3, 4])
    inside = holding([*"abc"], quantity, np.arange(3.0))
    assert by_number(Guess(3), facts(quantity), inside, QUANTITIES, TASK, seed=3, resamples=50).empty


def test_a_range_of_one_number_is_that_number() -> None:
    assert (words(0, 0), words(1, 5)) == ("0", "1 to 5")
