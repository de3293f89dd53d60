"""A drawing of the report: its axes, its SVG and its table. Made without pyplot, which keeps figures in a global list.

Counters, the baseline and the prior have a key (resnet34, vit, average, baseline, prior) in tables, which `dvc plots diff`
reads, and a title (ResNet34) in what people see. Drawings that show them take `titles`, title by key.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from io import BytesIO

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from warehouse_classifier.report.style import INK, house_style

# Only where the SVG is a document of its own does `svg:root` match; inside a page it takes the page's colour.
ALONE = "<style>svg:root{color:#1b1b1b}@media (prefers-color-scheme:dark){svg:root{color:#e8e8e8}}</style>"


@dataclass(frozen=True)
class Chart:
    """A drawing, the stem of its files, what it shows in words for those who cannot see it, and the table it was drawn from."""

    name: str
    words: str
    figure: Figure
    table: pd.DataFrame

    @cached_property
    def svg(self) -> str:
        """An <svg> element on a transparent ground, fit for a file and for the inside of a page."""
        out = BytesIO()
        unset = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        with house_style(self.name):
            self.figure.savefig(out, format="svg", metadata=unset, transparent=True)
        text = out.getvalue().decode()
        text = text[text.index("<svg ") :]
        # Several drawings share one page, and an id may stand in it only once.
        text = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{self.name}-", text)
        text = re.sub(r"(\bfont(?:-family)?: [^;\"]*?)'DejaVu Sans'(?:, sans-serif)?", r"\1sans-serif", text)
        text = re.sub(r' (?:width|height)="[^"]*"', "", text, count=2)  # of the <svg> itself: the page sets its width
        text = text.replace(">", f' role="img" aria-label="{escape(self.words)}">{ALONE}', 1)
        return text.replace(INK, "currentColor")

    def csv(self) -> str:
        """The table, six digits after the point: further ones would be noise in every diff."""
        return self.table.to_csv(index=False, float_format="%.6f", lineterminator="\n")


def canvas(height: float, *, rows: Sequence[float] = (1,)) -> tuple[Figure, list[Axes]]:
    """Axes one above the other, `rows` high in proportion, `height` inches together and as wide as every drawing is.

    4.4 inches are a phone's width at its own size of type.
    """
    figure = Figure(figsize=(4.4, height), layout="constrained")
    grid = figure.subplots(len(rows), 1, sharex=True, squeeze=False, height_ratios=rows)
    return figure, [axes for (axes,) in grid]


def settled(name: str, words: str, figure: Figure, table: pd.DataFrame) -> Chart:
    """Lay the figure out once and for good: every further layout would move things by fractions of a point."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    return Chart(name, words, figure, table)
