"""Running statistics of BatchNorms that come out alike however a batch is split among processes."""

from collections.abc import Callable

import torch
from torch import nn


class RunningStats:
    """Running means and variances of all BatchNorms of a network, over the `parts` micro-batches of one step.

    Left alone, micro-batches would update them one after another, the last one with the most weight, and each process would
    have its own. Here each micro-batch updates those that the step began with, and the mean of these updates is taken.
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
        self._count = 0
        if self._active:
            self._start = self._current()
            self._sum = torch.zeros_like(self._start)

    def __len__(self) -> int:
        return len(self._norms)

    def accumulate(self) -> None:
        """Add what the last micro-batch made of them, and put back those that the step began with."""
        if not self._active:
            return
        if not self._count:
            self._sum.zero_()
        self._sum += self._current()
        self._count += 1
        self._assign(self._start)

    def synchronize(self, reduce: Callable[[torch.Tensor], torch.Tensor]) -> None:
        """Take the mean over all micro-batches, at the end of a step. `reduce`: the sum of a tensor over all processes."""
        if not self._active:
            return
        self._start = reduce(self._sum) / self.parts
        self._assign(self._start)
        for norm in self._norms:
            if norm.num_batches_tracked is not None:
                norm.num_batches_tracked += self.parts - self._count
        self._count = 0

    def reset(self) -> None:
        """After other weights have been loaded into the network."""
        if self._active:
            self._start = self._current()

    def _buffers(self) -> list[torch.Tensor]:
        return [part for norm in self._norms for part in (norm.running_mean, norm.running_var) if part is not None]

    def _current(self) -> torch.Tensor:
        return torch.cat(self._buffers())

    def _assign(self, stats: torch.Tensor) -> None:
        buffers = self._buffers()
        for buffer, part in zip(buffers, torch.split(stats, [len(buffer) for buffer in buffers]), strict=True):
            buffer.copy_(part)
