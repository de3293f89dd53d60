"""`warehouse-classifier report`: the report, with what MLflow keeps of the runs that made it."""

import hashlib
import webbrowser
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from warehouse_classifier.compute import stage_spec
from warehouse_classifier.runtime.errors import UserError
from warehouse_classifier.runtime.files import replacing

if TYPE_CHECKING:  # seconds to import, and --help needs none of it
    from warehouse_classifier.cli.report.records import Record

NAME = "report-with-runs.html"
OUTPUT = f"Where the page goes; {NAME} beside the report."
OPEN = "Show it in a browser."


def report(
    output: Annotated[Path | None, typer.Option(metavar="FILE.html", help=OUTPUT, show_default=False)] = None,
    open: Annotated[bool, typer.Option("--open", help=OPEN)] = False,
) -> int:
    """Add to the report what its runs were: commit, time, place, cost, speed and memory, from MLflow.

    Of each stage it takes the newest finished run with the inputs and parameters that made what dvc.lock knows; figures of
    other experiments stay out. Run it at the top of the project, after `dvc repro`.
    """
    stage, page = made()
    text = _as_locked(stage, page)
    from warehouse_classifier.cli.report import records
    from warehouse_classifier.cli.report.runs import Runs, added  # with pandas, once all is there

    stages = [name for name in stage_spec.load(stage_spec.MAP).get("stages", {}) if name in stage_spec.locked()]
    specs = {name: stage_spec.ran(name) for name in stages}
    record_of = {name: records.of(spec) for name, spec in specs.items()}
    if not any(record_of.values()):
        raise UserError(
            "MLflow has no run that made what dvc.lock knows; MLFLOW_TRACKING_URI may name the store of those who did,"
            " `dvc repro --force` runs all of it here"
        )
    rows = [records.row(name, record) for name, record in record_of.items()]
    params = dict(sorted(pair for spec in specs.values() for pair in dotted(spec.params).items()))
    target = output or page.with_name(NAME)
    joined = added(text, Runs(rows, speeds(record_of[stage]), params))
    with replacing(target) as half:
        half.write_text(joined, encoding="utf-8")
    for line in rows:
        print(
            f"{line['stage']}: " + ", ".join(filter(None, [line["run"], line["begun"], line["place"], line["commit"]]))
        )
    print(target)
    if open and not webbrowser.open(target.resolve().as_uri()):
        raise UserError(f"there is no browser here to show {target} in")
    return 0


def made() -> tuple[str, Path]:
    """The stage that leaves a page, and the page. Raises UserError if there is none."""
    for name, entry in stage_spec.locked().items():
        for out in entry.get("outs", []):
            if out["path"].endswith(".html"):
                return name, Path(out["path"])
    raise UserError("dvc.lock knows no report; run `dvc repro` at the top of the project")


def _as_locked(stage: str, page: Path) -> str:
    """The page, if it is the one that dvc.lock knows: facts of other runs would stand in another. Raises UserError."""
    try:
        body = page.read_bytes()
    except OSError as error:
        raise UserError(
            f"{page} cannot be read ({error.strerror}); `dvc repro` makes it, `dvc pull` brings it"
        ) from None
    outs = {out["path"]: out["md5"] for out in stage_spec.locked()[stage]["outs"]}
    if hashlib.md5(body, usedforsecurity=False).hexdigest() != outs[str(page)]:
        raise UserError(
            f"{page} is not the one that dvc.lock knows; `dvc repro` makes it anew, `dvc checkout {page}` brings it back"
        )
    return body.decode()


def speeds(evaluated: "Record | None") -> dict[str, tuple[float, float, float, float]]:
    """Images a second, accuracy and its interval of each counter, by title; the average asks one network after the other."""
    from warehouse_classifier.evaluation.counters import AVERAGE, COUNTERS
    from warehouse_classifier.models.registry import NETWORKS

    figures = evaluated.figures if evaluated else {}
    rates = {net: figures[key] for net in NETWORKS if figures.get(key := f"{net}_images_per_second", 0) > 0}
    if len(rates) == len(NETWORKS):
        rates[AVERAGE] = 1 / sum(1 / rate for rate in rates.values())
    return {
        COUNTERS[name]: (rate, *values)  # type: ignore[misc]  # three of them
        for name, rate in rates.items()
        if len(values := [figures[key] for end in ("", "_low", "_high") if (key := f"{name}_accuracy{end}") in figures])
        == 3
    }


def dotted(values: Mapping[str, Any], name: str = "") -> dict[str, str]:
    """Every value within values by the path to it, as text."""
    texts: dict[str, str] = {}
    for key, value in values.items():
        path = f"{name}.{key}".strip(".")
        texts |= dotted(value, path) if isinstance(value, Mapping) else {path: "null" if value is None else str(value)}
    return texts
