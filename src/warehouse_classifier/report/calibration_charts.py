"""How far a counter's probabilities can be trusted: the drawing of reliability."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from warehouse_classifier.evaluation.reliability import BINS
from warehouse_classifier.report.chart import Chart, canvas, settled
from warehouse_classifier.report.style import GREY, INK, house_style, legend, percent, percents

STAGES = {"before": (GREY, "s", "--", "none"), "after": ("#0072B2", "o", "-", "full")}


@house_style()
def reliability(name: str, title: str, table: pd.DataFrame, errors: Mapping[str, float]) -> Chart:
    """Accuracy by confidence, before and after the temperature, and how many images have each confidence.

    Columns of `table`, a row for each of BINS that holds images: stage (before, after), confidence, accuracy, images.
    `errors`: the expected calibration error of each stage.
    """
    figure, (axes, below) = canvas(4.4, rows=(3.4, 1))
    axes.plot([0, 1], [0, 1], color=INK, linewidth=0.8)
    turned: dict[str, Any] = {"rotation": 45, "rotation_mode": "anchor", "transform_rotates_text": True}
    axes.annotate("as sure as right", (0.04, 0.06), fontsize=8.5, **turned)
    for i, (stage, (colour, marker, dash, fill)) in enumerate(STAGES.items()):
        rows, label = table[table["stage"] == stage], f"{stage}, ECE {percent(errors[stage], 1)}"
        line: dict[str, Any] = {
            "linestyle": dash,
            "marker": marker,
            "markersize": 6,
            "fillstyle": fill,
            "color": colour,
        }
        axes.plot(rows["confidence"], rows["accuracy"], label=label, **line)
        places = np.minimum(np.floor(rows["confidence"] * BINS), BINS - 1) + (0.3 + 0.4 * i)
        bar: dict[str, Any] = {"color": colour if fill == "full" else "none", "edgecolor": colour, "linewidth": 1}
        below.bar(places / BINS, rows["images"], 0.36 / BINS, **bar)
    axes.set(title=title, xlim=(0, 1), ylim=(0, 1), ylabel="share right")
    below.set(xlabel="probability of the quantity that it says", ylabel="images")
    percents(axes.yaxis)
    percents(below.xaxis)
    below.yaxis.set_major_formatter("{x:,.0f}")
    axes.grid()
    below.grid(axis="y")
    figure.align_ylabels()
    legend(figure)
    before, after = (percent(errors[stage], 1) for stage in STAGES)
    words = (
        f"Reliability of {title}: its expected calibration error is {before} before and {after} after its temperature."
    )
    return settled(name, words, figure, table)
