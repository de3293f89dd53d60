"""The one training loop, for every network.

The order of the images, every augmentation and every dropout are a function of (seed, epoch, row) and of how a batch is
cut into micro-batches, so a run that goes on from a checkpoint takes the very steps of one that was never interrupted.
"""

import resource
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from warehouse_classifier.dataset.batches import Images, Rows, batches, evenly
from warehouse_classifier.dataset.labels import Labels
from warehouse_classifier.dataset.pixel_cache import images_of
from warehouse_classifier.dataset.shards import Shards
from warehouse_classifier.runtime.errors import Fault
from warehouse_classifier.runtime.progress import Bar, Watch
from warehouse_classifier.training import checkpoint, distributed
from warehouse_classifier.training.checkpoint import Keeper, Position
from warehouse_classifier.training.recipe import Recipe
from warehouse_classifier.training.signals import stoppable
from warehouse_classifier.training.step import Engine, MicroBatch

LOOK = 1.0  # seconds from one look at the loss to the next: a GPU has to be waited for


def train(
    name: str, network: nn.Module, optimizer: torch.optim.Optimizer, rate: Callable[[float], float],
    shards: Shards, labels: Labels, recipe: Recipe, work: Path, watch: Watch,
) -> list[dict[str, Any]]:  # fmt: skip
    """Leave `network` with the weights of its best epoch by validation accuracy (the first of equals).

    `rate`: the learning rate when that share (0 to 1) of all steps is done. Returns one row an epoch: epoch, train_loss,
    validation_loss, validation_accuracy, validation_rmse, learning_rate. `work` holds what it takes to go on. Under
    torchrun every process calls this; the one of rank 0 saves, and its network alone is the best one in the end.
    Raises Fault if the loss is not finite, a split is empty or too small, an image is not the one in the index, a bin holds
    another quantity than the network is to tell apart, or the machine cannot do what the recipe asks for; and
    KeyboardInterrupt after a SIGTERM or Ctrl-C, with all that is done saved.
    """
    rows, held_out, target = shards.rows("train"), shards.rows("validation"), targets(shards, labels)
    seconds = checkpoint.interval()
    with ExitStack() as entered:
        engine = entered.enter_context(Engine(name, network, optimizer, recipe))
        photos = verified(shards, engine, watch)
        asked = entered.enter_context(stoppable())
        keeper = Keeper(work, engine.save, seconds, asked) if engine.first else None
        course = Course(engine, photos, rows, held_out, target.to(engine.device), labels, rate, keeper, watch)
        course.refuse_too_few()
        position = engine.resume(work)
        for row, speed in zip(position.history, position.speeds, strict=True):
            watch.measure(row["epoch"], **row, **speed)  # so that the curves of each run are whole
        done = len(position.history) * len(rows) + course.bounds[position.step]
        with watch.bar(name, recipe.epochs * len(rows), "image", done) as whole:
            while not ended(position.history, recipe):
                position = course.epoch(position, whole)
                if keeper:
                    keeper.keep(position)
                watch.measure(position.history[-1]["epoch"], **position.history[-1], **position.speeds[-1])
        if engine.first:
            checkpoint.restore_best(work, network)
    return position.history


@dataclass(frozen=True)
class Course:
    """What a network learns from, epoch by epoch, and what it is examined on."""

    engine: Engine
    photos: Images
    rows: Rows
    held_out: Rows
    target: torch.Tensor  # the label of every row, on the device
    labels: Labels
    rate: Callable[[float], float]
    keeper: Keeper | None
    watch: Watch

    @cached_property
    def bounds(self) -> list[int]:
        """Images done in an epoch after 0, 1, 2, ... steps."""
        return [0, *np.cumsum([len(batch) for batch in evenly(self.rows, self.engine.recipe.batch)]).tolist()]

    def epoch(self, position: Position, whole: Bar) -> Position:
        """What is left of the epoch at `position`, and its figures on the held-out images."""
        number, epochs, began = len(position.history) + 1, self.engine.recipe.epochs, time.perf_counter()
        begun_at = self.bounds[position.step]
        with self.watch.bar(f"{self.engine.name} epoch {number}/{epochs}", len(self.rows), "image", begun_at) as bar:
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
        return Position(
            [*position.history, row], [*position.speeds, {**speed, "memory_mib": memory(self.engine.device)}]
        )

    def learn(self, position: Position, bars: tuple[Bar, ...]) -> Position:
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
            if self.keeper and self.keeper.due():
                self.keeper.keep(replace(position, step=step + 1, loss=self.finite(total, epoch + 1)))
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

    def examine(self, position: Position) -> dict[str, float]:
        """Loss, accuracy and RMSE (items) on the held-out images."""
        engine = self.engine
        wanted = self.target[torch.from_numpy(self.held_out).to(engine.device)]
        logits = torch.zeros(len(wanted), len(self.labels), device=engine.device)
        parts = evenly(np.arange(len(wanted)), engine.recipe.micro_batch)[distributed.rank() :: engine.recipe.processes]
        images = batches(self.photos, [self.held_out[part] for part in parts], engine.recipe.workers, engine.device)
        title = f"{engine.name} validation {len(position.history) + 1}/{engine.recipe.epochs}"
        with self.watch.bar(title, sum(map(len, parts)), "image") as bar:
            for part, photos in zip(parts, images, strict=True):
                logits[part[0] : part[-1] + 1] = engine.answer(photos)
                bar.advance(len(part))
                if self.keeper and self.keeper.due():
                    self.keeper.keep(position)
        logits = engine.sum(logits)
        counted = self.labels.quantity(logits.argmax(1).cpu().numpy())
        expected = self.labels.quantity(wanted.cpu().numpy())
        return {
            "validation_loss": float(cross_entropy(logits, wanted)),
            "validation_accuracy": float(np.mean(counted == expected)),
            "validation_rmse": float(np.sqrt(np.mean((counted - expected) ** 2))),
        }

    def finite(self, loss: torch.Tensor | float, epoch: int) -> float:
        value = float(loss)
        if not np.isfinite(value):
            other = "" if self.engine.recipe.precision == "fp32" else ", or use precision fp32"
            raise Fault(f"{self.engine.name}: the loss is {value} in epoch {epoch}; lower the learning rate{other}")
        return value

    def refuse_too_few(self) -> None:
        """A BatchNorm takes its averages over two images at least."""
        fewest = len(self.rows) // (len(self.bounds) - 1) // self.engine.parts
        if fewest < (2 if len(self.engine.averages) else 1):
            raise Fault(
                f"params.yaml: {self.engine.name}'s batch and micro_batch cut the {len(self.rows)} images to train on into"
                f" micro-batches of {fewest}, too few; set a smaller batch or a larger micro_batch"
            )


def ended(history: list[dict[str, Any]], recipe: Recipe) -> bool:
    """Whether all epochs are done, or as many as `patience` allows without one that was better."""
    since = len(history) - 1 - checkpoint.best(history) if history else 0
    return len(history) >= recipe.epochs or (recipe.patience is not None and since >= recipe.patience)


def verified(shards: Shards, engine: Engine, watch: Watch) -> Images:
    """The images, none of which is another than the index says. One process of each machine looks, and decodes for all."""
    workers = engine.recipe.workers
    if distributed.local_rank():
        engine.wait()
        return images_of(shards, workers, watch)
    shards.verify(workers)
    images = images_of(shards, workers, watch)
    engine.wait()
    return images


def targets(shards: Shards, labels: Labels) -> torch.Tensor:
    """The label of every row, -1 of those that training does not look at.

    Raises Fault if one that it does look at holds a quantity that has none.
    """
    quantity, seen = (
        shards.index["quantity"].to_numpy(),
        np.concatenate([shards.rows("train"), shards.rows("validation")]),
    )
    foreign = sorted({*quantity[seen].tolist()} - {*labels.quantities})
    if foreign:
        raise Fault(
            f"{shards.folder} holds bins of {', '.join(map(str, foreign))} items, and params.yaml names only"
            f" {', '.join(map(str, labels.quantities))} in data.quantities; `dvc repro resize_images` makes them agree"
        )
    label = np.full(len(quantity), -1)
    label[seen] = labels.of(quantity[seen])
    return torch.from_numpy(label)


def memory(device: torch.device) -> float:
    """The most that was held so far, in MiB: of the GPU, or of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
