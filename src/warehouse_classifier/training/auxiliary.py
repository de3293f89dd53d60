"""Auxiliary answers: while it learns to count, a network is also asked what else the list of a bin says (Caruana 1997, "Multitask
learning"). What it then sees of a photo knows how large things are; the answers themselves are thrown away with the training.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

Attributes = npt.NDArray[np.float64]  # of lists, [rows, attributes], see bins/sizes.py; NaN for what is not known


class WithAuxiliary(nn.Module):
    """A network, and a layer that answers `attributes` from all that it sees of images of `side` pixels."""

    network: Any  # which shows what it sees: models/inference.Reader

    def __init__(self, network: nn.Module, attributes: int, side: int) -> None:
        super().__init__()
        self.network = network
        was_training = network.training
        network.eval()  # or a BatchNorm would learn from nothing
        with torch.inference_mode():
            seen = self.network.read(torch.zeros(1, 3, side, side, dtype=torch.uint8))[1]
        network.train(was_training)
        self.answers = nn.Sequential(nn.LayerNorm(seen.shape[1]), nn.Linear(seen.shape[1], attributes))

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits [B, quantities] and answers [B, attributes] of uint8 images [B, 3, side, side]."""
        logits, seen = self.network.read(images)
        return logits, self.answers(seen)


@dataclass(frozen=True)
class Scale:
    """By which attributes are brought to a mean of 0 and a spread of 1 over the photos that are learned from."""

    middle: Attributes
    spread: Attributes

    @classmethod
    def of(cls, attributes: Attributes) -> "Scale":
        """An attribute that no list tells, or all alike, stays what it is."""
        known = ~np.isnan(attributes)
        count = np.maximum(known.sum(axis=0), 1)
        middle = np.where(known, attributes, 0).sum(axis=0) / count
        spread = np.sqrt((np.where(known, attributes - middle, 0) ** 2).sum(axis=0) / count)
        return cls(middle, np.where(spread > 1e-6, spread, 1.0))

    def scaled(self, attributes: Attributes) -> torch.Tensor:
        """What is to be answered, float32 [rows, attributes]."""
        return torch.from_numpy(((attributes - self.middle) / self.spread).astype(np.float32))


def squared_error(answers: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """The sum over all images of their mean squared error, of what is known; both [B, attributes]."""
    known = ~wanted.isnan()
    return (torch.where(known, answers - wanted.nan_to_num(), 0.0) ** 2).mean(dim=1).sum()
