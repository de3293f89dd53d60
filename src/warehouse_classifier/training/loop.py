"""The one training loop, for every network.

The order of the images, every augmentation and every dropout are a function of (seed, epoch, row) and of how a batch is
cut into micro-batches, so a run that goes on from a checkpoint takes the very steps of one that was never interrupted.
"""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from warehouse_classifier.dataset.batches import Images
from warehouse_classifier.dataset.labels import QuantityEncoder
from warehouse_classifier.dataset.pixel_cache import images_of
from warehouse_classifier.dataset.shards import Shards
from warehouse_classifier.runtime.errors import UserError
from warehouse_classifier.runtime.progress import Progress
from warehouse_classifier.training import checkpoint, distributed
from warehouse_classifier.training.checkpointer import Checkpointer, interval
from warehouse_classifier.training.epochs import Epochs
from warehouse_classifier.training.recipe import Recipe
from warehouse_classifier.training.signals import stoppable
from warehouse_classifier.training.step import TrainStep


def train(
    name: str, network: nn.Module, optimizer: torch.optim.Optimizer, rate: Callable[[float], float],
    shards: Shards, labels: QuantityEncoder, recipe: Recipe, work: Path, progress: Progress,
) -> list[dict[str, Any]]:  # fmt: skip
    """Leave `network` with the weights of its best epoch by validation accuracy (the first of equals).

    `rate`: the learning rate when that share (0 to 1) of all steps is done. Returns one row an epoch: epoch, train_loss,
    validation_loss, validation_accuracy, validation_rmse, learning_rate. `work` holds what it takes to go on. Under
    torchrun every process calls this; the one of rank 0 saves, and its network alone is the best one in the end.
    Raises UserError if the loss is not finite, a split is empty or too small, an image is not the one in the index, a bin holds
    another quantity than the network is to tell apart, or the machine cannot do what the recipe asks for; and
    KeyboardInterrupt after a SIGTERM or Ctrl-C, with all that is done saved.
    """
    rows, held_out, target = shards.rows("train"), shards.rows("validation"), targets(shards, labels)
    seconds = interval()
    with ExitStack() as entered:
        engine = entered.enter_context(TrainStep(name, network, optimizer, recipe))
        photos = verified(shards, engine, progress)
        asked = entered.enter_context(stoppable())
        checkpointer = Checkpointer(work, engine.save, seconds, asked) if engine.first else None
        course = Epochs(engine, photos, rows, held_out, target.to(engine.device), labels, rate, checkpointer, progress)
        course.refuse_too_few()
        position = engine.resume(work)
        for row, speed in zip(position.history, position.speeds, strict=True):
            progress.measure(row["epoch"], **row, **speed)  # so that the curves of each run are whole
        done = len(position.history) * len(rows) + course.bounds[position.step]
        with progress.bar(name, recipe.epochs * len(rows), "image", done) as whole:
            while not ended(position.history, recipe):
                position = course.epoch(position, whole)
                if checkpointer:
                    checkpointer.keep(position)
                progress.measure(position.history[-1]["epoch"], **position.history[-1], **position.speeds[-1])
        if engine.first:
            checkpoint.restore_best(work, network)
    return position.history


def ended(history: list[dict[str, Any]], recipe: Recipe) -> bool:
    """Whether all epochs are done, or as many as `patience` allows without one that was better."""
    since = len(history) - 1 - checkpoint.best(history) if history else 0
    return len(history) >= recipe.epochs or (recipe.patience is not None and since >= recipe.patience)


def verified(shards: Shards, engine: TrainStep, progress: Progress) -> Images:
    """The images, none of which is another than the index says. One process of each machine looks, and decodes for all."""
    workers = engine.recipe.workers
    if distributed.local_rank():
        engine.wait()
        return images_of(shards, workers, progress)
    shards.verify(workers)
    images = images_of(shards, workers, progress)
    engine.wait()
    return images


def targets(shards: Shards, labels: QuantityEncoder) -> torch.Tensor:
    """The label of every row, -1 of those that training does not look at.

    Raises UserError if one that it does look at holds a quantity that has none.
    """
    quantity, seen = (
        shards.index["quantity"].to_numpy(),
        np.concatenate([shards.rows("train"), shards.rows("validation")]),
    )
    foreign = sorted({*quantity[seen].tolist()} - {*labels.quantities})
    if foreign:
        raise UserError(
            f"{shards.folder} holds bins of {', '.join(map(str, foreign))} items, and params.yaml names only"
            f" {', '.join(map(str, labels.quantities))} in data.quantities; `dvc repro resize_images` makes them agree"
        )
    label = np.full(len(quantity), -1)
    label[seen] = labels.encode(quantity[seen])
    return torch.from_numpy(label)
