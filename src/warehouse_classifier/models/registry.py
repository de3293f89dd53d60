"""The networks there are. A new one is a module in this room, a stage `train_<key>`, an entry here and a style of the report.

Importing this file imports no torch: whoever only needs names (the command line, a stage before its parameters are checked)
does not wait for it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import nn

    Loader = Callable[[Path], nn.Module]

Explanation = Literal["Grad-CAM", "attention rollout"]  # the kinds that serving/heat_maps can draw


@dataclass(frozen=True)
class Network:
    """One entry of the list."""

    title: str  # as people read it
    loader: "Loader"  # of a trained network from its folder; imports the network's module when called
    explanation: Explanation | None  # how a heat map of its answers is drawn; None: there is none


def _resnet34(folder: Path) -> "nn.Module":
    from warehouse_classifier.models import resnet34

    return resnet34.load(folder)


def _vit(folder: Path) -> "nn.Module":
    from warehouse_classifier.models import vit

    return vit.load(folder)


# By key: the name of the network's module, of its folder in models/, and of its column in tables.
NETWORKS = {
    "resnet34": Network("ResNet34", _resnet34, "Grad-CAM"),
    "vit": Network("ViT", _vit, "attention rollout"),
}


def load(key: str, folder: Path) -> "nn.Module":
    """The trained network of `folder`, ready to answer: uint8 images [B, 3, H, W] -> logits [B, quantities].

    Raises UserError if the folder holds none.
    """
    return NETWORKS[key].loader(folder)
