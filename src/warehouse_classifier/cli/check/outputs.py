"""Where findings go: to standard output, or into one file. Both tell how many photos have each verdict, as they go."""

import errno
import sys
from collections import Counter
from collections.abc import Generator, Iterable
from contextlib import ExitStack
from pathlib import Path

from tqdm import tqdm

from warehouse_classifier.cli.check.finding import Finding
from warehouse_classifier.cli.check.formats import Format
from warehouse_classifier.runtime.errors import UserError
from warehouse_classifier.runtime.files import replacing

Verdicts = Counter[str]  # an empty one for none
Groups = Iterable[list[Finding]]


def verdicts(group: Iterable[Finding]) -> Verdicts:
    """How many findings have each verdict."""
    return Counter(finding.verdict or "" for finding in group)


def printed(form: Format, groups: Groups) -> Generator[Verdicts, None, None]:
    """Each group as soon as it is found."""
    _print(form.head())
    for group in groups:
        _print(form.rows(group))
        yield verdicts(group)


def written(path: Path, form: Format, groups: Groups) -> Generator[Verdicts, None, None]:
    """The file is there when all of it is."""
    with ExitStack() as stack:
        special = path.exists() and not path.is_file()  # /dev/null, which must not be replaced
        try:
            half = path if special else stack.enter_context(replacing(path))
            file = stack.enter_context(half.open("w", encoding="utf-8", newline=""))
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise
            raise UserError(f"--output {path} cannot be written ({error.filename}: {error.strerror})") from None
        file.write(form.head())
        for group in groups:
            file.write(form.rows(group))
            yield verdicts(group)


def _print(text: str) -> None:
    with tqdm.external_write_mode(sys.stdout):  # takes a bar away, and brings it back below
        sys.stdout.write(text)
        sys.stdout.flush()
