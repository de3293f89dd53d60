"""Run a stage in this process, with a watcher that shows bars and writes curves."""

import errno
import importlib
import os
import signal
from types import FrameType
from typing import Any

from warehouse_classifier import stages
from warehouse_classifier.compute import metrics_log, model_registry, processes, stage_spec
from warehouse_classifier.runtime import params
from warehouse_classifier.runtime.errors import Fault
from warehouse_classifier.runtime.progress import Silence
from warehouse_classifier.tracking.console import Run as Kept
from warehouse_classifier.tracking.console import Screen
from warehouse_classifier.tracking.mlflow_run import Run
from warehouse_classifier.training import distributed


def run(stage: str, argv: list[str]) -> None:
    """Raises Fault if the stage does."""
    signal.signal(signal.SIGTERM, _interrupt)
    module = importlib.import_module(f"{stages.__name__}.{stage}")
    if distributed.size() == 1:
        # checked here too, so that what is wrong is said once and not by every process
        told = getattr(module, stage.title().replace("_", "")).load(stage, argv[0])
        if getattr(told, "processes", 1) > 1:
            processes.together(stage, argv, told.processes, told.threads)
            return
    else:
        processes.end_with_launcher()
    if distributed.rank():
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # it has nothing to save, and the first one tells
        module.wire(argv, Silence())
        return
    tracked: Kept = (
        metrics_log.Lines()
        if metrics_log.wanted()
        else Run(stage, tracked_params(stage, argv[0]), inputs_of(stage, argv))
    )
    status = "FAILED"
    try:
        module.wire(argv, Screen(tracked))
        status = "FINISHED"
        if isinstance(tracked, Run):  # elsewhere whoever follows the job does it
            model_registry.models(tracked, stage, argv)
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    except MemoryError:
        raise _too_much(stage) from None
    except Exception as error:
        # safetensors and others have errors of their own for it, and only their words tell
        if isinstance(error, RuntimeError) and "memory" in str(error) and "alloc" in str(error):  # torch's own
            raise _too_much(stage) from None
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        if full or any(os.strerror(code) in str(error) for code in (errno.ENOSPC, errno.EDQUOT)):
            raise Fault(f"{stage}: the disk is full; free some space, `dvc repro` goes on from what is done") from None
        if isinstance(error, OSError):
            raise Fault(f"{stage}: {error}") from error
        raise
    finally:
        try:
            tracked.end(status)
        except Fault:
            if status == "FINISHED":  # else there is something worse to tell
                raise


def tracked_params(stage: str, scale: str) -> dict[str, Any]:
    """What params.yaml says to the stage, and what it says to several."""
    tree = params.read()
    told = {"scale": scale, **{name: tree.get(name) for name in params.TOP}}
    for section in (tree.get("data"), tree.get(stage)):
        own = section.get(scale) if isinstance(section, dict) else None
        told |= own if isinstance(own, dict) else {}
    return told


def inputs_of(stage: str, argv: list[str]) -> str:
    """One hash over the files a stage reads: as dvc.lock knows them, where it does, or by content."""
    try:
        return stage_spec.read(stage, argv).digest
    except Fault:  # no dvc.yaml here
        return ""


def _too_much(stage: str) -> Fault:
    return Fault(f"{stage} needs more memory than there is; lower its batch, workers or concurrency")


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
