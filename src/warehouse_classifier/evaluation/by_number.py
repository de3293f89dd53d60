"""The verifier on bins of every number of items: those whose number the networks tell apart, and those below and above them."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from warehouse_classifier.bins import contents, groups
from warehouse_classifier.evaluation.counters import VERIFIER
from warehouse_classifier.evaluation.mismatches import lists, visits
from warehouse_classifier.evaluation.mismatches.lists import CHANGE, NATURAL, ListVerifier
from warehouse_classifier.evaluation.mismatches.paired import verify_pairs
from warehouse_classifier.evaluation.mismatches.swaps import SWAPS
from warehouse_classifier.evaluation.mismatches.verification import Task
from warehouse_classifier.evaluation.thresholds import VERDICTS

KINDS = {**visits.VISIT_MISMATCHES, **SWAPS}  # of wrong lists and records


def by_number(
    verifier: ListVerifier, facts: pd.DataFrame, inside: pd.DataFrame, quantities: Sequence[int], task: Task,
    *, seed: int, resamples: int,
) -> pd.DataFrame:  # fmt: skip
    """A row for each part of the bins, by how many items they hold: holds, bins, the share of each verdict of their own lists and,
    for each of KINDS, the number of pairs and AUROC with its interval: natural_pairs, natural, natural_low, natural_high. NaN where
    there is no pair; no row at all where every bin holds a number that the networks tell apart, `quantities`.

    `facts` (id, quantity, group) and `inside` (as contents.read has it) have a row for each photo of `verifier`. A pair belongs to
    the highest part if one of its bins does, else to the lowest.
    """
    first, last = min(quantities), max(quantities)
    quantity, names = facts["quantity"].to_numpy(dtype=np.int64), facts["group"].to_numpy(dtype=str)
    side = np.sign(quantity - np.clip(quantity, first, last))  # -1 below, 1 above
    if not side.any():
        return pd.DataFrame()
    seen = groups.visits(contents.articles(facts["id"].tolist(), inside))
    changed, attributes = visits.rows_of(seen, facts, contents.listed(inside)), contents.attributes(inside)
    part_of = np.where((side[changed] > 0).any(axis=1), 1, side[changed].min(axis=1, initial=1))
    every = np.arange(len(quantity))
    verdicts = verifier.verdicts(verifier.doubts(every, every), every)
    table = []
    for part, holds in ((-1, words(0, first - 1)), (0, words(first, last)), (1, f"{last + 1} or more")):
        own = side == part
        if not own.any():
            continue
        row: dict[str, object] = {"holds": holds, "bins": int(own.sum())}
        row |= {verdict: float(np.mean(verdicts[own] == verdict)) for verdict in VERDICTS}
        # other bins' lists within the part; those below have no other number of items than with the first that is counted
        rows = np.flatnonzero(own if part >= 0 else quantity <= first)
        drawn = lists.pairs(
            quantity[rows], attributes[rows], names[rows], changed[:0], np.unique(quantity[rows]).tolist(), seed=seed
        )
        its = {NATURAL: changed[part_of == part], **{kind: rows[both] for kind, both in drawn.items()}}
        its = {kind: both[(side[both] == part).any(axis=1)] for kind, both in its.items()}
        its = {kind: both for kind, both in its.items() if len(both)}
        asked = {VERIFIER: lists.verified(verifier, quantity, its)}
        figures = verify_pairs(asked, names, task, against={}, seed=seed, resamples=resamples)[VERIFIER]
        for kind in KINDS:
            auroc = figures[kind].verification.auroc if kind in figures else None
            row[f"{kind}_pairs"] = len(its[NATURAL if kind == CHANGE else kind]) if auroc else 0
            row |= {
                kind: auroc.value if auroc else np.nan,
                f"{kind}_low": auroc.low if auroc else np.nan,
                f"{kind}_high": auroc.high if auroc else np.nan,
            }
        table.append(row)
    return pd.DataFrame(table)


def words(first: int, last: int) -> str:
    """A range of numbers."""
    return str(first) if first == last else f"{first} to {last}"
