"""`warehouse-classifier check`: photos and what is expected of them -> what the networks say of each."""

import os
import time
from collections import Counter as Counts
from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack, closing
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from warehouse_classifier.evaluation.counters import AVERAGE, COUNTERS
from warehouse_classifier.runtime.errors import UserError

if TYPE_CHECKING:  # seconds to import, and --help needs none of it
    from warehouse_classifier.cli.check.finding import Finding
    from warehouse_classifier.cli.check.photos import Photo
    from warehouse_classifier.runtime.progress import Bar

SOURCES = "Files, folders, quoted patterns ('shelf/**/*.jpg'), or one bucket: s3://…, synthetic://…, a folder like one."
EXPECTED = (
    "What each photo should show: a number of items, a CSV with the columns photo (a path or a file's name; or id) and"
    " quantity or, a row for each item, length, width, height and unit (in, cm, mm) as well; or a JSON of the same words."
    " Of a bucket, its metadata tells without."
)
BEFORE = (
    "A folder with the photos of the same bins at the visit before, under the same names: what changed between both is held"
    " against what is said to have changed. A column before of the CSV names each by its path instead, from where you are; a"
    " bucket has them where its metadata tells what is expected."
)
EXPECTED_BEFORE = "What those photos showed, as --expected."
OUTPUT = (
    "A file, or a folder (one that exists, or ends in a slash) for csv or jsonl in parts: part-00000-<digest>.csv. After a"
    " kill the same command goes on: parts of the same photos, expectations, models and options are kept, others are made"
    " anew, and parts of an earlier run that are none of this one's are removed."
)
EXPLAIN = "A folder of their own for pictures: each photo with a heat map of what spoke for its count."
Format = Literal["table", "csv", "jsonl"]
if TYPE_CHECKING:
    Model = str
else:  # typer takes its choices from the annotation, and they are those that the registry of networks has
    Model = Literal[*COUNTERS]


def check(
    photos: Annotated[list[str], typer.Argument(help=SOURCES, show_default=False)],
    expected: Annotated[str | None, typer.Option(metavar="N|FILE", help=EXPECTED)] = None,
    before: Annotated[str | None, typer.Option(metavar="FOLDER", help=BEFORE)] = None,
    expected_before: Annotated[str | None, typer.Option(metavar="N|FILE", help=EXPECTED_BEFORE)] = None,
    model: Annotated[Model, typer.Option(help="Who counts.")] = AVERAGE,
    models: Annotated[Path, typer.Option(help="The folder of trained models.")] = Path("models"),
    format: Annotated[
        Format | None, typer.Option(help="As the output's name ends, or a table.", show_default=False)
    ] = None,
    output: Annotated[str | None, typer.Option(metavar="FILE|FOLDER/", help=OUTPUT)] = None,
    explain: Annotated[Path | None, typer.Option(metavar="FOLDER", help=EXPLAIN)] = None,
    most: Annotated[int | None, typer.Option(min=1, help="Only the first so many photos.")] = None,
    part: Annotated[int, typer.Option(min=1, help="Photos in a part.")] = 10_000,
    batch: Annotated[int, typer.Option(min=1, help="Photos that a network sees at once.")] = 32,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Threads that read and resize photos; one a processor.", show_default=False),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads that count, a batch each; one a processor.", show_default=False)
    ] = None,
    concurrency: Annotated[int, typer.Option(min=1, max=1024, help="Photos asked of a bucket at once.")] = 64,
) -> int:
    """Count the items in photos of bins, and say where somebody should look.

    The verdict is **match**, **mismatch**, or **look** where the photo leaves it open, or for the reason beside it. Doubt
    is 1 minus the probability of the expected quantity; where the items are listed with their sizes, the verifier's
    probability that the list does not fit; where the photo before is at hand, that the opposite of the change happened.

    Exit status: 0 if everything matches or nothing was expected, 1 if anything is a mismatch or wants a look, 2 if this
    could not be done.
    """
    from warehouse_classifier.cli.check.expectations import expectations
    from warehouse_classifier.cli.check.formats import form_of, summary
    from warehouse_classifier.cli.check.lock import held
    from warehouse_classifier.cli.check.outputs import printed, written
    from warehouse_classifier.cli.check.part_files import PartFiles
    from warehouse_classifier.cli.check.sources import earlier_of, listed, not_over, photos_of
    from warehouse_classifier.tracking.console import Screen

    folder = Path(output) if output and (output.endswith("/") or Path(output).is_dir()) else None
    if folder and folder.is_file():
        raise UserError(f"--output {output}: {folder} is a file; leave the slash out, or name another folder")
    earlier = earlier_of(before, expected, expected_before)
    source = photos_of(photos, expectation := expectations(expected), concurrency, explain, earlier)
    with closing(source), ExitStack() as stack:
        chosen = islice(listed(source), most)
        if output and not folder:
            not_over(output, source, {"--expected": expected, "--expected-before": expected_before, "--models": models})
        form = form_of(format, output, source.longest, in_parts=folder is not None)
        if folder:  # before the seconds that a model takes
            stack.enter_context(held(folder))

        from warehouse_classifier.cli.check.inspection import inspect
        from warehouse_classifier.cli.check.pictures import Pictures
        from warehouse_classifier.serving.list_predictor import identity, opened

        counter = stack.enter_context(opened(models, model, threads=1))  # in each of the threads that count
        learned_from = counter.calibration.learned_from
        if learned_from.drawn and not source.drawn:
            Screen().say(f"{models} has learned from {learned_from}, and from no photo: of photos it can tell nothing")
        if source.visits and not counter.by_lists:
            raise UserError(
                f"a photo before needs the average and the verifier; {models} holds no verifier"
                if model == AVERAGE
                else f"a photo before needs the average and the verifier; leave --model {model} out"
            )
        if source.lists and not counter.by_lists:
            who = f"{models} holds no verifier" if model == AVERAGE else f"--model {model} counts"
            Screen().say(f"{who}, so that verdicts go by the number of items alone")
        if source.lacking:
            Screen().say(source.lacking)
        processors = len(os.sched_getaffinity(0))
        # an explanation hangs hooks on the networks, which another thread must not run into
        counters = 1 if explain or counter.device.type != "cpu" else threads or processors
        pictures = Pictures(explain) if explain else None
        draw = pictures.draw(counter) if pictures else None
        counted, begun = 0, time.monotonic()

        def look(some: "Iterable[Photo]") -> "Iterator[list[Finding]]":
            nonlocal counted
            seen = source.read(some)
            with closing(inspect(counter, seen, batch, workers or processors, counters, draw)) as groups:
                for group in groups:
                    counted += len(group)
                    yield group

        if folder:
            parts = PartFiles(
                folder,
                form,
                part,
                counter.name,
                counter.precision,
                counter.calibration.model_dump(),
                str(explain),
                identity(models, counter),
            )
            taken = parts.take(chosen, source.mark, part, look, pictures.there if pictures else None)
        else:
            taken = written(Path(output), form, look(chosen)) if output else printed(form, look(chosen))
        total = source.total if most is None or source.total is None else min(most, source.total)
        screen = Screen()
        try:
            with screen.bar("check", total, "photo") as bar:
                verdicts = tally(taken, bar)
        except KeyboardInterrupt as interrupt:
            if folder:
                message = f"what is in {folder} is whole, the same command goes on from there"
                raise type(interrupt)(message) from None
            raise
    line = summary(verdicts, counted / (time.monotonic() - begun))
    for said in (expectation, *([earlier.expected] if earlier else [])):
        if most is None and (unused := said.unused()):
            screen.say(unused)
    if form.suffix is None and not output:
        print(line, flush=True)
    else:
        screen.say(line)
    return 1 if verdicts["mismatch"] or verdicts["look"] else 0


def tally(verdicts: "Generator[Counts[str], None, None]", bar: "Bar") -> "Counts[str]":
    """How many photos have each verdict, an empty one for none, shown as they come. Ends `verdicts`, whatever happens."""
    total: Counts[str] = Counts()
    with closing(verdicts):
        for some in verdicts:
            total.update(some)
            bar.advance(some.total())
    return total
