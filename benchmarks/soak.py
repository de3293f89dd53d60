"""What a network, a disk and a kill do to the two stages that read the bucket: nothing.

    python benchmarks/soak.py [--bins folder] [--pairs 1000] [--kills 50] [--only fault,kill,disk,twice]

Each row is both stages as dvc.yaml runs them, against an S3 server on loopback that misbehaves on purpose, held against the
same stages with a server that does not. `wrong`: rows or images that differ. `lost`: that are not there, though nothing was
wrong with their object. `listed`: in unreadable.parquet and rejected.csv. All three are counted, none is assumed.
`--bins`: a local mirror of the bucket's layout; by default synthetic bins are drawn. The disk wants root, for a small tmpfs.
"""

import argparse
import functools
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

from s3_server import Faults, Kind, Misdeed, Request, Served, Store, plan, serving
from settings import settings
from warehouse_classifier.bucket.objects import METADATA, PHOTOS, key_of
from warehouse_classifier.dataset.shards import REJECTED, Shards
from warehouse_classifier.synthetic.bins import SyntheticBins

FETCH = ("fetch_metadata", "soak", "metadata.parquet", "unreadable.parquet")
SELECT = ("select_images", "soak", "metadata.parquet", "selection.csv")
RESIZE = ("resize_images", "soak", "selection.csv", "images")
OUTS: dict[tuple[str, ...], tuple[str, ...]] = {FETCH: FETCH[2:], SELECT: SELECT[3:], RESIZE: RESIZE[3:]}
EVERY: dict[str, Faults] = {
    "flipped bits, 20 %": plan(1, {"flip": 0.2}, {"flip": 0.2}),
    "short bodies, 20 %": plan(2, {"short": 0.2}, {"short": 0.2}),
    "longer bodies, 20 %": plan(3, {"longer": 0.2}),
    "HTML with status 200, 20 %": plan(4, {"html": 0.2}, {"html": 0.2}),
    "truncated, 20 %": plan(5, {"truncated": 0.2}, {"truncated": 0.2}),
    "resets, 20 %": plan(6, {"reset": 0.1, "reset_midway": 0.1}, {"reset": 0.1, "reset_midway": 0.1}),
    "503 at 30 %": plan(7, {"slow_down": 0.3}, {"slow_down": 0.3}),
    "503 at 30 %, Retry-After 1": plan(8, {Misdeed("slow_down", 1): 0.3}),
    "one connection in a hundred hangs": plan(9, {"hang": 0.002}, connections={"hang": 0.01}),
    "100 bytes a second, 0.2 %": plan(10, {"trickle": 0.002}),
    "listing cut in pages, spoiled": plan(11, {}, {"no_token": 0.2, "repeat": 0.1, "disorder": 0.1, "empty_page": 0.1}),
    "all of these at 2 %": plan(
        12,
        dict.fromkeys(("flip", "short", "longer", "html", "truncated", "reset", "slow_down", "error_500"), 0.02),
        dict.fromkeys(("flip", "html", "truncated", "reset", "slow_down", "no_token"), 0.02),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Some:
    """One fault for the same share of the keys, however often they are asked for."""

    kind: Kind
    share: float

    def hits(self, key: str) -> bool:
        return zlib.crc32(key.encode()) % 1000 < 1000 * self.share

    def __call__(self, request: Request) -> Kind | None:
        return self.kind if request.kind == "get" and self.hits(request.key) else None


@dataclass(frozen=True)
class Left:
    """What the stages leave, by id."""

    table: dict[str, str]
    images: dict[str, bytes]
    listed: frozenset[str]  # keys
    files: dict[str, bytes]

    def against(self, truth: "Left", damaged: frozenset[str] = frozenset()) -> tuple[int, int]:
        """How much is wrong, and how much of what is not `damaged` is lost."""
        wrong = sum(truth.table.get(id) != row for id, row in self.table.items())
        wrong += sum(truth.images.get(id) != image for id, image in self.images.items())
        lost = {key_of(METADATA, id) for id in truth.table.keys() - self.table.keys()}
        lost |= {key_of(PHOTOS, id) for id in truth.images.keys() - self.images.keys()}
        return wrong, len(lost - damaged)


def bodies(folder: str | None, pairs: int) -> dict[str, bytes]:
    if folder:
        names = sorted(path.stem for path in (Path(folder) / METADATA).iterdir())[:pairs]
        keys = [key_of(kind, name) for name in names for kind in (METADATA, PHOTOS)]
        return {key: (Path(folder) / key).read_bytes() for key in keys}
    drawn = SyntheticBins(535_234, 7)  # all over the real bucket's ids: a part of the resized images is a shard of them
    return {
        key_of(kind, id): drawn.metadata(id) if kind == METADATA else drawn.photo(id)
        for id in islice(drawn.ids(), 0, None, 535_234 // pairs)
        for kind in (METADATA, PHOTOS)
    }


class Soak:
    def __init__(self, make: "functools.partial[dict[str, bytes]]", pairs: int) -> None:
        self.make, self.pairs = make, pairs
        self.broken = 0
        with tempfile.TemporaryDirectory() as name:
            folder = self.folder(Path(name))
            with self.serve() as served:
                for stage in (FETCH, SELECT, RESIZE):
                    run(folder, stage, served)
            self.truth = left(folder)
            self.inputs = {name: (folder / name).read_bytes() for name in ("metadata.parquet", "selection.csv")}
            self.selection = self.inputs["selection.csv"]

    def folder(self, folder: Path) -> Path:
        rejected, test = self.pairs // 4, self.pairs // 10
        whole = settings(
            "soak", {"lr": None, "seed": 7}, data={"bucket": "s3://bins", "side": 64, "quality": 90},
            fetch_metadata={"max_rejected": rejected, "part": 100}, resize_images={"max_rejected": rejected},
            select_images={"test_images": test, "outside_images": 0},
        )  # fmt: skip
        (folder / "params.yaml").write_text(whole)
        return folder

    @contextmanager
    def serve(self, fault: object = None, latency: float = 0.0) -> Iterator[Served]:
        with serving(Store(self.make, fault=fault, latency=latency, page=300), process=True) as served:  # type: ignore[arg-type]
            yield served

    def row(self, name: str, folder: Path, served: Served, began: float, damaged: frozenset[str] = frozenset()) -> None:
        got, record = left(folder), served.record()
        wrong, lost = got.against(self.truth, damaged)
        same = got.files == self.truth.files if not damaged else damaged == got.listed
        self.broken += bool(wrong or lost or not same)
        met = sum(record.faults.values())
        print(
            f"{name:<36}{time.monotonic() - began:>8.0f}{sum(record.requests.values()):>10}{met:>8}"
            f"{wrong:>7}{lost:>6}{len(got.listed):>8}  {'yes' if same else 'NO'}",
            flush=True,
        )

    def faults(self) -> None:
        some = {kind: Some(kind, 0.02) for kind in ("denied", "gone", "html", "flip")}
        for name, fault in {**EVERY, **{f"{kind}, always, 2 % of the keys": it for kind, it in some.items()}}.items():
            with tempfile.TemporaryDirectory() as there, self.serve(fault) as served:
                folder, began = self.folder(Path(there)), time.monotonic()
                run(folder, FETCH, served)
                (folder / "selection.csv").write_bytes(self.selection)
                run(folder, RESIZE, served)
                wanted = {key_of(METADATA, id) for id in self.truth.table}
                wanted |= {key_of(PHOTOS, id) for id in self.truth.images}
                damaged = frozenset(filter(fault.hits, wanted)) if isinstance(fault, Some) else frozenset()
                self.row(name, folder, served, began, damaged)

    def kills(self, count: int) -> None:
        """Each stage killed again and again at random moments, until it ends."""
        drawn = random.Random(7)
        for stage in (FETCH, RESIZE):
            killed = rounds = failed = others = left_behind = 0
            with self.serve(latency=0.02) as served:
                began = time.monotonic()
                while killed < count:
                    with tempfile.TemporaryDirectory() as there:
                        folder = self.folder(Path(there))
                        (folder / "selection.csv").write_bytes(self.selection)
                        while True:
                            process = start(folder, stage, served)
                            try:
                                status = process.wait(drawn.uniform(0.5, 6))
                                break
                            except subprocess.TimeoutExpired:
                                process.send_signal(signal.SIGKILL)
                                process.wait()
                                killed += 1
                        rounds += 1
                        got = left(folder)
                        same = all(self.truth.files[name] == body for name, body in got.files.items())
                        behind = any((folder / ".work").iterdir())
                        self.broken += status != 0 or not same or not got.files or behind
                        failed, others, left_behind = failed + (status != 0), others + (not same), left_behind + behind
                requests = sum(served.record().requests.values())
                print(
                    f"kill -9 of {stage[0]}: {killed} times, {rounds} times to the end, {requests / rounds:.0f} requests each,"
                    f" {time.monotonic() - began:.0f} s; {failed} failed, {others} ended with other bytes, {left_behind} left work"
                    " behind",
                    flush=True,
                )

    def disk(self) -> None:
        """Each stage on disks of ever more space: it fails in one line, and goes on when there is room."""
        with tempfile.TemporaryDirectory() as name, self.serve() as served:
            there = Path(name)
            for stage in (FETCH, SELECT, RESIZE):
                began, failed, lines, broken = time.monotonic(), 0, set(), self.broken
                subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", there], check=True)
                try:
                    folder = self.folder(there)
                    for file, body in self.inputs.items():
                        if file not in OUTS[stage]:  # or what is taken away as the stage starts would be room
                            (folder / file).write_bytes(body)
                    room = 0
                    while True:
                        subprocess.run(["mount", "-o", f"remount,size={_used(there) + room}", there], check=True)
                        process = start(folder, stage, served)
                        output = process.communicate()[1].decode().splitlines()
                        if process.returncode == 0:
                            break
                        failed += 1
                        lines.add(output[-1])
                        room += 4096 + room // 3
                    got = left(folder)
                    self.broken += any(self.truth.files[file] != body for file, body in got.files.items())
                    self.broken += (folder / "selection.csv").exists() and (
                        (folder / "selection.csv").read_bytes() != self.inputs["selection.csv"]
                    )
                finally:
                    subprocess.run(["umount", there], check=True)
                self.broken += not failed or any("the disk is full" not in line for line in lines)
                print(
                    f"disk full in {stage[0]}: {failed} times, {time.monotonic() - began:.0f} s; {self.broken - broken} ended"
                    " with other bytes; what was said:",
                    *sorted(lines),
                    sep="\n    ",
                    flush=True,
                )

    def twice(self) -> None:
        with tempfile.TemporaryDirectory() as there, self.serve(latency=0.05) as served:
            folder = self.folder(Path(there))
            first = start(folder, FETCH, served)
            while not list(folder.glob(".work/fetch_metadata-*/")):
                time.sleep(0.05)
            output = start(folder, FETCH, served).communicate()[1].decode().splitlines()
            self.broken += first.wait() != 0 or "another run is doing this very work" not in output[-1]
            print("two runs at once: the first ends well, the second says:", output[-1], sep="\n    ", flush=True)


def start(folder: Path, stage: tuple[str, ...], served: Served) -> "subprocess.Popen[bytes]":
    """Without the outputs of an earlier run, as DVC starts a stage."""
    for out in (folder / name for name in OUTS[stage]):
        shutil.rmtree(out) if out.is_dir() else out.unlink(missing_ok=True)
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "DVC_", "MLFLOW_"))
    }
    environment |= {
        "AWS_ENDPOINT_URL": served.url,
        "DVC_ROOT": str(folder),
        "MLFLOW_TRACKING_URI": f"sqlite:///{STORE}",
    }
    environment |= {"AWS_ACCESS_KEY_ID": "soak", "AWS_SECRET_ACCESS_KEY": "of-no-worth"}
    command = [sys.executable, "-m", "warehouse_classifier.compute", *stage]
    return subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)


def run(folder: Path, stage: tuple[str, ...], served: Served) -> None:
    process = start(folder, stage, served)
    output = process.communicate()[1].decode()
    if process.returncode != 0:
        sys.exit(f"{stage[0]} failed: {output}")


def left(folder: Path) -> Left:
    files, table, images, listed = {}, {}, {}, set()
    if (folder / FETCH[3]).exists():
        files |= {name: (folder / name).read_bytes() for name in FETCH[2:]}
        table = {row["id"]: repr(row) for row in pq.read_table(folder / FETCH[2]).to_pylist()}
        listed |= set(pq.read_table(folder / FETCH[3])["key"].to_pylist())
    if (folder / RESIZE[3]).exists():
        files |= {path.name: path.read_bytes() for path in (folder / RESIZE[3]).iterdir()}
        shards = Shards(folder / RESIZE[3])
        images = {id: shards.jpeg(row) for row, id in enumerate(shards.index["id"])}
        rejected = pd.read_csv(folder / RESIZE[3] / REJECTED, dtype=str)
        listed |= {key_of(PHOTOS, id) for id in rejected["id"]}
    return Left(table, images, frozenset(listed), files)


def _used(there: Path) -> int:
    room = os.statvfs(there)
    return (room.f_blocks - room.f_bfree) * room.f_frsize


STORE = Path(tempfile.gettempdir()) / f"soak-{os.getpid()}.db"  # where the runs' figures go: nobody wants them


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bins")
    parser.add_argument("--pairs", type=int, default=1000)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--only", default="fault,kill,disk,twice")
    args = parser.parse_args()
    soak = Soak(functools.partial(bodies, args.bins, args.pairs), args.pairs)
    print(f"{len(soak.truth.table)} pairs, {len(soak.truth.images)} images")
    if "fault" in args.only:
        print(
            f"{'fault':<36}{'seconds':>8}{'requests':>10}{'faults':>8}{'wrong':>7}{'lost':>6}{'listed':>8}  as it should be"
        )
        soak.faults()
    if "kill" in args.only:
        soak.kills(args.kills)
    if "disk" in args.only:
        soak.disk()
    if "twice" in args.only:
        soak.twice()
    STORE.unlink(missing_ok=True)
    sys.exit(f"{soak.broken} are not as they should be" if soak.broken else 0)


if __name__ == "__main__":
    main()
