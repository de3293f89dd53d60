"""Run a stage on this machine, in this process or in several, with a watcher that shows bars and writes curves."""

import hashlib
import json
import shutil
import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import Any

from warehouse_classifier.compute import (
    finished,
    metrics_log,
    parameters,
    processes,
    snapshot,
    stage_code,
    stage_spec,
)
from warehouse_classifier.compute.machine_errors import explained
from warehouse_classifier.compute.snapshot import Snapshot
from warehouse_classifier.runtime.errors import UserError
from warehouse_classifier.runtime.params import TOP, Params
from warehouse_classifier.runtime.progress import NullProgress, Progress
from warehouse_classifier.tracking.console import MetricsSink, Screen
from warehouse_classifier.tracking.mlflow_run import MlflowRun
from warehouse_classifier.training import distributed
from warehouse_classifier.work import resume


def run(stage: str, argv: list[str]) -> None:
    """Raises UserError if the stage does, or if what it is made of was edited while it ran."""
    signal.signal(signal.SIGTERM, _interrupt)
    tree = parameters.read()
    begun = snapshot.take(stage, argv, tree)
    params = parameters.checked(stage, argv, tree)
    if distributed.size() > 1:
        processes.end_with_launcher()
        processes.refuse_other(stage, begun.digest if begun else "")
    elif (count := getattr(params, "processes", 1)) > 1 and not is_finished(stage, params, begun):
        threads, digest = getattr(params, "threads", 1), begun.digest if begun else ""
        processes.together(stage, argv, count, threads, digest)
        return
    if distributed.rank():
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # it has nothing to save, and the first one tells
        with explained(stage, params), work_folder(stage, params, argv, begun) as work:
            if begun:
                snapshot.load_code(begun)
            call(stage, params, argv, work, NullProgress())
        return
    with tracked(stage, argv, tree) as kept, explained(stage, params):
        act(stage, params, argv, begun, kept)


def act(stage: str, params: Params, argv: list[str], begun: Snapshot | None, run: MetricsSink) -> None:
    """The stage's function, in a folder of its work that a kill leaves for the next run, and its models in MLflow.

    Raises UserError if what the stage is made of was edited meanwhile; what it has computed is then kept, where it is sound.
    """
    progress = finished.Recorder(Screen(run))
    with work_folder(stage, params, argv, begun) as work:
        if begun is None:
            call(stage, params, argv, work, progress)
            register(run, stage, argv)
            return
        outs, kept = [Path(out) for out in begun.outs], finished_folder(stage, params, begun)
        # alone: the others of a team, started by torchrun, would wait for this one
        figures = finished.bring(kept, outs) if distributed.size() == 1 else None
        if figures is not None:
            progress.say(f"{stage}: computed by an earlier run, during which it was edited; taking what that has left")
            for step, values in figures:
                progress.measure(step, **values)
        else:
            snapshot.load_code(begun)
            call(stage, params, argv, work, progress)
        register(run, stage, argv)
        try:
            snapshot.refuse_changes(begun)  # the last act: DVC hashes when this process has ended
        except snapshot.Edited as edited:
            if edited.sound:
                finished.keep(kept, outs, progress.figures)
            elif work is not None:
                clear(work)  # what is done so far may be of what was edited
            raise
    finished.forget(kept)


def register(run: MetricsSink, stage: str, argv: list[str]) -> None:
    """Keep what the stage has calibrated as models in MLflow; of a job, whoever follows it does so."""
    if isinstance(run, MlflowRun):
        from warehouse_classifier.compute import model_registry  # which imports what most jobs lack

        model_registry.models(run, stage, argv)


def finished_folder(stage: str, params: Params, begun: Snapshot) -> Path:
    versions = {name: version(name) for name in params.LIBRARIES}
    key = hashlib.sha256(json.dumps([begun.digest, versions], sort_keys=True).encode()).hexdigest()[:16]
    return resume.folder() / f"finished-{stage}-{key}"


def is_finished(stage: str, params: Params, begun: Snapshot | None) -> bool:
    """Whether an earlier run left all that the stage leaves: then one process is enough to take it."""
    return begun is not None and finished_folder(stage, params, begun).is_dir()


def clear(folder: Path) -> None:
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def call(stage: str, params: Params, argv: list[str], work: Path | None, progress: Progress) -> None:
    more = {} if work is None else {"work": work}
    stage_code.function_of(stage)(params, *map(Path, argv[1:]), **more, progress=progress)


def work_folder(
    stage: str, params: Params, argv: list[str], begun: Snapshot | None
) -> AbstractContextManager[Path | None]:
    """Where a stage leaves its work for the next run if it is killed; None for a stage that leaves none."""
    if not stage_code.is_resumable(stage):
        return nullcontext()
    return resume.resumable(stage, *work_of(params, argv, begun), follow=distributed.rank() > 0)


def work_of(params: Params, argv: list[str], begun: Snapshot | None) -> list[Any]:
    """All that the work of a killed run depends on: other code, inputs, parameters or libraries never pick it up."""
    made_of = {**begun.code, **begun.inputs} if begun else snapshot.unrecorded(argv)
    names = None if params.RESUMED_BY is None else {*params.RESUMED_BY}
    return [
        made_of,
        params.model_dump(mode="json", include=names),
        {name: version(name) for name in params.LIBRARIES},
    ]


@contextmanager
def tracked(stage: str, argv: list[str], tree: parameters.Tree) -> Iterator[MetricsSink]:
    """The stage's run in MLflow or, where that is out of reach, in the log; ended as the block ends."""
    run: MetricsSink = (
        metrics_log.Lines()
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


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
