"""Running averages of BatchNorms that come out alike however a batch is cut among processes."""

from collections.abc import Callable

import torch
from torch import nn


class RunningAverages:
    """Of all BatchNorms of a network, over the `parts` micro-batches of one step, here and in other processes.

    One after another, the micro-batches would each push the averages on, the last one hardest, and every process would
    have averages of its own. Here each pushes from where the step began, and the mean of all pushes is what counts.
    With one micro-batch to a step that is the usual BatchNorm, and nothing is done.
    """

    def __init__(self, network: nn.Module, parts: int) -> None:
        self.parts = parts
        self._norms = [
            module
            for module in network.modules()
            if isinstance(module, nn.modules.batchnorm._NormBase) and module.running_mean is not None  # noqa: SLF001
        ]
        self._active = bool(self._norms) and parts > 1
        self._taken = 0
        if self._active:
            self._begun = self._now()
            self._sum = torch.zeros_like(self._begun)

    def __len__(self) -> int:
        return len(self._norms)

    def take(self) -> None:
        """After each micro-batch has gone forward."""
        if not self._active:
            return
        if not self._taken:
            self._sum.zero_()
        self._sum += self._now()
        self._taken += 1
        self._put(self._begun)

    def agree(self, reduce: Callable[[torch.Tensor], torch.Tensor]) -> None:
        """At the end of a step. `reduce`: the sum of a tensor over all processes."""
        if not self._active:
            return
        self._begun = reduce(self._sum) / self.parts
        self._put(self._begun)
        for norm in self._norms:
            if norm.num_batches_tracked is not None:
                norm.num_batches_tracked += self.parts - self._taken
        self._taken = 0

    def reset(self) -> None:
        """After other averages have been loaded into the network."""
        if self._active:
            self._begun = self._now()

    def _buffers(self) -> list[torch.Tensor]:
        return [part for norm in self._norms for part in (norm.running_mean, norm.running_var) if part is not None]

    def _now(self) -> torch.Tensor:
        return torch.cat(self._buffers())

    def _put(self, averages: torch.Tensor) -> None:
        buffers = self._buffers()
        for buffer, part in zip(buffers, torch.split(averages, [len(buffer) for buffer in buffers]), strict=True):
            buffer.copy_(part)
