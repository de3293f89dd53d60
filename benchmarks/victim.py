"""A small training in a project of its own, and what can be seen of it from outside: for interrupted.py, which kills it."""

import glob
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from settings import settings
from warehouse_classifier.dataset import shards
from warehouse_classifier.dataset.photo import encode

SIDE, COUNTS, EPOCHS = 32, {"train": 320, "validation": 96, "test": 8}, {"resnet34": 4, "vit": 10}
SIZE = {"hidden_size": 128, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 256, "patch_size": 4}
RECIPE = {"auxiliary": 0.0, "batch": 16, "learning_rate": 1e-3, "threads": 1, "workers": 1}
MOMENTS = ("starting", "learning", "saving", "ending")

Process = subprocess.Popen[bytes]


class Training:
    """The stage of one network by the command in dvc.yaml, to be started again and again. Beside `folder` lie images/ and
    the package's code."""

    def __init__(self, folder: Path, network: str, processes: int = 1, rate: float | None = None) -> None:
        self.folder, self.network, self.stage, self.processes = folder, network, f"train_{network}", processes
        self.said, self.suffered = folder.with_suffix(".said"), set[Blow]()
        shutil.copytree(folder.parent / "images", folder / "images")
        self.tell(rate)

    def tell(self, rate: float | None) -> None:
        how = {
            **RECIPE, "micro_batch": 16 // self.processes, "processes": self.processes, "epochs": EPOCHS[self.network]
        }  # fmt: skip
        whole = settings(
            "soak", {"lr": rate, "seed": 7}, data={"quantities": [1, 2, 3], "side": SIDE}, train_resnet34=how,
            train_vit={**how, "own_size": SIZE},
        )  # fmt: skip
        (self.folder / "params.yaml").write_text(whole)

    def start(self, saved_every: str) -> Process:
        """`saved_every`: seconds from one checkpoint within an epoch to the next."""
        shutil.rmtree(self.folder / "models", ignore_errors=True)  # as DVC does
        environment = {
            name: text for name, text in os.environ.items() if not name.startswith(("AWS_", "DVC_", "MLFLOW_"))
        }
        environment |= {
            "DVC_ROOT": str(self.folder),
            "MLFLOW_TRACKING_URI": f"sqlite:///{self.folder.with_suffix('.db')}",
        }
        environment |= {"CHECKPOINT_SECONDS": saved_every, "PYTHONPATH": str(self.folder.parent)}
        command = [sys.executable, "-m", "warehouse_classifier.compute"]
        command += [self.stage, "soak", "images", "metadata", f"models/{self.network}"]
        self.began = time.time()
        with self.said.open("wb") as log:
            return subprocess.Popen(command, cwd=self.folder, env=environment, stdout=log, stderr=log)

    def until(self, process: Process, seconds: float, sign: Callable[[], object] = bool) -> None:
        """Come back when it has ended, after so long, or when there is a sign."""
        end = time.monotonic() + seconds
        while process.poll() is None and time.monotonic() < end and not sign():
            time.sleep(0.002)

    def until_saved(self, saved_every: str = "2") -> None:
        """Start it, and kill it when it has saved."""
        before, process = self.progress(), self.start(saved_every)
        self.until(process, 600, lambda: self.progress() > before and not self.half())
        process.kill()
        process.wait()

    def found(self, pattern: str) -> list[Path]:
        return sorted(map(Path, glob.glob(f"{self.folder}/{pattern}")))  # noqa: PTH207 -- which bears what vanishes

    def kept(self) -> list[Path]:
        return self.found(".work/*/[0-9]*-[0-9]*")

    def half(self) -> list[Path]:
        return self.found(".work/*/.*.half")

    def model(self) -> list[Path]:
        return self.found("models/*")

    def half_a_model(self) -> list[Path]:
        return self.found("models/.*")

    def progress(self) -> str:
        return max((path.name for path in self.kept()), default="")

    def moment(self) -> str:
        if self.model() or self.half_a_model() or self.progress().startswith(self._last()):
            return "ending"
        return "starting" if not self.begun() else "saving" if self.half() else "learning"

    def begun(self) -> float:
        """When this start took its work in progress, or 0."""
        times = [path.stat().st_mtime for path in self.found(".work/*.lock")]
        return max([moment for moment in times if moment > self.began - 0.1], default=0.0)

    def lost(self, asked: float) -> bool:
        """Whether the step at which it was asked to end is not saved, though it was learning."""
        if not 0 < self.begun() < asked - 3 * self.processes:  # until then there is nothing to save
            return False
        newest = self.kept()[-1:]  # whose last change is its renaming, and that may be when it was asked
        return not newest or not (newest[0].stat().st_ctime > asked - 0.3 or newest[0].name.startswith(self._last()))

    def left(self) -> dict[str, str]:
        """The model's files by name, each with its hash."""
        return {file.name: hash for file, hash in content(self.model()).items()}

    def errors(self) -> list[str]:
        return [line for line in self._lines() if line.startswith("error: ")]

    def last_words(self, count: int) -> str:
        return " | ".join(self._lines()[-count:])

    def workers(self) -> list[int]:
        return self.alive(b"\0RANK=")

    def alive(self, mark: bytes = b"") -> list[int]:
        """Every process of it, by what stands in its environment: workers are in sessions of their own."""
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            try:
                variables = b"\0" + (path / "environ").read_bytes()
            except OSError:  # it has just ended
                continue
            if f"\0DVC_ROOT={self.folder}\0".encode() in variables and mark in variables:
                found.append(int(path.name))
        return found

    def _last(self) -> str:
        """How a checkpoint's name begins when the last epoch is done."""
        return f"{EPOCHS[self.network]:05}-"

    def _lines(self) -> list[str]:
        return self.said.read_text(errors="replace").splitlines()


@dataclass(frozen=True)
class Blow:
    name: str
    sent: signal.Signals = signal.SIGKILL
    sign: Callable[[Training], object] | None = None  # it falls when this is seen, or up to `within` seconds later,
    within: float = 0.3
    early: bool = False  # the first time that it is seen, and otherwise at any moment
    worker: bool = False


def content(folders: list[Path]) -> dict[Path, str]:
    files = [file for folder in folders for file in folder.iterdir()]
    return {file: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def minds_sigterm(pid: int) -> bool:
    """An interpreter that just starts, or is all but gone, has no answer of ours to it yet, or no more."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1)


def pack(folder: Path) -> None:
    """images/ as resize_images leaves it: noise with one bright block an item."""
    folder.mkdir()
    drawn, photos = np.random.default_rng(7), []
    for n, split in enumerate(drawn.permutation([name for name, count in COUNTS.items() for _ in range(count)])):
        pixels = drawn.integers(0, 90, (SIDE, SIDE, 3), dtype=np.uint8)
        for left in range(1, 10 * (1 + n % 3), 10):
            top = drawn.integers(0, 24)
            pixels[top : top + 8, left : left + 8] = drawn.integers(150, 255, 3)
        facts = {"id": f"{10000 + n}", "quantity": 1 + n % 3, "split": str(split), "group": f"{n}"}
        photos.append((facts, encode(pixels, 95)))
    shards.write(folder, photos)
