"""Every chart of the report, from an evaluation and from how its networks learned."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from warehouse_classifier.evaluation.counters import PRIOR
from warehouse_classifier.evaluation.expectations import CASES, KINDS
from warehouse_classifier.evaluation.results import Evaluation
from warehouse_classifier.report import accuracy_charts, calibration_charts, learning_charts, verification_charts
from warehouse_classifier.report.chart import Chart

PLOTS = "plots"  # the folder of SVGs and of the tables that they were drawn from
CONTENTS = {"fullness": "volume of the items", "clutter": "different items in the bin"}  # of Evaluation.contents


def drawings(evaluation: Evaluation, histories: Mapping[str, pd.DataFrame]) -> list[Chart]:
    """`histories`, by network: rows of epochs with train_loss, validation_loss and validation_accuracy."""
    return [*counting(evaluation), *learning(evaluation, histories), *grouped(evaluation), *doubting(evaluation)]


def write(charts: Sequence[Chart], folder: Path) -> None:
    """Each as an SVG and as the CSV of the same name."""
    folder.mkdir()
    for chart in charts:
        (folder / f"{chart.name}.svg").write_text(chart.svg(), encoding="utf-8")
        (folder / f"{chart.name}.csv").write_text(chart.csv(), encoding="utf-8")


def counting(evaluation: Evaluation) -> list[Chart]:
    """How well bins are counted."""
    titles, scores, quantities = evaluation.titles, evaluation.scores, evaluation.quantities
    intervals = {key: (its.accuracy, its.accuracy_low, its.accuracy_high) for key, its in scores.items()}
    return [
        accuracy_charts.accuracies("accuracy", intervals, titles),
        *(
            accuracy_charts.confusion(f"confusion_{key}", titles[key], evaluation.confusion(key), quantities)
            for key in evaluation.counters
        ),
        accuracy_charts.recall("recall", {key: scores[key].recall for key in evaluation.counters}, titles),
    ]


def learning(evaluation: Evaluation, histories: Mapping[str, pd.DataFrame]) -> list[Chart]:
    """How the networks came to it, over epochs."""
    losses, accuracies = {}, {}
    for key, history in histories.items():
        epochs = history["epoch"].tolist()
        losses[f"{key}_train"] = (epochs, history["train_loss"].tolist())
        losses[f"{key}_validation"] = (epochs, history["validation_loss"].tolist())
        accuracies[key] = (epochs, history["validation_accuracy"].tolist())
    return [
        learning_charts.learning("loss", "loss", losses, evaluation.titles),
        learning_charts.learning("validation_accuracy", "validation accuracy", accuracies, evaluation.titles),
    ]


def grouped(evaluation: Evaluation) -> list[Chart]:
    """How well bins are counted by what they hold."""
    return [
        accuracy_charts.shares(name, CONTENTS[name], table, evaluation.titles)
        for name, table in evaluation.contents.items()
    ]


def doubting(evaluation: Evaluation) -> list[Chart]:
    """What doubts are worth: calibration and verdicts of each counter, and mismatches found."""
    titles, prevalence, charts = evaluation.titles, evaluation.task.prevalence, []
    for key in evaluation.counters:
        errors = {stage: evaluation.calibration[key][f"ece_{stage}"] for stage in ("before", "after")}
        name, table = f"reliability_{key}", evaluation.reliability[key]
        charts.append(calibration_charts.reliability(name, titles[key], table, errors))
        charts.append(verification_charts.verdicts(f"verdicts_{key}", titles[key], evaluation.verdicts[key]))
    doubters = {key: titles[key] for key in (*evaluation.counters, PRIOR)}
    for kind in KINDS:
        roc, found = evaluation.roc[kind], evaluation.found[kind]
        charts.append(verification_charts.roc(f"roc_{kind}", CASES[kind], roc, doubters))
        charts.append(verification_charts.found(f"found_{kind}", CASES[kind], found, doubters, prevalence=prevalence))
    return charts
