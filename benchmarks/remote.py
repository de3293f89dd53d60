"""How much sooner are images pushed and pulled as shards than as one file each?

    python benchmarks/remote.py [images]

The same images (20,000 unless said otherwise, random bytes as large as photos of 224 pixels) in both layouts: added to DVC as
one folder, pushed, and pulled after the folder and the cache are gone. The remote is the server of `make s3`, a process of
its own that is started anew for each layout. The time is that of the whole command, with this project's settings.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3
import numpy as np

from sagemaker_emulator.local_s3 import BUCKET, REMOTE, lead_to
from warehouse_classifier.dataset import shards

CONFIG = Path(__file__).parent.parent / ".dvc/config"
BYTES, SPREAD = 16_000, 0.35  # the median, and the deviation of its logarithm


def images(count: int) -> Iterator[tuple[str, bytes]]:
    """Ids in order, each with a body that nothing can compress."""
    draw = np.random.default_rng(7)
    for n in range(1, count + 1):
        yield f"{n:05}", draw.bytes(int(draw.lognormal(np.log(BYTES), SPREAD)))


def as_shards(folder: Path, count: int) -> None:
    facts = {"quantity": 1, "split": "train", "group": 0}
    shards.write(folder, (({"id": id, **facts}, body) for id, body in images(count)))


def as_files(folder: Path, count: int) -> None:
    for id, body in images(count):
        (folder / f"{id}.jpg").write_bytes(body)


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """Run what `make s3` runs in a DVC project; yields the address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "sagemaker_emulator.local_s3", str(port)]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        if not process.stdout.readline():
            sys.exit("the server did not start")
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate()


def measure(write: Callable[[Path, int], None], count: int) -> tuple[int, float, float]:
    """Objects in the remote, seconds to push, seconds to pull."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "project"
        (folder / "images").mkdir(parents=True)
        environment = {**os.environ, "DVC_SITE_CACHE_DIR": f"{temporary}/site"}

        def dvc(*words: str) -> float:
            begun = time.perf_counter()
            subprocess.run(["dvc", *words], cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
            return time.perf_counter() - begun

        dvc("init", "--quiet", "--no-scm")
        shutil.copy(CONFIG, folder / ".dvc/config")
        dvc("config", "core.no_scm", "true")
        write(folder / "images", count)
        before = sizes(folder)
        dvc("add", "--quiet", "images")
        with server(folder) as address:
            dvc(*lead_to(address).split()[1:])
            pushed = dvc("push", "--quiet", "-r", REMOTE)
            objects = held(address)
            for gone in (".dvc/cache", "images"):
                shutil.rmtree(folder / gone)
            pulled = dvc("pull", "--quiet", "-r", REMOTE)
        assert sizes(folder) == before  # `verify` has seen to the content
    return objects, pushed, pulled


def sizes(folder: Path) -> dict[str, int]:
    return {file.name: file.stat().st_size for file in (folder / "images").iterdir()}


def held(address: str) -> int:
    client = boto3.Session("nobody", "none", None, "us-east-1").client("s3", endpoint_url=address)
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
    return sum(page["KeyCount"] for page in pages)


def main(count: int) -> None:
    megabytes = sum(len(body) for _, body in images(count)) / 1e6
    print(f"{count} images, {megabytes:.0f} MB, {len(os.sched_getaffinity(0))} processors")
    print(f"{'layout':<22}{'objects':>9}{'push s':>9}{'pull s':>9}")
    rows = []
    for title, write in (("shards", as_shards), ("one file an image", as_files)):
        rows.append(measure(write, count))
        print(f"{title:<22}{rows[-1][0]:>9}{rows[-1][1]:>9.1f}{rows[-1][2]:>9.1f}", flush=True)
    ratios = [files / packed for packed, files in zip(*rows, strict=True)]
    print(f"{'times':<22}{ratios[0]:>9.0f}{ratios[1]:>9.1f}{ratios[2]:>9.1f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
