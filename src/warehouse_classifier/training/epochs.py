"""The epochs of a training: steps over the images to learn from, then figures on the ones held out."""

import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from warehouse_classifier.dataset.batches import Images, Rows, batches, evenly
from warehouse_classifier.dataset.labels import QuantityEncoder
from warehouse_classifier.runtime.errors import UserError
from warehouse_classifier.runtime.progress import Bar, Progress
from warehouse_classifier.training import distributed
from warehouse_classifier.training.checkpoint import TrainState
from warehouse_classifier.training.checkpointer import Checkpointer
from warehouse_classifier.training.step import MicroBatch, TrainStep

LOOK = 1.0  # seconds from one look at the loss to the next: a GPU has to be waited for


@dataclass(frozen=True)
class Epochs:
    """What a network learns from, epoch by epoch, and what it is examined on."""

    engine: TrainStep
    photos: Images
    rows: Rows
    held_out: Rows
    target: torch.Tensor  # the label of every row, on the device
    labels: QuantityEncoder
    rate: Callable[[float], float]
    checkpointer: Checkpointer | None
    progress: Progress

    @cached_property
    def bounds(self) -> list[int]:
        """Images done in an epoch after 0, 1, 2, ... steps."""
        return [0, *np.cumsum([len(batch) for batch in evenly(self.rows, self.engine.recipe.batch)]).tolist()]

    def epoch(self, position: TrainState, whole: Bar) -> TrainState:
        """What is left of the epoch at `position`, and its figures on the held-out images."""
        number, epochs, began = len(position.history) + 1, self.engine.recipe.epochs, time.perf_counter()
        begun_at = self.bounds[position.step]
        with self.progress.bar(f"{self.engine.name} epoch {number}/{epochs}", len(self.rows), "image", begun_at) as bar:
            position = self.learn(position, (whole, bar))
        speed = {"images_per_second": (len(self.rows) - begun_at) / (time.perf_counter() - began)}
        row = {
            "epoch": number,
            "train_loss": position.loss / len(self.rows),
            **self.examine(position),
            "learning_rate": self.engine.optimizer.param_groups[0]["lr"],
        }
        self.finite(row["validation_loss"], number)  # the last step alone can break the weights
        row = {key: round(value, 6) if key != "learning_rate" else value for key, value in row.items()}
        return TrainState(
            [*position.history, row], [*position.speeds, {**speed, "memory_mib": memory(self.engine.device)}]
        )

    def learn(self, position: TrainState, bars: tuple[Bar, ...]) -> TrainState:
        """The steps of an epoch from `position` on."""
        epoch, bounds, looked = len(position.history), self.bounds, time.monotonic()
        steps, micro_batches = len(bounds) - 1, self.micro_batches(epoch, position.step)
        total = torch.tensor(position.loss, dtype=torch.float64, device=self.engine.device)
        for step in range(position.step, steps):
            size = bounds[step + 1] - bounds[step]
            rate = self.rate((epoch * steps + step) / (self.engine.recipe.epochs * steps))
            total += self.engine.step(micro_batches, size, rate)
            for bar in bars:
                bar.advance(size)
            if self.engine.first and time.monotonic() - looked > LOOK:  # all have the same loss
                bars[-1].advance(0, loss=self.finite(total, epoch + 1) / bounds[step + 1])
                looked = time.monotonic()
            if self.checkpointer and self.checkpointer.due():
                self.checkpointer.keep(replace(position, step=step + 1, loss=self.finite(total, epoch + 1)))
        return replace(position, step=steps, loss=self.finite(total, epoch + 1))

    def micro_batches(self, epoch: int, step: int) -> Iterator[MicroBatch]:
        """Of one epoch from `step` on, those that fall to this process."""
        engine = self.engine
        drawn = np.random.default_rng([engine.recipe.seed, epoch])
        order, mirrored = drawn.permutation(self.rows), drawn.random(len(self.target)) < 0.5
        steps = evenly(order, engine.recipe.batch)
        parts = [part for batch in steps for part in np.array_split(batch, engine.parts)]
        seeds = drawn.integers(1 << 63, size=len(parts)).tolist()
        mine = slice(step * engine.parts + distributed.rank(), None, engine.recipe.processes)
        parts, seeds = parts[mine], seeds[mine]
        there = torch.from_numpy(np.concatenate([*parts, order[:0]])).to(engine.device)
        sizes = [len(part) for part in parts]
        wanted = torch.split(self.target[there], sizes)
        turned = torch.split(torch.from_numpy(mirrored).to(engine.device)[there], sizes)
        images = batches(self.photos, parts, engine.recipe.workers, engine.device)
        yield from map(MicroBatch, images, wanted, turned, seeds)

    def examine(self, position: TrainState) -> dict[str, float]:
        """Loss, accuracy and RMSE (items) on the held-out images."""
        engine = self.engine
        wanted = self.target[torch.from_numpy(self.held_out).to(engine.device)]
        logits = torch.zeros(len(wanted), len(self.labels), device=engine.device)
        parts = evenly(np.arange(len(wanted)), engine.recipe.micro_batch)[distributed.rank() :: engine.recipe.processes]
        images = batches(self.photos, [self.held_out[part] for part in parts], engine.recipe.workers, engine.device)
        title = f"{engine.name} validation {len(position.history) + 1}/{engine.recipe.epochs}"
        with self.progress.bar(title, sum(map(len, parts)), "image") as bar:
            for part, photos in zip(parts, images, strict=True):
                logits[part[0] : part[-1] + 1] = engine.answer(photos)
                bar.advance(len(part))
                if self.checkpointer and self.checkpointer.due():
                    self.checkpointer.keep(position)
        logits = engine.sum(logits)
        counted = self.labels.decode(logits.argmax(1).cpu().numpy())
        expected = self.labels.decode(wanted.cpu().numpy())
        return {
            "validation_loss": float(cross_entropy(logits, wanted)),
            "validation_accuracy": float(np.mean(counted == expected)),
            "validation_rmse": float(np.sqrt(np.mean((counted - expected) ** 2))),
        }

    def finite(self, loss: torch.Tensor | float, epoch: int) -> float:
        """The loss of an epoch (from 1 on) as a number. Raises UserError if it is none, which nothing is saved of."""
        value = float(loss)
        if not np.isfinite(value):
            other = "" if self.engine.recipe.precision == "fp32" else ", or use precision fp32"
            raise UserError(f"{self.engine.name}: the loss is {value} in epoch {epoch}; lower the learning rate{other}")
        return value

    def refuse_too_few(self) -> None:
        """Raises UserError for micro-batches of too few images: a BatchNorm takes its averages over two at least."""
        fewest = len(self.rows) // (len(self.bounds) - 1) // self.engine.parts
        if fewest < (2 if len(self.engine.averages) else 1):
            raise UserError(
                f"params.yaml: {self.engine.name}'s batch and micro_batch cut the {len(self.rows)} images to train on into"
                f" micro-batches of {fewest}, too few; set a smaller batch or a larger micro_batch"
            )


def memory(device: torch.device) -> float:
    """The most that was held so far, in MiB: of the GPU, or of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
