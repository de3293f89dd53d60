"""How well doubts tell mismatches: the drawings of gains, of ROC curves and of verdicts. Keys and titles: see chart.py."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from warehouse_classifier.evaluation.thresholds import VERDICTS
from warehouse_classifier.report.chart import Chart, canvas, settled
from warehouse_classifier.report.style import INK, house_style, legend, listed, percent, percents, sparse, styles

# Apart in lightness too, and each light enough for black numbers.
FILLS = dict(zip(VERDICTS, (("#56B4E9", ""), ("#F7EE8A", "...."), ("#D55E00", "////")), strict=True))


@house_style()
def gains(
    name: str, case: str, table: pd.DataFrame, titles: Mapping[str, str], *, prevalence: float | None = None
) -> Chart:
    """Share of the mismatches found by share of bins looked at. Columns: looked_at, and one for each key of `titles`.

    With the `prevalence` of mismatches, the most that anybody could find is drawn too.
    """
    figure, (axes,) = canvas(3.6)
    most = float(table["looked_at"].max())
    if prevalence:
        bend = min(prevalence, most)
        axes.plot([0, bend, most], [0, bend / prevalence, bend / prevalence], color=INK, linewidth=0.8)
        axes.annotate("at best", (bend, bend / prevalence), (2, 2), textcoords="offset points", fontsize=8.5)
    axes.set(title=case, xlim=(0, most), ylim=(0, 1.08), xlabel="share of bins looked at")
    share, facts = _curves(figure, axes, table, titles, read_at=0.05)
    words = f"Mismatches found, expectations {case}, when {share} of bins are looked at: {facts}."
    return settled(name, words, figure, table)


@house_style()
def roc(name: str, case: str, table: pd.DataFrame, titles: Mapping[str, str]) -> Chart:
    """Share of mismatches found by share of false alarms. Columns: false_alarms, and one for each key of `titles`."""
    figure, (axes,) = canvas(3.6)
    axes.set(title=case, xlim=(0, 1), ylim=(0, 1.02), xlabel="false alarms, share of right expectations")
    share, facts = _curves(figure, axes, table, titles, read_at=0.1)
    return settled(name, f"Mismatches found, expectations {case}, at {share} of false alarms: {facts}.", figure, table)


@house_style()
def verdicts(name: str, title: str, table: pd.DataFrame) -> Chart:
    """Bars of a counter's verdicts by case. Columns: case, images, and the shares match, look, mismatch."""
    figure, (axes,) = canvas(0.95 + 0.42 * len(table))
    left = np.zeros(len(table))
    for verdict, (colour, hatch) in FILLS.items():
        shares = table[verdict].to_numpy(dtype=np.float64)
        looks: dict[str, Any] = {"color": colour, "hatch": hatch, "edgecolor": INK, "linewidth": 0.6}
        axes.barh(range(len(table)), shares, 0.72, left=left, label=verdict, **looks)
        box = {"facecolor": colour, "edgecolor": "none", "pad": 1.2}  # or a hatch crosses the number
        for i in np.flatnonzero(shares >= 0.08).tolist():  # or the number would not fit
            number, place = f"{100 * shares[i]:.0f}", left[i] + shares[i] / 2
            axes.text(place, i, number, ha="center", va="center", fontsize=9, color="#000000", bbox=box)
        left += shares
    cases = [f"{case}\n{images:,} images" for case, images in zip(table["case"], table["images"], strict=True)]
    axes.set_yticks(range(len(table)), cases, fontsize=8.5)
    axes.set(title=title, xlim=(0, 1), ylim=(len(table) - 0.5, -0.5), xlabel="share of bins")
    percents(axes.xaxis)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    legend(figure)
    facts = (
        f"{row['case']}: {listed([f'{verdict} {percent(row[verdict])}' for verdict in FILLS])}"
        for _, row in table.iterrows()
    )
    return settled(name, f"Verdicts of {title}. {'; '.join(facts)}.", figure, table)


def _curves(
    figure: Figure, axes: Axes, table: pd.DataFrame, titles: Mapping[str, str], *, read_at: float
) -> tuple[str, str]:
    """A line over the first column for each key of `titles` that has one; the share nearest to `read_at`, and all lines there."""
    along, keys = table.columns[0], [key for key in titles if key in table]
    for i, (key, style) in enumerate(styles(keys).items()):
        line: dict[str, Any] = {
            "linestyle": style.dash,
            "linewidth": 1.2 if style.colour == INK else 1.6,
            "color": style.colour,
        }
        line |= {"marker": style.marker, "markersize": 5, "markevery": sparse(len(table), i)}
        axes.plot(table[along], table[key], label=titles[key], clip_on=False, **line)
    axes.set(ylabel="mismatches found")
    percents(axes.xaxis)
    percents(axes.yaxis)
    axes.grid()
    legend(figure)
    row = table.iloc[(table[along] - read_at).abs().argmin()]
    return percent(row[along]), listed([f"{titles[key]} {percent(row[key])}" for key in keys])
