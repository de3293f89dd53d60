"""How a trained network is asked."""

import torch
from torch import nn


def logits_of(module: nn.Module, images: torch.Tensor, *, mirror: bool) -> torch.Tensor:
    """Logits [B, quantities] of uint8 images [B, 3, side, side], as float64. `mirror`: the mean of those of both views."""
    logits: torch.Tensor = module(images).double()
    return (logits + module(images.flip(3)).double()) / 2 if mirror else logits
