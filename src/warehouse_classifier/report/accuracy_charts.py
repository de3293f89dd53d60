"""How well bins are counted: the drawings of accuracy and of confusion. Keys and titles: see chart.py."""

from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from warehouse_classifier.report.chart import Chart, canvas, settled
from warehouse_classifier.report.style import INK, house_style, legend, listed, percent, percents, styles, whisker


@house_style()
def accuracies(name: str, intervals: Mapping[str, tuple[float, float, float]], titles: Mapping[str, str]) -> Chart:
    """Points with bars: (accuracy, low, high) by key, from top to bottom."""
    rows = [(key, *interval) for key, interval in intervals.items()]
    figure, (axes,) = canvas(0.7 + 0.5 * len(rows))
    for i, ((_, accuracy, low, high), style) in enumerate(zip(rows, styles(list(intervals)).values(), strict=True)):
        whisker(axes, (accuracy, i), (low, high), style, along="x")
        axes.annotate(percent(accuracy, 1), (accuracy, i), (0, 7), textcoords="offset points", ha="center", fontsize=9)
    axes.set_yticks(range(len(rows)), [titles[key] for key in intervals])
    axes.set(xlim=(0, 1), ylim=(len(rows) - 0.5, -0.7), xlabel="accuracy on the test split, 95 % interval")
    percents(axes.xaxis)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
    facts = (f"{titles[key]} {percent(a, 1)} ({100 * low:.1f} to {100 * high:.1f})" for key, a, low, high in rows)
    table = pd.DataFrame(rows, columns=["who", "accuracy", "low", "high"])
    return settled(name, f"Accuracy with its 95 % interval: {'; '.join(facts)}.", figure, table)


@house_style()
def confusion(name: str, title: str, matrix: npt.NDArray[np.integer[Any]], quantities: Sequence[int]) -> Chart:
    """Images by [actual, predicted]: the shade is the share of the row, the number the count."""
    totals = matrix.sum(axis=1, keepdims=True)
    shares = np.divide(matrix, totals, out=np.zeros(matrix.shape), where=totals > 0)
    table = pd.DataFrame(
        [(quantities[i], quantities[j], int(count)) for (i, j), count in np.ndenumerate(matrix)],
        columns=["actual", "predicted", "images"],
    )
    figure, (axes,) = canvas(4.2)
    edges, ticks = np.arange(len(quantities) + 1) - 0.5, range(len(quantities))
    axes.pcolormesh(edges, edges, shares, cmap="cividis", vmin=0, vmax=1, edgecolors="none", rasterized=False)
    for (row, column), count in np.ndenumerate(matrix):
        share = shares[row, column]
        words, colour = f"{count:,}\n{percent(share)}", "#000000" if share > 0.45 else "#ffffff"
        axes.text(column, row, words, ha="center", va="center", fontsize=9, color=colour)
    axes.set(title=title, xlabel="predicted quantity", ylabel="quantity in the inventory")
    axes.set_xticks(ticks, list(map(str, quantities)))
    axes.set_yticks(ticks, list(map(str, quantities)))
    axes.invert_yaxis()
    axes.set_aspect("equal")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    recalls = ", ".join(f"{quantity}: {percent(shares[i, i])}" for i, quantity in enumerate(quantities))
    return settled(name, f"Confusion matrix of {title}. Share found by quantity: {recalls}.", figure, table)


@house_style()
def recall(name: str, recalls: Mapping[str, Mapping[int, float | None]], titles: Mapping[str, str]) -> Chart:
    """Bars by quantity: the share of its bins that each counter finds, None where no bin holds it."""
    quantities = list(next(iter(recalls.values())))
    table = pd.DataFrame({"quantity": quantities, **{key: list(shares.values()) for key, shares in recalls.items()}})
    table = table.astype(dict.fromkeys(recalls, "float64")).dropna()
    figure, (axes,) = canvas(3.4)
    width, size = 0.86 / len(recalls), 8 if len(recalls) < 4 else 6.5
    for i, (key, style) in enumerate(styles(list(recalls)).items()):
        places = np.arange(len(quantities)) + (i - (len(recalls) - 1) / 2) * width
        shares = [recalls[key][quantity] for quantity in quantities]
        heights = [share or 0.0 for share in shares]
        looks: dict[str, Any] = {"color": style.colour, "hatch": style.hatch, "edgecolor": INK, "linewidth": 0.6}
        axes.bar(places, heights, width, label=titles[key], **looks)
        for place, height, share in zip(places, heights, shares, strict=True):
            number = "–" if share is None else f"{100 * share:.0f}"
            axes.annotate(number, (place, height), (0, 2), textcoords="offset points", ha="center", fontsize=size)
    axes.set(xlabel="quantity in the inventory", ylabel="found", ylim=(0, 1.08))
    axes.set_xticks(range(len(quantities)), list(map(str, quantities)))
    percents(axes.yaxis)
    axes.grid(axis="y")
    legend(figure)
    facts = (
        f"{titles[key]} " + ", ".join(f"{quantity}: {percent(share)}" for quantity, share in its.items() if share is not None)
        for key, its in recalls.items()
    )  # fmt: skip
    return settled(name, f"Share of bins found, by quantity: {'; '.join(facts)}.", figure, table)


@house_style()
def shares(name: str, xlabel: str, table: pd.DataFrame, titles: Mapping[str, str]) -> Chart:
    """Accuracy by group with 95 % intervals. Columns: group, images, and for each key of `titles` that is there vit, vit_low,
    vit_high."""
    keys = [key for key in titles if key in table]
    figure, (axes,) = canvas(3.4)
    step = 0.6 / len(keys)
    for i, (key, style) in enumerate(styles(keys).items()):
        places = np.arange(len(table)) + (i - (len(keys) - 1) / 2) * step
        points = zip(places, table[key], table[f"{key}_low"], table[f"{key}_high"], strict=True)
        for j, (place, share, low, high) in enumerate(points):
            whisker(axes, (place, share), (low, high), style, along="y", label=None if j else titles[key])
    room = 52 // len(table)  # letters; what is longer stands in two lines
    words = [fill(group, room if len(group) <= room else len(group) // 2 + 2) for group in table["group"].astype(str)]
    groups = [f"{group}\n({images:,})" for group, images in zip(words, table["images"], strict=True)]
    axes.set_xticks(range(len(table)), groups, fontsize=8.5)
    axes.set(xlabel=f"{xlabel} (images)", ylabel="accuracy, 95 % interval")
    axes.set(xlim=(-0.5, len(table) - 0.5), ylim=(0, 1.05))
    percents(axes.yaxis)
    axes.tick_params(axis="x", length=0)
    axes.grid(axis="y")
    legend(figure)
    facts = (
        f"{group}: {listed([f'{titles[key]} {percent(share)}' for key, share in zip(keys, values, strict=True)])}"
        for group, *values in table[["group", *keys]].itertuples(index=False)
    )
    return settled(name, f"Accuracy by {xlabel}. {'; '.join(facts)}.", figure, table)
