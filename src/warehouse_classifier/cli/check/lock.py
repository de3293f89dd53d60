"""One run at a time writes to a folder of parts."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from warehouse_classifier.runtime.errors import UserError

LOCK = ".lock"


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Make the folder, and keep it to ourselves. Raises UserError if another run has it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # a run that ends takes its lock file with it, and what was opened before that locks nobody out
            if not os.path.samestat(os.fstat(lock.fileno()), Path(lock.name).stat()):
                raise BlockingIOError
        except (BlockingIOError, FileNotFoundError):
            raise UserError(f"{folder}: another run is writing its parts there; wait for it or end it") from None
        except OSError as error:  # as of a network's disk
            raise UserError(f"{folder} cannot be locked ({error.strerror}); name a folder on another disk") from None
        try:
            yield
        finally:
            Path(lock.name).unlink(missing_ok=True)
