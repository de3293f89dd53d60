"""The one training loop, for every network.

The order of the images, every augmentation and every dropout are a function of (seed, epoch, row) and of how a batch is
cut into micro-batches, so a run that goes on from a checkpoint takes the very steps of one that was never interrupted.
"""

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import AdamW

from warehouse_classifier.bins.split_names import OTHERS
from warehouse_classifier.dataset.batches import Images
from warehouse_classifier.dataset.labels import QuantityEncoder
from warehouse_classifier.dataset.pixel_cache import images_of
from warehouse_classifier.dataset.shards import Shards
from warehouse_classifier.runtime.errors import UserError
from warehouse_classifier.runtime.progress import Progress
from warehouse_classifier.training import checkpoint, distributed
from warehouse_classifier.training.auxiliary import Attributes, Scale, WithAuxiliary
from warehouse_classifier.training.checkpoint import TrainState
from warehouse_classifier.training.checkpointer import Checkpointer, interval
from warehouse_classifier.training.drawn import DrawnBins, draw
from warehouse_classifier.training.epochs import Epochs, refuse_too_few
from warehouse_classifier.training.recipe import Pretraining, Recipe
from warehouse_classifier.training.signals import stoppable
from warehouse_classifier.training.step import TrainStep
from warehouse_classifier.training.targets import targets


def train(
    name: str, network: nn.Module, shards: Shards, encoder: QuantityEncoder, recipe: Recipe, work: Path,
    progress: Progress, attributes: Attributes | None = None,
) -> list[dict[str, Any]]:  # fmt: skip
    """Leave `network` with the weights of its best epoch by validation accuracy (the first of equals), or with the mean of the
    last ones where the recipe asks for it.

    Returns one row an epoch: epoch, train_loss, validation_loss, validation_accuracy, validation_rmse, learning_rate; those on
    drawn bins, which may come first, are told to `progress` alone. `work` holds what it takes to go on. `attributes`: of the list of
    every row, where the recipe asks for auxiliary answers. Under torchrun every
    process calls this; the one of rank 0 saves, and its network alone is the best one in the end.
    Raises UserError if the loss is not finite, a split is empty or too small, an image is not the one in the index, a bin holds
    another quantity than the network is to tell apart, or the machine cannot do what the recipe asks for; and
    KeyboardInterrupt after a SIGTERM or Ctrl-C, with all that is done saved.
    """
    beside = [OTHERS["train"]] if recipe.auxiliary else []  # which have sizes to be learned, and no number
    rows, held_out, target = shards.rows("train", *beside), shards.rows("validation"), targets(shards, encoder)
    seconds, scale, learner = interval(), None, network
    if recipe.auxiliary:
        if attributes is None:
            raise UserError(
                f"params.yaml: {name}'s auxiliary is {recipe.auxiliary}, and the stage is given no metadata"
            )
        scale = Scale.of(attributes[rows])
        learner = WithAuxiliary(network, attributes.shape[1], shards.side)
    optimizer = AdamW(learner.parameters(), weight_decay=recipe.weight_decay, fused=True)  # each step sets its rate
    with ExitStack() as stack:
        train_step = stack.enter_context(TrainStep(name, learner, optimizer, recipe))
        photos = verified(shards, train_step, progress)
        refuse_too_few(train_step, rows)
        state = train_step.resume(work)
        # before signals are minded, for there is nothing to save yet: who is asked to end while bins are drawn ends at once
        bins = drawn_bins(recipe, state, name, encoder, shards.side, progress)
        stop_requested = stack.enter_context(stoppable())
        checkpointer = Checkpointer(work, train_step.save, seconds, stop_requested) if train_step.first else None
        epochs = Epochs(
            train_step, photos, rows, held_out, target.to(train_step.device), encoder, recipe.epochs, recipe.average,
            (recipe.seed,), name, checkpointer, progress, _wanted(scale, attributes, train_step),
        )  # fmt: skip
        for row in state.pretrained or (state.history if recipe.pretrain else []):
            measure_pretraining(row, progress)
        if recipe.pretrain and not state.pretrained:
            state = pretrained(state, recipe.pretrain, bins, epochs, scale)
        for row, speed in zip(state.history, state.speeds, strict=True):
            progress.measure(row["epoch"], **row, **speed)  # so that the curves of each run are whole
        done = len(state.history) * len(rows) + epochs.bounds[state.step]
        with progress.bar(name, recipe.epochs * len(rows), "image", done) as bar:
            while not ended(state.history, recipe):
                state = epochs.epoch(state, bar)
                if checkpointer:
                    checkpointer.keep(state)
                progress.measure(state.history[-1]["epoch"], **state.history[-1], **state.speeds[-1])
        if train_step.first:
            checkpoint.restore_best(work, learner)
    return state.history


def drawn_bins(
    recipe: Recipe, state: TrainState, name: str, encoder: QuantityEncoder, side: int, progress: Progress
) -> DrawnBins | None:
    """The drawn bins that a training begins on; None where it has learned from them, or does not."""
    if recipe.pretrain is None or state.pretrained or len(state.history) >= recipe.pretrain.epochs:
        return None
    return draw(name, recipe.pretrain, encoder, side, recipe.threads, progress)


def pretrained(
    state: TrainState, pretraining: Pretraining, bins: DrawnBins | None, photos: Epochs, scale: Scale | None
) -> TrainState:
    """The state after all epochs on `bins`, from which those on `photos` begin: with an optimizer that has learned nothing."""
    if bins:
        state = on_drawn_bins(state, pretraining, bins, photos, scale)
    photos.train_step.reset_optimizer()
    return TrainState(pretrained=state.history)


def on_drawn_bins(
    state: TrainState, pretraining: Pretraining, bins: DrawnBins, photos: Epochs, scale: Scale | None
) -> TrainState:
    """The state after the last epoch on `bins`."""
    step, progress, (rows, held_out) = photos.train_step, photos.progress, bins.rows()
    refuse_too_few(step, rows)
    epochs = replace(
        photos, photos=bins, rows=rows, held_out=held_out, target=torch.from_numpy(bins.labels).to(step.device),
        count=pretraining.epochs, average=0.0, key=(step.recipe.seed, pretraining.seed), title=f"{step.name} on drawn bins",
        lists=_wanted(scale, bins.attributes, step),
    )  # fmt: skip
    done = len(state.history) * len(rows) + epochs.bounds[state.step]
    with progress.bar(epochs.title, pretraining.epochs * len(rows), "image", done) as bar:
        while len(state.history) < pretraining.epochs:
            state = epochs.epoch(state, bar)
            if epochs.checkpointer:
                epochs.checkpointer.keep(state)
            measure_pretraining(state.history[-1], progress)
    return state


def _wanted(scale: Scale | None, attributes: Attributes | None, step: TrainStep) -> torch.Tensor | None:
    """What is to be answered beside the count, [rows, attributes], on the device; None where nothing is."""
    return None if scale is None or attributes is None else scale.scaled(attributes).to(step.device)


def measure_pretraining(row: dict[str, Any], progress: Progress) -> None:
    """The figures of one epoch on drawn bins, under names of their own."""
    progress.measure(row["epoch"], **{f"pretrain_{key}": value for key, value in row.items() if key != "epoch"})


def ended(history: list[dict[str, Any]], recipe: Recipe) -> bool:
    """Whether all epochs are done, or as many as `patience` allows without one that was better."""
    since = len(history) - 1 - checkpoint.best(history) if history else 0
    return len(history) >= recipe.epochs or (recipe.patience is not None and since >= recipe.patience)


def verified(shards: Shards, train_step: TrainStep, progress: Progress) -> Images:
    """The images, each checked against its hash. One process of each machine checks, and decodes for all."""
    workers = train_step.recipe.workers
    if distributed.local_rank():
        train_step.wait()
        return images_of(shards, workers, progress)
    shards.verify(workers)
    images = images_of(shards, workers, progress)
    train_step.wait()
    return images
