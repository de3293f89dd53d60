"""The MLflow run of a stage, and what is written down of the stage when it begins."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from warehouse_classifier.compute import metrics_log, parameters, stage_spec
from warehouse_classifier.runtime.errors import UserError
from warehouse_classifier.runtime.params import TOP
from warehouse_classifier.tracking.console import MetricsSink
from warehouse_classifier.tracking.mlflow_run import MlflowRun


@contextmanager
def tracked(stage: str, argv: list[str], tree: parameters.Tree) -> Iterator[MetricsSink]:
    """The stage's run in MLflow or, where that is out of reach, in the log; ended as the block ends.

    Raises UserError where MLflow refuses.
    """
    run: MetricsSink = (
        metrics_log.MetricsLog()
        if metrics_log.wanted()
        else MlflowRun(stage, tracked_params(stage, argv[0], tree), inputs_of(stage, argv))
    )
    status = "FAILED"
    try:
        yield run
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        try:
            run.end(status)
        except UserError:
            if status == "FINISHED":  # else there is something worse to tell
                raise


def tracked_params(stage: str, scale: str, tree: parameters.Tree) -> dict[str, Any]:
    """What params.yaml says to the stage, and what it says to several."""
    values = {"scale": scale, **{name: tree.get(name) for name in TOP}}
    for section in ("data", stage):
        own = parameters.at(tree, f"{section}.{scale}")
        values |= own if isinstance(own, dict) else {}
    return values


def inputs_of(stage: str, argv: list[str]) -> str:
    """One hash over the stage's command, its code and what dvc.lock knows its inputs by; nothing where dvc.yaml does not tell."""
    try:
        return stage_spec.read(stage, argv).digest
    except UserError:
        return ""
