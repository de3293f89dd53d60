"""The mean of a network's weights over the last steps of a training.

Izmailov et al. 2018, "Averaging Weights Leads to Wider Optima and Better Generalization", https://arxiv.org/abs/1803.05407.
"""

import torch
from torch import nn


class WeightAverage:
    """The mean of all weights and running statistics of `network` at the moments of `add`; `count` is how many these were."""

    def __init__(self, network: nn.Module) -> None:
        self._network = network
        self.count = 0
        self.weights: dict[str, torch.Tensor] = {}

    @torch.no_grad()
    def add(self) -> None:
        """Take the weights as they are now into the mean."""
        self.count += 1
        for name, tensor in self._network.state_dict().items():
            if self.count == 1:
                self.weights[name] = tensor.clone()
            elif tensor.is_floating_point():
                self.weights[name].lerp_(tensor, 1 / self.count)
            else:  # a count of batches
                self.weights[name].copy_(tensor)

    def load(self, count: int, weights: dict[str, torch.Tensor]) -> None:
        """Go on from a mean of so many."""
        own = self._network.state_dict()
        self.count = count
        self.weights = {name: torch.empty_like(own[name]).copy_(tensor) for name, tensor in weights.items()}
