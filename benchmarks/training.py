"""Images a second of training both networks: this project beside its own ceiling and the loops people usually take.

    python benchmarks/training.py [side] [precision] [images] [rounds]
        [--batch n] [--vit own|Ti/16|S/16|B/16] [--networks ...] [--rows ...] [--price dollars]

Without words: on a processor 64 pixels, fp32, 1,024 images, 3 rounds, batches of 64 and the small ViT of params.yaml
(at another side batches of 32 and a ViT-Ti/16); on a GPU 224 pixels, bf16, 15,360 images, batches of 256 and a ViT-B/16.
The photos are drawn here, of about as many bytes as real ones, and packed as this project wants them (shards) and as
everyone else does (a folder of JPEGs). Every row is a process of its own that starts from nothing and trains one epoch;
rounds are interleaved and medians count (least and most in brackets). Two threads that share two cores with anybody
else lose most of their time waiting for each other: look at the load.

images/s      of whole steps by the clock, without the first 3
first step    seconds from the start of the process to the end of its first step, with what is compiled; compiled code
              is kept from round to round, so the most is what a first training waits
memory, GPU   MiB at most until the last step: of the process and its workers, and on the card
ms CPU        time of processor an image, workers included
MFU           model FLOPs utilisation: FLOP of an image, a multiply-add counted as two, times images/s, as a share of
              the card's published dense peak or, where none is known, of the run's best large matrix product

The ceiling is what this project computes, not compiled, on one batch in memory. "this project" is the stage itself, with
neither `compile` nor `deterministic`; beside it one of them each (a processor is deterministic either way). Everyone has
the same precision (bf16 by autocast), threads and number of workers. timm is installed into a throw-away environment if
it is not here (RIVALS: see rivals.py). Nothing else is needed but torch 2.11 or newer and what the stages import, so the
project's folder can be carried to a bare machine. On a GPU the hours of the full scale are extrapolated from these few
steps, and with --price, dollars an hour, what they cost.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import flops
from loops import LOADERS, OTHERS, OURS, TOP, WARM, Task, load, train
from photos import lay_out
from rivals import machine, rivals, spend

BASE, ITSELF, DETERMINISTIC, LOADER = "ceiling", "this project", "this project, deterministic", "the loader"
ROWS = [BASE, *OURS, *(name for name in OTHERS if name != BASE)]
TO_REACH, TIMES = 0.95, 20  # of the ceiling; the ResNet34's ceiling, for the loader on a processor
Found = dict[str, list[dict[str, float]]]  # by row, one of each round


# ---- the measuring, each in a process of its own


@contextmanager
def pythons() -> Iterator[dict[str, Path]]:
    """The interpreter of each row; timm's own where it is not here, and none if it cannot be installed."""
    here = dict.fromkeys((*ROWS, *LOADERS), Path(sys.executable))
    if find_spec("timm"):
        yield here
    else:
        with rivals("timm") as bins:
            del here["timm"]
            yield here | {name: folder / "python" for name, folder in bins.items()}


def card() -> str:
    """The name of the GPU, empty without one; torch is asked in another process, for this one is to stay small."""
    ask = "import torch; print(torch.cuda.get_device_name() if torch.cuda.is_available() else '')"
    return spend([Path(sys.executable), "-c", ask]).said.strip()


def measured(python: Path, row: str, task: Task) -> dict[str, float]:
    """Raises RuntimeError if the process fails."""
    folder = Path(task.folder)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        task_json = json.dumps(asdict(replace(task, scratch=scratch, begun=time.monotonic())))
        caches = {name: str(folder / name) for name in ("HF_HOME", "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR")}
        # one GPU for everyone, and no images that an earlier run has decoded
        alike = {"CUDA_VISIBLE_DEVICES": os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0], "IMAGE_CACHE": ""}
        output = spend([python, __file__, "--row", row, task_json], caches | alike).said
        return json.loads(output.splitlines()[-1])


def play(row: str, task: Task) -> dict[str, float]:
    """In the process of a row."""
    if row == "matmul":
        return {"rate": flops.matmul(task.precision, task.threads)}
    if row == "flop":
        return {"flop": flops.of_an_image(task)}
    return load(row, task) if row in LOADERS else train(row, task)


def rounds(count: int, rows: list[str], tasks: dict[str, Task]) -> tuple[dict[str, Found], list[float]]:
    """What the rows of each network, and the loaders under their own name, found in each round; matrix products."""
    some = next(iter(tasks.values()))
    turns = [(network, row, task) for network, task in tasks.items() for row in rows]
    turns += [(LOADER, row, some) for row in LOADERS]
    timed: dict[str, Found] = {network: {} for network in (*tasks, LOADER)}
    peaks, failed = [], set()
    with pythons() as here:
        for _ in range(count):
            peaks.append(measured(here[BASE], "matmul", some)["rate"])
            for what, row, task in turns:
                if row not in here or (what, row) in failed:
                    continue
                try:
                    one = measured(here[row], row, task)
                except RuntimeError as error:
                    failed.add((what, row))
                    print(f"LEFT OUT, {what}, {row}: {str(error).strip().splitlines()[-1]}", flush=True)
                else:
                    timed[what].setdefault(row, []).append(one)
                    print(f"{what}, {row}: {one['rate']:.4g} images/s", file=sys.stderr, flush=True)
    return timed, peaks


# ---- what is said of it


def middles(timed: Found, key: str = "rate") -> dict[str, float]:
    return {row: median(one[key] for one in ones) for row, ones in timed.items()}


def around(values: list[float], digits: int) -> str:
    """The median and, in brackets, the least and the most."""
    return f"{median(values):.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def show_network(network: str, timed: Found, flop: float, peak: float) -> None:
    rates, base = middles(timed), middles(timed)[BASE]
    memory, gpu, spent = (middles(timed, key) for key in ("memory", "gpu", "cpu"))
    print(f"\n{network}, {flop / 1e9:.4g} GFLOP an image")
    print(f"{'':<28}{'images/s':>24}{'of ceiling':>11}{'first step':>18}{'memory':>8}{'GPU':>8}{'ms CPU':>8}{'MFU':>8}")
    for row, ones in timed.items():
        rate, first = around([one["rate"] for one in ones], 0), around([one["first"] for one in ones], 1)
        held = f"{memory[row] / 2**20:>8.0f}{gpu[row] / 2**20:>8.0f}{spent[row] * 1e3:>8.3g}"
        print(f"{row:<28}{rate:>24}{rates[row] / base:>11.1%}{first:>18}{held}{flop * rates[row] / peak:>8.1%}")
    if ITSELF in rates:
        others = {row: rate for row, rate in rates.items() if row in OTHERS and row != BASE}
        print(f"{ITSELF}: {rates[ITSELF] / base:.1%} of the ceiling, to reach: {TO_REACH:.0%}", end="")
        for row in sorted(others, key=others.__getitem__)[-1:]:
            print(f"; {rates[ITSELF] / others[row]:.2f} times {row}, the fastest other, to reach: more than 1", end="")
        print()


def show_loaders(timed: Found, ceilings: dict[str, float], gpu: str) -> None:
    reach = "more than 1" if gpu else f"{TIMES} times the resnet34's"
    print(f"\n{LOADER}, alone; to reach: {reach}")
    print(f"{'':<28}{'images/s':>24}{'ms CPU':>8}", *(f"{f'x {network}':>12}" for network in ceilings))
    for row, ones in timed.items():
        rate, spent = middles(timed)[row], middles(timed, "cpu")[row]
        times = (f"{rate / ceiling:>12.1f}" for ceiling in ceilings.values())
        print(f"{row:<28}{around([one['rate'] for one in ones], 0):>24}{spent * 1e3:>8.3g}", *times)


def show_full(network: str, timed: Found, side: int, price: float) -> None:
    """Hours and dollars of params.yaml's full scale on this machine, if `side` is that of its images."""
    from warehouse_classifier.compute.parameters import read

    tree = read(TOP / "params.yaml")
    chosen, epochs = tree["select_images"]["full"], tree[f"train_{network}"]["full"]["epochs"]
    images = round((chosen["max_images"] - chosen["test_images"]) * (1 - chosen["validation_share"]))
    for row, rate in middles(timed).items():
        if row in OURS and side == tree["data"]["full"]["side"]:
            hours = images * epochs / rate / 3600
            dollars = f", {hours * price:.2f} dollars" if price else ""
            print(f"extrapolation, {network}, {row}: {images} images, {epochs} epochs: {hours:.2f} hours{dollars}")


# ---- the command line


def vits() -> dict[str, dict[str, int]]:
    """Their sizes in the words of transformers' ViTConfig."""
    from warehouse_classifier.compute.parameters import read

    names = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "patch_size")
    sizes = {"Ti/16": (192, 12, 3, 768, 16), "S/16": (384, 12, 6, 1536, 16), "B/16": (768, 12, 12, 3072, 16)}
    own = read(TOP / "params.yaml")["train_vit"]["sample"]["own_size"]
    return {"own": own, **{name: dict(zip(names, size, strict=True)) for name, size in sizes.items()}}


def tasks_of(args: argparse.Namespace, gpu: str) -> dict[str, Task]:
    """One a network, with what was left open; folder, scratch and begun come later."""
    side = args.side or (224 if gpu else 64)
    batch = args.batch or (256 if gpu else 64 if side == 64 else 32)
    size = vits()[args.vit or ("B/16" if gpu else "own" if side == 64 else "Ti/16")]
    precision = args.precision or ("bf16" if gpu else "fp32")
    steps, cores = (args.images or (15360 if gpu else 1024)) // batch, len(os.sched_getaffinity(0))
    if steps <= WARM:
        sys.exit(f"{steps} batches of {batch} are too few: {WARM} are left out, so it must be more images")
    return {name: Task("", "", name, size, side, precision, batch, steps, cores, cores, 0.0) for name in args.networks}


def main(args: argparse.Namespace) -> None:
    gpu = card()
    tasks = tasks_of(args, gpu)
    some = next(iter(tasks.values()))
    print(machine("torch", "torchvision", "transformers", "accelerate", "pillow", "simplejpeg") + (gpu and f"; {gpu}"))
    print(f"{some.side} pixels, {some.precision}, {some.steps} batches of {some.batch}, {args.rounds} rounds;", end=" ")
    print(f"{some.threads} threads, {some.workers} workers; load before: {os.getloadavg()[0]:.2f}", flush=True)
    rows = [row for row in ROWS if row == BASE or not args.rows or row in args.rows]
    if not gpu:
        rows = [row for row in rows if row != DETERMINISTIC]  # which a processor is either way
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        lay_out(folder, some.steps * some.batch, some.side)
        tasks = {network: replace(task, folder=str(folder)) for network, task in tasks.items()}
        flop = {network: measured(Path(sys.executable), "flop", task)["flop"] for network, task in tasks.items()}
        timed, peaks = rounds(args.rounds, rows, tasks)
    peak_of_card = flops.published(gpu, some.precision)
    beside = f"{peak_of_card / 1e12:.4g} are published" if peak_of_card else "MFU is by this"
    print(f"best matrix product of {some.precision}: {max(peaks) / 1e12:.4g} TFLOP/s; {beside}")
    whole = [network for network in tasks if BASE in timed[network]]  # the others have been said to be left out
    for network in whole:
        show_network(network, timed[network], flop[network], peak_of_card or max(peaks))
    show_loaders(timed[LOADER], {network: middles(timed[network])[BASE] for network in whole}, gpu)
    for network in whole if gpu else ():
        show_full(network, timed[network], some.side, args.price)


def words() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("side", type=int, nargs="?")
    parser.add_argument("precision", choices=["fp32", "tf32", "bf16"], nargs="?")
    parser.add_argument("images", type=int, nargs="?")
    parser.add_argument("rounds", type=int, nargs="?", default=3)
    parser.add_argument("--batch", type=int)
    parser.add_argument("--vit", choices=list(vits()))
    parser.add_argument("--networks", nargs="+", choices=["resnet34", "vit"], default=["resnet34", "vit"])
    parser.add_argument("--rows", nargs="+", choices=ROWS)
    parser.add_argument("--price", type=float, default=0.0, metavar="DOLLARS")
    return parser.parse_args()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--row"]:
        print(json.dumps(play(sys.argv[2], Task(**json.loads(sys.argv[3])))))
    else:
        main(words())
