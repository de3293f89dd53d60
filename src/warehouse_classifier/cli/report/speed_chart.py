"""How fast bins are counted, and how well: the drawing of speed against accuracy. Keys and titles: see chart.py."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.ticker import LogLocator, NullFormatter

from warehouse_classifier.report.chart import Chart, canvas, settled
from warehouse_classifier.report.style import INK, house_style, percent, percents, styles, whisker


@house_style()
def speed(name: str, table: pd.DataFrame, titles: Mapping[str, str]) -> Chart:
    """Accuracy with its interval against images a second. Columns: who, images_per_second, accuracy, low, high."""
    figure, (axes,) = canvas(3.6)
    rates, by_key = table["images_per_second"], styles(table["who"].tolist())
    rows = list(table.sort_values("images_per_second").itertuples(index=False))
    # Each label ends at its point, the slowest one lowest, so that none meets another or the line that leads to it.
    for i, (key, rate, share, low, high) in enumerate(rows):
        tier = 1.12 + 0.22 * i
        axes.plot([rate, rate], [high, tier + 0.08], color=INK, linewidth=0.6, alpha=0.5)
        whisker(axes, (rate, share), (low, high), by_key[key], along="y")
        label = f"{titles[key]}\n{rate:,.0f} a second, {percent(share, 1)}"
        axes.annotate(label, (rate, tier), (-3, 0), textcoords="offset points", ha="right", va="center", fontsize=9)
    right = rates.max() * 1.4
    left = rates.min() / (right / rates.min()) ** 0.8  # room for the labels
    axes.set_xscale("log")
    axes.set(xlim=(left, right), ylim=(0, 1.02 + 0.22 * len(rows)), xlabel="images a second")
    axes.set_ylabel("accuracy, 95 % interval", loc="bottom")
    axes.set_yticks(np.arange(0, 1.01, 0.2))
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    percents(axes.yaxis)
    axes.spines["left"].set_bounds(0, 1)
    axes.grid(axis="y")
    facts = (f"{titles[key]} {rate:,.0f} a second and {percent(share, 1)}" for key, rate, share, *_ in rows)
    return settled(name, f"Speed against accuracy: {'; '.join(facts)}.", figure, table)
