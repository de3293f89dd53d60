"""Mismatches as they happen: photos of one bin before and after a robot's visit, which put something in or took it out.

Those alone that changed the number: no count can see an exchange. NATURAL: each photo with its own list and with the other photo's.
The photo after with the list before is a visit that nobody recorded, the photo before with the list after a record of a visit that was
not made. Each list and each photo is as often right as it is wrong, so that neither tells anything alone: AUROC 0.5. CHANGE: both
photos with the record of what the visit did, and with its opposite, by a difference that only turns its sign with the photos or with
the record: neither tells anything alone.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from warehouse_classifier.evaluation.arrays import Floats, Ints, Masks
from warehouse_classifier.evaluation.mismatches.paired import PairedQuestions
from warehouse_classifier.evaluation.mismatches.verification import Task

VISIT_MISMATCHES = {"natural": "the other photo’s list", "change": "the opposite record"}  # kinds, by key


def rows_of(pairs: Sequence[tuple[str, str]], facts: pd.DataFrame, listed: Ints) -> Ints:
    """The rows of `facts` (id, quantity) that hold both photos of a visit which changed the number, [visits, 2].

    `listed`: what the items of each row add up to. Where that is not its quantity, nobody knows what the visit did.
    """
    row = {id: place for place, id in enumerate(facts["id"])}
    both = [(row[before], row[after]) for before, after in pairs if before in row and after in row]
    rows: Ints = np.array(both, dtype=np.int64).reshape(-1, 2)
    quantity = facts["quantity"].to_numpy()
    before, after = quantity[rows].T
    sound = (quantity == listed)[rows].all(axis=1)
    changed: Ints = rows[(before != after) & sound]
    return changed


def wrong_lists(asked: PairedQuestions, pairs: Ints, task: Task) -> pd.DataFrame:
    """A row for each wrong question of lists, the most doubted first: photo and other (rows of the images), doubt, and whether
    it is `found` when the headline's budget of the bins is looked at. `pairs`: what was asked about, [pairs, 2]."""
    questions = asked.questions
    looked_at = questions.curve(np.ones((1, 2 * len(asked.right)))).looked_at(task.prevalence)[0]
    within = int(np.searchsorted(looked_at[1:], task.headline, side="right"))  # distinct doubts
    both = np.concatenate([asked.right, asked.wrong])
    least = both[questions.order][questions.last[within - 1]] if within else np.inf
    table = pd.DataFrame({"photo": pairs.ravel(), "other": pairs[:, ::-1].ravel(), "doubt": asked.wrong})
    return table.assign(found=asked.wrong >= least).sort_values("doubt", ascending=False, kind="stable")


def lists(doubts: Floats, quantities: Sequence[int], actual: Ints, pairs: Ints) -> PairedQuestions:
    """Both photos of each pair of images, [pairs, 2], with their own lists and with the other's, by a counter's `doubts`,
    [images, quantities]. `actual`: items, [images]. Its parts: bins that hold `more` and `fewer` items than the wrong list
    says, where there are any."""
    label = np.searchsorted(np.asarray(quantities), actual[pairs])
    photo, own, other = pairs.ravel(), label.ravel(), label[:, ::-1].ravel()
    return PairedQuestions(doubts[photo, own], doubts[photo, other], np.repeat(pairs[:, 0], 2), parts(actual, pairs))


def parts(actual: Ints, pairs: Ints) -> dict[str, Masks]:
    """Of the questions of lists, by the numbers of both bins of each pair."""
    own, other = actual[pairs].ravel(), actual[pairs][:, ::-1].ravel()
    return {"more": own > other, "fewer": own < other} if (own != other).all() else {}


def change(doubts: Floats, quantities: Sequence[int], actual: Ints, rows: Ints) -> PairedQuestions:
    """Each visit with its record and with the opposite one: by the difference of the mean quantities of both photos, as far
    as it goes the other way than the record."""
    mean = (1 - doubts) @ np.asarray(quantities, dtype=np.float64)
    recorded = np.sign(actual[rows[:, 1]] - actual[rows[:, 0]])
    against = np.round(recorded * (mean[rows[:, 0]] - mean[rows[:, 1]]), 12)  # a prior's differences are 0, not 1e-17
    return PairedQuestions(against, -against, rows[:, 0], {})
