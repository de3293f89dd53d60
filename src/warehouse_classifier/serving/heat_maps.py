"""Where a network found what it says of a photo: a heat map of each.

Each network is asked in the way that models/registry names for it, if it names one. Grad-CAM (Selvaraju et al. 2017,
arXiv:1610.02391) tells where a ResNet34 found what raised the logit of one quantity. Attention rollout (Abnar & Zuidema 2020,
arXiv:2005.00928) tells from where the patches of a photo flow into a ViT's answer; it is the same whichever quantity is asked
for, so it says where the ViT looked, and not what it took that for.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.ndimage import map_coordinates
from torch import nn

from warehouse_classifier.dataset.photo import Pixels
from warehouse_classifier.evaluation.arrays import Floats
from warehouse_classifier.models.registry import NETWORKS, Explanation
from warehouse_classifier.serving.predictor import Predictor

STRIDES = {"layer4": 32, "layer3": 16, "layer2": 8, "layer1": 4}  # pixels from one place of a stage's map to the next
PLACES = 7  # that a map has at least along a side, as the last stage's has of the published 224 pixels
LOOKED = "where it looked, for any count"


def heat(counter: Predictor, pixels: Pixels, label: int) -> dict[str, Floats]:
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
    heat = (weights * seen[0].detach()).sum(1)[0].relu().double().cpu().numpy()
    # the paddings of a ResNet lay the first place over the very first pixel, and not over the middle of its cell
    return _spread(heat, side, STRIDES[stage], 0.0)


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
    heat = flow[0, 1:].reshape(image.shape[-1] // patch, -1)
    return _spread(heat - heat.min(), image.shape[-1], patch, (patch - 1) / 2)


@contextmanager
def _hooked(modules: list[nn.Module], hook: Callable[..., Any]) -> Iterator[None]:
    handles = [module.register_forward_hook(hook) for module in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _spread(heat: Floats, side: int, step: int, first: float) -> Floats:
    """A map of places over the pixels of a photo: place i lies at the pixel `first` + i * `step`, both ways.

    By cubic B-splines without a prefilter, which are smooth and, unlike bicubic ones, never beyond the values they join.
    """
    where = (np.arange(side) - first) / step
    smooth = map_coordinates(heat, np.meshgrid(where, where, indexing="ij"), order=3, mode="nearest", prefilter=False)
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
