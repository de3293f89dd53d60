"""Every chart of the report, from an evaluation and from how its networks learned."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from warehouse_classifier.evaluation.counters import PRIOR
from warehouse_classifier.evaluation.mismatches.expectations import CASES, MISMATCHES
from warehouse_classifier.evaluation.results import Evaluation
from warehouse_classifier.report import accuracy_charts, calibration_charts, learning_charts, verification_charts
from warehouse_classifier.report.chart import Chart

PLOTS = "plots"  # the folder of SVGs and of the tables that they were drawn from
CONTENTS = {"fullness": "volume of the items", "clutter": "different items in the bin"}  # of Evaluation.contents


def drawings(evaluation: Evaluation, histories: Mapping[str, pd.DataFrame]) -> list[Chart]:
    """All of them. `histories`, by network: rows of epochs with train_loss, validation_loss and validation_accuracy."""
    return [*counting(evaluation), *learning(evaluation, histories), *grouped(evaluation), *doubting(evaluation)]


def write(charts: Sequence[Chart], folder: Path) -> None:
    """Each as an SVG and as the CSV of the same name."""
    folder.mkdir()
    for chart in charts:
        (folder / f"{chart.name}.svg").write_text(chart.svg, encoding="utf-8")
        (folder / f"{chart.name}.csv").write_text(chart.csv(), encoding="utf-8")


def counting(evaluation: Evaluation) -> list[Chart]:
    """How well bins are counted."""
    titles, metrics, quantities = evaluation.titles, evaluation.metrics, evaluation.quantities
    intervals = {key: (its.accuracy, its.accuracy_low, its.accuracy_high) for key, its in metrics.items()}
    return [
        accuracy_charts.accuracies("accuracy", intervals, titles),
        *(
            accuracy_charts.confusion(f"confusion_{key}", titles[key], evaluation.confusion(key), quantities)
            for key in evaluation.counters
        ),
        accuracy_charts.recall("recall", {key: metrics[key].recall for key in evaluation.counters}, titles),
    ]


def learning(evaluation: Evaluation, histories: Mapping[str, pd.DataFrame]) -> list[Chart]:
    """Loss and accuracy of the networks over epochs."""
    by_epoch = {key: history.set_index("epoch") for key, history in histories.items()}
    losses = {
        (key, split): history[f"{split}_loss"] for key, history in by_epoch.items() for split in ("train", "validation")
    }
    accuracies = {(key, ""): history["validation_accuracy"] for key, history in by_epoch.items()}
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
    """How well doubts tell: calibration and verdicts of each counter, and mismatches found."""
    titles, prevalence, charts = evaluation.titles, evaluation.task.prevalence, []
    for key in evaluation.counters:
        errors = {stage: evaluation.calibration[key][f"ece_{stage}"] for stage in ("before", "after")}
        name, table = f"reliability_{key}", evaluation.reliability[key]
        charts.append(calibration_charts.reliability(name, titles[key], table, errors))
        charts.append(verification_charts.verdicts(f"verdicts_{key}", titles[key], evaluation.verdicts[key]))
    titles = {key: titles[key] for key in (*evaluation.counters, PRIOR)}
    for kind in MISMATCHES:
        roc, gains, case = evaluation.roc[kind], evaluation.gains[kind], CASES[kind]
        charts.append(verification_charts.roc(f"roc_{kind}", case, roc, titles))
        charts.append(verification_charts.gains(f"found_{kind}", case, gains, titles, prevalence=prevalence))
    return charts
