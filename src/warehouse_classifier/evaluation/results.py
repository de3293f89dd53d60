"""All that an evaluation found out, from what the counters say: figures, tables, and the charts they are drawn in."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from warehouse_classifier.bins import contents
from warehouse_classifier.dataset.labels import Labels
from warehouse_classifier.evaluation import tables, verification
from warehouse_classifier.evaluation.calibration import Calibration
from warehouse_classifier.evaluation.counters import BASELINE, COUNTERS, PRIOR, PRIOR_TITLE
from warehouse_classifier.evaluation.metrics import (
    McNemar,
    Quantities,
    Scores,
    commonest,
    confusion,
    flat,
    mcnemar,
    rounded,
    score,
)
from warehouse_classifier.evaluation.tables import Said
from warehouse_classifier.evaluation.verification import CASES, KINDS, Task, Verification
from warehouse_classifier.models.registry import NETWORKS
from warehouse_classifier.report import accuracy_charts, calibration_charts
from warehouse_classifier.report.style import Chart


@dataclass(frozen=True)
class Method:
    """How figures come to their intervals, and what a warehouse is taken to be like."""

    seed: int
    resamples: int  # of the bootstrap
    task: Task


@dataclass(frozen=True)
class Results:
    """By who: a key of COUNTERS, BASELINE or PRIOR."""

    answers: pd.DataFrame  # of the test split: id, quantity, group, and the quantity that everyone says
    scores: Mapping[str, Scores]
    mcnemar: McNemar  # between the two networks
    verification: Mapping[str, Mapping[str, Verification]]  # by who and kind
    promises: Mapping[str, Mapping[str, float]]  # of calibration and thresholds, see evidence.promises
    judged: Mapping[str, pd.DataFrame]  # verdicts by case, see evidence.cases
    charts: list[Chart]

    @property
    def titles(self) -> dict[str, str]:
        return {**COUNTERS, BASELINE: f"always saying {self.answers[BASELINE].iloc[0]}"}


def results(
    method: Method,
    learned: Quantities,
    test: Said,
    outside: Said,
    known: Calibration,
    inside: pd.DataFrame,
    histories: Mapping[str, pd.DataFrame],
) -> Results:
    """`learned`: the quantities of the training split. `inside`: what contents.read says of the test split's bins."""
    labels = Labels(known.quantities)
    answers = test.facts.reset_index(drop=True).assign(
        **{who: labels.quantity(of.argmax(axis=1)) for who, of in test.probabilities.items()},
        **{BASELINE: commonest(learned)},
    )
    scores = {
        who: score(
            test.quantity, answers[who].to_numpy(), test.groups, labels.quantities,
            seed=method.seed, resamples=method.resamples,
        )
        for who in (*COUNTERS, BASELINE)
    }  # fmt: skip
    shares = np.bincount(labels.of(learned), minlength=len(labels)) / len(learned)
    doubted = {**{who: test.doubts(who) for who in COUNTERS}, PRIOR: verification.prior(shares, len(answers))}
    verified = verification.verify(
        doubted,
        labels.quantities,
        test.quantity,
        test.groups,
        method.task,
        seed=method.seed,
        resamples=method.resamples,
    )
    judged = {who: tables.cases(who, known.counters[who], test, outside, labels) for who in COUNTERS}
    reliable, errors = tables.reliabilities(test, labels, method.seed)
    drawn = Results(
        answers,
        scores,
        mcnemar(test.quantity, *(answers[net].to_numpy() for net in NETWORKS)),
        verified,
        tables.promises(known, errors, judged),
        judged,
        [],
    )
    drawn.charts.extend(counting(drawn, test, inside, histories, labels, method))
    for who, title in COUNTERS.items():
        eces = {stage: errors[who][f"ece_{stage}"] for stage in ("before", "after")}
        drawn.charts.append(calibration_charts.reliability(f"reliability_{who}", title, reliable[who], eces))
        drawn.charts.append(calibration_charts.verdicts(f"verdicts_{who}", title, judged[who]))
    names = {**COUNTERS, PRIOR: PRIOR_TITLE}
    for kind in KINDS:
        roc, found = verification.curves(doubted, labels.quantities, test.quantity, kind, method.task.prevalence)
        drawn.charts.append(calibration_charts.roc(f"roc_{kind}", CASES[kind], roc, names))
        drawn.charts.append(
            calibration_charts.found(f"found_{kind}", CASES[kind], found, names, prevalence=method.task.prevalence)
        )
    return drawn


def counting(
    found: Results,
    test: Said,
    inside: pd.DataFrame,
    histories: Mapping[str, pd.DataFrame],
    labels: Labels,
    method: Method,
) -> list[Chart]:
    """The charts of how well bins are counted, and of how the networks came to it."""
    losses, accuracies = {}, {}
    for net, history in histories.items():
        epochs = history["epoch"].tolist()
        losses[f"{net}_train"] = (epochs, history["train_loss"].tolist())
        losses[f"{net}_validation"] = (epochs, history["validation_loss"].tolist())
        accuracies[net] = (epochs, history["validation_accuracy"].tolist())
    intervals = {who: (of.accuracy, of.accuracy_low, of.accuracy_high) for who, of in found.scores.items()}
    groups = {
        "fullness": ("volume of the items", contents.quarters(inside["litres"])),
        "clutter": ("different items in the bin", pd.Series(pd.Categorical(inside["kinds"], ordered=True))),
    }
    how = {"seed": method.seed, "resamples": method.resamples}
    matrices = {who: confusion(test.quantity, found.answers[who].to_numpy(), labels.quantities) for who in COUNTERS}
    return [
        accuracy_charts.accuracies("accuracy", intervals, found.titles),
        *(
            accuracy_charts.confusion(f"confusion_{who}", COUNTERS[who], of, labels.quantities)
            for who, of in matrices.items()
        ),
        accuracy_charts.recall("recall", {who: found.scores[who].recall for who in COUNTERS}, COUNTERS),
        accuracy_charts.learning("loss", "loss", losses, COUNTERS),
        accuracy_charts.learning("validation_accuracy", "validation accuracy", accuracies, COUNTERS),
        *(
            accuracy_charts.shares(name, xlabel, tables.by_contents(group, test, found.answers, **how), COUNTERS)
            for name, (xlabel, group) in groups.items()
        ),
    ]


def as_json(found: Results) -> str:
    """Nested, at six digits: further ones would be noise in every diff. What is not known is null."""
    first, second = NETWORKS
    test = found.mcnemar
    tree = {
        **{who: asdict(of) for who, of in found.scores.items()},
        "mcnemar": {f"{first}_only": test.first_only, f"{second}_only": test.second_only, "p": test.p},
        "test_images": len(found.answers),
        "calibration": found.promises,
        "verification": {
            who: {kind: _figures(of) for kind, of in kinds.items()} for who, kinds in found.verification.items()
        },
    }
    return json.dumps(rounded(tree), indent=2, sort_keys=True, allow_nan=False) + "\n"


def named(found: Results) -> dict[str, float]:
    """The same under one name each: resnet34_accuracy, vit_recall_3, average_one_off_auroc. What is not known is left out."""
    values = flat(found.scores, found.mcnemar)
    values |= {f"{who}_{key}": value for who, of in found.promises.items() for key, value in of.items()}
    for who, kinds in found.verification.items():
        for kind, of in kinds.items():
            values |= {f"{who}_{kind}_{key}": value for key, value in _figures(of).items()}
    return {key: value for key, value in values.items() if np.isfinite(value)}


def columns(found: Results, test: Said, labels: Labels) -> pd.DataFrame:
    """predictions.csv: facts, what every counter says, and how probable each quantity is by it: average_p1, ..."""
    shares = {
        f"{who}_p{quantity}": test.probabilities[who][:, label]
        for who in COUNTERS
        for label, quantity in enumerate(labels.quantities)
    }
    return found.answers.drop(columns=BASELINE).assign(**shares)


def _figures(of: Verification) -> dict[str, float]:
    figures: dict[str, float] = {}
    for name, figure in of.named().items():
        figures |= {name: figure.value, f"{name}_low": figure.low, f"{name}_high": figure.high}
    return figures
