"""Work in progress that a killed run leaves for the next one.

DVC wipes a stage's outputs before every run, so what is done so far lives beside them, in `$DVC_ROOT/.work/<key>`. The key
is a hash of all that the work depends on: other parameters, inputs or code never pick it up.
"""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from warehouse_classifier.fault import Fault
from warehouse_classifier.files import root

PACKAGE = Path(__file__).parent


@contextmanager
def in_progress(stage: str, *depends_on: Any) -> Iterator[Path]:
    """Yield the folder of this work; it is removed if the block succeeds and kept if it fails.

    `depends_on`: everything beside the code that the work depends on, as values that JSON can hold.
    Raises Fault if another process holds the same work.
    """
    key = hashlib.sha256(json.dumps([stage, _code(), *depends_on], sort_keys=True).encode()).hexdigest()[:16]
    folder = root() / ".work" / f"{stage}-{key}"
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
        folder.mkdir(exist_ok=True)
        yield folder
        shutil.rmtree(folder)
        Path(lock.name).unlink(missing_ok=True)


def _code() -> str:
    """One hash over the package's code, without the rooms that say where work runs and how it is watched."""
    digest = hashlib.sha256()
    for file in sorted(PACKAGE.rglob("*.py")):
        if not {"compute", "tracking.py"} & set(file.relative_to(PACKAGE).parts):
            digest.update(file.read_bytes())
    return digest.hexdigest()
