"""One step of a training on the devices at hand, alone or as one of several processes."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, broadcast_object_list, send_to_device
from torch import nn
from torch.distributed import init_process_group
from torch.nn.functional import cross_entropy
from torch.optim.swa_utils import AveragedModel

from warehouse_classifier.models.device import arithmetic, autocast, layout
from warehouse_classifier.runtime.errors import UserError
from warehouse_classifier.training import checkpoint, distributed
from warehouse_classifier.training.augmentation import augmented, mirror
from warehouse_classifier.training.auxiliary import squared_error
from warehouse_classifier.training.batchnorm import RunningStats
from warehouse_classifier.training.checkpoint import TrainState
from warehouse_classifier.training.recipe import Recipe
from warehouse_classifier.training.targets import softened


class MicroBatch(NamedTuple):
    """`images` uint8 [B, 3, side, side], their `labels` [B], -1 for none, which of them are `mirrored` [B], dropout's seed, the draws by which
    they are changed, [B, augmentation.DRAWS], or None, and what else their `lists` say, [B, attributes], or None."""

    images: torch.Tensor
    labels: torch.Tensor
    mirrored: torch.Tensor
    seed: int
    draws: torch.Tensor | None
    lists: torch.Tensor | None


class TrainStep:
    """Steps of `network` and `optimizer` by `recipe`: a context manager, within which torch is set up for them."""

    def __init__(self, name: str, network: nn.Module, optimizer: torch.optim.Optimizer, recipe: Recipe) -> None:
        self.name, self.bare, self.optimizer, self.recipe = name, network, optimizer, recipe
        self.parts = recipe.batch // recipe.micro_batch  # micro-batches to a step
        # Izmailov et al. 2018, https://arxiv.org/abs/1803.05407: of the weights, and of the BatchNorms' running statistics
        self.average = AveragedModel(network, avg_fn=mean, use_buffers=True).eval() if recipe.average else None
        self._entered = ExitStack()

    def __enter__(self) -> Self:
        """Raises UserError where the machine or the processes are not those of the recipe."""
        recipe = self.recipe
        if distributed.size() != recipe.processes:
            raise UserError(
                f"params.yaml: {self.name}'s processes is {recipe.processes}, and {distributed.size()} were started together"
            )
        gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if 0 < gpus < distributed.local_size():
            raise UserError(
                f"params.yaml: {self.name}'s processes is {recipe.processes}, which is more than {gpus} GPUs"
            )
        if distributed.size() > 1:
            os.environ.setdefault("OMP_NUM_THREADS", str(recipe.threads))  # else accelerate picks a number, and warns
        if rendezvous := distributed.meeting():
            backend, address = "nccl" if gpus else "gloo", f"file://{rendezvous}"
            init_process_group(backend, address, world_size=distributed.size(), rank=distributed.rank())
        # else DDP cuts gradients otherwise after the first step, and three or more processes that go on from a checkpoint
        # add them up in another order than those that never stopped
        every_step_alike = DistributedDataParallelKwargs(find_unused_parameters=True)
        # precision and accumulation are the recipe's, whatever accelerate's own variables say
        self.accelerator = Accelerator(cpu=not gpus, mixed_precision="no", kwargs_handlers=[every_step_alike])
        self.device = self._entered.enter_context(
            arithmetic(
                self.name, recipe.precision, recipe.threads, deterministic=recipe.deterministic,
                device=self.accelerator.device,
            )
        )  # fmt: skip
        self.first = distributed.rank() == 0
        network = self.bare.to(memory_format=layout(recipe.precision))
        if recipe.compile:
            network.compile(dynamic=False)  # a batch has one of two sizes, and each is worth code of its own
        self.network = self.accelerator.prepare(network)
        if self.average:
            self.average.to(self.device).to(memory_format=layout(recipe.precision))
        self.running_stats = RunningStats(self.bare, self.parts)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._entered.close()
        if self.recipe.processes > 1 and kind is None:
            self.accelerator.end_training()

    def run(self, micro_batches: Iterator[MicroBatch], size: int, rate: float, *, average: bool) -> torch.Tensor:
        """One step of the optimizer on a batch of `size` images in all, of which this process takes its micro-batches.

        `average`: whether the weights after it are among those that the mean is taken over. Returns the sum of the losses of
        all images, of their count alone, as a tensor that nobody has to wait for.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.network.train()
        loss = torch.zeros((), dtype=torch.float64, device=self.device)
        share = self.parts // self.recipe.processes
        for part in range(share):
            micro_batch = next(micro_batches)
            torch.manual_seed(micro_batch.seed)
            last = part == share - 1
            with nullcontext() if last else self.accelerator.no_sync(self.network):
                logits, answers = self._both(self.network, self._augmented(micro_batch))
                target = softened(micro_batch.labels, logits.shape[1], self.recipe.neighbours)
                batch_loss = cross_entropy(logits, target, ignore_index=-1, reduction="sum")
                whole = batch_loss
                if answers is not None and micro_batch.lists is not None:
                    whole = batch_loss + self.recipe.auxiliary * squared_error(answers, micro_batch.lists)
                # the processes' gradients are averaged, and their sum is wanted
                (whole * (self.recipe.processes / size)).backward()  # type: ignore[no-untyped-call]
            self.running_stats.accumulate()
            loss += batch_loss.detach()
        self.running_stats.synchronize(self.sum)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if average and self.average:
            self.average.update_parameters(self.bare)
        return self.sum(loss)

    @torch.inference_mode()
    def predict(self, images: torch.Tensor) -> torch.Tensor:
        """Logits [B, answers] of uint8 images [B, 3, side, side], by the mean of the weights as soon as there is one."""
        self.bare.eval()
        return self._both(self.average if self.average and self.averaged else self.bare, images)[0]

    def reset_optimizer(self) -> None:
        """The optimizer begins anew, with the weights as they are."""
        self.optimizer.state.clear()

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        """The sum of `tensor` over all processes."""
        return self.accelerator.reduce(tensor, "sum") if self.recipe.processes > 1 else tensor

    def wait(self) -> None:
        """Until all processes have come to this point."""
        self.accelerator.wait_for_everyone()

    def save(self, work: Path, state: TrainState) -> None:
        """A checkpoint of network, optimizer and `state` in `work`."""
        average = self.average.module.state_dict() if self.average and self.averaged else None
        checkpoint.save(work, self.bare, self.optimizer, replace(state, averaged=self.averaged), average)

    def resume(self, work: Path) -> TrainState:
        """Load the newest checkpoint that the first process finds into all of them. Raises what checkpoint.resume raises."""
        state, average = checkpoint.resume(work, self.bare, self.optimizer) if self.first else (TrainState(), {})
        if self.recipe.processes > 1:
            (state,) = broadcast_object_list([state])
            if state != TrainState():  # else all begin with the same seed
                states = [self.bare.state_dict(), self.optimizer.state_dict(), average]
                # on the processor, for a tensor of a GPU comes back on that GPU in every process
                weights, moments, average = broadcast_object_list(send_to_device(states, "cpu"))
                self.bare.load_state_dict(weights)
                self.optimizer.load_state_dict(moments)
        if self.average and state.averaged:
            self.average.module.load_state_dict(average)
            self.average.n_averaged.fill_(state.averaged)
        self.running_stats.reset()
        return state

    @property
    def averaged(self) -> int:
        """Of how many steps the mean of the weights is."""
        return int(self.average.n_averaged) if self.average else 0

    def _augmented(self, micro_batch: MicroBatch) -> torch.Tensor:
        images = mirror(micro_batch.images, micro_batch.mirrored)
        if self.recipe.augmentation is None or micro_batch.draws is None:
            return images
        return augmented(images, micro_batch.draws, self.recipe.augmentation)

    def _both(self, network: nn.Module, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Logits and, of a network that gives them, auxiliary answers."""
        images = images.to(self.device, memory_format=layout(self.recipe.precision))
        with autocast(self.device, self.recipe.precision):
            said = network(images)
        logits, answers = said if isinstance(said, tuple) else (said, None)
        return logits.float(), None if answers is None else answers.float()


def mean(averaged: torch.Tensor, newest: torch.Tensor, count: torch.Tensor | int) -> torch.Tensor:
    """Of `count` tensors, whose mean is `averaged`, and of one more. Of integers, which a BatchNorm counts its batches with,
    there is none: the newest. (torch's own way divides them on a GPU, which raises.)"""
    return averaged + (newest - averaged) / (count + 1) if newest.is_floating_point() else newest
