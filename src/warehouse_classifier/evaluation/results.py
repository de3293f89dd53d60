"""All results of an evaluation, from the counters' predictions for the test split: figures, and the tables behind charts."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from warehouse_classifier.bins import contents, groups
from warehouse_classifier.dataset.labels import QuantityEncoder
from warehouse_classifier.evaluation import tables
from warehouse_classifier.evaluation.arrays import Ints
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
from warehouse_classifier.evaluation.mismatches import lists, paired, roc, verification, visits
from warehouse_classifier.evaluation.mismatches.exchanged import ListAlone
from warehouse_classifier.evaluation.mismatches.expectations import MISMATCHES
from warehouse_classifier.evaluation.mismatches.lists import ListVerifier
from warehouse_classifier.evaluation.mismatches.paired import PairedQuestions, PairedVerification
from warehouse_classifier.evaluation.mismatches.verification import Task, Verification
from warehouse_classifier.evaluation.predictions import Predictions


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
    questions: Mapping[str, Mapping[str, PairedQuestions]]  # by key and by kind of wrong lists and records (PAIRED)
    paired: Mapping[str, Mapping[str, PairedVerification]]  # likewise
    list_verdicts: pd.DataFrame  # of the verifier by case, see lists.verdicts
    unlike: Mapping[
        str, float
    ]  # share of the test photos that are called unlike what was learned from: as they are, and spoilt
    by_number: (
        pd.DataFrame
    )  # of the verifier, for bins of every number of items, see by_number.py; empty where there are none
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


def evaluation(
    settings: EvaluationSettings, learned: Quantities, test: Predictions, outside: Predictions,
    calibration: Calibration, inside: pd.DataFrame, verifier: ListVerifier, unlike: Mapping[str, float],
    by_number: pd.DataFrame, alone: ListAlone | None,
) -> Evaluation:  # fmt: skip
    """`learned`: quantities of the training split. `outside`: predictions for bins of quantities that no network knows.
    `inside`: what is in the test split's bins, as contents.read has it. `unlike`, `by_number`: see Evaluation. `alone`: who sees
    lists with an item exchanged and no photo; None where that was not to be learned."""
    encoder, task = QuantityEncoder(calibration.quantities), settings.task
    quantities, draws = encoder.quantities, {"seed": settings.seed, "resamples": settings.resamples}
    answers = answered(test, encoder, learned)
    counters, predicted = list(test.probabilities), {key: answers[key].to_numpy() for key in answers}
    shares = np.bincount(encoder.encode(learned), minlength=len(encoder)) / len(learned)
    doubts = {**{key: test.doubts(key) for key in counters}, PRIOR: verification.prior(shares, len(answers))}
    reliability, errors = tables.reliabilities(test, encoder, settings.seed)
    verdicts = {key: tables.cases(key, calibration.counters[key], test, outside, encoder) for key in counters}
    curves = {kind: roc.curves(doubts, quantities, test.quantity, kind, task.prevalence) for kind in MISMATCHES}
    articles = contents.articles(answers["id"].tolist(), inside)
    rows = visits.rows_of(groups.visits(articles), answers, contents.listed(inside))
    attributes = contents.attributes(inside)
    pairs = lists.pairs(test.quantity, attributes, test.groups, rows, quantities, seed=settings.seed)
    questions = {
        **{key: lists.counted(doubts[key], quantities, test.quantity, pairs) for key in counters},
        VERIFIER: lists.verified(verifier, test.quantity, pairs),
        PRIOR: lists.counted(doubts[PRIOR], quantities, test.quantity, pairs),
    }
    if alone and lists.ALIKE in pairs:
        own = {key: its[np.arange(len(its)), encoder.encode(test.quantity)] for key, its in doubts.items()}
        asked = lists.exchanged(verifier, inside["items"].tolist(), pairs[lists.ALIKE], own, alone, seed=settings.seed)
        questions = {key: {**its, **asked[key]} for key, its in questions.items()}
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
        questions=questions,
        paired=paired.verify_pairs(questions, test.groups, task, against={VERIFIER: counters[-1]}, **draws),
        list_verdicts=lists.verdicts(verifier, len(answers), questions[VERIFIER], rows),
        unlike=unlike,
        by_number=by_number,
        covered=verifier.covered(),
        calibration=tables.calibration_summary(calibration, errors, verdicts),
        verdicts=verdicts,
        reliability=reliability,
        contents={name: tables.by_contents(group, test, answers, **draws) for name, group in by_contents.items()},
        roc={kind: its_roc for kind, (its_roc, _) in curves.items()},
        gains={kind: its_gains for kind, (_, its_gains) in curves.items()},
    )


def answered(test: Predictions, encoder: QuantityEncoder, learned: Quantities) -> pd.DataFrame:
    """Facts of the test images, the most probable quantity by each counter, and the baseline's."""
    return test.facts.reset_index(drop=True).assign(
        **{key: encoder.decode(shares.argmax(axis=1)) for key, shares in test.probabilities.items()},
        **{BASELINE: commonest(learned)},
    )
