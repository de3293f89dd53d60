"""SIGTERM and Ctrl-C, held back until a training has come to a point from which it can go on."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from warehouse_classifier.training.distributed import rank, size

GRACE = 60  # seconds that a process helps the first one to save, after it was told to end


@contextmanager
def stoppable() -> Iterator[Callable[[], bool]]:
    """Hold SIGTERM and Ctrl-C back while the block runs; what is yielded says whether one has come.

    The block then comes to a point from which it can go on, and raises KeyboardInterrupt. A second one ends it at once.
    Of a team's processes the first saves what is done; the others help it to come to such a point, for a while.
    """
    received: list[int] = []

    def note(signum: int, frame: FrameType | None) -> None:
        received.append(signum)
        if rank():
            signal.alarm(GRACE)
        elif len(received) > 1:
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():  # which alone may hold signals
        yield lambda: False
        return
    before = {signum: signal.signal(signum, note) for signum in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield lambda: bool(received)
    except RuntimeError:
        if received and size() > 1:  # the others have been told too, and some are gone
            raise KeyboardInterrupt from None
        raise
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
