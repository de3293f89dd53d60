"""How well a counter's doubts tell what is not as expected: the drawings of mismatches found and of verdicts.

`who` is a key and `titles` what people read in its place, see chart.py.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from warehouse_classifier.evaluation.thresholds import VERDICTS
from warehouse_classifier.report.chart import Chart, canvas, settled
from warehouse_classifier.report.style import INK, legend, listed, look, percent, percents, sparse, styles

# Apart in lightness too, and each light enough for black numbers.
FILLS = dict(zip(VERDICTS, (("#56B4E9", ""), ("#F7EE8A", "...."), ("#D55E00", "////")), strict=True))


@look()
def found(
    name: str, kind: str, table: pd.DataFrame, titles: Mapping[str, str], *, prevalence: float | None = None
) -> Chart:
    """Share of the mismatches found by share of bins looked at. Columns: looked_at, and one for each who of `titles`.

    With the `prevalence` of mismatches, the most that anybody could find is drawn too.
    """
    figure, (axes,) = canvas(3.6)
    most = float(table["looked_at"].max())
    if prevalence:
        bend = min(prevalence, most)
        axes.plot([0, bend, most], [0, bend / prevalence, bend / prevalence], color=INK, linewidth=0.8)
        axes.annotate("at best", (bend, bend / prevalence), (2, 2), textcoords="offset points", fontsize=8.5)
    whos = _lines(axes, "looked_at", table, titles)
    axes.set(title=kind, xlim=(0, most), ylim=(0, 1.08), xlabel="share of bins looked at", ylabel="mismatches found")
    percents(axes.xaxis)
    percents(axes.yaxis)
    axes.grid()
    legend(figure)
    row = table.iloc[(table["looked_at"] - 0.05).abs().argmin()]
    said = listed([f"{titles[who]} {percent(row[who])}" for who in whos])
    words = f"Mismatches found, expectations {kind}, when {percent(row['looked_at'])} of bins are looked at: {said}."
    return settled(name, words, figure, table)


@look()
def roc(name: str, kind: str, table: pd.DataFrame, titles: Mapping[str, str]) -> Chart:
    """Share of mismatches found by share of false alarms. Columns: false_alarms, and one for each who of `titles`."""
    figure, (axes,) = canvas(3.6)
    whos = _lines(axes, "false_alarms", table, titles)
    axes.set(
        title=kind,
        xlim=(0, 1),
        ylim=(0, 1.02),
        xlabel="false alarms, share of right expectations",
        ylabel="mismatches found",
    )
    percents(axes.xaxis)
    percents(axes.yaxis)
    axes.grid()
    legend(figure)
    row = table.iloc[(table["false_alarms"] - 0.1).abs().argmin()]
    said = listed([f"{titles[who]} {percent(row[who])}" for who in whos])
    words = f"Mismatches found, expectations {kind}, at {percent(row['false_alarms'])} of false alarms: {said}."
    return settled(name, words, figure, table)


@look()
def verdicts(name: str, title: str, table: pd.DataFrame) -> Chart:
    """Bars of what a counter says of bins of each case. Columns: case, images, and the shares match, look, mismatch."""
    figure, (axes,) = canvas(0.95 + 0.42 * len(table))
    left = np.zeros(len(table))
    for verdict, (colour, hatch) in FILLS.items():
        shares = table[verdict].to_numpy(dtype=np.float64)
        axes.barh(
            range(len(table)),
            shares,
            0.72,
            left=left,
            label=verdict,
            color=colour,
            hatch=hatch,
            edgecolor=INK,
            linewidth=0.6,
        )
        for i, share in enumerate(shares):
            if share >= 0.08:  # or the number would not fit
                axes.text(
                    left[i] + share / 2,
                    i,
                    f"{100 * share:.0f}",
                    ha="center",
                    va="center",
                    fontsize=9,
                    color="#000000",
                    bbox={"facecolor": colour, "edgecolor": "none", "pad": 1.2},  # or a hatch crosses it
                )
        left += shares
    cases = [f"{case}\n{images:,} images" for case, images in zip(table["case"], table["images"], strict=True)]
    axes.set_yticks(range(len(table)), cases, fontsize=8.5)
    axes.set(title=title, xlim=(0, 1), ylim=(len(table) - 0.5, -0.5), xlabel="share of bins")
    percents(axes.xaxis)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    legend(figure)
    said = "; ".join(
        f"{row['case']}: {listed([f'{verdict} {percent(row[verdict])}' for verdict in FILLS])}"
        for _, row in table.iterrows()
    )
    return settled(name, f"Verdicts of {title}. {said}.", figure, table)


def _lines(axes: Axes, along: str, table: pd.DataFrame, titles: Mapping[str, str]) -> list[str]:
    """A line for each who of `titles` that has a column, and who they are."""
    whos = [who for who in titles if who in table]
    for i, (who, style) in enumerate(styles(whos).items()):
        axes.plot(
            table[along],
            table[who],
            linestyle=style.dash,
            linewidth=1.2 if style.colour == INK else 1.6,
            color=style.colour,
            marker=style.marker,
            markersize=5,
            markevery=sparse(len(table), i),
            label=titles[who],
            clip_on=False,
        )
    return whos
