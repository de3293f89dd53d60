"""The report: one HTML page that carries its own pictures and asks the network for nothing.

It holds what was measured and what it was measured on, and no time, place or speed, so that it is the same bytes
whenever it is made from the same things. runs.py adds those to a page that is there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from warehouse_classifier.evaluation.counters import BASELINE, PRIOR
from warehouse_classifier.evaluation.expectations import CASES, HOLDS, KINDS
from warehouse_classifier.evaluation.results import Evaluation
from warehouse_classifier.evaluation.verification import Estimate
from warehouse_classifier.report.formatting import comparisons
from warehouse_classifier.report.gallery import Bin
from warehouse_classifier.report.runs import LINK, PLACE
from warehouse_classifier.report.style import listed
from warehouse_classifier.report.templates import render, trusted

PAGE = "report.html"
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
class Supplement:
    """What the page shows beside the evaluation. What is empty has no section."""

    images: Mapping[str, int]  # by split: train, validation, test
    bins: str  # in words, where the bins are from
    split: str  # in words, how test and train are kept apart
    drawings: Mapping[str, str]  # <svg> elements by name, see SECTIONS
    published: Sequence[Mapping[Any, str]]  # rows with quantities, model, trained_on, result
    gallery: Sequence[Bin]
    provenance: Mapping[str, str]  # words and hashes
    params: Mapping[str, str]


def page(evaluation: Evaluation, supplement: Supplement) -> str:
    """The whole page as HTML. All text is escaped; only the drawings, which are ours, are taken as they are.

    Raises ValueError for a drawing that no section shows.
    """
    networks = {key: evaluation.titles[key] for key in evaluation.networks}
    return render(
        "page.html.j2",
        evaluation=evaluation,
        titles=evaluation.titles,
        supplement=supplement,
        drawings=_sorted(supplement.drawings),
        networks=listed(list(networks.values())),
        baseline=BASELINE,
        comparisons=comparisons(networks, evaluation.mcnemar),
        gain=gain(evaluation),
        disguised=disguised(evaluation),
        kinds={kind: CASES[kind] for kind in KINDS},
        rows=ROWS,
        place=trusted(PLACE),
        link=trusted(LINK),
    )


@dataclass(frozen=True)
class Gain:
    """What a warehouse gains that looks where a counter doubts most."""

    counter: str  # its title
    budget: float  # share of all bins that is looked at
    found: Mapping[str, Estimate]  # of the mismatches, by kind
    alone: float  # found by the expectation alone


def gain(evaluation: Evaluation) -> Gain | None:
    """For the headline's budget; None where nothing was verified."""
    if not evaluation.verification:
        return None
    counter, budget = evaluation.counters[-1], evaluation.task.headline
    found = {kind: evaluation.verification[counter][kind].found[budget] for kind in KINDS}
    alone = evaluation.verification[PRIOR]["any_size"].found[budget].value
    return Gain(evaluation.titles[counter], budget, found, alone)


def disguised(evaluation: Evaluation) -> dict[str, tuple[dict[str, float], dict[str, float]]]:
    """Shares of verdicts by counter's title: of bins that hold what is expected, and of those that hold what no network
    knows. Without the counters that were asked about one of the two only."""
    found = {}
    for key, table in evaluation.verdicts.items():
        right, other = table["case"] == CASES["right"], table["case"].str.startswith(HOLDS)
        if right.any() and other.any():
            parts = (table[rows].to_dict("records") for rows in (right, other))
            first, second = map(_together, parts)
            found[evaluation.titles[key]] = first, second
    return found


def _together(rows: Sequence[Mapping[Any, Any]]) -> dict[str, float]:
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
        found[sections[0]].append(trusted(svg))
    return found
