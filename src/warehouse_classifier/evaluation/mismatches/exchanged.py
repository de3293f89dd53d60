"""Lists of which one item is exchanged for another bin's: as many items, and all but one the right ones.

Such a list betrays itself: items that share a bin are of a kind, and bins have a size. So whoever sees the list alone, and no
photo, is measured beside (ListAlone).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from warehouse_classifier.bins.sizes import ATTRIBUTES, attributes
from warehouse_classifier.evaluation.arrays import Floats, Ints, Masks

EXCHANGED, WORDS = "exchanged", "its list with one item exchanged for another bin’s"
PENALTY, STEPS = 10.0, 1000  # of the logistic regression
Items = list[Mapping[str, Any]]  # of a bin, as contents.read has them


def edited_lists(items: Sequence[Items], pairs: Ints, *, seed: int) -> tuple[Ints, Floats]:
    """Rows of bins, [bins], and for each its list with one item, drawn, replaced by one of the other bin of its pair: attributes,
    [bins, attributes]. Without bins whose list is then the same.

    `items`: of every bin; `pairs`: rows, [pairs, 2]; those of whose bins a list is empty are left out.
    """
    random = np.random.default_rng(seed)
    rows, lists = [], []
    for own, other in np.concatenate([pairs, pairs[:, ::-1]]).tolist():
        if not all(any(item["quantity"] for item in items[row]) for row in (own, other)):
            continue
        out, into = (_unit(items[row], random) for row in (own, other))
        left = [{**item, "quantity": item["quantity"] - (place == out)} for place, item in enumerate(items[own])]
        rows.append(own)
        lists.append(attributes([*left, {**items[other][into], "quantity": 1}]))
    edited = np.array(lists, dtype=np.float64).reshape(len(rows), len(ATTRIBUTES))
    before = np.array([attributes(items[row]) for row in rows]).reshape(edited.shape)
    apart = (np.nan_to_num(edited) != np.nan_to_num(before)).any(axis=1)
    return np.array(rows, dtype=np.int64)[apart], edited[apart]


def _unit(items: Items, random: np.random.Generator) -> int:
    """The place of a unit's item, each unit as likely as any other."""
    units = np.repeat(np.arange(len(items)), [item["quantity"] for item in items])
    return int(units[random.integers(len(units))])


@dataclass(frozen=True)
class ListAlone:
    """Doubts of a list by itself: a logistic regression on its attributes, their squares and products."""

    middle: Floats
    spread: Floats
    weights: Floats
    bias: float

    @classmethod
    def of(cls, items: Sequence[Items], pairs: Ints, *, seed: int) -> "ListAlone | None":
        """From the lists of bins that nobody is asked about: arguments as of edited_lists. None where there is nothing to learn from."""
        rows, wrong = edited_lists(items, pairs, seed=seed)
        if not len(rows):
            return None
        return cls.learned(np.array([attributes(items[row]) for row in rows.tolist()]), wrong)

    @classmethod
    def learned(cls, right: Floats, wrong: Floats) -> "ListAlone":
        """From lists [lists, attributes] of either kind; NaN is as good as the mean."""
        from sklearn.linear_model import LogisticRegression

        both = np.concatenate([right, wrong])
        known = ~np.isnan(both)
        middle = np.where(known, both, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
        spread = np.sqrt(np.where(known, (both - middle) ** 2, 0).mean(axis=0)) + 1e-6
        is_wrong: Masks = np.repeat([False, True], [len(right), len(wrong)])
        inputs = _products(np.nan_to_num((both - middle) / spread))
        fitted = LogisticRegression(C=1 / PENALTY, max_iter=STEPS).fit(inputs, is_wrong)
        return cls(middle, spread, fitted.coef_[0], float(fitted.intercept_[0]))

    def doubts(self, lists: Floats) -> Floats:
        """The log odds that each list is a wrong one, [lists]."""
        return np.asarray(_products(np.nan_to_num((lists - self.middle) / self.spread)) @ self.weights + self.bias)


def _products(scaled: Floats) -> Floats:
    one, other = np.triu_indices(scaled.shape[1])
    return np.concatenate([scaled, scaled[:, one] * scaled[:, other]], axis=1)
