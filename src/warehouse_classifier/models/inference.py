"""How a trained network is asked."""

from typing import Protocol, cast

import torch
from torch import nn


class Reader(Protocol):
    """A network that shows what it sees beside what it says."""

    def read(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits [B, quantities] and features [B, features] of uint8 images [B, 3, side, side]."""


def logits_of(module: nn.Module, images: torch.Tensor, *, mirror: bool) -> torch.Tensor:
    """Logits [B, quantities] of uint8 images [B, 3, side, side], as float64. `mirror`: the mean of those of both views."""
    logits: torch.Tensor = module(images).double()
    return (logits + module(images.flip(3)).double()) / 2 if mirror else logits


def read(module: nn.Module, images: torch.Tensor, *, mirror: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits as logits_of has them, and features [B, features], as float64. `mirror`: the means over both views."""
    reader = cast(Reader, module)
    views = [reader.read(view) for view in ((images, images.flip(3)) if mirror else (images,))]
    logits, features = (torch.stack([view[part].double() for view in views]).mean(0) for part in (0, 1))
    return logits, features
