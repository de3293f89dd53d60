"""The figures of the report: each a `Chart` that gives the same SVG and the same PNG every time.

Made without pyplot, which keeps figures in a global list. Text and axes of an SVG take the colour of the page around
it, so that one drawing reads on white and on black; the colours of the data are Okabe and Ito's, told apart by the
colour-blind, and never the only difference: markers, dashes or numbers say the same.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

INK = "#010203"  # stands for the page's own text colour; no data is drawn in it
COLOURS = ("#0072B2", "#D55E00", "#8A8A8A")
MARKERS = ("o", "s", "D")
HATCHES = ("", "///", "")
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
    "svg.fonttype": "none",
    "hatch.color": INK,
    "hatch.linewidth": 0.5,
}
# Only where the SVG is a document of its own does `svg:root` match; inside a page it takes the page's colour.
ALONE = "<style>svg:root{color:#1b1b1b}@media (prefers-color-scheme:dark){svg:root{color:#e8e8e8}}</style>"


@contextmanager
def look(salt: str = "warehouse") -> Iterator[None]:
    """Draw with this house's settings, whatever the user's matplotlibrc says, and leave no trace."""
    with style.context(["default", {**LOOK, "svg.hashsalt": salt}]):
        yield


@dataclass(frozen=True)
class Chart:
    """One drawing, its file's stem, and what it shows in words for those who cannot see it."""

    name: str
    words: str
    figure: Figure

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

    def png(self) -> bytes:
        """The same on white, 160 dots an inch."""
        out = BytesIO()
        with look():
            self.figure.savefig(out, format="png", dpi=160, facecolor="white", metadata={"Software": None})
        return out.getvalue()


def canvas(width: float, height: float) -> tuple[Figure, Axes]:
    """One pair of axes, `width` by `height` inches. 4.4 inches are a phone's width at its own size of type."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def settled(name: str, words: str, figure: Figure) -> Chart:
    """Lay the figure out once and for good: every further layout would move things by fractions of a point."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    return Chart(name, words, figure)


@look()
def confusion(name: str, title: str, matrix: npt.NDArray[np.integer[Any]], quantities: Sequence[int]) -> Chart:
    """Images by [actual, predicted]: the shade is the share of the row, the number the count."""
    totals = matrix.sum(axis=1, keepdims=True)
    shares = np.divide(matrix, totals, out=np.zeros(matrix.shape), where=totals > 0)
    figure, axes = canvas(4.4, 4.2)
    axes.pcolormesh(
        np.arange(len(quantities) + 1) - 0.5,
        np.arange(len(quantities) + 1) - 0.5,
        shares,
        cmap="cividis",
        vmin=0,
        vmax=1,
        edgecolors="none",
        rasterized=False,
    )
    for (row, column), count in np.ndenumerate(matrix):
        share = shares[row, column]
        axes.text(
            column,
            row,
            f"{count}\n{100 * share:.0f} %",
            ha="center",
            va="center",
            fontsize=9,
            color="#000000" if share > 0.45 else "#ffffff",
        )
    axes.set(title=title, xlabel="predicted quantity", ylabel="quantity in the inventory")
    axes.set_xticks(range(len(quantities)), [str(quantity) for quantity in quantities])
    axes.set_yticks(range(len(quantities)), [str(quantity) for quantity in quantities])
    axes.invert_yaxis()
    axes.set_aspect("equal")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    hits = ", ".join(f"{quantity}: {100 * shares[i, i]:.0f} %" for i, quantity in enumerate(quantities))
    return settled(name, f"Confusion matrix of {title}. Share found by quantity: {hits}.", figure)


@look()
def recall(name: str, recalls: Mapping[str, Mapping[int, float | None]]) -> Chart:
    """Bars: the share of the bins of each quantity that each network finds."""
    quantities = list(next(iter(recalls.values())))
    figure, axes = canvas(4.4, 3.2)
    width = 0.8 / len(recalls)
    for i, (who, by_quantity) in enumerate(recalls.items()):
        places = np.arange(len(quantities)) + (i - (len(recalls) - 1) / 2) * width
        heights = [by_quantity[quantity] or 0.0 for quantity in quantities]
        axes.bar(places, heights, width, label=who, color=COLOURS[i], hatch=HATCHES[i], edgecolor=INK, linewidth=0.6)
        for place, height, quantity in zip(places, heights, quantities, strict=True):
            said = "–" if by_quantity[quantity] is None else f"{100 * height:.0f}"
            axes.annotate(said, (place, height), (0, 2), textcoords="offset points", ha="center", fontsize=8)
    axes.set(xlabel="quantity in the inventory", ylabel="found", ylim=(0, 1.08))
    axes.set_xticks(range(len(quantities)), [str(quantity) for quantity in quantities])
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    axes.grid(axis="y")
    figure.legend(loc="outside upper center", ncols=len(recalls))
    return settled(name, f"Share of bins found, by quantity, for {' and '.join(recalls)}.", figure)


@look()
def accuracies(name: str, intervals: Mapping[str, tuple[float, float, float]]) -> Chart:
    """Points with bars: (accuracy, low, high) of each predictor, the last of them the baseline."""
    figure, axes = canvas(4.4, 0.6 + 0.55 * len(intervals))
    for i, (accuracy, low, high) in enumerate(intervals.values()):
        axes.errorbar(
            accuracy,
            i,
            xerr=[[max(0.0, accuracy - low)], [max(0.0, high - accuracy)]],
            fmt=MARKERS[i],
            color=COLOURS[i],
            capsize=4,
            markersize=7,
            linewidth=2,
        )
        axes.annotate(
            f"{100 * accuracy:.1f} %", (accuracy, i), (0, 7), textcoords="offset points", ha="center", fontsize=9
        )
    axes.set_yticks(range(len(intervals)), list(intervals))
    axes.set(xlim=(0, 1), ylim=(len(intervals) - 0.5, -0.7), xlabel="accuracy on the test split, 95 % interval")
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
    said = "; ".join(f"{who} {100 * a:.1f} % ({100 * b:.1f} to {100 * c:.1f})" for who, (a, b, c) in intervals.items())
    return settled(name, f"Accuracy with its 95 % interval: {said}.", figure)


@look()
def learning(name: str, ylabel: str, curves: Mapping[str, tuple[Sequence[float], Sequence[float]]]) -> Chart:
    """Lines over epochs: (epochs, values) by the line's name. Every second line is dashed (train beside validation)
    where there are more lines than colours for networks."""
    figure, axes = canvas(4.4, 3.0)
    paired = len(curves) > 2
    for i, (who, (epochs, values)) in enumerate(curves.items()):
        which = i // 2 if paired else i
        dashed = paired and i % 2 == 0
        axes.plot(
            epochs,
            values,
            "--" if dashed else "-",
            label=who,
            color=COLOURS[which],
            marker=MARKERS[which],
            markersize=4,
            fillstyle="none" if dashed else "full",
        )
    axes.set(xlabel="epoch", ylabel=ylabel)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid()
    figure.legend(loc="outside upper center", ncols=2)
    return settled(name, f"{ylabel} by epoch: {', '.join(curves)}.", figure)
