"""One line for whoever reads along, on stderr: stdout is for what a program takes up."""

import sys


def say(line: str) -> None:
    """Print it at once."""
    print(line, file=sys.stderr, flush=True)


def say_error(error: Exception | str) -> None:
    """Print an error as one line, however many its text has."""
    say(f"error: {' '.join(str(error).split())}")
