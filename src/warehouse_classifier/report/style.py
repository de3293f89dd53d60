"""What every drawing of the report has in common: how it looks, and who is drawn in which way.

Text and axes of an SVG take the colour of the page around it, so that one drawing reads on white and on black; the colours
of the data are Okabe and Ito's, told apart by the colour-blind, and never the only difference: markers, dashes, hatches or
numbers say the same.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

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
