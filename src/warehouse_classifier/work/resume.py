"""Work in progress that a killed run leaves for the next one.

DVC wipes a stage's outputs before every run, so what is done so far lives beside them, in `$DVC_ROOT/.work/<key>`, or where
WORK_FOLDER says: a rented machine keeps one folder alone. The key is a hash of all that the work depends on: other parameters,
inputs or code never pick it up.
"""

import fcntl
import hashlib
import json
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from warehouse_classifier.runtime.errors import Fault
from warehouse_classifier.runtime.files import root
from warehouse_classifier.training.distributed import rank, size

VARIABLE = "WORK_FOLDER"
PACKAGE = Path(__file__).parents[1]
LAST_HELP = 60  # seconds


@contextmanager
def in_progress(stage: str, *depends_on: Any) -> Iterator[Path]:
    """Yield the folder of this work; it is removed if the block succeeds and kept if it fails, or where WORK_FOLDER is set.

    `depends_on`: everything beside the code that the work depends on, as values that JSON can hold.
    Of a team's processes the first holds it for all. Raises Fault if another process holds the same work.
    """
    key = hashlib.sha256(json.dumps([stage, _code(), *depends_on], sort_keys=True).encode()).hexdigest()[:16]
    folder = Path(os.environ.get(VARIABLE) or root() / ".work").resolve() / f"{stage}-{key}"
    if rank():
        yield folder
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{folder.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # a run that ends takes its lock file with it, and what was opened before that locks nobody out
            if not os.path.samestat(os.fstat(lock.fileno()), Path(lock.name).stat()):
                raise BlockingIOError
        except OSError:
            raise Fault(f"{stage}: another run is doing this very work in {folder}; wait for it or end it") from None
        # not before the lock is ours: whoever holds it may be taking the folder away
        over = folder.with_name(f".{folder.name}.half")
        shutil.rmtree(over, ignore_errors=True)
        folder.mkdir(exist_ok=True)
        yield folder
        if os.environ.get(VARIABLE):  # whoever rented the machine removes it, when what it has led to is safe
            return
        folder.rename(over)  # all at once: a kill while it is removed leaves nothing that looks like a checkpoint
        shutil.rmtree(over)
        Path(lock.name).unlink(missing_ok=True)


@contextmanager
def stoppable() -> Iterator[Callable[[], bool]]:
    """Hold SIGTERM and Ctrl-C back while the block runs; what is yielded says whether one has come.

    The block then comes to a point from which it can go on, and raises KeyboardInterrupt. A second one ends it at once.
    Of a team's processes the first saves what is done; the others help it to come to such a point, for a while.
    """
    asked: list[int] = []

    def note(signum: int, frame: FrameType | None) -> None:
        asked.append(signum)
        if rank():
            signal.alarm(LAST_HELP)
        elif len(asked) > 1:
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():  # which alone may hold signals
        yield lambda: False
        return
    before = {signum: signal.signal(signum, note) for signum in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield lambda: bool(asked)
    except RuntimeError:
        if asked and size() > 1:  # the others have been asked too, and some are gone
            raise KeyboardInterrupt from None
        raise
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def _code() -> str:
    """One hash over the package's code, without the rooms that say where work runs and how it is watched."""
    digest = hashlib.sha256()
    for file in sorted(PACKAGE.rglob("*.py")):
        if not {"cli", "compute", "mlflow_model.py", "tracking"} & set(file.relative_to(PACKAGE).parts):
            digest.update(file.read_bytes())
    return digest.hexdigest()
