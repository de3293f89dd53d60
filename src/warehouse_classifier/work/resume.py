"""Work in progress that a killed run leaves for the next one.

DVC wipes a stage's outputs before every run, so what is done so far lives beside them, in `$DVC_ROOT/.work/<stage>-<key>`, or where
WORK_FOLDER says: a rented machine keeps one folder alone. The key is a hash of all that the work depends on: other parameters,
inputs or code never pick it up.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from warehouse_classifier.runtime.errors import UserError
from warehouse_classifier.runtime.files import root

VARIABLE = "WORK_FOLDER"


@contextmanager
def resumable(stage: str, *depends_on: Any, follow: bool = False) -> Iterator[Path]:
    """Yield the folder of this work; it is removed if the block succeeds and kept if it fails, or where WORK_FOLDER is set.

    `depends_on`: everything that the work depends on, as values that JSON can hold. `follow`: another process of the same
    training holds the folder, and this one only has to know where it is. Raises UserError if another run holds the same work.
    """
    key = hashlib.sha256(json.dumps([stage, *depends_on], sort_keys=True).encode()).hexdigest()[:16]
    place = folder() / f"{stage}-{key}"
    if follow:
        yield place
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(place.parent / f"{place.name}.lock", timeout=0)
    try:
        held = lock.acquire()
    except Timeout:
        raise UserError(f"{stage}: another run is doing this very work in {place}; wait for it or end it") from None
    with held:
        # not before the lock is ours: whoever holds it may be taking the folder away
        over = place.with_name(f".{place.name}.half")
        shutil.rmtree(over, ignore_errors=True)
        place.mkdir(exist_ok=True)
        try:
            yield place
        except BaseException:
            if not any(place.iterdir()):  # nothing to go on from
                place.rmdir()
                Path(lock.lock_file).unlink(missing_ok=True)
            raise
        if os.environ.get(VARIABLE):  # whoever rented the machine removes it, when what it has led to is safe
            return
        place.rename(over)  # all at once: a kill while it is removed leaves nothing that looks like a checkpoint
        shutil.rmtree(over)
        Path(lock.lock_file).unlink(missing_ok=True)


def clear(place: Path) -> None:
    """Remove what lies in a folder of work, and keep the folder."""
    for path in place.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def folder() -> Path:
    """Where all work in progress lies."""
    return Path(os.environ.get(VARIABLE) or root() / ".work").resolve()
