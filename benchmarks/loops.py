"""The ways to train a network that training.py sets side by side, and the meter that each of them tells of its steps.

The imports are inside, for each way has its own. None crops a photo (a cropped item is a miscounted item), and that is
left out of the rivals' transforms. The same network, optimizer, precision, threads and workers go to all of them.
"""

import multiprocessing
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

# a bare machine has the project's files and no project installed
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from rivals import cpu
from warehouse_classifier.runtime.progress import NullProgress

TOP = Path(__file__).resolve().parents[1]
WARM = 3  # steps at the start that are in no rate: memory is taken, algorithms are chosen
LOOKED = 2.0  # seconds that a loader alone is watched
ANSWERS, RATE = 5, 1e-5
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Task:
    """One training of one epoch: `steps` whole batches of the photos in `folder`, as lay_out leaves it."""

    folder: str
    scratch: str  # an empty folder for what a way leaves
    network: str  # resnet34 or vit
    size: dict[str, int]  # of the ViT, in the words of transformers' ViTConfig
    side: int  # pixels
    precision: str
    batch: int
    steps: int
    threads: int  # of the processor, for torch
    workers: int  # that decode: threads of ours, processes of everyone else
    begun: float  # time.monotonic() when the process was started

    @property
    def files(self) -> Path:
        return Path(self.folder, "files")

    @property
    def shards(self) -> Path:
        return Path(self.folder, "shards")


class Meter:
    """Reads the clock after the first step, the last of the warm ones and the last of all; waits for a GPU then alone."""

    def __init__(self, task: Task) -> None:
        self.task, self.seen = task, 0
        self._awaited = [1, WARM * task.batch, task.steps * task.batch]
        self._marks: list[tuple[float, float, int]] = []

    def step(self, images: int) -> None:
        """So many more have been through the optimizer."""
        self.seen += images
        if self._awaited and self.seen >= self._awaited[0]:
            _wait()
            self._awaited = [count for count in self._awaited if count > self.seen]
            self._marks.append((time.monotonic(), cpu(), self.seen))
            if not self._awaited:
                self.held = memory()

    def found(self) -> dict[str, float]:
        """Images a second, seconds from the process's start to its first step, seconds of processor an image, bytes."""
        first, warm, last = self._marks
        images = last[2] - warm[2]
        rate, spent = images / (last[0] - warm[0]), (last[1] - warm[1]) / images
        return {"rate": rate, "first": first[0] - self.task.begun, "cpu": spent, **self.held}


def memory() -> dict[str, float]:
    """Bytes: the most that this process held, with what its workers hold for themselves now; the most on the GPU."""
    import torch

    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    workers = sum(_private(worker.pid) for worker in multiprocessing.active_children())
    return {"memory": own + workers, "gpu": torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0}


def _private(pid: int | None) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:  # it has just ended
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Private_"))


def _wait() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


# ---- this project


class Steps(NullProgress):
    """A Progress that tells the meter of every step of an epoch, and shows nothing."""

    def __init__(self, meter: Meter) -> None:
        self.meter = meter

    @contextmanager
    def bar(self, title: str, total: int | None, unit: str, done: int = 0) -> Iterator[Any]:
        yield self if " epoch " in title else NullProgress()

    def advance(self, count: int = 1, size: int = 0, **facts: float) -> None:
        if count:
            self.meter.step(count)


def ours(task: Task, meter: Meter, **changes: bool) -> None:
    """The real stage, with params.yaml's sample block but for what a task says."""
    from warehouse_classifier.compute import parameters
    from warehouse_classifier.stages.train_resnet34 import TrainResnet34, train_resnet34
    from warehouse_classifier.stages.train_vit import TrainVit, train_vit
    from warehouse_classifier.training.recipe import Recipe

    kind: type[Recipe] = {"resnet34": TrainResnet34, "vit": TrainVit}[task.network]
    train = {"resnet34": train_resnet34, "vit": train_vit}[task.network]
    params = parameters.load(kind, f"train_{task.network}", "sample", parameters.read(TOP / "params.yaml")).model_dump()
    recipe: dict[str, Any] = {
        "lr": RATE,
        "batch": task.batch,
        "micro_batch": task.batch,
        "processes": 1,
        "epochs": 1,
        "patience": None,
    }
    recipe |= {"precision": task.precision, "threads": task.threads, "workers": task.workers}
    recipe |= {"compile": False, "deterministic": False, "auxiliary": 0.0, **changes}
    if task.network == "vit":
        recipe |= {"side": task.side, "own_size": task.size}
    work = Path(task.scratch, "work")
    work.mkdir()
    train(
        kind.model_validate({**params, **recipe}), Path(task.shards), Path("metadata"), Path(task.scratch, "model"),
        work=work, progress=Steps(meter),
    )  # fmt: skip


def build(task: Task) -> Any:
    """The network as this project has it: it takes bytes and gives logits."""
    from warehouse_classifier.models import resnet34, vit

    if task.network == "resnet34":
        return resnet34.build(ANSWERS, "none", None)
    return vit.build("own", None, task.size, task.side, tuple(range(1, ANSWERS + 1)))


# ---- everyone else, on a device that has been set up; loops tell the meter of each step


def ceiling(task: Task, meter: Meter, device: Any) -> None:
    """What this project computes, over and over on one batch in memory."""
    import torch
    from torch.nn.functional import cross_entropy

    from warehouse_classifier.models.device import autocast, layout

    order = layout(task.precision)
    network = build(task).to(device, memory_format=order).train()
    optimizer = _optimizer(task, network, fused=True)
    images = torch.randint(0, 256, (task.batch, 3, task.side, task.side), dtype=torch.uint8, device=device)
    images, labels = images.to(memory_format=order), torch.randint(0, ANSWERS, (task.batch,), device=device)
    for _ in range(task.steps):
        with autocast(device, task.precision):
            loss = cross_entropy(network(images).float(), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        meter.step(task.batch)


def reference(task: Task, meter: Meter, device: Any) -> None:
    """train_one_epoch of torchvision's references/classification/train.py, which looks at loss and accuracy each step."""
    import torch
    from torch.utils.data import DataLoader

    how = {"num_workers": task.workers, "pin_memory": device.type == "cuda"}
    loader = DataLoader(_image_folder(task), task.batch, shuffle=True, **how)
    model = _plain(task).to(device).train()
    criterion, optimizer = torch.nn.CrossEntropyLoss(), _optimizer(task, model)
    for image, target in loader:
        image, target = image.to(device, non_blocking=True), target.to(device, non_blocking=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=task.precision == "bf16"):
            output = model(image)
            loss = criterion(output, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()
        (output.argmax(1) == target).float().mean().item()
        meter.step(len(image))


def hugging_face(task: Task, meter: Meter, device: Any) -> None:
    """transformers' examples/pytorch/image-classification (PIL, transforms, Trainer), with ImageFolder for `datasets`."""
    import torch
    from transformers import Trainer, TrainerCallback, TrainingArguments

    class Answering(torch.nn.Module):
        """What Trainer wants of a network."""

        def __init__(self) -> None:
            super().__init__()
            self.network = _plain(task)

        def forward(self, pixel_values: Any, labels: Any) -> dict[str, Any]:
            logits = self.network(pixel_values)
            return {"loss": torch.nn.functional.cross_entropy(logits, labels), "logits": logits}

    class Told(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            meter.step(task.batch)

    def collate(examples: list[tuple[Any, int]]) -> dict[str, Any]:
        pixels = torch.stack([image for image, _ in examples])
        return {"pixel_values": pixels, "labels": torch.tensor([label for _, label in examples])}

    arguments = TrainingArguments(
        output_dir=task.scratch, per_device_train_batch_size=task.batch, num_train_epochs=1, learning_rate=RATE,
        bf16=task.precision == "bf16", use_cpu=device.type == "cpu", dataloader_num_workers=task.workers,
        remove_unused_columns=False, report_to="none", save_strategy="no", disable_tqdm=True,
    )  # fmt: skip
    photos = _image_folder(task)
    Trainer(Answering(), arguments, data_collator=collate, train_dataset=photos, callbacks=[Told()]).train()


def timm(task: Task, meter: Meter, device: Any) -> None:
    """train_one_epoch of timm's train.py with --scale 1 1 --ratio 1 1 --color-jitter 0, and its prefetcher on a GPU."""
    import torch
    from timm import create_model
    from timm.data import create_dataset, create_loader
    from timm.optim import create_optimizer_v2

    size = task.size
    own = {
        "img_size": task.side, "patch_size": size["patch_size"], "embed_dim": size["hidden_size"],
        "depth": size["num_hidden_layers"], "num_heads": size["num_attention_heads"],
        "mlp_ratio": size["intermediate_size"] / size["hidden_size"],
    }  # fmt: skip
    name, options = ("resnet34", {}) if task.network == "resnet34" else ("vit_base_patch16_224", own)
    model = create_model(name, num_classes=ANSWERS, **options).to(device).train()
    optimizer = create_optimizer_v2(model, "adam" if task.network == "resnet34" else "adamw", RATE, 0.0)
    loader = create_loader(
        create_dataset("", str(task.files)), (3, task.side, task.side), task.batch, is_training=True,
        scale=(1.0, 1.0), ratio=(1.0, 1.0), color_jitter=None, num_workers=task.workers, device=device,
        use_prefetcher=device.type == "cuda",
    )  # fmt: skip
    loss_fn = torch.nn.CrossEntropyLoss()
    for images, target in loader:
        if device.type == "cpu":
            images, target = images.to(device), target.to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=task.precision == "bf16"):
            loss = loss_fn(model(images), target)
        loss.backward()
        optimizer.step()
        loss.item()
        optimizer.zero_grad()
        meter.step(len(images))


def _optimizer(task: Task, network: Any, **how: bool) -> Any:
    import torch

    kind = torch.optim.Adam if task.network == "resnet34" else torch.optim.AdamW
    return kind(network.parameters(), RATE, **how)


def _image_folder(task: Task) -> Any:
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import Compose, Normalize, RandomHorizontalFlip, ToTensor

    return ImageFolder(task.files, Compose([RandomHorizontalFlip(), ToTensor(), Normalize(MEAN, STD)]))


def _plain(task: Task) -> Any:
    """The same network without what this project puts around it: it takes normalized floats."""
    import torch

    network = build(task).network
    if task.network == "resnet34":
        return network

    class Logits(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, images: Any) -> Any:
            return self.network(images).logits

    return Logits()


OURS: dict[str, Callable[[Task, Meter], None]] = {
    "this project": ours,
    "this project, compiled": partial(ours, compile=True),
    "this project, deterministic": partial(ours, deterministic=True),
}
OTHERS: dict[str, Callable[[Task, Meter, Any], None]] = {
    "ceiling": ceiling,
    "torchvision's reference": reference,
    "Hugging Face's Trainer": hugging_face,
    "timm": timm,
}


LOADERS = ("from JPEG shards", "decoded once")


def train(row: str, task: Task) -> dict[str, float]:
    """What the meter found. Others get the device as this project sets it up: the same precision, threads, cuDNN."""
    meter = Meter(task)
    os.environ["DVC_ROOT"] = task.scratch
    if row in OURS:
        OURS[row](task, meter)
    else:
        from warehouse_classifier.models.device import arithmetic

        with arithmetic(row, task.precision, task.threads, deterministic=False) as device:
            OTHERS[row](task, meter, device)
    return meter.found()


# ---- the loader alone


def load(row: str, task: Task) -> dict[str, float]:
    """Batches of this project, on the device, with nobody who eats them: what it finds is as a meter's, of no step."""
    import numpy as np
    import torch

    from warehouse_classifier.dataset.batches import batches, evenly
    from warehouse_classifier.dataset.pixel_cache import images_of
    from warehouse_classifier.dataset.shards import Shards

    if row == LOADERS[1]:
        os.environ["IMAGE_CACHE"] = str(Path(task.folder, "cache"))
    shards = Shards(task.shards)
    images, rows = images_of(shards, task.workers, NullProgress()), shards.rows("train")
    draw, device = np.random.default_rng(7), torch.device("cuda" if torch.cuda.is_available() else "cpu")
    turns = range(1 + 1_000_000 // len(rows))
    parts = [part for _ in turns for part in evenly(draw.permutation(rows), task.batch)]
    seen = began = spent = 0.0
    for number, batch in enumerate(batches(images, parts, task.workers, device), 1):
        seen += len(batch)
        if number == task.steps:  # after one epoch the page cache is warm
            seen, began, spent = 0, time.monotonic(), cpu()
        elif number > task.steps and time.monotonic() - began > LOOKED:
            break
    _wait()
    return {"rate": seen / (time.monotonic() - began), "cpu": (cpu() - spent) / seen, **memory()}
