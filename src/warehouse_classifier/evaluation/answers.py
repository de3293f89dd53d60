"""What trained networks answer of images and see in them, in parts that survive a kill."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from warehouse_classifier.dataset.batches import Rows, batches, evenly
from warehouse_classifier.dataset.pixel_cache import images_of
from warehouse_classifier.dataset.shards import Shards
from warehouse_classifier.evaluation.arrays import Floats
from warehouse_classifier.models import registry
from warehouse_classifier.models.device import arithmetic, autocast, layout
from warehouse_classifier.models.inference import read
from warehouse_classifier.runtime.errors import UserError
from warehouse_classifier.runtime.files import replacing
from warehouse_classifier.runtime.progress import Bar, Progress

FEATURES = "features"  # beside the networks' keys
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
class Answers:
    """Of some images: logits by network, each [images, quantities], and what all networks together see, [images, features]."""

    logits: Mapping[str, Floats]
    features: npt.NDArray[np.float32]


def answers(
    stage: str, shards: Shards, rows: Rows, folders: Mapping[str, Path], quantities: int, settings: InferenceSettings,
    progress: Progress, keep: Path | None = None,
) -> Answers:  # fmt: skip
    """Of every row, in their order; each network's images per second are measured.

    `keep`: a folder in which parts that are done wait for a run after a kill. Raises UserError where a network fits another
    number of quantities, or answers with what is no number.
    """
    pixels, seconds = images_of(shards, settings.workers, progress), dict.fromkeys(folders, 0.0)
    parts = [rows] if keep is None else evenly(rows, PART)
    fresh, begun = 0, 0
    whole: dict[str, npt.NDArray[np.floating]] = {}
    with (
        arithmetic(stage, settings.precision, settings.threads, deterministic=True) as device,
        torch.inference_mode(),
        progress.bar(stage, rows.size, "image") as bar,
    ):
        order = layout(settings.precision)
        modules = {
            network: registry.load(network, folder).to(device).to(memory_format=order)
            for network, folder in folders.items()
        }
        for place, part in enumerate(parts):
            file = None if keep is None else keep / f"answers-{place}.safetensors"
            done = _kept(file)
            if done is None:
                batched = batches(pixels, evenly(part, settings.batch), settings.workers, device)
                done = _asked(modules, batched, settings, seconds, bar)
                fresh += len(part)
                if file is not None:
                    with replacing(file) as half:
                        save_file(done, half)
            else:
                bar.advance(len(part))
            for name, values in done.items():  # copied where they belong: at full scale the features are gigabytes
                whole.setdefault(name, np.empty((rows.size, values.shape[1]), values.dtype))
                whole[name][begun : begun + len(part)] = values
            begun += len(part)
    progress.measure(None, **{f"{net}_images_per_second": fresh / took for net, took in seconds.items() if took})
    features = whole.pop(FEATURES)
    logits = {network: checked(network, values.astype(np.float64), quantities) for network, values in whole.items()}
    if not np.isfinite(features).all():
        raise UserError("a network sees what is no finite number; its weights are damaged, train it again")
    return Answers(logits, features.astype(np.float32, copy=False))


def _asked(
    modules: Mapping[str, torch.nn.Module], images: Iterator[torch.Tensor], settings: InferenceSettings,
    seconds: dict[str, float], bar: Bar,
) -> dict[str, npt.NDArray[np.floating]]:  # fmt: skip
    """Of some batches of images the logits by network and, as FEATURES, what all networks see. `seconds`, by network, go on."""
    parts: dict[str, list[torch.Tensor]] = {name: [] for name in (*modules, FEATURES)}
    for batch in images:
        seen = []
        for network, module in modules.items():
            start = time.perf_counter()
            with autocast(batch.device, settings.precision):
                logits, features = read(
                    module, batch.to(memory_format=layout(settings.precision)), mirror=settings.mirror
                )
            parts[network].append(logits.cpu())
            seen.append(features.float().cpu())
            seconds[network] += time.perf_counter() - start
        parts[FEATURES].append(torch.cat(seen, dim=1))
        bar.advance(len(batch))
    return {name: torch.cat(values).numpy() for name, values in parts.items()}


def _kept(file: Path | None) -> dict[str, npt.NDArray[np.floating]] | None:
    """What an earlier run has left; a power cut leaves empty files under good names."""
    if file is None or not file.exists():
        return None
    try:
        return dict(load_file(file))
    except (OSError, SafetensorError):
        return None


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
