"""What spoke for a count: a heat map of the photo for each network, and a picture of both for people.

Each network is asked in the way that models/registry names for it, if it names one. Grad-CAM (Selvaraju et al. 2017,
arXiv:1610.02391) tells where a ResNet34 found what raised the logit of one quantity. Attention rollout (Abnar & Zuidema 2020,
arXiv:2005.00928) tells from where the patches of a photo flow into a ViT's answer; it is the same whichever quantity is asked
for, so it says where the ViT looked, and not what it took that for.
"""

import textwrap
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.ndimage import map_coordinates
from torch import nn

from warehouse_classifier.dataset.photo import Pixels
from warehouse_classifier.evaluation.temperature import Floats
from warehouse_classifier.models.registry import NETWORKS, Explanation
from warehouse_classifier.report.style import listed, look, percent
from warehouse_classifier.serving.predictor import Answer, Counter

STRIDES = {"layer4": 32, "layer3": 16, "layer2": 8, "layer1": 4}  # pixels from one place of a stage's map to the next
PLACES = 7  # that a map has at least along a side, as the last stage's has of the published 224 pixels

DOTS = 160  # pixels of the picture to an inch
# inches: a photo of any side is shown at 320 pixels
PANEL, GAP, MARGIN = 2.0, 0.15, 0.15
LINE = 0.17  # of text
GROUND, COVER = 0.7, 0.6  # what is left of the lightness of the grey photo, and most that heat covers of it
SCALE = "inferno"  # its lightness rises steadily, so it reads in grey as well
LEVELS = (0.25, 0.5, 0.75)  # of the contours
LOOKED = "where it looked, for any count"
UNEXPLAINED = ("this network offers no heat map", "")
WORDS = {"match": "match", "look": "look, too unsure to tell", "mismatch": "mismatch"}


def heat(counter: Counter, pixels: Pixels, label: int) -> dict[str, Floats]:
    """What spoke for `label`, or was looked at, in a photo [side, side, 3]: by network a map [side, side] in 0..1.

    The hottest place of a map has 1; a map of zeros says that no place spoke for `label`. A network that offers no explanation
    has no map. The side may be another than the networks were trained on. Nothing is changed about the counter, whose answers
    stay the same to the bit.
    """
    # fp32 whatever the counter's precision: what bf16 rounds off an answer is much in a map of small differences
    image = torch.from_numpy(pixels).permute(2, 0, 1)[None].to(counter.device)
    return {
        network: METHODS[kind].heat(module, image, label)
        for network, module in counter.networks.items()
        if (kind := NETWORKS[network].explanation)
    }


def picture(counter: Counter, pixels: Pixels, answer: Answer, expected: int | None = None) -> bytes:
    """A PNG of a photo [side, side, 3] and, beside it, the same with the heat of each network; the same bytes every time.

    A network without an explanation has its answer beside the grey photo, and words that say so.

    `answer`: what the counter says of the photo, `expected` the quantity that it was asked with, None for nothing.
    """
    assert answer.predicted is not None, "what cannot be decoded cannot be drawn"
    label = counter.known.quantities.index(answer.predicted)
    maps = heat(counter, pixels, label)
    width = 2 * MARGIN + PANEL + len(counter.networks) * (GAP + PANEL)
    lines = _lines(counter, answer, expected, round(13 * width))
    head, foot = LINE * (len(lines) + 1.4), 2.2 * LINE
    height = head + LINE + PANEL + foot + MARGIN
    with look():
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
    counter: Counter, pixels: Pixels, predicted: int, maps: Mapping[str, Floats]
) -> Iterator[tuple[str, tuple[str, str], Pixels | Floats, Floats | None]]:
    """Of each panel the title, the words below, the image and the heat whose contours it shows."""
    words = f"as networks see it, {len(pixels)} x {len(pixels)}", "bright is hot; lines: 25, 50, 75 %"
    yield "the photo", words, pixels, None
    for network, module in counter.networks.items():
        alone = Counter(network, counter.known, {network: module}, counter.device)
        (said,) = alone.answers(alone.probabilities(pixels[None]), [None])
        title = f"{NETWORKS[network].title}: {_items(said.predicted)}, {_percent(said.probability)}"
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


def _lines(counter: Counter, answer: Answer, expected: int | None, columns: int) -> list[str]:
    titles = listed([NETWORKS[network].title for network in counter.networks])
    together = f"{titles} together" if len(counter.networks) > 1 else titles
    said = [f"{together}: {_items(answer.predicted)}, {_percent(answer.probability)}"]
    if answer.reason is not None:
        asked = f"{answer.verdict}: {answer.reason}"
    elif answer.verdict is None:
        asked = "nothing expected"
    else:
        asked = WORDS[answer.verdict] if expected is None else f"{expected} expected: {WORDS[answer.verdict]}"
    return [*said, *textwrap.wrap(asked, columns)]


def _items(quantity: int | None) -> str:
    return f"{quantity} item" if quantity == 1 else f"{quantity} items"


def _percent(probability: float | None) -> str:
    assert probability is not None
    return "over 99 %" if probability > 0.995 else percent(probability)


def _grad_cam(network: nn.Module, image: torch.Tensor, label: int) -> Floats:
    """Of the last stage whose map has PLACES a side: the last of all at 224 pixels, but at 64 that one has 2 x 2 places."""
    side = image.shape[-1]
    stage = next((stage for stage, stride in STRIDES.items() if -(-side // stride) >= PLACES), "layer1")
    seen: list[torch.Tensor] = []

    def keep(module: nn.Module, inputs: object, output: torch.Tensor) -> torch.Tensor:
        # the gradient ends here, and no weight is asked for one
        seen.append(output.detach().requires_grad_())
        return seen[0]

    with (
        torch.inference_mode(mode=False),
        torch.enable_grad(),
        _hooked([network.get_submodule(f"network.{stage}")], keep),
    ):
        logit = network(image)[0, label]
        (gradient,) = torch.autograd.grad(logit, seen[0])
    weights = gradient.mean((2, 3), keepdim=True)
    found = (weights * seen[0].detach()).sum(1)[0].relu().double().cpu().numpy()
    # the paddings of a ResNet lay the first place over the very first pixel, and not over the middle of its cell
    return _spread(found, side, STRIDES[stage], 0.0)


def _rollout(network: nn.Module, image: torch.Tensor, label: int) -> Floats:
    """From the patches to the token that answers, less what every patch has."""
    model: Any = network.get_submodule("network")
    layers = [layer.get_submodule("attention") for layer in network.get_submodule("network.vit.layers").children()]
    seen: list[torch.Tensor] = []

    def keep(module: nn.Module, inputs: object, output: tuple[torch.Tensor, torch.Tensor]) -> None:
        seen.append(output[1])

    # of the ways to compute attention only "eager" tells it; transformers' own output_attentions leaves hooks behind
    usual = model.config._attn_implementation  # noqa: SLF001 -- there is no public name to read it by
    model.set_attn_implementation("eager")
    try:
        with torch.inference_mode(), _hooked(layers, keep):
            network(image)
    finally:
        model.set_attn_implementation(usual)
    flow = np.eye(seen[0].shape[-1])
    for attention in seen:
        mean = attention[0].double().mean(0).cpu().numpy()
        flow = (0.5 * mean + 0.5 * np.eye(len(mean))) @ flow
    patch = model.config.patch_size
    found = flow[0, 1:].reshape(image.shape[-1] // patch, -1)
    return _spread(found - found.min(), image.shape[-1], patch, (patch - 1) / 2)


@contextmanager
def _hooked(modules: list[nn.Module], hook: Callable[..., Any]) -> Iterator[None]:
    handles = [module.register_forward_hook(hook) for module in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _spread(found: Floats, side: int, step: int, first: float) -> Floats:
    """A map of places over the pixels of a photo: place i lies at the pixel `first` + i * `step`, both ways.

    By cubic B-splines without a prefilter, which are smooth and, unlike bicubic ones, never beyond the values they join.
    """
    where = (np.arange(side) - first) / step
    smooth = map_coordinates(found, np.meshgrid(where, where, indexing="ij"), order=3, mode="nearest", prefilter=False)
    most = smooth.max()
    # rounding alone is no heat
    return smooth / most if most > 1e-12 else np.zeros((side, side))


@dataclass(frozen=True)
class Method:
    """A kind of explanation."""

    heat: Callable[[nn.Module, torch.Tensor, int], Floats]  # of a network, an image [1, 3, side, side] and a label
    hot: str  # what its map shows; {} stands for the quantity that was predicted
    cold: str  # the same where no place of the map is hot


METHODS: dict[Explanation, Method] = {
    "Grad-CAM": Method(_grad_cam, "what spoke for {}", "no place spoke for {}"),
    "attention rollout": Method(_rollout, LOOKED, LOOKED),
}
