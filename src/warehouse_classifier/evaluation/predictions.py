"""The trained networks' logits of images, what they see in them, and the probabilities that calibration makes of them."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from safetensors.numpy import load_file, save_file

from warehouse_classifier.dataset.batches import Rows, batches, evenly
from warehouse_classifier.dataset.pixel_cache import images_of
from warehouse_classifier.dataset.shards import Shards
from warehouse_classifier.evaluation.arrays import Floats, Ints
from warehouse_classifier.evaluation.temperature import probabilities
from warehouse_classifier.models import registry
from warehouse_classifier.models.device import arithmetic, autocast, layout
from warehouse_classifier.models.inference import read
from warehouse_classifier.runtime.errors import UserError
from warehouse_classifier.runtime.files import replacing
from warehouse_classifier.runtime.progress import Progress

PART = 8192  # images whose answers are kept together when a stage is killed


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


@dataclass(frozen=True)
class Answers:
    """Of some images: logits by network, each [images, quantities], and what all networks together see, [images, features]."""

    logits: Mapping[str, Floats]
    features: Floats


def answers(
    stage: str, shards: Shards, rows: Rows, folders: Mapping[str, Path], quantities: int, settings: InferenceSettings,
    progress: Progress, keep: Path | None = None,
) -> Answers:  # fmt: skip
    """Of every row, in their order; each network's images per second are measured.

    `keep`: a folder in which parts that are done wait for a run after a kill. Raises UserError where a network fits another
    number of quantities, or answers with what is no number.
    """
    pixels = images_of(shards, settings.workers, progress)
    seconds = dict.fromkeys(folders, 0.0)
    parts = [rows] if keep is None else evenly(rows, PART)
    files = [None if keep is None else keep / f"answers-{place}.safetensors" for place in range(len(parts))]
    done = [None if file is None or not file.exists() else load_file(file) for file in files]
    begun = sum(len(part) for part, earlier in zip(parts, done, strict=True) if earlier)
    with (
        arithmetic(stage, settings.precision, settings.threads, deterministic=True) as device,
        torch.inference_mode(),
        progress.bar(stage, rows.size, "image", begun) as bar,
    ):
        order = layout(settings.precision)
        modules = {
            network: registry.load(network, folder).to(device).to(memory_format=order)
            for network, folder in folders.items()
        }
        for place, (part, file) in enumerate(zip(parts, files, strict=True)):
            if done[place] is not None:
                continue
            found: dict[str, list[torch.Tensor]] = {
                name: [] for network in folders for name in (network, seen(network))
            }
            for images in batches(pixels, evenly(part, settings.batch), settings.workers, device):
                for network, module in modules.items():
                    start = time.perf_counter()
                    with autocast(device, settings.precision):
                        both = read(module, images.to(memory_format=order), mirror=settings.mirror)
                    for name, values in zip((network, seen(network)), both, strict=True):
                        found[name].append(values.cpu())
                    seconds[network] += time.perf_counter() - start
                bar.advance(len(images))
            done[place] = whole = {name: torch.cat(values).numpy() for name, values in found.items()}
            if file is not None:
                with replacing(file) as half:
                    save_file(whole, half)
    fresh = rows.size - begun
    progress.measure(None, **{f"{net}_images_per_second": fresh / took for net, took in seconds.items() if took})
    all_parts = [part for part in done if part is not None]
    every = {name: np.concatenate([part[name] for part in all_parts]) for name in all_parts[0]}
    return Answers(
        {network: checked(network, every[network], quantities) for network in folders},
        np.concatenate([every[seen(network)] for network in folders], axis=1),
    )


def seen(network: str) -> str:
    """The name of a network's features beside its own, of its logits."""
    return f"{network}-features"


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
