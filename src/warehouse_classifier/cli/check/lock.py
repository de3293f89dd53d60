"""One run at a time writes to a folder of parts."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from warehouse_classifier.runtime.errors import UserError

LOCK = ".lock"


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Make the folder, and keep it to ourselves. Raises UserError if another run has it."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise UserError(f"{folder}: another run is writing its parts there; wait for it or end it") from None
    except OSError as error:
        if error.filename:  # the file cannot be had at all
            raise UserError(f"{folder / LOCK}: {error.strerror}") from None
        # as of a network's disk
        raise UserError(f"{folder} cannot be locked ({error.strerror}); name a folder on another disk") from None
    try:
        yield
    finally:
        (folder / LOCK).unlink(missing_ok=True)  # before it is let go: nobody holds a lock by a name that is gone
        lock.release()
