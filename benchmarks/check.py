"""Photos a second of `warehouse-classifier check`: beside a plain PyTorch loop, ONNX Runtime and OpenVINO on the processor.

    python benchmarks/check.py [photos] [rounds] [side]

Without words 512 photos, 3 rounds and 64 pixels: synthetic photos as the bucket has them, in a folder of JPEGs with a CSV of
what is expected, and models/ as `dvc repro` leaves it. At 224 pixels 32 photos, enlarged to the sizes of real ones, batches of
8, and networks of full size made on the spot, which have learnt nothing: a ResNet34 whose BatchNorms have seen the photos, and
transformers' default ViT, a ViT-B/16.

check            the command itself; photos/s are those that it says, which are without its start
PyTorch loop     a DataLoader with as many workers, Pillow's decoder and resizer, and torch as it comes
ONNX Runtime     check, its networks exported to ONNX: one thread in each of the threads that count
OpenVINO         check, its networks converted for batches of this size, as many streams as threads that count; with all
                 of float32, and apart from that with its own choice on processors that have it, bf16

x check's        a row's rate by check's in the same round: above 1 it is faster
network alone    photos/s on pixels in memory, threads as above; ms CPU: time of processor for a photo
reading          ms CPU from a file to pixels, and its share of the sum of both
apart            the largest difference of a probability from check's (the loop's pixels are others), and how many photos
                 are counted otherwise

Each row is a process of its own that stays, so nothing is measured while it starts; in every round each has its turn, one
at a time. Medians count (least and most in brackets). Rates want all processors: how much of them others had meanwhile is
said, and above a tenth only the ms CPU compare. The runtimes send nothing home. RIVALS: see rivals.py.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from rivals import machine, middle, rivals, spend
from runtimes import MODELS, NEEDS, OURS, PROCESSORS, Task

TOP = Path(__file__).resolve().parents[1]
QUANTITIES, SAMPLE = (1, 2, 3, 4, 5), 64
HEADING = "x check's"


# ---- what they are measured on


def lay_out(folder: Path, count: int, side: int) -> None:
    from resize import photos
    from warehouse_classifier.bins.metadata import parse
    from warehouse_classifier.synthetic.bins import SyntheticBins

    bins = SyntheticBins(2 * count, 7)
    ids = list(islice(bins.ids(), count))
    if side == SAMPLE:
        (folder / "photos").mkdir()
        for id in ids:
            (folder / "photos" / f"{id}.jpg").write_bytes(bins.photo(id))
        shutil.copytree(TOP / "models", folder / "models")
    else:
        photos(folder / "photos", None, count)  # of the same ids
        learn_nothing(folder / "models", folder / "photos", side)
    rows = [f"{id},{parse(bins.metadata(id))[0]}" for id in ids]
    (folder / "expected.csv").write_text("\n".join(["id,quantity", *rows]))


def learn_nothing(models: Path, photos: Path, side: int) -> None:
    """Trained models in all but what they know."""
    import torch

    from warehouse_classifier.dataset.photo import decode, square
    from warehouse_classifier.evaluation import calibration
    from warehouse_classifier.evaluation.learned_from import LearnedFrom
    from warehouse_classifier.models import folder, resnet34, vit
    from warehouse_classifier.models.registry import NETWORKS

    torch.manual_seed(7)
    for network in NETWORKS:
        (models / network).mkdir(parents=True)
    some = [square(decode(file.read_bytes(), 1 << 24), side) for file in islice(sorted(photos.iterdir()), 32)]
    resnet = resnet34.build(len(QUANTITIES), "none", None).train()
    for norm in resnet.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):
            norm.momentum = 1.0
    with torch.no_grad():
        resnet(torch.from_numpy(np.stack(some)).permute(0, 3, 1, 2))
    resnet34.save(resnet, QUANTITIES, models / "resnet34")
    large = vit.build(vit.OWN, None, None, side, QUANTITIES)
    torch.nn.init.normal_(large.network.classifier.weight, std=0.2)  # its own would answer a fifth each
    vit.save(large, models / "vit")
    calibrated = calibration.Calibration(
        version=calibration.VERSION,
        counters=dict.fromkeys(MODELS, calibration.Calibrated(temperature=1.0, match=0.3, mismatch=0.9)),
        sha256={network: folder.hashes(models / network) for network in NETWORKS},
        learned_from=LearnedFrom(bucket="s3://bins", images=1, sha256="0" * 64),
        quantities=list(QUANTITIES), side=side, quality=95, precision="fp32", mirror=False, false_alarms=0.05, misses=0.05,
    )  # fmt: skip
    calibrated.write(models / calibration.FILE)


# ---- the rounds, and what is said of them


@contextmanager
def process(python: Path, way: str, task: Task) -> Iterator[Callable[..., dict[str, float]]]:
    environment = os.environ | {"PYTHONPATH": str(TOP / "src"), "ORT_DISABLE_TELEMETRY": "1", "HF_HUB_OFFLINE": "1"}
    words = [python, "-W", "ignore", TOP / "benchmarks/runtimes.py", way, json.dumps(asdict(task))]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as started:

        def ask(*what: str) -> dict[str, float]:
            print(json.dumps(what), file=started.stdin, flush=True)
            line = started.stdout.readline() if started.stdout else ""
            if not line:
                raise RuntimeError(f"{way} ended at {' '.join(what[:2])}, as said above")
            answer: dict[str, float] = json.loads(line)
            return answer

        yield ask


def show(model: str, measured: dict[str, list[dict[str, float]]], answers: dict[str, Any]) -> None:
    print(f"\n{model:<16}{'photos/s':>22}{HEADING:>20}{'network alone':>22}{HEADING:>20}{'ms CPU':>8}", end="")
    print(f"{'reading':>9}{'share':>7}{'apart':>13}")
    for way, ones in measured.items():
        print(f"{way:<16}", end="")
        for what in ("rate", "network"):
            times = [one[what] / base[what] for one, base in zip(ones, measured[OURS], strict=True)]
            print(f"{middle([one[what] for one in ones]):>22}{rounded(times):>20}", end="")
        network, reading = (median(one[f"{part} cpu"] for one in ones) for part in ("network", "reading"))
        print(f"{network:>8.3g}{reading:>9.3g}{reading / (network + reading):>7.0%}", end="")
        apart = np.abs(answers[way] - answers[OURS]).max()
        other = int((answers[way].argmax(1) != answers[OURS].argmax(1)).sum())
        print(f"{f'{apart:.1e}, {other}':>13}", flush=True)


def rounded(values: list[float]) -> str:
    return f"{median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


def main(count: int, rounds: int, side: int) -> None:
    batch = 32 if side == SAMPLE else 8
    count = -(-count // (batch * PROCESSORS)) * batch * PROCESSORS  # as many whole batches for each thread
    print(machine("torch", "pillow", "simplejpeg"))
    measured: dict[str, dict[str, list[dict[str, float]]]] = {model: {} for model in MODELS}
    others = []
    with tempfile.TemporaryDirectory() as temporary, rivals("onnxruntime", "openvino") as bins, ExitStack() as stack:
        folder, here = Path(temporary), {"": Path(sys.executable).parent, **bins}
        task = Task(temporary, side, batch)
        spend([sys.executable, __file__, "--lay-out", temporary, str(count), str(side)])
        size = sum(file.stat().st_size for file in (folder / "photos").iterdir()) / count
        print(f"{count} photos of {size / 1000:.0f} kB to {side} pixels, batches of {batch}, {rounds} rounds;", end=" ")
        print(f"load before: {os.getloadavg()[0]:.2f}", flush=True)
        asked = {
            way: stack.enter_context(process(here[need] / "python", way, task))
            for way, need in NEEDS.items()
            if need in here
        }
        for round in range(rounds):
            for model in MODELS:
                for way, ask in asked.items():
                    one = ask("whole", model), ask("parts", model, f"{folder}/{way}.{model}.npy")
                    others += [answer["others"] for answer in one]
                    measured[model].setdefault(way, []).append(one[1] | one[0])
                    rates = f"{one[0]['rate']:.4g} photos/s, network alone {one[1]['network']:.4g} ({one[1]['network cpu']:.3g} ms CPU)"
                    line = f"round {round + 1} of {rounds}: {model}, {way}: {rates}"
                    print(f"{line}; others had {one[0]['others']:.0%}", file=sys.stderr, flush=True)
        answers = {model: {way: np.load(folder / f"{way}.{model}.npy") for way in asked} for model in MODELS}
    print(f"others had {median(others):.0%} ({min(others):.0%}-{max(others):.0%}) of the processors meanwhile")
    for model in MODELS:
        show(model, measured[model], answers[model])


if __name__ == "__main__":
    if sys.argv[1:2] == ["--lay-out"]:
        lay_out(Path(sys.argv[2]), *map(int, sys.argv[3:]))
    else:
        words = [int(word) for word in sys.argv[1:]]
        side = words[2] if len(words) > 2 else SAMPLE
        main(*(words + [512 if side == SAMPLE else 32, 3, SAMPLE][len(words) :]))
