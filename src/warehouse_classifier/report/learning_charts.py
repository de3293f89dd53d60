"""How networks learned: the drawing of loss and accuracy over epochs.

`who` is a key and `titles` what people read in its place, see chart.py.
"""

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.ticker import MaxNLocator

from warehouse_classifier.report.chart import Chart, canvas, settled
from warehouse_classifier.report.style import legend, look, sparse, styles


@look()
def learning(
    name: str, ylabel: str, curves: Mapping[str, tuple[Sequence[float], Sequence[float]]], titles: Mapping[str, str]
) -> Chart:
    """Lines over epochs: (epochs, values) by a line's key, which is `<who>`, `<who>_train` or `<who>_validation`.

    What is of the training split is thin, dotted and hollow.
    """
    series = [pd.Series(values, index=pd.Index(epochs), name=key) for key, (epochs, values) in curves.items()]
    table = pd.concat(series, axis=1).sort_index().rename_axis("epoch").reset_index()
    lines = {key: _line(key) for key in curves}
    whos = list(dict.fromkeys(who for who, _ in lines.values()))
    names = {key: ", ".join(filter(None, (titles[who], split))) for key, (who, split) in lines.items()}
    looks = styles(whos)
    figure, (axes,) = canvas(3.2)
    for key, (epochs, values) in curves.items():
        who, split = lines[key]
        style, train = looks[who], split == "train"
        axes.plot(
            epochs,
            values,
            linestyle=":" if train else style.dash if not split else "-",
            linewidth=1.2 if train else 1.8,
            label=names[key],
            color=style.colour,
            marker=style.marker,
            markersize=5,
            markevery=sparse(len(epochs), whos.index(who)),
            fillstyle="none" if train else "full",
        )
    axes.set(xlabel="epoch", ylabel=ylabel)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid()
    legend(figure)
    ends = "; ".join(f"{names[key]} {values[-1]:.3f}" for key, (_, values) in curves.items())
    return settled(name, f"{ylabel} by epoch. At the end: {ends}.", figure, table)


def _line(key: str) -> tuple[str, str]:
    """Whose line a key names, and the split that it is of, if any."""
    who, _, split = key.rpartition("_")
    return (who, split) if split in {"train", "validation"} else (key, "")
