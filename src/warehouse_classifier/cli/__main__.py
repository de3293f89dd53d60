"""`warehouse-classifier`, or `python -m warehouse_classifier.cli`."""

import functools
import io
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from types import FrameType
from typing import NoReturn, ParamSpec

import typer

from warehouse_classifier.cli.check.command import check
from warehouse_classifier.cli.report.command import report
from warehouse_classifier.compute.machine_errors import is_full_disk, is_memory
from warehouse_classifier.runtime.errors import UserError
from warehouse_classifier.tracking.stderr import ignore_signals, say_error

P = ParamSpec("P")
NOT_RUN = 2  # as diff has it
TOO_MUCH = "this needs more memory than there is; lower --batch, --workers or --threads"
INTERRUPTED, PIPE_CLOSED, ENDED = 128 + 2, 128 + 13, 128 + 15  # as shells tell of a signal


class Ended(KeyboardInterrupt):
    """By SIGTERM, which asks for what Ctrl-C asks for."""


def told(command: Callable[P, int]) -> Callable[P, int]:
    """The command, which gives its exit status; what is wrong is said in one line on stderr."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> int:
        try:
            return command(*args, **kwargs)
        except UserError as error:
            return _say(str(error))
        except KeyboardInterrupt as interrupt:  # whoever knows how to go on has said so
            ignore_signals()
            how, status = ("ended", ENDED) if isinstance(interrupt, Ended) else ("interrupted", INTERRUPTED)
            return _say("; ".join([how, *map(str, interrupt.args)]), status)
        except BrokenPipeError:  # by `| head`, which has all it wants
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return PIPE_CLOSED
        except Exception as error:  # noqa: BLE001 -- Python's own status for it would be taken for a mismatch
            if is_memory(error):
                return _say(TOO_MUCH)
            if is_full_disk(error):
                return _say("the disk is full; free some space and start again (parts that are whole are kept)")
            if isinstance(error, OSError):
                return _say(f"{error.filename}: {error.strerror}" if error.filename else (error.strerror or str(error)))
            traceback.print_exc()
            return NOT_RUN

    return run


app = typer.Typer(
    add_completion=False, no_args_is_help=True, rich_markup_mode="markdown", pretty_exceptions_enable=False
)
app.command("check")(told(check))
app.command("report")(told(report))


@app.callback()
def about() -> None:
    """Does this bin hold as many items as the inventory says? Trained networks look at its photo."""


def answer(argv: Sequence[str] | None = None) -> int:
    """The exit status."""
    try:
        status = app(argv, prog_name="warehouse-classifier", standalone_mode=False)
    except Exception as error:
        format_message = getattr(
            error, "format_message", None
        )  # of an option that is wrong; typer names no class for it
        if format_message is None:
            raise
        line = format_message()
        return _say(f"{line} (--help shows what there is)") if line else NOT_RUN  # the help itself was shown
    return int(status or 0)


def main() -> NoReturn:
    """The command `warehouse-classifier`; ends the process with its status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # what a terminal cannot show ends nothing
    signal.signal(signal.SIGTERM, _end)
    status = answer()
    if status in (0, 1):
        sys.exit(status)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # all is said; threads that wait for a bucket's answer would only hold up the end


def _end(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_IGN)  # what is half done is being removed, once is enough
    raise Ended


def _say(line: str, status: int = NOT_RUN) -> int:
    say_error(line)
    return status


if __name__ == "__main__":
    main()
