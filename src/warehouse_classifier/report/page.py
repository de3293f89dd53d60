"""The report: one HTML page that carries its own pictures and asks the network for nothing.

It holds what was measured and what it was measured on, and no time, place or speed, so that it is the same bytes
whenever it is made from the same things. `warehouse-classifier report` adds those to a page that is there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from warehouse_classifier.evaluation.counters import BASELINE, PRIOR, VERIFIER
from warehouse_classifier.evaluation.mismatches.expectations import CASES, HOLDS, MISMATCHES
from warehouse_classifier.evaluation.mismatches.lists import PAIRED, RIGHT, RIGHT_CHANGE
from warehouse_classifier.evaluation.mismatches.verification import Estimate
from warehouse_classifier.evaluation.mismatches.visits import VISIT_MISMATCHES
from warehouse_classifier.evaluation.results import Evaluation
from warehouse_classifier.evaluation.thresholds import VERDICTS
from warehouse_classifier.report.formatting import comparisons
from warehouse_classifier.report.gallery import Bin, WrongList
from warehouse_classifier.report.style import listed
from warehouse_classifier.report.templates import render, trusted

PAGE = "report.html"
TEMPLATE = Path(__file__).with_name("page.html.j2")
# Where the facts of the runs go, and the link to them. They cannot occur in the page's text, which is escaped.
PLACE, LINK = "<!-- here go the facts of the runs -->", "<!-- here goes the link to them -->"
# Of drawings, by their name or by its beginning: confusion_vit stands under confusion.
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
class ReportData:
    """What the page shows beside the evaluation. What is empty has no section."""

    images: Mapping[str, int]  # by split: train, validation, test
    bins: str  # in words, where the bins are from
    split: str  # in words, how test and train are kept apart
    drawings: Mapping[str, str]  # <svg> elements by name, see SECTIONS
    published: Sequence[Mapping[Any, str]]  # rows with quantities, model, trained_on, result
    gallery: Sequence[Bin]
    wrong_lists: Sequence[WrongList]  # photos with the other photo’s list, found and missed
    provenance: Mapping[str, str]  # words and hashes
    params: Mapping[str, str]


def page(evaluation: Evaluation, data: ReportData) -> str:
    """The whole page as HTML. All text is escaped; only the drawings, which are ours, are taken as they are.

    Raises ValueError for a drawing that no section shows.
    """
    networks = {key: evaluation.titles[key] for key in evaluation.networks}
    return render(
        TEMPLATE,
        evaluation=evaluation,
        titles=evaluation.titles,
        data=data,
        drawings=_by_section(data.drawings),
        networks=listed(list(networks.values())),
        baseline=BASELINE,
        comparisons=comparisons(networks, evaluation.mcnemar),
        headline=headline(evaluation),
        unrecorded=unrecorded(evaluation),
        paired=PAIRED,
        verifier=VERIFIER,
        verdicts=VERDICTS,
        cases={**PAIRED, RIGHT: "the bin’s own", RIGHT_CHANGE: "the visit’s own record"},
        disguised=disguised(evaluation),
        mismatches={kind: CASES[kind] for kind in MISMATCHES},
        rows=ROWS,
        place=trusted(PLACE),
        link=trusted(LINK),
    )


@dataclass(frozen=True)
class Headline:
    """The mismatches that a warehouse finds if it looks where a counter doubts most."""

    counter: str  # its title
    budget: float  # share of all bins that is looked at
    recall: Mapping[str, Estimate]  # of the mismatches, by kind
    prior: float  # recall by the expectation alone


def headline(evaluation: Evaluation) -> Headline | None:
    """Of the last counter, for the headline's budget; None where nothing was verified."""
    if not evaluation.verification:
        return None
    counter, budget = evaluation.counters[-1], evaluation.task.headline
    recall = {kind: evaluation.verification[counter][kind].recall[budget] for kind in MISMATCHES}
    prior = evaluation.verification[PRIOR]["any_size"].recall[budget].value
    return Headline(evaluation.titles[counter], budget, recall, prior)


@dataclass(frozen=True)
class Unrecorded:
    """What a warehouse finds of visits that were not recorded, or wrongly, if it looks where it is doubted most."""

    who: str  # doubts: a title
    budget: float  # share of the bins, or of the recorded visits, that is looked at
    natural: Estimate  # share found of the lists that do not fit, by one photo
    change: Estimate  # of the records that say the opposite, by two photos


def unrecorded(evaluation: Evaluation) -> Unrecorded | None:
    """Of the verifier, for the headline's budget; None where the test split holds no visit."""
    paired, budget = evaluation.paired[VERIFIER], evaluation.task.headline
    if "natural" not in paired:
        return None
    found = (paired[kind].verification.recall[budget] for kind in VISIT_MISMATCHES)
    return Unrecorded(evaluation.titles[VERIFIER], budget, *found)


def disguised(evaluation: Evaluation) -> dict[str, tuple[dict[str, float], ...]]:
    """Shares of verdicts by counter's title: of bins that hold what is expected, and of those that hold what no network
    knows. Without the counters that were asked about one of the two only."""
    shares = {}
    for key, table in evaluation.verdicts.items():
        parts = table[table["case"] == CASES["right"]], table[table["case"].str.startswith(HOLDS)]
        if all(map(len, parts)):
            shares[evaluation.titles[key]] = tuple(map(_overall, parts))
    return shares


def _overall(table: pd.DataFrame) -> dict[str, float]:
    """The shares of several cases as one."""
    return {verdict: float(np.average(table[verdict], weights=table["images"])) for verdict in VERDICTS}


def _by_section(drawings: Mapping[str, str]) -> dict[str, list[Markup]]:
    """The drawings of each section, in the order in which they came."""
    by_section: dict[str, list[Markup]] = {section: [] for section in SECTIONS}
    for name, svg in drawings.items():
        section = next((section for section in SECTIONS if f"{name}_".startswith(f"{section}_")), None)
        if section is None:
            raise ValueError(f"no section of the report shows the drawing {name}")
        by_section[section].append(trusted(svg))
    return by_section
