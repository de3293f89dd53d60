"""What spoke for a count, for people: a picture of the photo and of each network's heat map."""

import textwrap
from collections.abc import Iterator, Mapping
from io import BytesIO

import matplotlib as mpl
import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from warehouse_classifier.dataset.photo import Pixels
from warehouse_classifier.evaluation.arrays import Floats
from warehouse_classifier.models.registry import NETWORKS
from warehouse_classifier.report.style import house_style, listed, percent
from warehouse_classifier.serving.heat_maps import METHODS, heat
from warehouse_classifier.serving.predictor import Predictor
from warehouse_classifier.serving.questions import Answer

DOTS = 160  # pixels of the picture to an inch
# inches: a photo of any side is shown at 320 pixels
PANEL, GAP, MARGIN = 2.0, 0.15, 0.15
LINE = 0.17  # of text
GROUND, COVER = 0.7, 0.6  # what is left of the lightness of the grey photo, and most that heat covers of it
SCALE = "inferno"  # its lightness rises steadily, so it reads in grey as well
LEVELS = (0.25, 0.5, 0.75)  # of the contours
UNEXPLAINED = ("this network offers no heat map", "")
WORDS = {"match": "match", "look": "look, too unsure to tell", "mismatch": "mismatch"}


def picture(counter: Predictor, pixels: Pixels, answer: Answer, expected: int | None = None) -> bytes:
    """A PNG of a photo [side, side, 3] and, beside it, the same with the heat of each network; the same bytes every time.

    A network without an explanation has its answer beside the grey photo, and words that say so.

    `answer`: what the counter says of the photo, `expected` the quantity that it was asked with, None for nothing.
    """
    assert answer.predicted is not None, "what cannot be decoded cannot be drawn"
    label = counter.calibration.quantities.index(answer.predicted)
    maps = heat(counter, pixels, label)
    width = 2 * MARGIN + PANEL + len(counter.networks) * (GAP + PANEL)
    lines = _lines(counter, answer, expected, round(13 * width))
    head, foot = LINE * (len(lines) + 1.4), 2.2 * LINE
    height = head + LINE + PANEL + foot + MARGIN
    with house_style():
        figure = Figure(figsize=(width, height))
        for i, line in enumerate(lines):
            place = MARGIN / width, 1 - LINE * (0.8 + i) / height
            figure.text(*place, line, va="top", fontsize=9, fontweight="normal" if i else "bold")
        for i, (title, words, shown, hot) in enumerate(_panels(counter, pixels, answer.predicted, maps)):
            left = MARGIN + i * (PANEL + GAP)
            axes = figure.add_axes((left / width, (foot + MARGIN) / height, PANEL / width, PANEL / height))
            _draw(axes, shown, hot)
            axes.set_title(title, loc="left", fontsize=9, pad=4)
            for row, line in enumerate(words):
                figure.text(left / width, (foot + MARGIN - (row + 1) * LINE) / height, line, fontsize=7.5)
        out = BytesIO()
        figure.savefig(out, format="png", dpi=DOTS, metadata={"Software": None})
    return out.getvalue()


def _panels(
    counter: Predictor, pixels: Pixels, predicted: int, maps: Mapping[str, Floats]
) -> Iterator[tuple[str, tuple[str, str], Pixels | Floats, Floats | None]]:
    """Of each panel the title, the words below, the image and the heat whose contours it shows."""
    words = f"as networks see it, {len(pixels)} x {len(pixels)}", "bright is hot; lines: 25, 50, 75 %"
    yield "the photo", words, pixels, None
    for network, module in counter.networks.items():
        alone = Predictor(network, counter.calibration, {network: module}, counter.device)
        (answer,) = alone.answers(alone.probabilities(pixels[None]), [None])
        title = f"{NETWORKS[network].title}: {_items(answer.predicted)}, {_percent(answer.probability)}"
        kind, hot = NETWORKS[network].explanation, maps.get(network)
        if kind is None or hot is None:
            yield title, UNEXPLAINED, _blended(pixels, np.zeros(pixels.shape[:2])), None
        else:
            shows = METHODS[kind].hot if hot.any() else METHODS[kind].cold
            yield title, (shows.format(_items(predicted)), f"({kind})"), _blended(pixels, hot), hot


def _draw(axes: Axes, shown: Pixels | Floats, hot: Floats | None) -> None:
    axes.imshow(shown, interpolation="bicubic")
    axes.set_axis_off()
    levels = [] if hot is None else [level for level in LEVELS if hot.min() < level < hot.max()]
    if hot is not None and levels:
        lines = axes.contour(hot, levels=levels, colors="white", linewidths=[0.5 + level for level in levels])
        # a white line on a yellow ground needs an edge
        lines.set_path_effects([patheffects.withStroke(linewidth=2.2, foreground="black", alpha=0.6)])


def _blended(pixels: Pixels, hot: Floats) -> Floats:
    """The photo in dim grey with its heat on it, RGB [side, side, 3] in 0..1."""
    grey = GROUND * (pixels @ np.array([0.299, 0.587, 0.114]) / 255)[..., None]
    share = COVER * hot[..., None]
    mixed: Floats = (1 - share) * grey + share * mpl.colormaps[SCALE](hot)[..., :3]
    return mixed


def _lines(counter: Predictor, answer: Answer, expected: int | None, columns: int) -> list[str]:
    titles = listed([NETWORKS[network].title for network in counter.networks])
    together = f"{titles} together" if len(counter.networks) > 1 else titles
    counted = [f"{together}: {_items(answer.predicted)}, {_percent(answer.probability)}"]
    if answer.reason is not None:
        asked = f"{answer.verdict}: {answer.reason}"
    elif answer.verdict is None:
        asked = "nothing expected"
    else:
        asked = WORDS[answer.verdict] if expected is None else f"{expected} expected: {WORDS[answer.verdict]}"
    return [*counted, *textwrap.wrap(asked, columns)]


def _items(quantity: int | None) -> str:
    return f"{quantity} item" if quantity == 1 else f"{quantity} items"


def _percent(probability: float | None) -> str:
    assert probability is not None
    return "over 99 %" if probability > 0.995 else percent(probability)
