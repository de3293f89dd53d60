"""The trained networks' logits of images, and the probabilities that calibration makes of them."""

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
from warehouse_classifier.evaluation.arrays import Floats, Ints
from warehouse_classifier.evaluation.temperature import probabilities
from warehouse_classifier.models import registry
from warehouse_classifier.models.device import arithmetic, autocast, layout
from warehouse_classifier.models.inference import logits_of
from warehouse_classifier.runtime.errors import UserError
from warehouse_classifier.runtime.progress import Progress


@dataclass(frozen=True)
class InferenceSettings:
    """Sums differ in their last digit between sizes of a batch, and between numbers of threads."""

    batch: int  # images
    workers: int  # threads that decode
    threads: int  # of torch
    precision: str  # fp32, tf32 or bf16
    mirror: bool  # whether an image is also seen in a mirror, and the mean of both answers taken


@dataclass(frozen=True)
class Predictions:
    """Of some images: facts [images] (id, quantity, group), logits by network and probabilities by counter, each
    [images, quantities]."""

    facts: pd.DataFrame
    logits: Mapping[str, Floats]
    probabilities: Mapping[str, Floats]

    @property
    def quantity(self) -> Ints:
        """Items that each image holds."""
        return self.facts["quantity"].to_numpy(dtype=np.int64)

    @property
    def groups(self) -> npt.NDArray[np.str_]:
        """The near-duplicates that each image belongs to."""
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
    shards: Shards, rows: Rows, folders: Mapping[str, Path], quantities: int, settings: InferenceSettings,
    progress: Progress,
) -> dict[str, Floats]:  # fmt: skip
    """By network, [rows, quantities]; its images per second are measured.

    Raises UserError where a network fits another number of quantities, or answers with what is no number.
    """
    pixels = images_of(shards, settings.workers, progress)
    parts: dict[str, list[torch.Tensor]] = {network: [] for network in folders}
    seconds = dict.fromkeys(folders, 0.0)
    with (
        arithmetic("evaluate", settings.precision, settings.threads, deterministic=True) as device,
        torch.inference_mode(),
        progress.bar("evaluate", rows.size, "image") as bar,
    ):
        order = layout(settings.precision)
        modules = {
            network: registry.load(network, folder).to(device).to(memory_format=order)
            for network, folder in folders.items()
        }
        for images in batches(pixels, evenly(rows, settings.batch), settings.workers, device):
            for network, module in modules.items():
                start = time.perf_counter()
                with autocast(device, settings.precision):
                    parts[network].append(
                        logits_of(module, images.to(memory_format=order), mirror=settings.mirror).cpu()
                    )
                seconds[network] += time.perf_counter() - start
            bar.advance(len(images))
    progress.measure(None, **{f"{network}_images_per_second": rows.size / took for network, took in seconds.items()})
    return {network: checked(network, torch.cat(values).numpy(), quantities) for network, values in parts.items()}


def checked(network: str, logits: Floats, quantities: int) -> Floats:
    """The logits, [images, quantities]. Raises UserError for another number of quantities, or what is no finite number."""
    title = registry.NETWORKS[network].title
    if logits.shape[1] != quantities:
        raise UserError(
            f"{title} tells {logits.shape[1]} quantities apart and params.yaml names {quantities}; train it again"
        )
    if not np.isfinite(logits).all():
        raise UserError(f"{title} answers with what is no finite number; its weights are damaged, train it again")
    return logits
