"""All that an evaluation found out, from what the counters say of the test split: figures, and the tables behind charts."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from warehouse_classifier.bins import contents
from warehouse_classifier.dataset.labels import QuantityEncoder
from warehouse_classifier.evaluation import roc, tables, verification
from warehouse_classifier.evaluation.calibration import Calibration
from warehouse_classifier.evaluation.counters import AVERAGE, BASELINE, COUNTERS, PRIOR, PRIOR_TITLE
from warehouse_classifier.evaluation.expectations import KINDS
from warehouse_classifier.evaluation.metrics import McNemar, Quantities, Scores, commonest, confusion, pairwise, score
from warehouse_classifier.evaluation.predictions import Predictions
from warehouse_classifier.evaluation.verification import Task, Verification


@dataclass(frozen=True)
class Method:
    """How figures come to their intervals, and what a warehouse is taken to be like."""

    seed: int
    resamples: int  # of the bootstrap
    task: Task


@dataclass(frozen=True)
class Evaluation:
    """Mappings are by key: the networks, then AVERAGE, then BASELINE or PRIOR where that has a figure too."""

    titles: Mapping[str, str]  # as people read them
    quantities: tuple[int, ...]  # that the networks tell apart
    task: Task
    answers: pd.DataFrame  # of the test split: id, quantity, group, and the quantity that each says, BASELINE last
    scores: Mapping[str, Scores]
    mcnemar: Mapping[tuple[str, str], McNemar]  # of every two networks
    verification: Mapping[str, Mapping[str, Verification]]  # by key and kind (KINDS)
    calibration: Mapping[str, Mapping[str, float]]  # see tables.promises
    verdicts: Mapping[str, pd.DataFrame]  # by case, see tables.cases
    reliability: Mapping[str, pd.DataFrame]  # before and after the temperature, see tables.reliabilities
    contents: Mapping[str, pd.DataFrame]  # accuracy by what a bin holds: fullness and clutter, see tables.by_contents
    roc: Mapping[str, pd.DataFrame]  # by kind, see roc.curves
    found: Mapping[str, pd.DataFrame]  # likewise

    @property
    def counters(self) -> list[str]:
        """The networks and, where there is one, their average: all that see the photo. The last is the headline's."""
        return [key for key in self.scores if key != BASELINE]

    @property
    def networks(self) -> list[str]:
        return [key for key in self.counters if key != AVERAGE]

    def confusion(self, counter: str) -> npt.NDArray[np.int64]:
        """Test images by [actual, predicted], both in the order of `quantities`."""
        actual, predicted = (self.answers[column].to_numpy() for column in ("quantity", counter))
        return confusion(actual, predicted, self.quantities)


def evaluation(
    method: Method,
    learned: Quantities,
    test: Predictions,
    outside: Predictions,
    calibration: Calibration,
    inside: pd.DataFrame,
) -> Evaluation:
    """`learned`: quantities of the training split. `outside`: predictions for bins of quantities that no network knows.
    `inside`: what contents.read says of the test split's bins."""
    labels = QuantityEncoder(calibration.quantities)
    answers = answered(test, labels, learned)
    counters, draws = list(test.probabilities), {"seed": method.seed, "resamples": method.resamples}
    shares = np.bincount(labels.encode(learned), minlength=len(labels)) / len(learned)
    doubts = {**{key: test.doubts(key) for key in counters}, PRIOR: verification.prior(shares, len(answers))}
    reliability, errors = tables.reliabilities(test, labels, method.seed)
    verdicts = {key: tables.cases(key, calibration.counters[key], test, outside, labels) for key in counters}
    curves = {
        kind: roc.curves(doubts, labels.quantities, test.quantity, kind, method.task.prevalence) for kind in KINDS
    }
    return Evaluation(
        titles={
            **{key: COUNTERS[key] for key in counters},
            BASELINE: f"always saying {answers[BASELINE].iloc[0]}",
            PRIOR: PRIOR_TITLE,
        },
        quantities=tuple(labels.quantities),
        task=method.task,
        answers=answers,
        scores={
            key: score(test.quantity, answers[key].to_numpy(), test.groups, labels.quantities, **draws)
            for key in (*counters, BASELINE)
        },
        mcnemar=pairwise(test.quantity, {key: answers[key].to_numpy() for key in test.logits}),
        verification=verification.verify(doubts, labels.quantities, test.quantity, test.groups, method.task, **draws),
        calibration=tables.promises(calibration, errors, verdicts),
        verdicts=verdicts,
        reliability=reliability,
        contents={name: tables.by_contents(group, test, answers, **draws) for name, group in _grouped(inside).items()},
        roc={kind: roc for kind, (roc, _) in curves.items()},
        found={kind: found for kind, (_, found) in curves.items()},
    )


def answered(test: Predictions, labels: QuantityEncoder, learned: Quantities) -> pd.DataFrame:
    """Facts of the test images, the most probable quantity by each counter, and the baseline's."""
    return test.facts.reset_index(drop=True).assign(
        **{key: labels.decode(shares.argmax(axis=1)) for key, shares in test.probabilities.items()},
        **{BASELINE: commonest(learned)},
    )


def _grouped(inside: pd.DataFrame) -> dict[str, pd.Series]:
    return {
        "fullness": contents.quarters(inside["litres"]),
        "clutter": pd.Series(pd.Categorical(inside["kinds"], ordered=True)),
    }
