"""How networks learned: the drawing of loss and accuracy over epochs. Keys and titles: see chart.py."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.ticker import MaxNLocator

from warehouse_classifier.report.chart import Chart, canvas, settled
from warehouse_classifier.report.style import house_style, legend, sparse, styles


@house_style()
def learning(
    name: str, ylabel: str, curves: Mapping[str, tuple[Sequence[float], Sequence[float]]], titles: Mapping[str, str]
) -> Chart:
    """Lines over epochs: (epochs, values) by a line's name, which is a network's key, alone or with `_train` or `_validation`.

    Lines of the training split are thin, dotted and hollow.
    """
    series = [pd.Series(values, index=pd.Index(epochs), name=line) for line, (epochs, values) in curves.items()]
    table = pd.concat(series, axis=1).sort_index().rename_axis("epoch").reset_index()
    lines = {line: _parts(line) for line in curves}
    keys = list(dict.fromkeys(key for key, _ in lines.values()))
    labels = {line: ", ".join(filter(None, (titles[key], split))) for line, (key, split) in lines.items()}
    by_key = styles(keys)
    figure, (axes,) = canvas(3.2)
    for line, (epochs, values) in curves.items():
        key, split = lines[line]
        style, train = by_key[key], split == "train"
        looks: dict[str, Any] = {
            "linestyle": ":" if train else style.dash if not split else "-",
            "linewidth": 1.2 if train else 1.8,
        }
        looks |= {"color": style.colour, "fillstyle": "none" if train else "full", "marker": style.marker}
        markers = sparse(len(epochs), keys.index(key))
        axes.plot(epochs, values, label=labels[line], markersize=5, markevery=markers, **looks)
    axes.set(xlabel="epoch", ylabel=ylabel)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid()
    legend(figure)
    ends = "; ".join(f"{labels[line]} {values[-1]:.3f}" for line, (_, values) in curves.items())
    return settled(name, f"{ylabel} by epoch. At the end: {ends}.", figure, table)


def _parts(line: str) -> tuple[str, str]:
    """The key and the split, if any, in a line's name."""
    key, _, split = line.rpartition("_")
    return (key, split) if split in {"train", "validation"} else (line, "")
