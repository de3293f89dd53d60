"""Images a second of reading training batches: this project beside ImageFolder, webdataset and Hugging Face datasets.

    python benchmarks/reading.py [images] [rounds]

The same JPEGs (2,000 synthetic bins of 224 pixels unless said otherwise) laid out as each one wants them, read in
batches of 64, shuffled, by two workers, from a warm page cache. Everyone else decodes with PIL and gives normalized
floats, ImageFolder a second time bytes; this project gives bytes, which its networks normalize, and once more floats.
Each runs in a process of its own; the better of two passes counts, all workers being started. Rounds are interleaved,
medians count (least and most in brackets). Processor time stands beside, since on a busy machine the clock says
little. That the shards are whole is checked once a training and is not in the figures. RIVALS: see rivals.py.
"""

import io
import os
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

from rivals import cpu, machine, middle, rivals, spend

SIDE, BATCH, WORKERS, SHARDS = 224, 64, 2, 8
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BASE = "ImageFolder"
Reader = Callable[[], Iterable[Any]]  # one pass over all images, as batches


def jpegs(count: int) -> Iterator[tuple[str, int, bytes]]:
    """Id, quantity and photo as resize_images leaves it."""
    from warehouse_classifier.bucket.bucket import open_bucket
    from warehouse_classifier.bucket.objects import PHOTOS
    from warehouse_classifier.dataset.photo import decode, encode, square

    with closing(open_bucket(f"synthetic://?pairs={2 * count}&seed=7", WORKERS)) as bucket:
        for n, (entry, body) in enumerate(bucket.get_many(islice(bucket.list(PHOTOS), count))):
            assert isinstance(body, bytes)
            yield Path(entry.key).stem, 1 + n % 5, encode(square(decode(body, 1 << 24), SIDE), 95)


def lay_out(folder: Path, count: int) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    from warehouse_classifier.dataset import shards

    rows = sorted(jpegs(count), key=lambda row: (shards.shard_of(row[0]), row[0]))
    for name in ("shards", "webdataset", "cache", *(f"files/{quantity}" for quantity in range(1, 6))):
        (folder / name).mkdir(parents=True)
    facts = {"split": "train", "group": "0"}
    shards.write(folder / "shards", (({"id": id, "quantity": quantity, **facts}, jpeg) for id, quantity, jpeg in rows))
    for id, quantity, jpeg in rows:
        (folder / f"files/{quantity}/{id}.jpg").write_bytes(jpeg)
    for shard in range(SHARDS):
        with tarfile.open(folder / f"webdataset/{shard}.tar", "w") as tar:
            for id, quantity, jpeg in rows[shard::SHARDS]:
                for name, body in ((f"{id}.jpg", jpeg), (f"{id}.cls", str(quantity).encode())):
                    member = tarfile.TarInfo(name)
                    member.size = len(body)
                    tar.addfile(member, io.BytesIO(body))
    images = [{"bytes": jpeg, "path": f"{id}.jpg"} for id, _, jpeg in rows]
    columns = {"image": images, "label": [quantity for _, quantity, _ in rows]}
    parquet.write_table(pa.table(columns), folder / "datasets.parquet", row_group_size=100)


# ---- the readers; imports are inside, for each has its own


def ours(folder: Path, turns: int, *, floats: bool = False) -> Reader:
    import numpy as np
    import torch

    from warehouse_classifier.dataset.batches import batches, evenly
    from warehouse_classifier.dataset.pixel_cache import images_of
    from warehouse_classifier.dataset.shards import Shards
    from warehouse_classifier.runtime.progress import NullProgress

    images = images_of(Shards(folder / "shards"), WORKERS, NullProgress())
    rows = Shards(folder / "shards").rows("train")
    draw = np.random.default_rng(7)
    mean, std = (torch.tensor(values).view(3, 1, 1) * 255 for values in (MEAN, STD))

    def one() -> Iterable[Any]:
        order = np.concatenate([draw.permutation(rows) for _ in range(turns)])  # a real pass has more images
        for batch in batches(images, evenly(order, BATCH), WORKERS):
            yield (batch.float().sub_(mean).div_(std) if floats else batch,)

    return one


def decoded(folder: Path) -> Reader:
    os.environ["IMAGE_CACHE"] = str(folder / "cache")
    return ours(folder, 10)


def transform(*, floats: bool = True) -> Callable[[Any], Any]:
    from torchvision.transforms import Compose, Normalize, PILToTensor, ToTensor

    return Compose([ToTensor(), Normalize(MEAN, STD)]) if floats else PILToTensor()


def loader(dataset: Any, **how: Any) -> Reader:
    from torch.utils.data import DataLoader

    loader = DataLoader(dataset, num_workers=WORKERS, persistent_workers=True, **how)
    return lambda: loader


def image_folder(folder: Path, *, floats: bool = True) -> Reader:
    from torchvision.datasets import ImageFolder

    return loader(ImageFolder(folder / "files", transform(floats=floats)), batch_size=BATCH, shuffle=True)


def webdataset(folder: Path) -> Reader:
    import webdataset as wds

    tars = [str(file) for file in sorted((folder / "webdataset").iterdir())]
    dataset = wds.WebDataset(tars, shardshuffle=SHARDS).shuffle(1000).decode("pil").to_tuple("jpg", "cls")
    return loader(dataset.map_tuple(transform(), int).batched(BATCH), batch_size=None)


def hugging_face(folder: Path) -> Reader:
    from datasets import Dataset, Image

    change = transform()
    dataset = Dataset.from_parquet(str(folder / "datasets.parquet"), cache_dir=str(folder / "cache"))
    dataset = dataset.cast_column("image", Image())
    dataset.set_transform(lambda rows: {**rows, "image": [change(image.convert("RGB")) for image in rows["image"]]})
    return loader(dataset, batch_size=BATCH, shuffle=True)


READERS: dict[str, tuple[str | None, Callable[[Path], Reader]]] = {  # and which rival each needs
    "ours, JPEG shards": (None, lambda folder: ours(folder, 2)),
    "ours, decoded once": (None, decoded),
    "ours, JPEG to floats": (None, lambda folder: ours(folder, 1, floats=True)),
    BASE: (None, image_folder),
    "ImageFolder, bytes": (None, lambda folder: image_folder(folder, floats=False)),
    "webdataset": ("webdataset", webdataset),
    "HF datasets": ("datasets", hugging_face),
}


def read(reader: str, folder: Path, count: int) -> None:
    """Say the images a second, and the milliseconds of processor an image, of the better of two passes."""
    one = READERS[reader][1](folder)
    passes = []
    for _ in range(3):  # the first starts the workers and warms the page cache
        began, worked, seen = time.perf_counter(), cpu(), 0
        for batch in one():
            images = batch["image"] if isinstance(batch, dict) else batch[0]
            assert images.shape[1:] == (3, SIDE, SIDE)
            seen += len(images)
        assert seen % count == 0, f"{seen} images of {count}"
        passes.append((seen / (time.perf_counter() - began), (cpu() - worked) / seen * 1000))
    print(*max(passes[1:]))


def main(count: int, rounds: int) -> None:
    print(machine("simplejpeg", "torch", "torchvision", "pillow"))
    rows: dict[str, list[list[float]]] = {}
    with tempfile.TemporaryDirectory() as temporary, rivals("webdataset", "datasets") as bins:
        folder = Path(temporary)
        lay_out(folder, count)
        here: dict[str | None, Path] = {None: Path(sys.executable).parent, **bins}
        for _ in range(rounds):
            for reader in (name for name, (rival, _) in READERS.items() if rival in here):
                command = [here[READERS[reader][0]] / "python", __file__, "--read", reader, folder, str(count)]
                words = spend(command, {"HF_HOME": temporary}).said.split()
                rows.setdefault(reader, []).append([float(word) for word in words[-2:]])
    print(f"{count} images, batches of {BATCH}, {WORKERS} workers, {rounds} rounds")
    print(f"{'':<22}{'images/s':>26}{'x ImageFolder':>15}{'ms CPU an image':>17}{'x less':>8}")
    middles = {reader: [median(column) for column in zip(*runs, strict=True)] for reader, runs in rows.items()}
    for reader, (rate, spent) in middles.items():
        fast, lean = rate / middles[BASE][0], middles[BASE][1] / spent
        rates = middle([run[0] for run in rows[reader]])
        print(f"{reader:<22}{rates:>26}{fast:>15.2f}{spent:>17.3f}{lean:>8.2f}")
    for reader in ("ours, JPEG shards", "ours, decoded once"):
        times = middles[reader][0] / middles[BASE][0]
        print(f"{reader}: {times:.2f} times {BASE}; to reach: 5.0")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--read"]:
        read(sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))
    else:
        words = [int(word) for word in sys.argv[1:]]
        main(*(words + [2000, 3][len(words) :]))
