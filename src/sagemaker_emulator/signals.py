"""Signals that end a dry run in order."""

import signal
import subprocess
import threading
from types import FrameType


class Signals:
    """What tells this process to end, noted and no more: nothing that is to be put back is interrupted."""

    def __init__(self) -> None:
        self.come = threading.Event()
        self.child: subprocess.Popen[bytes] | None = None
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has SIGHUP
                signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.come.set()
        if self.child is not None and number != signal.SIGINT:  # a terminal's Ctrl-C is the child's too
            self.child.send_signal(number)
