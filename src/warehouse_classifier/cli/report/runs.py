"""The facts of the runs that made a page, which are no part of it: `added` puts them into one that is there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from warehouse_classifier.cli.report import speed_chart
from warehouse_classifier.report.page import LINK, PLACE
from warehouse_classifier.report.templates import render, trusted
from warehouse_classifier.runtime.errors import UserError


@dataclass(frozen=True)
class Runs:
    """The runs that made a page: when, where, at what cost and how fast."""

    rows: Sequence[Mapping[str, str]]  # of stages, all with the same keys: stage, commit, begun, took, place, cost, ...
    speeds: Mapping[str, tuple[float, float, float, float]]  # by title: images a second, accuracy, low, high
    params: Mapping[str, str]


def added(page: str, facts: Runs) -> str:
    """The page with the facts of its runs in it. Raises UserError where it has no place for them."""
    if page.count(PLACE) != 1 or page.count(LINK) != 1:
        raise UserError(
            "this report has no place for the facts of its runs: another version made it, or they stand in it already;"
            " `dvc checkout` brings back the one that `dvc repro` made"
        )
    drawing = ""
    if facts.speeds:
        rows = [(title, *values) for title, values in facts.speeds.items()]
        table = pd.DataFrame(rows, columns=["who", "images_per_second", "accuracy", "low", "high"])
        drawing = speed_chart.speed("speed", table, {title: title for title in facts.speeds}).svg
    columns = [key for key in (facts.rows[0] if facts.rows else ()) if any(row.get(key) for row in facts.rows)]
    section = render(Path(__file__).with_name("runs.html.j2"), facts=facts, columns=columns, drawing=trusted(drawing))
    link = '<li><a href="#runs">How it was run</a></li>'
    return page.replace(LINK, link).replace(PLACE, section)
