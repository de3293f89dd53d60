"""All results of an evaluation, from the counters' predictions for the test split: figures, and the tables behind charts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd

from warehouse_classifier.bins import contents, groups
from warehouse_classifier.bins.sizes import attributes
from warehouse_classifier.dataset.labels import QuantityEncoder
from warehouse_classifier.evaluation import tables
from warehouse_classifier.evaluation.arrays import Floats, Ints
from warehouse_classifier.evaluation.calibration import Calibration
from warehouse_classifier.evaluation.counters import (
    AVERAGE,
    BASELINE,
    COUNTERS,
    PRIOR,
    PRIOR_TITLE,
    VERIFIER,
    VERIFIER_TITLE,
)
from warehouse_classifier.evaluation.metrics import (
    McNemar,
    Metrics,
    Quantities,
    commonest,
    confusion,
    measure,
    pairwise,
)
from warehouse_classifier.evaluation.mismatches import asked, roc, verification, visits
from warehouse_classifier.evaluation.mismatches.asked import Asked, PairedVerification
from warehouse_classifier.evaluation.mismatches.expectations import MISMATCHES
from warehouse_classifier.evaluation.mismatches.swaps import SWAPS, swaps
from warehouse_classifier.evaluation.mismatches.verification import Task, Verification
from warehouse_classifier.evaluation.mismatches.visits import VISIT_MISMATCHES
from warehouse_classifier.evaluation.predictions import Predictions

PAIRED = {**VISIT_MISMATCHES, **SWAPS}  # kinds of wrong lists and records, by key


@dataclass(frozen=True)
class EvaluationSettings:
    """How figures come to their intervals, and what a warehouse is taken to be like."""

    seed: int
    resamples: int  # of the bootstrap
    task: Task


@dataclass(frozen=True)
class Evaluation:
    """Mappings are by key: the networks, then AVERAGE, then BASELINE, or VERIFIER and PRIOR, where those have a figure too."""

    titles: Mapping[str, str]  # as people read them
    quantities: tuple[int, ...]  # that the networks tell apart
    task: Task
    answers: pd.DataFrame  # of the test split: id, quantity, group, and the quantity that each predicts, BASELINE last
    metrics: Mapping[str, Metrics]
    mcnemar: Mapping[tuple[str, str], McNemar]  # of every two networks
    verification: Mapping[str, Mapping[str, Verification]]  # by key and by kind of mismatch (MISMATCHES)
    visits: Ints  # rows of `answers`, [visits, 2]: photos of one bin before and after a visit that changed its number
    asked: Mapping[
        str, Mapping[str, Asked]
    ]  # pairs of right and wrong lists or records by key and by kind, see questions
    paired: Mapping[str, Mapping[str, PairedVerification]]  # likewise
    covered: float  # share of the lists whose total volume lies where the verifier says that the photo does
    calibration: Mapping[str, Mapping[str, float]]  # see tables.calibration_summary
    verdicts: Mapping[str, pd.DataFrame]  # by case, see tables.cases
    reliability: Mapping[str, pd.DataFrame]  # before and after the temperature, see tables.reliabilities
    contents: Mapping[str, pd.DataFrame]  # accuracy by what a bin holds: fullness and clutter, see tables.by_contents
    roc: Mapping[str, pd.DataFrame]  # by kind of mismatch, see roc.curves
    gains: Mapping[str, pd.DataFrame]  # likewise

    @property
    def counters(self) -> list[str]:
        """The networks and, where there is one, their average: all that see the photo. The last is the headline's."""
        return [key for key in self.metrics if key != BASELINE]

    @property
    def networks(self) -> list[str]:
        """Their keys, in the registry's order."""
        return [key for key in self.counters if key != AVERAGE]

    def confusion(self, counter: str) -> Ints:
        """Test images by [actual, predicted], both in the order of `quantities`."""
        actual, predicted = (self.answers[column].to_numpy() for column in ("quantity", counter))
        return confusion(actual, predicted, self.quantities)


class ListVerifier(Protocol):
    """The verifier before the test split: photos and lists are rows of it."""

    def covered(self) -> float:
        """The share of the photos whose list's total volume lies in the range that the verifier says they look like."""

    def doubts(self, photos: Ints, lists: Ints) -> Floats:
        """How much the list of each question is doubted, [questions]."""

    def doubts_of_change(self, before: Ints, after: Ints, first: Ints, second: Ints) -> Floats:
        """How much is doubted that between the photos `before` and `after` the list `first` became `second`, [questions]."""


def evaluation(
    settings: EvaluationSettings, learned: Quantities, test: Predictions, outside: Predictions,
    calibration: Calibration, inside: pd.DataFrame, verifier: ListVerifier,
) -> Evaluation:  # fmt: skip
    """`learned`: quantities of the training split. `outside`: predictions for bins of quantities that no network knows.
    `inside`: what is in the test split's bins, as contents.read has it."""
    encoder, task = QuantityEncoder(calibration.quantities), settings.task
    quantities, draws = encoder.quantities, {"seed": settings.seed, "resamples": settings.resamples}
    answers = answered(test, encoder, learned)
    counters, predicted = list(test.probabilities), {key: answers[key].to_numpy() for key in answers}
    shares = np.bincount(encoder.encode(learned), minlength=len(encoder)) / len(learned)
    doubts = {**{key: test.doubts(key) for key in counters}, PRIOR: verification.prior(shares, len(answers))}
    reliability, errors = tables.reliabilities(test, encoder, settings.seed)
    verdicts = {key: tables.cases(key, calibration.counters[key], test, outside, encoder) for key in counters}
    curves = {kind: roc.curves(doubts, quantities, test.quantity, kind, task.prevalence) for kind in MISMATCHES}
    rows = visits.rows_of(groups.visits(contents.articles(answers["id"].tolist(), inside)), answers)
    pairs = list_pairs(test, rows, inside, quantities, settings.seed)
    its = {
        **{key: counted(doubts[key], quantities, test.quantity, pairs) for key in counters},
        VERIFIER: verified(verifier, test.quantity, pairs),
        PRIOR: counted(doubts[PRIOR], quantities, test.quantity, pairs),
    }
    baseline = f"always saying {answers[BASELINE].iloc[0]}"
    by_contents = {
        "fullness": contents.quarters(inside["litres"]),
        "clutter": pd.Series(pd.Categorical(inside["kinds"], ordered=True)),
    }
    return Evaluation(
        titles={
            **{key: COUNTERS[key] for key in counters},
            BASELINE: baseline,
            VERIFIER: VERIFIER_TITLE,
            PRIOR: PRIOR_TITLE,
        },
        quantities=quantities,
        task=task,
        answers=answers,
        metrics={
            key: measure(test.quantity, predicted[key], test.groups, quantities, **draws)
            for key in (*counters, BASELINE)
        },
        mcnemar=pairwise(test.quantity, {key: predicted[key] for key in test.logits}),
        verification=verification.verify(doubts, quantities, test.quantity, test.groups, task, **draws),
        visits=rows,
        asked=its,
        covered=verifier.covered(),
        paired=asked.tell(its, test.groups, task, against={VERIFIER: counters[-1]}, **draws),
        calibration=tables.calibration_summary(calibration, errors, verdicts),
        verdicts=verdicts,
        reliability=reliability,
        contents={name: tables.by_contents(group, test, answers, **draws) for name, group in by_contents.items()},
        roc={kind: its_roc for kind, (its_roc, _) in curves.items()},
        gains={kind: its_gains for kind, (_, its_gains) in curves.items()},
    )


def list_pairs(
    test: Predictions, visits: Ints, inside: pd.DataFrame, quantities: Sequence[int], seed: int
) -> dict[str, Ints]:
    """By kind the test images whose lists are exchanged, [pairs, 2]; no kind without a pair."""
    lists = np.array([attributes(items) for items in inside["items"]]).reshape(len(inside), -1)
    drawn = {
        kind: swaps(kind, test.quantity, np.nan_to_num(lists), test.groups, quantities, seed=seed) for kind in SWAPS
    }
    return {kind: rows for kind, rows in {"natural": visits, **drawn}.items() if len(rows)}


def counted(doubts: Floats, quantities: Sequence[int], actual: Ints, pairs: Mapping[str, Ints]) -> dict[str, Asked]:
    """What a counter says to each pair of lists and, as `change`, to the records of the visits."""
    its = {kind: visits.lists(doubts, quantities, actual, rows) for kind, rows in pairs.items()}
    return _with_change(its, lambda rows: visits.change(doubts, quantities, actual, rows), pairs)


def verified(verifier: ListVerifier, actual: Ints, pairs: Mapping[str, Ints]) -> dict[str, Asked]:
    """The same by the verifier."""

    def lists(rows: Ints) -> Asked:
        photo, other = rows.ravel(), rows[:, ::-1].ravel()
        doubts = verifier.doubts(photo, photo), verifier.doubts(photo, other)
        return Asked(*doubts, np.repeat(rows[:, 0], 2), visits.parts(actual, rows))

    def change(rows: Ints) -> Asked:
        before, after = rows.T
        right = verifier.doubts_of_change(before, after, before, after)
        return Asked(right, verifier.doubts_of_change(after, before, before, after), before, {})

    return _with_change({kind: lists(rows) for kind, rows in pairs.items()}, change, pairs)


def _with_change(
    its: Mapping[str, Asked], change: Callable[[Ints], Asked], pairs: Mapping[str, Ints]
) -> dict[str, Asked]:
    """Kinds in the order of PAIRED: `change` stands behind `natural`, where there are visits."""
    every = {**its, **({"change": change(pairs["natural"])} if "natural" in pairs else {})}
    return {kind: every[kind] for kind in PAIRED if kind in every}


def answered(test: Predictions, encoder: QuantityEncoder, learned: Quantities) -> pd.DataFrame:
    """Facts of the test images, the most probable quantity by each counter, and the baseline's."""
    return test.facts.reset_index(drop=True).assign(
        **{key: encoder.decode(shares.argmax(axis=1)) for key, shares in test.probabilities.items()},
        **{BASELINE: commonest(learned)},
    )
