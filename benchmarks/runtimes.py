"""Ways to count the items in a folder of photos, for check.py: each asked in a process of its own, line by line."""

import io
import json
import os
import re
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stderr
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np

from rivals import cpu

MODELS = ("resnet34", "vit", "average")
OURS, LOOP, ORT, OV, BF16 = "check", "PyTorch loop", "ONNX Runtime", "OpenVINO", "OpenVINO, bf16"
NEEDS = {OURS: "", LOOP: "", ORT: "onnxruntime", OV: "openvino", BF16: "openvino"}  # of rivals.py
PROCESSORS = len(os.sched_getaffinity(0))
Infer = Callable[[Any], Any]  # logits [B, answers] of uint8 [B, 3, side, side]
# imports are inside from here on: each function runs where the others need not be installed


@dataclass(frozen=True)
class Task:
    folder: str  # with photos/, expected.csv and models/
    side: int
    batch: int


class Clock:
    def __init__(self) -> None:
        self.began, self.spent = time.perf_counter(), cpu()

    def each(self, name: str, photos: int) -> dict[str, float]:
        """Photos a second, and milliseconds of processor for each."""
        took, spent = time.perf_counter() - self.began, cpu() - self.spent
        return {name: photos / took, f"{name} cpu": 1000 * spent / photos}


class Command:
    """check, and with another `way` check with the networks that a runtime made of its own."""

    def __init__(self, way: str, task: Task) -> None:
        from warehouse_classifier.models import registry
        from warehouse_classifier.serving import predictor

        self.task, self.folder, self.opened = task, Path(task.folder), predictor.opened
        if way != OURS:
            load = registry.load
            made = cache(lambda folder: RUNTIMES[way](load(folder.name, folder), task))
            registry.load = lambda _, folder: _module(made(folder)())

    def whole(self, model: str) -> dict[str, float]:
        from warehouse_classifier.cli.__main__ import answer

        words = ["check", f"{self.folder}/photos", "--expected", f"{self.folder}/expected.csv", "--model", model]
        words += ["--models", f"{self.folder}/models", "--batch", str(self.task.batch), "--output", os.devnull]
        with redirect_stderr(io.StringIO()) as errors:
            status = answer([*words, "--format", "jsonl"])
        if status not in (0, 1):
            raise RuntimeError(errors.getvalue())
        return {"rate": float(re.findall(r"([\d.]+) photos/s", errors.getvalue())[-1])}

    def parts(self, model: str, out: str) -> dict[str, float]:
        from concurrent.futures import ThreadPoolExecutor

        from warehouse_classifier.cli.check.local_photos import body_of

        with self.opened(self.folder / "models", model, 1) as predictor, ThreadPoolExecutor(PROCESSORS) as pool:
            files = sorted((self.folder / "photos").iterdir())
            read = Clock()
            pixels = np.stack(list(pool.map(lambda file: predictor.pixels(body_of(file)), files)))
            photos = read.each("reading", len(files))
            groups = [pixels[n : n + self.task.batch] for n in range(0, len(files), self.task.batch)]
            list(pool.map(predictor.probabilities, groups[:PROCESSORS]))  # the first are slower
            counted = Clock()
            np.save(out, np.concatenate(list(pool.map(predictor.probabilities, groups))))
            return photos | counted.each("network", len(files))


class Loop:
    """What one writes who has a folder of photos, two networks and an hour."""

    def __init__(self, way: str, task: Task) -> None:
        import torch
        from PIL import Image

        from warehouse_classifier.evaluation import calibration, temperature
        from warehouse_classifier.models import resnet34, vit

        class Photos(torch.utils.data.Dataset[Any]):
            files = sorted(Path(task.folder, "photos").iterdir())

            def __len__(self) -> int:
                return len(self.files)

            def __getitem__(self, n: int) -> torch.Tensor:
                photo = Image.open(self.files[n]).convert("RGB").resize((task.side, task.side))
                return torch.from_numpy(np.array(photo)).permute(2, 0, 1)

        models = Path(task.folder, "models")
        self.networks = {"resnet34": resnet34.load(models / "resnet34"), "vit": vit.load(models / "vit")}
        counters, self.probabilities = calibration.load(models).counters, temperature.probabilities
        self.temperatures = {name: counted.temperature for name, counted in counters.items()}
        workers = {"num_workers": PROCESSORS, "persistent_workers": True}
        self.loader = torch.utils.data.DataLoader(Photos(), task.batch, **workers)
        self.images = list(self.loader)

    def count(self, model: str, batches: Any) -> Any:
        """Probabilities."""
        import torch

        networks = MODELS[:2] if model == "average" else [model]
        with torch.inference_mode():
            logits = [{name: self.networks[name](images).double().numpy() for name in networks} for images in batches]
        return np.concatenate([self.probabilities(part, self.temperatures)[model] for part in logits])

    def whole(self, model: str) -> dict[str, float]:
        all_of_it = Clock()
        return all_of_it.each("rate", len(self.count(model, self.loader)))

    def parts(self, model: str, out: str) -> dict[str, float]:
        read = Clock()
        photos = read.each("reading", sum(map(len, self.loader)))
        self.count(model, self.images[:1])
        counted = Clock()
        np.save(out, answers := self.count(model, self.images))
        return photos | counted.each("network", len(answers))


def by_onnxruntime(network: Any, task: Task) -> Callable[[], Infer]:
    import onnxruntime
    import torch

    file = f"{task.folder}/{type(network).__name__}.onnx"
    images = torch.zeros(2, 3, task.side, task.side, dtype=torch.uint8)
    # not by dynamo: of the ViT it makes what runs at 0.7 of this one's rate
    export = {
        "dynamo": False,
        "opset_version": 17,
        "input_names": ["images"],
        "dynamic_axes": {"images": {0: "photos"}},
    }
    torch.onnx.export(network, (images,), file, **export)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1

    def start() -> Infer:
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        return lambda images: session.run(None, {"images": images})[0]

    return start


def by_openvino(precision: str, network: Any, task: Task) -> Callable[[], Infer]:
    import openvino
    import torch

    shape = [task.batch, 3, task.side, task.side]
    model = openvino.convert_model(network, example_input=torch.zeros(shape, dtype=torch.uint8), input=[shape])
    config = {"INFERENCE_PRECISION_HINT": precision, "NUM_STREAMS": PROCESSORS, "INFERENCE_NUM_THREADS": PROCESSORS}

    def start() -> Infer:
        compiled, idle = openvino.compile_model(model, "CPU", config), SimpleQueue[Any]()
        for _ in range(PROCESSORS):
            idle.put(compiled.create_infer_request())

        def infer(images: Any) -> Any:
            request = idle.get()
            try:
                whole = np.resize(images, shape)  # of fewer there is one alone, by which check knows the network
                return request.infer({0: whole}, share_inputs=True)[0][: len(images)].copy()
            finally:
                idle.put(request)

        return infer

    return start


RUNTIMES: dict[str, Callable[[Any, Task], Callable[[], Infer]]] = {
    ORT: by_onnxruntime,
    OV: lambda network, task: by_openvino("f32", network, task),
    BF16: lambda network, task: by_openvino("bf16", network, task),
}


def _module(infer: Infer) -> Any:
    import torch

    class Runtime(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.from_numpy(infer(images.numpy()))

    return Runtime()


def attend(way: str, task: Task) -> None:
    """Do what each line of standard input asks for."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    one = (Loop if way == LOOP else Command)(way, task)
    for line in sys.stdin:
        began, spent, all_spent = time.perf_counter(), cpu(), busy()
        part, *words = json.loads(line)
        result = getattr(one, part)(*words)
        others = (busy() - all_spent - cpu() + spent) / (time.perf_counter() - began) / (os.cpu_count() or 1)
        print(json.dumps(result | {"others": max(0.0, others)}), file=answers, flush=True)


def busy() -> float:
    """Seconds of all processors, for whomever, those that a hypervisor gave to another machine among them."""
    ticks = list(map(int, Path("/proc/stat").read_text().splitlines()[0].split()[1:9]))
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    attend(sys.argv[1], Task(**json.loads(sys.argv[2])))
