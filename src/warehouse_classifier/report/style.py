"""What every drawing of the report has in common: fonts, colours, and the style of each key.

Text and axes of an SVG take the colour of the page around it, so that one drawing reads on white and on black; the colours
of the data are Okabe and Ito's, told apart by the colour-blind, and never the only difference: markers, dashes, hatches or
numbers say the same.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

Pair = tuple[float, float]
INK = "#010203"  # stands for the page's own text colour
GREY = "#8A8A8A"  # seen on white and on black; green looks like it to the colour-blind, so never beside it
RC_PARAMS = {
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
    """How one key is drawn."""

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
def house_style(salt: str = "warehouse") -> Iterator[None]:
    """Draw with this house's settings, whatever the user's matplotlibrc says, and leave no trace."""
    with style.context(["default", {**RC_PARAMS, "svg.hashsalt": salt}]):
        yield


def legend(figure: Figure) -> None:
    """Above everything, in rows of two or three that fit the width."""
    count = len({text for axes in figure.axes for text in axes.get_legend_handles_labels()[1]})
    figure.legend(loc="outside upper center", ncols=3 if count in {3, 5, 6} else 2, columnspacing=1.5)


def percents(axis: Axis) -> None:
    """Ticks as whole per cents."""
    axis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))


def sparse(points: int, among: int = 0) -> tuple[int, int]:
    """The first point with a marker and the step to the next, for about ten of them; line number `among` begins apart."""
    every = max(1, points // 10)
    return (among * every // 4) % every, every


def percent(share: float, digits: int = 0) -> str:
    """0.6134 -> 61 %."""
    return f"{100 * share:.{digits}f} %"


def listed(names: Sequence[str]) -> str:
    """A, B and C."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def styles(keys: Sequence[str]) -> Mapping[str, Style]:
    """By key: its own style if it has one, else the first that is free."""
    free = iter([style for key, style in STYLES.items() if key not in keys] * len(keys))
    return {key: STYLES[key] if key in STYLES else next(free) for key in keys}


def whisker(axes: Axes, at: Pair, interval: Pair, style: Style, *, along: str, label: str | None = None) -> None:
    """A point and its interval along one of the axes, x or y."""
    value = at[along == "y"]
    reach = [[max(0.0, value - interval[0])], [max(0.0, interval[1] - value)]]
    sizes = {"capsize": 4, "markersize": 7, "linewidth": 2} if along == "x" else {"capsize": 3, "markersize": 6}
    looks: dict[str, Any] = {"linewidth": 1.6, **sizes, f"{along}err": reach}
    axes.errorbar(*at, fmt=style.marker, color=style.colour, label=label, **looks)
