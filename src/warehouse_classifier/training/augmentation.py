"""Photos as they might have been taken: a little smaller and elsewhere, turned, in another light. The count stays.

Nothing is cropped, for a cropped item is a miscounted item: a photo only shrinks, and what that leaves free is filled with the
photo's own edges, mirrored.
"""

import math

import torch
from torch.nn.functional import affine_grid, grid_sample

from warehouse_classifier.training.recipe import Augmentation

DRAWS = 9  # numbers that one image takes


def mirror(images: torch.Tensor, which: torch.Tensor) -> torch.Tensor:
    """Images [B, 3, H, W] of which those in `which` [B] are turned left to right."""
    return torch.where(which[:, None, None, None], images.flip(3), images)


def augmented(images: torch.Tensor, numbers: torch.Tensor, by: Augmentation) -> torch.Tensor:
    """uint8 images [B, 3, side, side] -> float ones, 0 to 255. `numbers`: draws in [0, 1), [B, DRAWS], on the same device.

    Each image depends on its own numbers alone.
    """
    shrink, right, down, turn, light, contrast, *colour = numbers.float().unbind(1)
    zoom = 1 / (1 - by.shrink * shrink)
    angle = (2 * turn - 1) * math.radians(by.turn)
    cos, sin, room = zoom * torch.cos(angle), zoom * torch.sin(angle), zoom - 1
    rows = [torch.stack([cos, -sin, room * (2 * right - 1)], 1), torch.stack([sin, cos, room * (2 * down - 1)], 1)]
    grid = affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    pixels = grid_sample(images.float(), grid, padding_mode="reflection", align_corners=False)
    gain = 1 + by.light * (2 * light - 1)
    tints = 1 + by.colour * (2 * torch.stack(colour, 1) - 1)
    mean = pixels.mean((1, 2, 3), keepdim=True)
    pixels = mean + (pixels - mean) * _each(1 + by.light * (2 * contrast - 1))
    return (pixels * _each(gain) * tints[:, :, None, None]).clamp(0, 255)


def _each(factors: torch.Tensor) -> torch.Tensor:
    return factors[:, None, None, None]
