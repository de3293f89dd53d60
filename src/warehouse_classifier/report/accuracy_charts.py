"""How well bins are counted: the drawings of accuracy and of confusion.

`who` is a key and `titles` what people read in its place, see chart.py.
"""

from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from warehouse_classifier.report.chart import Chart, canvas, settled
from warehouse_classifier.report.style import INK, legend, listed, look, percent, percents, styles, whisker


@look()
def accuracies(name: str, intervals: Mapping[str, tuple[float, float, float]], titles: Mapping[str, str]) -> Chart:
    """Points with bars: (accuracy, low, high) by who, from top to bottom."""
    table = pd.DataFrame(
        [(who, *interval) for who, interval in intervals.items()], columns=["who", "accuracy", "low", "high"]
    )
    figure, (axes,) = canvas(0.7 + 0.5 * len(intervals))
    for i, ((accuracy, low, high), style) in enumerate(
        zip(intervals.values(), styles(list(intervals)).values(), strict=True)
    ):
        whisker(axes, (accuracy, i), (low, high), style, along="x")
        axes.annotate(percent(accuracy, 1), (accuracy, i), (0, 7), textcoords="offset points", ha="center", fontsize=9)
    axes.set_yticks(range(len(intervals)), [titles[who] for who in intervals])
    axes.set(xlim=(0, 1), ylim=(len(intervals) - 0.5, -0.7), xlabel="accuracy on the test split, 95 % interval")
    percents(axes.xaxis)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
    said = (f"{titles[who]} {percent(a, 1)} ({100 * b:.1f} to {100 * c:.1f})" for who, (a, b, c) in intervals.items())
    return settled(name, f"Accuracy with its 95 % interval: {'; '.join(said)}.", figure, table)


@look()
def confusion(name: str, title: str, matrix: npt.NDArray[np.integer[Any]], quantities: Sequence[int]) -> Chart:
    """Images by [actual, predicted]: the shade is the share of the row, the number the count."""
    totals = matrix.sum(axis=1, keepdims=True)
    shares = np.divide(matrix, totals, out=np.zeros(matrix.shape), where=totals > 0)
    table = pd.DataFrame(
        [(quantities[i], quantities[j], int(count)) for (i, j), count in np.ndenumerate(matrix)],
        columns=["actual", "predicted", "images"],
    )
    figure, (axes,) = canvas(4.2)
    edges = np.arange(len(quantities) + 1) - 0.5
    axes.pcolormesh(edges, edges, shares, cmap="cividis", vmin=0, vmax=1, edgecolors="none", rasterized=False)
    for (row, column), count in np.ndenumerate(matrix):
        share = shares[row, column]
        axes.text(
            column,
            row,
            f"{count:,}\n{percent(share)}",
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
    hits = ", ".join(f"{quantity}: {percent(shares[i, i])}" for i, quantity in enumerate(quantities))
    return settled(name, f"Confusion matrix of {title}. Share found by quantity: {hits}.", figure, table)


@look()
def recall(name: str, recalls: Mapping[str, Mapping[int, float | None]], titles: Mapping[str, str]) -> Chart:
    """Bars: the share of the bins of each quantity that each of them finds, None where no bin holds it."""
    quantities = list(next(iter(recalls.values())))
    table = pd.DataFrame({"quantity": quantities, **{who: list(of.values()) for who, of in recalls.items()}})
    table = table.astype(dict.fromkeys(recalls, "float64")).dropna()
    figure, (axes,) = canvas(3.4)
    width = 0.86 / len(recalls)
    for i, (who, style) in enumerate(styles(list(recalls)).items()):
        places = np.arange(len(quantities)) + (i - (len(recalls) - 1) / 2) * width
        found = [recalls[who][quantity] for quantity in quantities]
        heights = [share or 0.0 for share in found]
        axes.bar(
            places,
            heights,
            width,
            label=titles[who],
            color=style.colour,
            hatch=style.hatch,
            edgecolor=INK,
            linewidth=0.6,
        )
        for place, share in zip(places, found, strict=True):
            said = "–" if share is None else f"{100 * share:.0f}"
            size = 8 if len(recalls) < 4 else 6.5
            axes.annotate(
                said, (place, share or 0.0), (0, 2), textcoords="offset points", ha="center", fontsize=size
            )  # fmt: skip
    axes.set(xlabel="quantity in the inventory", ylabel="found", ylim=(0, 1.08))
    axes.set_xticks(range(len(quantities)), [str(quantity) for quantity in quantities])
    percents(axes.yaxis)
    axes.grid(axis="y")
    legend(figure)
    said = "; ".join(
        f"{titles[who]} "
        + ", ".join(f"{quantity}: {percent(share)}" for quantity, share in of.items() if share is not None)
        for who, of in recalls.items()
    )
    return settled(name, f"Share of bins found, by quantity: {said}.", figure, table)


@look()
def shares(name: str, xlabel: str, table: pd.DataFrame, titles: Mapping[str, str]) -> Chart:
    """Accuracy by group with 95 % intervals. Columns: group, images, and for each who of `titles` that is there who,
    who_low, who_high."""
    whos = [who for who in titles if who in table]
    figure, (axes,) = canvas(3.4)
    step = 0.6 / len(whos)
    for i, (who, style) in enumerate(styles(whos).items()):
        places = np.arange(len(table)) + (i - (len(whos) - 1) / 2) * step
        points = zip(places, table[who], table[f"{who}_low"], table[f"{who}_high"], strict=True)
        for j, (place, share, low, high) in enumerate(points):
            whisker(axes, (place, share), (low, high), style, along="y", label=None if j else titles[who])
    room = 52 // len(table)  # letters; what is longer stands in two lines
    words = [fill(group, room if len(group) <= room else len(group) // 2 + 2) for group in table["group"].astype(str)]
    groups = [f"{group}\n({images:,})" for group, images in zip(words, table["images"], strict=True)]
    axes.set_xticks(range(len(table)), groups, fontsize=8.5)
    axes.set(
        xlabel=f"{xlabel} (images)", ylabel="accuracy, 95 % interval", ylim=(0, 1.05), xlim=(-0.5, len(table) - 0.5)
    )
    percents(axes.yaxis)
    axes.tick_params(axis="x", length=0)
    axes.grid(axis="y")
    legend(figure)
    said = "; ".join(
        f"{group}: {listed([f'{titles[who]} {percent(share)}' for who, share in zip(whos, of, strict=True)])}"
        for group, *of in table[["group", *whos]].itertuples(index=False)
    )
    return settled(name, f"Accuracy by {xlabel}. {said}.", figure, table)
