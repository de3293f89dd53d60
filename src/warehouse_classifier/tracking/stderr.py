"""One line for whoever reads along, on stderr: stdout is for what a program takes up."""

import signal
import sys


def say(line: str) -> None:
    """Print it at once."""
    print(line, file=sys.stderr, flush=True)


def say_error(error: Exception | str) -> None:
    """Print an error as one line, however many its text has."""
    say(f"error: {' '.join(str(error).split())}")


def ignore_signals() -> None:
    """For a process that has been told to end: a second signal would interrupt its answer to the first.

    People press Ctrl-C twice, and a process whose parent is killed may get a SIGTERM as each thread of that one dies (prctl(2),
    PR_SET_PDEATHSIG).
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
