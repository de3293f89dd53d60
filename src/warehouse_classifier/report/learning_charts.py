"""How networks learned: the drawing of loss and accuracy over epochs. Keys and titles: see chart.py."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.ticker import MaxNLocator

from warehouse_classifier.report.chart import Chart, canvas, settled
from warehouse_classifier.report.style import house_style, legend, sparse, styles


@house_style()
def learning(name: str, ylabel: str, curves: Mapping[tuple[str, str], pd.Series], titles: Mapping[str, str]) -> Chart:
    """Lines over epochs, the index of each series, by a network's key and a split: train, validation, or neither ("").

    Lines of the training split are thin, dotted and hollow.
    """
    columns = {"_".join(filter(None, line)): series for line, series in curves.items()}
    table = pd.concat(columns, axis=1).sort_index().rename_axis("epoch").reset_index()
    labels = {(key, split): ", ".join(filter(None, (titles[key], split))) for key, split in curves}
    keys = list(dict.fromkeys(key for key, _ in curves))
    by_key = styles(keys)
    figure, (axes,) = canvas(3.2)
    for (key, split), series in curves.items():
        style, train = by_key[key], split == "train"
        looks: dict[str, Any] = {
            "color": style.colour,
            "marker": style.marker,
            "fillstyle": "none" if train else "full",
        }
        looks |= {"linestyle": ":" if train else "-" if split else style.dash, "linewidth": 1.2 if train else 1.8}
        markers = sparse(len(series), keys.index(key))
        axes.plot(series.index, series, label=labels[key, split], markersize=5, markevery=markers, **looks)
    axes.set(xlabel="epoch", ylabel=ylabel)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid()
    legend(figure)
    ends = "; ".join(f"{labels[line]} {series.iloc[-1]:.3f}" for line, series in curves.items())
    return settled(name, f"{ylabel} by epoch. At the end: {ends}.", figure, table)
