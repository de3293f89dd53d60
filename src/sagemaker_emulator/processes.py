"""The processes of a container that runs without docker, found by what they were born with."""

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path


def kill_all(mark: str, first: subprocess.Popen[bytes] | None) -> None:
    """Kill all that were born with the variable `mark` (NAME=value), and `first`, with which they began.

    By what a process was born with, for some leave the session: torch starts each of its own in a new one.
    """
    while True:
        pids = [pid for pid in _everyone() if mark.encode() in _environment(pid)]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if first is not None and first.poll() is None:
            first.kill()  # where there is no /proc
        elif not pids:
            return
        time.sleep(0.01)


def _everyone() -> list[int]:
    return [int(folder.name) for folder in Path("/proc").glob("[0-9]*")]


def _environment(pid: int) -> list[bytes]:
    """That a process was born with; none where it is gone, or another's."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []
