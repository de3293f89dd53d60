"""The epochs of a training: steps over the images to learn from, then figures on the ones held out."""

import resource
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import repeat

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from warehouse_classifier.dataset.batches import Images, Rows, batches, evenly
from warehouse_classifier.dataset.labels import QuantityEncoder
from warehouse_classifier.runtime.errors import UserError
from warehouse_classifier.runtime.progress import Bar, Progress
from warehouse_classifier.training import distributed
from warehouse_classifier.training.augmentation import DRAWS
from warehouse_classifier.training.checkpoint import TrainState
from warehouse_classifier.training.checkpointer import Checkpointer
from warehouse_classifier.training.step import MicroBatch, TrainStep

LOSS_EVERY = 1.0  # seconds between reads of the loss; each read waits for the GPU


@dataclass(frozen=True)
class Epochs:
    """The epochs of one training: what the network learns from, and what it is validated on."""

    train_step: TrainStep
    photos: Images
    rows: Rows
    held_out: Rows
    target: torch.Tensor  # the label of every row, on the device; -1 for none
    encoder: QuantityEncoder
    count: int  # of epochs
    average: float  # share of all steps, the last ones, whose weights are averaged
    key: tuple[int, ...]  # what all draws of chance begin with
    title: str
    checkpointer: Checkpointer | None
    progress: Progress
    lists: torch.Tensor | None = None  # what else the list of every row says, [rows, attributes], on the device

    @cached_property
    def bounds(self) -> list[int]:
        """Images done in an epoch after 0, 1, 2, ... steps."""
        return [0, *np.cumsum([len(batch) for batch in evenly(self.rows, self.train_step.recipe.batch)]).tolist()]

    @cached_property
    def labelled(self) -> int:
        """How many images to learn from have a label, and so a loss."""
        return int((self.target[torch.from_numpy(self.rows).to(self.target.device)] >= 0).sum())

    def epoch(self, state: TrainState, all_epochs: Bar) -> TrainState:
        """Finish the epoch at `state` and validate. Returns the state after it, whose history has a row more."""
        number, began = len(state.history) + 1, time.perf_counter()
        done = self.bounds[state.step]
        with self.progress.bar(f"{self.title} epoch {number}/{self.count}", len(self.rows), "image", done) as bar:
            state = self.learn(state, (all_epochs, bar))
        speed = {"images_per_second": (len(self.rows) - done) / (time.perf_counter() - began)}
        row = {
            "epoch": number,
            "train_loss": state.loss / self.labelled,
            **self.validate(state),
            "learning_rate": self.train_step.optimizer.param_groups[0]["lr"],
        }
        self.finite(row["validation_loss"], number)  # the last step alone can break the weights
        row = {key: round(value, 6) if key != "learning_rate" else value for key, value in row.items()}
        speeds = [*state.speeds, {**speed, "memory_mib": memory(self.train_step.device)}]
        return TrainState([*state.history, row], speeds, pretrained=state.pretrained)

    def learn(self, state: TrainState, bars: tuple[Bar, ...]) -> TrainState:
        """The steps of an epoch from `state` on. Returns the state after the last one, before validation."""
        epoch, bounds, loss_read = len(state.history), self.bounds, time.monotonic()
        steps, micro_batches = len(bounds) - 1, self.micro_batches(epoch, state.step)
        total = torch.tensor(state.loss, dtype=torch.float64, device=self.train_step.device)
        for step in range(state.step, steps):
            size = bounds[step + 1] - bounds[step]
            done, every = epoch * steps + step, self.count * steps
            rate = self.train_step.recipe.rate(done / every)
            average = done + 1 > (1 - self.average) * every
            total += self.train_step.run(micro_batches, size, rate, average=average)
            for bar in bars:
                bar.advance(size)
            if self.train_step.first and time.monotonic() - loss_read > LOSS_EVERY:  # all have the same loss
                share = self.labelled / len(self.rows)  # of what is done, or nearly
                bars[-1].advance(0, loss=self.finite(total, epoch + 1) / (share * bounds[step + 1]))
                loss_read = time.monotonic()
            if self.checkpointer and self.checkpointer.due():
                self.checkpointer.keep(replace(state, step=step + 1, loss=self.finite(total, epoch + 1)))
        return replace(state, step=steps, loss=self.finite(total, epoch + 1))

    def micro_batches(self, epoch: int, step: int) -> Iterator[MicroBatch]:
        """Those of epoch `epoch` (from 0 on), from `step` on, that fall to this process."""
        recipe, device, to_a_step = self.train_step.recipe, self.train_step.device, self.train_step.parts
        drawn = np.random.default_rng([*self.key, epoch])
        order, mirrored = drawn.permutation(self.rows), drawn.random(len(self.target)) < 0.5
        steps = evenly(order, recipe.batch)
        parts = [part for batch in steps for part in np.array_split(batch, to_a_step)]
        seeds = drawn.integers(1 << 63, size=len(parts)).tolist()
        mine = slice(step * to_a_step + distributed.rank(), None, recipe.processes)
        parts, seeds = parts[mine], seeds[mine]
        there = torch.from_numpy(np.concatenate([*parts, order[:0]])).to(device)
        sizes = [len(part) for part in parts]
        labels = torch.split(self.target[there], sizes)
        flipped = torch.split(torch.from_numpy(mirrored).to(device)[there], sizes)
        draws: Iterable[torch.Tensor | None] = repeat(None)
        if recipe.augmentation:
            numbers = torch.from_numpy(drawn.random((len(self.target), DRAWS), dtype=np.float32)).to(device)
            draws = torch.split(numbers[there], sizes)
        images = batches(self.photos, parts, recipe.workers, device)
        lists = repeat(None) if self.lists is None else torch.split(self.lists[there], sizes)
        yield from map(MicroBatch, images, labels, flipped, seeds, draws, lists)

    def validate(self, state: TrainState) -> dict[str, float]:
        """Loss, accuracy and RMSE (items) on the held-out images."""
        recipe, device = self.train_step.recipe, self.train_step.device
        labels = self.target[torch.from_numpy(self.held_out).to(device)]
        logits = torch.zeros(len(labels), len(self.encoder), device=device)
        parts = evenly(np.arange(len(labels)), recipe.micro_batch)[distributed.rank() :: recipe.processes]
        images = batches(self.photos, [self.held_out[part] for part in parts], recipe.workers, device)
        title = f"{self.title} validation {len(state.history) + 1}/{self.count}"
        with self.progress.bar(title, sum(map(len, parts)), "image") as bar:
            for part, photos in zip(parts, images, strict=True):
                logits[part[0] : part[-1] + 1] = self.train_step.predict(photos)
                bar.advance(len(part))
                if self.checkpointer and self.checkpointer.due():
                    self.checkpointer.keep(state)
        logits = self.train_step.sum(logits)
        predicted = self.encoder.decode(logits.argmax(1).cpu().numpy())
        expected = self.encoder.decode(labels.cpu().numpy())
        return {
            "validation_loss": float(cross_entropy(logits, labels)),
            "validation_accuracy": float(np.mean(predicted == expected)),
            "validation_rmse": float(np.sqrt(np.mean((predicted - expected) ** 2))),
        }

    def finite(self, loss: torch.Tensor | float, epoch: int) -> float:
        """The loss of an epoch (from 1 on) as a number. Raises UserError if it is none, and then nothing is saved."""
        value = float(loss)
        if not np.isfinite(value):
            other = "" if self.train_step.recipe.precision == "fp32" else ", or use precision fp32"
            raise UserError(
                f"{self.train_step.name}: the loss is {value} in epoch {epoch}; lower the learning rate{other}"
            )
        return value


def refuse_too_few(train_step: TrainStep, rows: Rows) -> None:
    """Raises UserError for micro-batches of too few images: a BatchNorm takes its averages over two at least."""
    fewest = len(rows) // len(evenly(rows, train_step.recipe.batch)) // train_step.parts
    if fewest < (2 if len(train_step.running_stats) else 1):
        raise UserError(
            f"params.yaml: {train_step.name}'s batch and micro_batch cut the {len(rows)} images to train on into"
            f" micro-batches of {fewest}, too few; set a smaller batch or a larger micro_batch"
        )


def memory(device: torch.device) -> float:
    """Peak memory so far in MiB: of the GPU, or of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
