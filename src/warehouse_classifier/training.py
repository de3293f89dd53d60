"""The one training loop, for every network.

The order of the images and every augmentation are a function of (seed, epoch, row), so an epoch is the same epoch whether
the run was interrupted before it or not.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from accelerate import Accelerator
from torch import nn
from torch.nn.functional import cross_entropy

from warehouse_classifier import checkpoint
from warehouse_classifier.batches import Images, batches
from warehouse_classifier.decoded import images_of
from warehouse_classifier.fault import Fault
from warehouse_classifier.label import Labels
from warehouse_classifier.shards import Shards
from warehouse_classifier.watch import Watch


@dataclass(frozen=True)
class Recipe:
    epochs: int
    batch: int
    seed: int
    workers: int
    precision: str
    rate: Callable[[float], float]  # learning rate by how much of all steps is done, 0 to 1

    @property
    def layout(self) -> torch.memory_format:
        """Of weights and images: channels last is faster in bf16 and slower in fp32 (benchmarks/layout.py: ResNet34 at 64
        pixels on two cores, 1.08 and 0.91 times)."""
        return torch.channels_last if self.precision == "bf16" else torch.contiguous_format


def train(
    name: str, network: nn.Module, optimizer: torch.optim.Optimizer, shards: Shards, labels: Labels, recipe: Recipe,
    work: Path, watch: Watch,
) -> list[dict[str, Any]]:  # fmt: skip
    """Leave `network` with the weights of its best epoch by validation accuracy (the first of equals).

    Returns one row an epoch: epoch, train_loss, validation_loss, validation_accuracy, validation_rmse, learning_rate.
    After every epoch `work` holds all it takes to go on from there. Raises Fault if the loss is not finite, a split is
    empty, an image is not the one in the index, or a bin holds another quantity than the network is to tell apart.
    """
    rows, held_out, known = shards.rows("train"), shards.rows("validation"), targets(shards, labels)
    shards.verify(recipe.workers)
    photos = images_of(shards, recipe.workers, watch)
    accelerator = Accelerator(mixed_precision="bf16" if recipe.precision == "bf16" else "no")
    network, optimizer = accelerator.prepare(network.to(memory_format=recipe.layout), optimizer)
    gpu = accelerator.device.type == "cuda"
    if gpu:  # the same bytes on a rerun; warned of, not stopped by, where CUDA knows no such way
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.backends.cudnn.benchmark = False
    if recipe.precision == "bf16" and gpu and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise Fault(f"params.yaml: {name}'s precision is bf16, which this machine's GPU cannot do; set fp32")
    target = known.to(accelerator.device)
    history = checkpoint.resume(work, accelerator.unwrap_model(network), optimizer)
    steps = -(-len(rows) // recipe.batch)
    for epoch in range(len(history), recipe.epochs):
        drawn = np.random.default_rng([recipe.seed, epoch])
        order, mirrored = drawn.permutation(rows), drawn.random(len(shards.index)) < 0.5
        torch.manual_seed(int(drawn.integers(1 << 63)))  # of dropout, which a network from the hub may have
        network.train()
        total, seen, rate, began = torch.zeros((), device=accelerator.device), 0, 0.0, time.perf_counter()
        with watch.bar(f"{name} epoch {epoch + 1}/{recipe.epochs}", len(rows), "image") as bar:
            for step, images in enumerate(batches(photos, order, recipe.batch, recipe.workers, mirrored[order])):
                rate = recipe.rate((epoch * steps + step) / (recipe.epochs * steps))
                for group in optimizer.param_groups:
                    group["lr"] = rate
                part = torch.from_numpy(order[seen : seen + len(images)]).to(accelerator.device)
                images = images.to(accelerator.device, memory_format=recipe.layout)
                with accelerator.autocast():
                    loss = cross_entropy(network(images).float(), target[part])
                accelerator.backward(loss)
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
                total, seen = total + loss.detach() * len(images), seen + len(images)
                bar.advance(len(images))
                if step % 8 == 7:
                    bar.advance(0, loss=_finite(total, name, epoch) / seen)
        took = time.perf_counter() - began
        train_loss = _finite(total, name, epoch) / seen
        scores = validate(network, photos, held_out, target, labels, recipe, accelerator)
        _finite(scores["validation_loss"], name, epoch)  # the last step alone can break the weights
        row = {"epoch": epoch + 1, "train_loss": train_loss, **scores, "learning_rate": rate}
        history.append({key: round(value, 6) if key != "learning_rate" else value for key, value in row.items()})
        checkpoint.save(work, accelerator.unwrap_model(network), optimizer, history)
        watch.measure(epoch + 1, **{**history[-1], "images_per_second": seen / took})
    checkpoint.restore_best(work, accelerator.unwrap_model(network))
    return history


def targets(shards: Shards, labels: Labels) -> torch.Tensor:
    """The label of every row. Raises Fault if a bin holds a quantity that has none."""
    quantity = shards.index["quantity"].to_numpy()
    foreign = sorted({*quantity.tolist()} - {*labels.quantities})
    if foreign:
        raise Fault(
            f"{shards.folder} holds bins of {', '.join(map(str, foreign))} items, and params.yaml names only"
            f" {', '.join(map(str, labels.quantities))} in data.quantities; `dvc repro resize_images` makes them agree"
        )
    return torch.from_numpy(labels.of(quantity))


def validate(
    network: nn.Module, photos: Images, rows: npt.NDArray[np.int64], target: torch.Tensor, labels: Labels,
    recipe: Recipe, accelerator: Accelerator,
) -> dict[str, float]:  # fmt: skip
    """Loss, accuracy and RMSE (items) on `rows`."""
    network.eval()
    with torch.inference_mode(), accelerator.autocast():
        logits = torch.cat(
            [
                network(images.to(accelerator.device, memory_format=recipe.layout)).float()
                for images in batches(photos, rows, recipe.batch, recipe.workers)
            ]
        )
    wanted = target[torch.from_numpy(rows).to(target.device)]
    counted, expected = labels.quantity(logits.argmax(1).cpu().numpy()), labels.quantity(wanted.cpu().numpy())
    return {
        "validation_loss": float(cross_entropy(logits, wanted)),
        "validation_accuracy": float(np.mean(counted == expected)),
        "validation_rmse": float(np.sqrt(np.mean((counted - expected) ** 2))),
    }


def _finite(total: torch.Tensor | float, name: str, epoch: int) -> float:
    value = float(total)
    if not np.isfinite(value):
        raise Fault(f"{name}: the loss is {value} in epoch {epoch + 1}; lower the learning rate, or use precision fp32")
    return value
