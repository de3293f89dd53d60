"""Mismatches as they happen: photos of one bin before and after a robot's visit, which put something in or took it out.

Those alone that changed the number: no count can see an exchange. NATURAL: each photo with its own list and with the other photo's.
The photo after with the list before is a visit that nobody recorded, the photo before with the list after a record of a visit that was
not made. Each list and each photo is as often right as it is wrong, so that neither tells anything alone: AUROC 0.5. CHANGE: both
photos with the record of what the visit did, and with its opposite, by a difference that only turns its sign with the photos or with
the record: neither tells anything alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

from warehouse_classifier.evaluation.arrays import Floats, Ints, Masks
from warehouse_classifier.evaluation.mismatches.roc import Questions
from warehouse_classifier.evaluation.mismatches.verification import (
    WEIGHTS_AT_ONCE,
    Estimate,
    Task,
    Verification,
    figures_of,
    verification_of,
)

VISIT_MISMATCHES = {"natural": "the other photo’s list", "change": "the opposite record"}  # kinds, by key


@dataclass(frozen=True)
class VisitVerification:
    """How one counter tells lists and records that do not fit a visit from those that do."""

    verification: Verification
    forced_choice: (
        Estimate  # share of the photos, or of the pairs, of whose two lists or orders the right one is doubted less
    )
    found: Mapping[
        str, Estimate
    ]  # of NATURAL, by `more` and `fewer` than the list says: what is found for the headline's budget

    def named(self) -> dict[str, Estimate]:
        """Each under one name, beside those of the verification: forced_choice, more_found_in_5 (per cent)."""
        return {**self.verification.named(), "forced_choice": self.forced_choice, **self.found}


def rows_of(pairs: Sequence[tuple[str, str]], facts: pd.DataFrame) -> Ints:
    """The rows of `facts` (id, quantity) that hold both photos of a visit which changed the number, [visits, 2]."""
    row = {id: place for place, id in enumerate(facts["id"])}
    both = [(row[before], row[after]) for before, after in pairs if before in row and after in row]
    rows: Ints = np.array(both, dtype=np.int64).reshape(-1, 2)
    before, after = (facts["quantity"].to_numpy()[rows[:, place]] for place in (0, 1))
    changed: Ints = rows[before != after]
    return changed


def visited(
    doubts: Mapping[str, Floats], quantities: Sequence[int], actual: Ints, groups: npt.NDArray[np.str_], rows: Ints, task: Task,
    *, seed: int, resamples: int,
) -> dict[str, dict[str, VisitVerification]]:  # fmt: skip
    """By counter and by kind (VISIT_MISMATCHES). `doubts`: [images, quantities], `actual`: items, [images], `rows`: see rows_of.

    Nothing where there is no visit. Intervals as verify has them.
    """
    if not len(rows):
        return {counter: {} for counter in doubts}
    asked = {
        (counter, kind): make(values, quantities, actual, rows)
        for counter, values in doubts.items()
        for kind, make in (("natural", _natural), ("change", _change))
    }
    names, member = np.unique(groups[rows[:, 0]], return_inverse=True)
    count = len(names)
    figures = {key: [its.figures(np.ones((1, len(rows))), task)] for key, its in asked.items()}
    rng = np.random.default_rng(seed)
    at_once = max(1, WEIGHTS_AT_ONCE // (4 * len(rows)))
    for start in range(0, resamples, at_once):
        draws = rng.integers(count, size=(min(at_once, resamples - start), count))
        weights = np.stack([np.bincount(draw, minlength=count)[member] for draw in draws]).astype(np.float64)
        for key, its in asked.items():
            figures[key].append(its.figures(weights, task))
    result: dict[str, dict[str, VisitVerification]] = {counter: {} for counter in doubts}
    for (counter, kind), (value, *drawn) in figures.items():
        result[counter][kind] = _visited(value[0], np.concatenate(drawn), task, asked[counter, kind].parts)
    return result


def wrong_lists(doubts: Floats, quantities: Sequence[int], actual: Ints, rows: Ints, task: Task) -> pd.DataFrame:
    """A row for each wrong question of NATURAL by one counter's `doubts`, the most doubted first: photo and other (rows of the
    images), doubt, and whether it is `found` when the headline's budget of the bins is looked at."""
    asked = _natural(doubts, quantities, actual, rows)
    questions = asked.questions
    looked_at = questions.curve(np.ones((1, 2 * len(asked.right)))).looked_at(task.prevalence)[0]
    within = int(np.searchsorted(looked_at[1:], task.headline, side="right"))  # distinct doubts
    both = np.concatenate([asked.right, asked.wrong])
    least = both[questions.order][questions.last[within - 1]] if within else np.inf
    table = pd.DataFrame({"photo": rows.ravel(), "other": rows[:, ::-1].ravel(), "doubt": asked.wrong})
    return table.assign(found=asked.wrong >= least).sort_values("doubt", ascending=False, kind="stable")


@dataclass(frozen=True)
class _Asked:
    """Right and wrong questions in pairs, `right` and `wrong` their doubts, [questions]; `visit`: of which each is."""

    right: Floats
    wrong: Floats
    visit: Ints
    parts: Mapping[str, Masks]  # of the wrong ones, [questions]

    @cached_property
    def questions(self) -> Questions:
        """The right ones, then the wrong ones."""
        return Questions(np.concatenate([self.right, self.wrong]), np.repeat([False, True], len(self.right)))

    def figures(self, visits: Floats, task: Task) -> Floats:
        """[weightings, figures] for `visits`, how often each counts, [weightings, visits]."""
        weights, questions = visits[:, self.visit], self.questions
        both = np.concatenate([weights, weights], axis=1)
        curve = questions.curve(both)
        better = (self.right < self.wrong) + 0.5 * (self.right == self.wrong)
        columns = [figures_of(curve, task), weights @ better[:, None] / weights.sum(axis=1, keepdims=True)]
        for part in self.parts.values():
            above = questions.above(np.concatenate([np.zeros_like(part), part]), both)
            columns.append(curve.recall_at(task.headline, task.prevalence, above)[:, None])
        return np.concatenate(columns, axis=1)


def _natural(doubts: Floats, quantities: Sequence[int], actual: Ints, rows: Ints) -> _Asked:
    label = np.searchsorted(np.asarray(quantities), actual[rows])
    photo, own, other = rows.ravel(), label.ravel(), label[:, ::-1].ravel()
    more = own > other  # than the list says
    visit = np.repeat(np.arange(len(rows)), 2)
    return _Asked(doubts[photo, own], doubts[photo, other], visit, {"more": more, "fewer": ~more})


def _change(doubts: Floats, quantities: Sequence[int], actual: Ints, rows: Ints) -> _Asked:
    """By the difference of the mean quantities of both photos, as far as it goes the other way than the record."""
    mean = (1 - doubts) @ np.asarray(quantities, dtype=np.float64)
    recorded = np.sign(actual[rows[:, 1]] - actual[rows[:, 0]])
    against = np.round(recorded * (mean[rows[:, 0]] - mean[rows[:, 1]]), 12)  # a prior's differences are 0, not 1e-17
    return _Asked(against, -against, np.arange(len(rows)), {})


def _visited(values: Floats, drawn: Floats, task: Task, parts: Mapping[str, Masks]) -> VisitVerification:
    after = 1 + len(task.recalls) + len(task.budgets)  # figures of the verification
    low, high = np.nanquantile(drawn[:, after:], [0.025, 0.975], axis=0)
    forced_choice, *found = (Estimate(*map(float, row)) for row in zip(values[after:], low, high, strict=True))
    names = (f"{part}_found_in_{100 * task.headline:g}" for part in parts)
    return VisitVerification(
        verification_of(values[:after], drawn[:, :after], task), forced_choice, dict(zip(names, found, strict=True))
    )
