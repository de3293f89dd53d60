"""Training made small: a folder of tiny shards, and a watcher that remembers."""

import hashlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from warehouse_classifier.dataset import shards
from warehouse_classifier.dataset.photo import encode
from warehouse_classifier.runtime.progress import NullProgress

SIDE = 32
# what both training stages can be told alike
RECIPE: dict[str, Any] = {
    "lr": None, "seed": 7, "quantities": [1, 2, 3], "batch": 8, "micro_batch": 8, "processes": 1, "learning_rate": 3e-3,
    "warmup": 0.0, "decay": False, "weight_decay": 0.0, "epochs": 3, "patience": None, "augmentation": None,
    "neighbours": 0.0, "average": 0.0, "auxiliary": 0.0, "pretrain": None, "precision": "fp32", "compile": False, "deterministic": True, "threads": 1,
    "workers": 2,
}  # fmt: skip
COUNTS = {"train": 40, "validation": 12, "test": 8}


def pack(folder: Path, counts: dict[str, int] | None = None, quantities: tuple[int, ...] = (1, 2, 3)) -> Path:
    """images/ as resize_images leaves it: noise with one bright block an item."""
    folder.mkdir(parents=True)
    counts = counts or COUNTS
    splits = np.random.default_rng(0).permutation([name for name, count in counts.items() for _ in range(count)])
    photos = []
    for number, split in enumerate(splits):
        drawn = np.random.default_rng(number)
        quantity = quantities[number % len(quantities)]
        pixels = drawn.integers(0, 90, (SIDE, SIDE, 3), dtype=np.uint8)
        for item in range(quantity):
            top, left = drawn.integers(0, 24), 1 + 10 * item
            pixels[top : top + 8, left : left + 8] = drawn.integers(150, 255, 3)
        id = f"{10000 + number}"
        facts = {"id": id, "quantity": quantity, "split": str(split), "group": id}
        photos.append((facts, encode(pixels, 95)))
    shards.write(folder, photos)
    return folder


def spoil(folder: Path, split: str) -> None:
    """Overwrite the bytes of one split's photos. The index knows them so: they are no images, and yet the right bytes."""
    index = pd.read_parquet(folder / shards.INDEX)
    for number, row in index[index["split"] == split].iterrows():
        nothing = b"\0" * row["length"]
        with (folder / row["shard"]).open("r+b") as file:
            file.seek(row["offset"])
            file.write(nothing)
        index.loc[number, "sha256"] = hashlib.sha256(nothing).hexdigest()
    index.to_parquet(folder / shards.INDEX, index=False)


class Diary:
    """A watcher that keeps what it is told."""

    def __init__(self) -> None:
        self.measured: list[tuple[int | None, dict[str, float]]] = []
        self.advanced: list[int] = []
        self.titles: list[str] = []

    @property
    def steps(self) -> list[int | None]:
        return [step for step, _ in self.measured]

    @contextmanager
    def bar(self, title: str, total: int | None, unit: str, done: int = 0) -> Iterator[Any]:
        """The bar of all epochs around those of each is not counted twice."""
        self.titles.append(title)
        yield NullProgress() if title.startswith("train_") and " epoch " not in title else self

    def advance(self, count: int = 1, **facts: float) -> None:
        if count:  # else there is only a figure to show
            self.advanced.append(count)

    def measure(self, step: int | None = None, **values: float) -> None:
        self.measured.append((step, values))

    def say(self, line: str) -> None:
        raise AssertionError(line)


def run_until_killed(stage: str, params: dict[str, Any], images: Path, model: Path, batch: int) -> None:
    """Run a stage's act in a process of its own that gets a SIGKILL when it has learned from so many batches."""
    code = f"""
import os, signal
from pathlib import Path
from support.images import Diary
from support.launching import act
from warehouse_classifier.compute.stage_code import params_of

class Kill(Diary):
    def advance(self, count=1, **facts):
        super().advance(count, **facts)
        if len(self.advanced) == {batch}:
            os.kill(os.getpid(), signal.SIGKILL)

params = params_of({stage!r})(**{params!r})
act({stage!r}, params, Path({str(images)!r}), Path("metadata"), Path({str(model)!r}), progress=Kill())
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert done.stderr == ""  # no library's warning among our lines
