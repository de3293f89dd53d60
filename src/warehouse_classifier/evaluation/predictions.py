"""What the trained networks say of images, and what that is worth once it is calibrated."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from warehouse_classifier.dataset.batches import Rows, batches, evenly
from warehouse_classifier.dataset.pixel_cache import images_of
from warehouse_classifier.dataset.shards import Shards
from warehouse_classifier.evaluation.temperature import probabilities
from warehouse_classifier.models import registry
from warehouse_classifier.models.device import arithmetic, autocast, layout
from warehouse_classifier.runtime.errors import UserError
from warehouse_classifier.runtime.progress import Progress

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class How:
    """Sums differ in their last digit between sizes of a batch, and between numbers of threads."""

    batch: int  # images
    workers: int  # threads that decode
    threads: int  # of torch
    precision: str  # fp32, tf32 or bf16


@dataclass(frozen=True)
class Predictions:
    """Of some images: facts [images] (id, quantity, group), logits by network and probabilities by counter, each
    [images, quantities]."""

    facts: pd.DataFrame
    logits: Mapping[str, Floats]
    probabilities: Mapping[str, Floats]

    @property
    def quantity(self) -> npt.NDArray[np.int64]:
        return self.facts["quantity"].to_numpy(dtype=np.int64)

    @property
    def groups(self) -> npt.NDArray[np.str_]:
        return self.facts["group"].to_numpy(dtype=str)

    def doubts(self, counter: str) -> Floats:
        """1 minus the probability of each quantity, [images, quantities]."""
        return 1 - self.probabilities[counter]


def of_split(
    split: str, facts: pd.DataFrame, logits: Mapping[str, Floats], temperatures: Mapping[str, float]
) -> Predictions:
    """The predictions for one split's images. `facts`: id, quantity, group and split of every row of `logits`."""
    rows = (facts["split"] == split).to_numpy()
    own = {network: values[rows] for network, values in logits.items()}
    return Predictions(facts.loc[rows, ["id", "quantity", "group"]], own, probabilities(own, temperatures))


def logits(
    shards: Shards, rows: Rows, folders: Mapping[str, Path], quantities: int, how: How, progress: Progress
) -> dict[str, Floats]:
    """By network, [rows, quantities]; its images per second are measured.

    Raises UserError where a network fits another number of quantities, or answers with what is no number.
    """
    pixels = images_of(shards, how.workers, progress)
    said: dict[str, list[torch.Tensor]] = {net: [] for net in folders}
    seconds = dict.fromkeys(folders, 0.0)
    with (
        arithmetic("evaluate", how.precision, how.threads, deterministic=True) as device,
        torch.inference_mode(),
        progress.bar("evaluate", rows.size, "image") as bar,
    ):
        order = layout(how.precision)
        networks = {
            net: registry.load(net, folder).to(device).to(memory_format=order) for net, folder in folders.items()
        }
        for images in batches(pixels, evenly(rows, how.batch), how.workers, device):
            for net, network in networks.items():
                start = time.perf_counter()
                with autocast(device, how.precision):
                    said[net].append(network(images.to(memory_format=order)).double().cpu())
                seconds[net] += time.perf_counter() - start
            bar.advance(len(images))
    progress.measure(None, **{f"{net}_images_per_second": rows.size / took for net, took in seconds.items()})
    return {net: checked(net, torch.cat(of).numpy(), quantities) for net, of in said.items()}


def checked(net: str, logits: Floats, quantities: int) -> Floats:
    if logits.shape[1] != quantities:
        raise UserError(
            f"{registry.NETWORKS[net].title} tells {logits.shape[1]} quantities apart and params.yaml names {quantities}; train it again"
        )
    if not np.isfinite(logits).all():
        raise UserError(
            f"{registry.NETWORKS[net].title} answers with what is no finite number; its weights are damaged, train it again"
        )
    return logits
