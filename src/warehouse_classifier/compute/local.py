"""Run a stage on this machine, in this process or in several, with bars on a terminal and curves in MLflow."""

import hashlib
import json
import signal
from contextlib import AbstractContextManager, nullcontext
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import Any

from warehouse_classifier.compute import finished, parameters, processes, snapshot, stage_code
from warehouse_classifier.compute.machine_errors import explained
from warehouse_classifier.compute.snapshot import Snapshot
from warehouse_classifier.compute.tracked_run import tracked
from warehouse_classifier.runtime.params import Params
from warehouse_classifier.runtime.progress import NullProgress, Progress
from warehouse_classifier.tracking.console import MetricsSink, Screen
from warehouse_classifier.tracking.mlflow_run import MlflowRun
from warehouse_classifier.training import distributed
from warehouse_classifier.work import resume


def run(stage: str, argv: list[str]) -> None:
    """Raises UserError if the stage does, if MLflow refuses, or if what the stage is made of was edited while it ran."""
    signal.signal(signal.SIGTERM, _interrupt)
    tree = parameters.read()
    begun = snapshot.take(stage, argv, tree)
    params = parameters.checked(stage, argv, tree)
    if distributed.size() > 1:
        processes.end_with_launcher()
        processes.refuse_other(stage, begun.digest if begun else "")
    elif (count := getattr(params, "processes", 1)) > 1:
        threads, digest = getattr(params, "threads", 1), begun.digest if begun else ""
        processes.together(stage, argv, count, threads, digest)
        return
    # outermost: whatever fails, be it MLflow in the end, leaves the work for the next run
    with explained(stage, params), work_folder(stage, params, argv, begun) as work:
        if distributed.rank():
            signal.signal(signal.SIGTERM, signal.SIG_DFL)  # it has nothing to save, and the first one tells
            call(stage, params, argv, begun, work, NullProgress())
        elif work is None and begun is not None:
            at_once(stage, params, argv, begun, tree)
        else:
            resumed(stage, params, argv, begun, work, tree)


def at_once(stage: str, params: Params, argv: list[str], begun: Snapshot, tree: parameters.Tree) -> None:
    """Run a stage that leaves nothing on its way: what it has computed is kept until all the rest went well.

    Raises snapshot.Edited if what the stage is made of was edited meanwhile.
    """
    outs, kept = [Path(out) for out in begun.outs], finished_folder(stage, params, begun)
    with tracked(stage, argv, tree) as sink:
        progress = finished.Recorder(Screen(sink))
        figures = finished.bring(kept, outs)
        if figures is None:
            call(stage, params, argv, begun, None, progress)
            snapshot.refuse_changes(begun, unsound_only=True)
            finished.keep(kept, outs, progress.figures)
        else:
            progress.say(f"{stage}: computed by an earlier run that could not end; taking what that has left")
            for step, values in figures:
                progress.measure(step, **values)
        register(sink, stage, argv)
        try:
            snapshot.refuse_changes(begun)  # the last act: DVC hashes when this process has ended
        except snapshot.Edited as edited:
            if not edited.sound:
                finished.forget(kept)
            raise
    finished.forget(kept)


def resumed(
    stage: str, params: Params, argv: list[str], begun: Snapshot | None, work: Path | None, tree: parameters.Tree
) -> None:
    """Run a stage that goes on from what lies in `work`, the folder of its work, which stays there if this fails.

    Raises snapshot.Edited if what the stage is made of was edited meanwhile.
    """
    with tracked(stage, argv, tree) as sink:
        call(stage, params, argv, begun, work, Screen(sink))
        register(sink, stage, argv)
        try:
            snapshot.refuse_changes(begun)
        except snapshot.Edited as edited:
            if work is not None and not edited.sound:
                resume.clear(work)  # what is done so far may be of what was edited
            raise


def call(
    stage: str, params: Params, argv: list[str], begun: Snapshot | None, work: Path | None, progress: Progress
) -> None:
    """The stage's function. Raises what it raises, and snapshot.Edited if its code was edited before all of it was loaded."""
    if begun is not None:
        snapshot.load_code(begun)
    folder = {} if work is None else {"work": work}
    stage_code.function_of(stage)(params, *map(Path, argv[1:]), **folder, progress=progress)


def register(sink: MetricsSink, stage: str, argv: list[str]) -> None:
    """Keep what the stage has calibrated as models in MLflow; of a job, whoever follows it does so."""
    if isinstance(sink, MlflowRun):
        from warehouse_classifier.compute import model_registry  # which imports what most jobs lack

        model_registry.models(sink, stage, argv)


def finished_folder(stage: str, params: Params, begun: Snapshot) -> Path:
    """Where what a stage has computed is kept (see finished.py): by all that it depends on."""
    versions = {name: version(name) for name in params.LIBRARIES}
    key = hashlib.sha256(json.dumps([begun.digest, versions], sort_keys=True).encode()).hexdigest()[:16]
    return resume.folder() / f"finished-{stage}-{key}"


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


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
