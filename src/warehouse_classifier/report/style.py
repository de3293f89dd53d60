"""What every drawing of the report has in common: a `Chart`, how it looks, and who is drawn in which way.

Made without pyplot, which keeps figures in a global list. Text and axes of an SVG take the colour of the page around
it, so that one drawing reads on white and on black; the colours of the data are Okabe and Ito's, told apart by the
colour-blind, and never the only difference: markers, dashes, hatches or numbers say the same.

Whoever counts is called by a key (resnet34, vit, average, baseline, prior) in tables, which `dvc plots diff` reads, and
by a title (ResNet34) in what people see. Drawings that show somebody take `titles`, title by key.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from io import BytesIO

import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

INK = "#010203"  # stands for the page's own text colour
GREY = "#8A8A8A"  # seen on white and on black; green looks like it to the colour-blind, so never beside it
LOOK = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # matplotlib carries it, so the layout does not depend on the machine
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlesize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": INK,
    "grid.alpha": 0.15,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "legend.handlelength": 3,  # or a dash cannot be told from a line
    "svg.fonttype": "none",
    "hatch.color": INK,
    "hatch.linewidth": 0.5,
}
# Only where the SVG is a document of its own does `svg:root` match; inside a page it takes the page's colour.
ALONE = "<style>svg:root{color:#1b1b1b}@media (prefers-color-scheme:dark){svg:root{color:#e8e8e8}}</style>"


@dataclass(frozen=True)
class Style:
    """How one of those that are compared is drawn."""

    colour: str
    marker: str
    dash: str | tuple[int, tuple[float, ...]]
    hatch: str


STYLES = {
    "resnet34": Style("#0072B2", "o", "-", ""),
    "vit": Style("#D55E00", "s", (0, (5, 1.5)), "////"),
    "average": Style("#009E73", "^", (0, (6, 1.5, 1, 1.5)), "...."),
    "baseline": Style(INK, "D", ":", ""),
    "prior": Style(INK, "X", ":", ""),
}


@contextmanager
def look(salt: str = "warehouse") -> Iterator[None]:
    """Draw with this house's settings, whatever the user's matplotlibrc says, and leave no trace."""
    with style.context(["default", {**LOOK, "svg.hashsalt": salt}]):
        yield


@dataclass(frozen=True)
class Chart:
    """One drawing, its files' stem, what it shows in words for those who cannot see it, and the table it was drawn from."""

    name: str
    words: str
    figure: Figure
    table: pd.DataFrame

    def svg(self) -> str:
        """An <svg> element on a transparent ground, fit for a file and for the inside of a page."""
        out = BytesIO()
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        with look(self.name):
            self.figure.savefig(out, format="svg", metadata=nothing, transparent=True)
        text = out.getvalue().decode()
        text = text[text.index("<svg ") :]
        # Several drawings share one page, and an id may stand in it only once.
        text = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{self.name}-", text)
        text = re.sub(r"(\bfont(?:-family)?: [^;\"]*?)'DejaVu Sans'(?:, sans-serif)?", r"\1sans-serif", text)
        text = re.sub(r'(<svg [^>]*?) width="[^"]*"', r"\1", text, count=1)
        text = re.sub(r'(<svg [^>]*?) height="[^"]*"', r"\1", text, count=1)
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


def legend(figure: Figure) -> None:
    """Above everything, in rows of two or three that fit the width."""
    count = len({text for axes in figure.axes for text in axes.get_legend_handles_labels()[1]})
    figure.legend(loc="outside upper center", ncols=3 if count in {3, 5, 6} else 2, columnspacing=1.5)


def percents(axis: Axis) -> None:
    axis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))


def sparse(points: int, among: int = 0) -> tuple[int, int]:
    """Every how-manieth of a line's points has a marker, about ten of them; lines begin apart by their place `among` others."""
    every = max(1, points // 10)
    return (among * every // 4) % every, every


def percent(share: float, digits: int = 0) -> str:
    return f"{100 * share:.{digits}f} %"


def listed(names: Sequence[str]) -> str:
    """A, B and C."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def styles(keys: Sequence[str]) -> Mapping[str, Style]:
    """The style of each: those that have one of their own get it, others the first that nobody has."""
    free = iter([style for key, style in STYLES.items() if key not in keys] * len(keys))
    return {key: STYLES[key] if key in STYLES else next(free) for key in keys}


def whisker(
    axes: Axes,
    at: tuple[float, float],
    interval: tuple[float, float],
    style: Style,
    *,
    along: str,
    label: str | None = None,
) -> None:
    """A point and its interval along one of the axes."""
    value = at[along == "y"]
    reach = [[max(0.0, value - interval[0])], [max(0.0, interval[1] - value)]]
    axes.errorbar(
        *at,
        xerr=reach if along == "x" else None,
        yerr=reach if along == "y" else None,
        fmt=style.marker,
        color=style.colour,
        capsize=4 if along == "x" else 3,
        markersize=7 if along == "x" else 6,
        linewidth=2 if along == "x" else 1.6,
        label=label,
    )
