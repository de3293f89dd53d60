"""What a GPU must not change, and what it gives: the same bytes again, also after a kill -9, and photos a second of `check`.

    python benchmarks/gpu.py [--photos 5000] [--only bytes,check]

bytes   both networks by the recipe of `scale: real` (shorter: 2 epochs on 512 drawn bins, 3 on 2,048 photos of 64 pixels), in fp32
        and in bf16, `deterministic: true`: a training, the same again, and one that is killed in mid-epoch and goes on
check   the command on so many photos of the size of real ones at 224 pixels, in bf16: networks of full size that have learnt
        nothing, a ResNet34 and a ViT-B/16; once to read the photos into the system's memory, then once that counts

It runs on the processor where there is no GPU, and says so.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

# a bare machine has the project's files and no project installed
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from photos import lay_out

TOP = Path(__file__).resolve().parents[1]
SIDE, PHOTOS = 64, 2048
TIMES = 10  # that each drawn photo is there for `check`: drawing takes longer than reading
RECIPE = {"auxiliary": 0.0, "epochs": 3, "pretrain": {"pairs": 512, "seed": 1, "epochs": 2}, "deterministic": True}
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(TOP / "src") + os.pathsep + os.environ.get("PYTHONPATH", "")}


def learn(network: str, precision: str, folder: Path, name: str) -> None:
    """One training, in this process."""
    from warehouse_classifier.compute import parameters, stage_code
    from warehouse_classifier.runtime.progress import NullProgress

    tree = parameters.read(TOP / "params.yaml")
    tree[f"train_{network}"]["real"] |= {**RECIPE, "precision": precision}
    stage = f"train_{network}"
    params = parameters.load(stage_code.params_of(stage), stage, "real", tree)
    work = folder / f"{name}.work"
    work.mkdir(exist_ok=True)
    stage_code.function_of(stage)(
        params, folder / "shards", folder / "metadata", folder / name, work=work, progress=NullProgress()
    )


def started(network: str, precision: str, folder: Path, name: str, seconds: str = "1000") -> subprocess.Popen[bytes]:
    command = [sys.executable, __file__, "--learn", network, precision, str(folder), name]
    return subprocess.Popen(command, env={**ENVIRONMENT, "CHECKPOINT_SECONDS": seconds})


def same_bytes(network: str, precision: str, folder: Path) -> str:
    """A line on one network in one precision."""
    from warehouse_classifier.models.folder import hashes

    names = [f"{network}-{precision}-{which}" for which in ("first", "second", "killed")]
    for name in names[:2]:
        if started(network, precision, folder, name).wait():
            return f"{network} {precision}: failed"
    kills, killed = 0, names[2]
    while True:
        process = started(network, precision, folder, killed, "0.2")
        seen = saves(folder / f"{killed}.work")
        while kills < 2 and process.poll() is None and saves(folder / f"{killed}.work") - seen < 3:
            time.sleep(0.02)
        if kills == 2 or process.poll() is not None:
            break
        process.kill()
        process.wait()
        kills += 1
    if process.wait():
        return f"{network} {precision}: failed after {kills} kills"
    first, second, third = (hashes(folder / name) for name in names)
    again, after = ("the same bytes" if first == other else "OTHER BYTES" for other in (second, third))
    return f"{network} {precision}: again {again}; after {kills} kills {after}"


_seen: dict[Path, set[int]] = {}


def saves(work: Path) -> int:
    """How many states of the checkpoint this has met so far."""
    moments = _seen.setdefault(work, set())
    moments |= {file.stat().st_mtime_ns for file in work.glob("*") if file.is_file()} if work.exists() else set()
    return len(moments)


def show_bytes() -> None:
    with tempfile.TemporaryDirectory() as temporary, ThreadPoolExecutor(4) as pool:
        lay_out(Path(temporary), PHOTOS, SIDE)
        ways = [(network, precision) for network in ("resnet34", "vit") for precision in ("fp32", "bf16")]
        lines = [pool.submit(same_bytes, network, precision, Path(temporary)) for network, precision in ways]
        for line in lines:
            print(line.result(), flush=True)


def show_check(count: int) -> None:
    from check import lay_out as lay_out_photos

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        lay_out_photos(folder, count // TIMES, 224)
        for photo in list((folder / "photos").iterdir()):
            for copy in range(1, TIMES):
                os.link(photo, photo.with_name(f"{copy}-{photo.name}"))
        file = folder / "models/calibration.json"
        calibration: dict[str, Any] = json.loads(file.read_text())
        file.write_text(json.dumps({**calibration, "precision": "bf16"}))
        size = sum(photo.stat().st_size for photo in (folder / "photos").iterdir())
        print(f"check: {count} photos of {size / count / 1000:.0f} kB", flush=True)
        for model in ("resnet34", "vit", "average"):
            command = [
                sys.executable, "-m", "warehouse_classifier.cli", "check", str(folder / "photos"), "--models", str(folder / "models"),
                "--model", model, "--output", str(folder / f"{model}.csv"),
                "--batch", "64",
            ]  # fmt: skip
            began = time.monotonic()
            answer = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)
            said = (answer.stderr.strip().splitlines() or answer.stdout.strip().splitlines() or [""])[-1]
            print(
                f"check {model}: {time.monotonic() - began:.1f} s in all, status {answer.returncode}; {said}",
                flush=True,
            )


def main() -> None:
    import torch

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=5000)
    parser.add_argument("--only", default="bytes,check")
    arguments = parser.parse_args()
    print(torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU here: a processor", flush=True)
    if "bytes" in arguments.only:
        show_bytes()
    if "check" in arguments.only:
        show_check(arguments.photos)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--learn"]:
        network, precision, folder, name = sys.argv[2:]
        learn(network, precision, Path(folder), name)
    else:
        main()
