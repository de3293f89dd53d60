"""What counters and the verifier are asked about lists and records: right ones, and wrong ones of every kind (PAIRED)."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from warehouse_classifier.bins.sizes import attributes
from warehouse_classifier.evaluation.arrays import Floats, Ints
from warehouse_classifier.evaluation.counters import PRIOR, VERIFIER
from warehouse_classifier.evaluation.mismatches import visits
from warehouse_classifier.evaluation.mismatches.exchanged import EXCHANGED, WORDS, Items, ListAlone, edited_lists
from warehouse_classifier.evaluation.mismatches.paired import PairedQuestions
from warehouse_classifier.evaluation.mismatches.swaps import SWAPS, swaps
from warehouse_classifier.evaluation.thresholds import VERDICTS

NATURAL, ALIKE = "natural", "alike"
PAIRED = {**visits.VISIT_MISMATCHES, **SWAPS, EXCHANGED: WORDS}  # kinds of wrong lists and records, by key
CHANGE = "change"
RIGHT, RIGHT_CHANGE = (
    "right",
    "right change",
)  # cases beside them: a photo with its own list, a visit with its own record


class ListVerifier(Protocol):
    """The verifier before a split: photos and lists are rows of it."""

    def covered(self) -> float:
        """The share of the photos whose list's total volume lies in the range that the verifier says they look like."""

    def doubts(self, photos: Ints, lists: Ints) -> Floats:
        """How much the list of each question is doubted, [questions]."""

    def doubts_of_lists(self, photos: Ints, lists: Floats) -> Floats:
        """The same of other lists than those of the split: attributes, [questions, attributes]."""

    def doubts_of_change(self, before: Ints, after: Ints, first: Ints, second: Ints) -> Floats:
        """How much is doubted that between the photos `before` and `after` the list `first` became `second`, [questions]."""

    def verdicts(self, doubts: Floats, lists: Ints | None = None) -> npt.NDArray[np.str_]:
        """What each doubt of a list comes to, of VERDICTS; without `lists`, of lists whose number of items the networks tell apart."""

    def verdicts_of_visit(self, before: Ints, after: Ints, first: Ints, second: Ints) -> npt.NDArray[np.str_]:
        """What is said of each list `second` where the photo before and the list `first` of then are at hand."""


def pairs(
    quantity: Ints, lists: Floats, groups: npt.NDArray[np.str_], visits: Ints, quantities: Sequence[int],
    *, seed: int, draws: int = 1,
) -> dict[str, Ints]:  # fmt: skip
    """By kind the rows of bins whose lists are exchanged, [pairs, 2]; no kind without a pair.

    `quantity`, [bins], in items; `lists`: attributes, [bins, attributes]; `visits`: see rows_of; the rest: see swaps.
    """
    equal = np.nan_to_num(lists)  # where the same is not known of two lists
    drawn = {kind: swaps(kind, quantity, equal, groups, quantities, seed=seed, draws=draws) for kind in SWAPS}
    return {kind: rows for kind, rows in {NATURAL: visits, **drawn}.items() if len(rows)}


def counted(
    doubts: Floats, quantities: Sequence[int], actual: Ints, pairs: Mapping[str, Ints]
) -> dict[str, PairedQuestions]:
    """What a counter says to each pair of lists and, as CHANGE, to the records of the visits."""
    its = {kind: visits.lists(doubts, quantities, actual, rows) for kind, rows in pairs.items()}
    return _with_change(its, lambda rows: visits.change(doubts, quantities, actual, rows), pairs)


def verified(verifier: ListVerifier, actual: Ints, pairs: Mapping[str, Ints]) -> dict[str, PairedQuestions]:
    """The same by the verifier."""

    def lists(rows: Ints) -> PairedQuestions:
        photo, other = rows.ravel(), rows[:, ::-1].ravel()
        doubts = verifier.doubts(photo, photo), verifier.doubts(photo, other)
        return PairedQuestions(*doubts, np.repeat(rows[:, 0], 2), visits.parts(actual, rows))

    def change(rows: Ints) -> PairedQuestions:
        before, after = rows.T
        right = verifier.doubts_of_change(before, after, before, after)
        return PairedQuestions(right, verifier.doubts_of_change(after, before, before, after), before, {})

    return _with_change({kind: lists(rows) for kind, rows in pairs.items()}, change, pairs)


def exchanged(
    verifier: ListVerifier, items: Sequence[Items], pairs: Ints, counted: Mapping[str, Floats], alone: ListAlone,
    *, seed: int,
) -> dict[str, dict[str, PairedQuestions]]:  # fmt: skip
    """By key what is said to each bin's own list and to that list with an item exchanged for one of the other bin of its pair; by
    PRIOR what the list alone says. No kind where there is no such list.

    `items`: of every bin; `pairs`: rows, [pairs, 2]; `counted`: doubts of the own number, [bins], by the key of whoever only
    counts, and says the same to both.
    """
    photos, edited = edited_lists(items, pairs, seed=seed)
    if not len(photos):
        return {key: {} for key in (*counted, VERIFIER)}
    right = np.array([attributes(items[row]) for row in photos.tolist()])
    by_key = {key: (doubts[photos], doubts[photos]) for key, doubts in counted.items()}
    by_key[VERIFIER] = verifier.doubts(photos, photos), verifier.doubts_of_lists(photos, edited)
    by_key[PRIOR] = alone.doubts(right), alone.doubts(edited)
    return {key: {EXCHANGED: PairedQuestions(*doubts, photos, {})} for key, doubts in by_key.items()}


def verdicts(verifier: ListVerifier, photos: int, asked: Mapping[str, PairedQuestions], visits: Ints) -> pd.DataFrame:
    """The share of each verdict by case: RIGHT, of every photo with its own list, then of each kind of wrong lists; RIGHT_CHANGE,
    of `visits` [visits, 2] with their record, and CHANGE, with the photos in the other order. `judged`: how many there were.
    `asked`: as `verified` has it."""
    every = np.arange(photos)
    cases = {RIGHT: verifier.verdicts(verifier.doubts(every, every))}
    cases |= {kind: verifier.verdicts(its.wrong) for kind, its in asked.items() if kind != CHANGE}
    if len(visits):
        before, after = visits.T
        cases[RIGHT_CHANGE] = verifier.verdicts_of_visit(before, after, before, after)
        cases[CHANGE] = verifier.verdicts_of_visit(after, before, before, after)
    shares = [{verdict: float(np.mean(its == verdict)) for verdict in VERDICTS} for its in cases.values()]
    return pd.DataFrame(
        [{"case": case, "judged": len(its), **own} for (case, its), own in zip(cases.items(), shares, strict=True)]
    )


def _with_change(
    its: Mapping[str, PairedQuestions], change: Callable[[Ints], PairedQuestions], pairs: Mapping[str, Ints]
) -> dict[str, PairedQuestions]:
    """Kinds in the order of PAIRED: `change` stands behind `natural`, where there are visits."""
    every = {**its, **({CHANGE: change(pairs[NATURAL])} if NATURAL in pairs else {})}
    return {kind: every[kind] for kind in PAIRED if kind in every}
