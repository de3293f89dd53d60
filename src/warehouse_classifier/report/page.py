"""The report: one HTML page that carries its own pictures and asks the network for nothing.

It holds what was measured and what it was measured on, and no time, place or speed, so that it is the same bytes
whenever it is made from the same things. Those are `Runs`, and `added` puts them into a page that is there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from warehouse_classifier.evaluation.metrics import McNemar, Scores
from warehouse_classifier.evaluation.verification import CASES, HOLDS, KINDS, Estimate, Task, Verification
from warehouse_classifier.report import accuracy_charts
from warehouse_classifier.report.formatting import between, number, percent, share, verdict
from warehouse_classifier.report.gallery import Bin
from warehouse_classifier.runtime.errors import Fault

PLACE = "<!-- here go the facts of the runs -->"  # as no text of the page can hold it: that is escaped
LINK = "<!-- here goes the link to them -->"
# Where each drawing stands, by its name or by what its name begins with: confusion_vit stands under confusion.
SECTIONS = (
    "accuracy", "confusion", "recall", "found", "roc", "verdicts", "reliability", "fullness", "clutter", "loss",
    "validation_accuracy",
)  # fmt: skip
ROWS: Sequence[tuple[str, str, str]] = (
    ("balanced_accuracy", "Balanced accuracy", "percent"),
    ("macro_f1", "Macro-F1", "number"),
    ("within_one", "Within one item", "percent"),
    ("mae", "Mean absolute error, items", "number"),
    ("rmse", "RMSE, items", "number"),
)


@dataclass(frozen=True)
class Findings:
    """Everything the page shows. Mappings by who are by title; what is empty has no section."""

    scores: Mapping[str, Scores]  # both networks, their average, and the baseline last
    mcnemar: McNemar  # between the two networks
    images: Mapping[str, int]  # by split: train, validation, test
    bins: str  # in words, where the bins are from
    split: str  # in words, how test and train are kept apart
    # Rows with title, temperature, ece_before, ece_after, ece_chance, nll_before, nll_after; and shares: false_alarms_wanted,
    # false_alarms_met, misses_wanted, misses_met (met: on the test split), look (what is left for somebody to look at).
    calibration: Sequence[Mapping[str, Any]]
    # By title and kind (verification.KINDS). The last is the expectation alone, the one before it the counter that the
    # answer is told for.
    verification: Mapping[str, Mapping[str, Verification]]
    task: Task
    drawings: Mapping[str, str]  # <svg> elements by name, see SECTIONS
    published: Sequence[Mapping[Any, str]]  # rows with quantities, model, trained_on, result
    gallery: Sequence[Bin]
    provenance: Mapping[str, str]  # words and hashes
    params: Mapping[str, str]
    # The tables that `charts.verdicts` draws, as rows with case, images, match, look, mismatch. Cases that begin with
    # "holds" are bins of other quantities than the networks know, so that every expectation is wrong.
    verdicts: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)


@dataclass(frozen=True)
class Runs:
    """What is known of the runs that made a page: when, where, at what cost and how fast."""

    rows: Sequence[Mapping[str, str]]  # of stages, all with the same keys: stage, commit, begun, took, place, cost, ...
    speeds: Mapping[str, tuple[float, float, float, float]]  # by title: images a second, accuracy, low, high
    params: Mapping[str, str]


def page(findings: Findings) -> str:
    """The whole page as HTML. All text is escaped; only the drawings, which are ours, are taken as they are.

    Raises ValueError for a drawing that no section shows.
    """
    titles = list(findings.scores)
    return _render(
        "page.html.j2",
        findings=findings,
        drawings=_sorted(findings.drawings),
        networks=titles[:2],
        counters=titles[:-1],
        baseline=titles[-1],
        quantities=list(findings.scores[titles[0]].recall),
        verdict=verdict(titles[:2], findings.mcnemar),
        gain=gain(findings.verification, findings.task),
        disguised={
            who: tuple(map(_together, _apart(rows))) for who, rows in findings.verdicts.items() if all(_apart(rows))
        },
        kinds={kind: CASES[kind] for kind in KINDS},
        rows=ROWS,
        place=_trusted(PLACE),
        link=_trusted(LINK),
    )


def added(page: str, facts: Runs) -> str:
    """The page with the facts of its runs in it. Raises Fault where it has no place for them."""
    if page.count(PLACE) != 1 or page.count(LINK) != 1:
        raise Fault(
            "this report has no place for the facts of its runs: another version made it, or they stand in it already;"
            " `dvc checkout` brings back the one that `dvc repro` made"
        )
    drawing = ""
    if facts.speeds:
        rows = [(title, *values) for title, values in facts.speeds.items()]
        table = pd.DataFrame(rows, columns=["who", "images_per_second", "accuracy", "low", "high"])
        drawing = accuracy_charts.speed("speed", table, {title: title for title in facts.speeds}).svg()
    columns = [key for key in (facts.rows[0] if facts.rows else ()) if any(row.get(key) for row in facts.rows)]
    section = _render("page.runs.html.j2", facts=facts, columns=columns, drawing=_trusted(drawing))
    link = '<li><a href="#runs">How it was run</a></li>'
    return page.replace(LINK, link).replace(PLACE, section)


@dataclass(frozen=True)
class Gain:
    """What a warehouse gains that looks where a counter doubts most."""

    who: str
    budget: float  # share of all bins that is looked at
    found: Mapping[str, Estimate]  # of the mismatches, by kind
    alone: float  # found by the expectation alone


def gain(verification: Mapping[str, Mapping[str, Verification]], task: Task) -> Gain | None:
    """For the middle one of the budgets; None where nothing was verified."""
    if not verification:
        return None
    *_, who, prior = verification
    budget = sorted(task.budgets)[len(task.budgets) // 2]
    found = {kind: verification[who][kind].found[budget] for kind in KINDS}
    return Gain(who, budget, found, verification[prior]["any_size"].found[budget].value)


def _apart(rows: Sequence[Mapping[str, Any]]) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
    """Cases of bins that hold what the networks know and what is expected, and of those that hold something else."""
    return (
        [row for row in rows if row["case"] == CASES["right"]],
        [row for row in rows if row["case"].startswith(HOLDS)],
    )


def _together(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The shares of several cases as one."""
    images = sum(row["images"] for row in rows)
    return {key: sum(row["images"] * row[key] for row in rows) / images for key in ("match", "look", "mismatch")}


def _sorted(drawings: Mapping[str, str]) -> dict[str, list[Markup]]:
    """The drawings of each section, in the order in which they came."""
    found: dict[str, list[Markup]] = {section: [] for section in SECTIONS}
    for name, svg in drawings.items():
        sections = [section for section in SECTIONS if name == section or name.startswith(f"{section}_")]
        if not sections:
            raise ValueError(f"no section of the report shows the drawing {name}")
        found[sections[0]].append(_trusted(svg))
    return found


def _trusted(text: str) -> Markup:
    return Markup(text)  # noqa: S704 -- drawn or written by ourselves


def _render(template: str, **values: Any) -> str:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"percent": percent, "between": between, "number": number, "share": share}
    return environment.get_template(template).render(**values)
