"""Decode and resize photos of real size to 224 pixels: this project beside Pillow and img2dataset.

    python benchmarks/resize.py [folder] [photos] [rounds]

400 JPEGs unless said otherwise: those of the folder that are not 224 x 224 already or, without one, synthetic photos
enlarged to sizes as the real bucket has them. First decoder and resizer alone, on bytes in memory, in one thread; PSNR
is against a full decode and Lanczos to the same size, mean of all photos. Then with fetch and pack: each photo under
five ids, from a loopback server into shards. Each runs in a process of its own, measured by processor time, with fetch
and pack its children's too and without the start (by a run of few photos). Rounds are interleaved, medians count.

img2dataset cannot stretch. It does what is nearest to it, `border`: the whole photo, its longer side 224 pixels,
padded to a square (fewer pixels to make than the others'), by its own `area`; its encoder is taken out where resizing
is measured alone. RIVALS: see rivals.py.
"""

import hashlib
import io
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import median

import numpy as np
import numpy.typing as npt

from rivals import Spent, machine, middle, rivals, spend

SIDE, QUALITY, MAX_PIXELS = 224, 95, 1 << 24
COPIES, FEW, CONCURRENCY, WORKERS = 5, 40, 32, 2
OURS, PILLOW, THEIRS = "this project", "Pillow", "img2dataset"
Pixels = npt.NDArray[np.uint8]
# imports are inside from here on: each function runs where the others need not be installed


def by_ours(body: bytes) -> Pixels:
    from warehouse_classifier.dataset.photo import decode, square

    return square(decode(body, MAX_PIXELS), SIDE)


def by_pillow(body: bytes) -> Pixels:
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(body)).convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC))


def by_theirs(mode: str) -> Callable[[bytes], Pixels]:
    import cv2
    from img2dataset.resizer import Resizer

    made: list[Pixels] = []
    cv2.imencode = lambda _, image, **__: (True, made.append(image) or image)
    resize = Resizer(SIDE, mode, resize_only_if_bigger=False)
    return lambda body: (resize(io.BytesIO(body)), made.pop())[1]


def timed(way: str, folder: str, out: str) -> None:
    """Say the seconds of processor for all photos of the folder; keep their pixels in `out`."""
    bodies = [file.read_bytes() for file in sorted(Path(folder).iterdir())]
    resize = {OURS: by_ours, PILLOW: by_pillow}.get(way) or by_theirs("border")
    for body in bodies[:20]:
        resize(body)
    began = time.process_time()
    for body in bodies:
        resize(body)
    print(time.process_time() - began)
    if way == THEIRS:  # the same without what is padded, and BGR turned to RGB
        bare = by_theirs("keep_ratio_largest")
        resize = lambda body: bare(body)[..., ::-1]  # noqa: E731
    np.savez(out, *map(resize, bodies))


def psnr(folder: Path, out: Path) -> float:
    from PIL import Image

    errors = []
    with np.load(out) as kept:
        for file, pixels in zip(sorted(folder.iterdir()), kept.values(), strict=True):
            right = Image.open(file).convert("RGB").resize(pixels.shape[1::-1], Image.Resampling.LANCZOS)
            errors.append(np.square(np.asarray(right, np.float64) - pixels).mean())
    return float(np.mean(10 * np.log10(255**2 / np.maximum(errors, 1e-9))))


def pack(way: str, folder: str, url: str, out: str) -> None:
    """Fetch, resize, pack what the folder lists; say how many were."""
    if way == THEIRS:
        from img2dataset import download

        urls = Path(folder, "urls.txt")
        shard = -(-len(urls.read_text().split()) // WORKERS)
        sizes = {"number_sample_per_shard": shard, "thread_count": CONCURRENCY, "encode_quality": QUALITY}
        download(str(urls), SIDE, out, WORKERS, "border", output_format="webdataset", extract_exif=False, **sizes)
        done = sum(json.loads(file.read_text())["successes"] for file in Path(out).glob("*_stats.json"))
    else:
        from warehouse_classifier.dataset.photo import encode
        from warehouse_classifier.dataset.shards import Shards
        from warehouse_classifier.runtime.progress import NullProgress
        from warehouse_classifier.stages import resize_images as stage

        os.environ |= {"AWS_ENDPOINT_URL": url, "DVC_ROOT": folder}
        if way == PILLOW:  # in the place of decoder and resizer; client, encoder and packing stay
            stage.shrink = lambda body, params: encode(by_pillow(body), params.quality)
        sizes = {"side": SIDE, "quality": QUALITY, "max_pixels": MAX_PIXELS, "max_rejected": 0}
        params = stage.ResizeImages(bucket="s3://bins", **sizes, concurrency=CONCURRENCY, workers=WORKERS)
        with tempfile.TemporaryDirectory() as work:
            stage.resize_images(
                params, Path(folder, "selection.csv"), Path(out), work=Path(work), progress=NullProgress()
            )
        done = len(Shards(Path(out)).index)
    print(f"\n{done}")


def objects(folder: Path, count: int) -> dict[str, bytes]:
    """The photos of the folder, again and again."""
    bodies = [file.read_bytes() for file in sorted(folder.iterdir())]
    return {f"bin-images/{n + 1:05}.jpg": bodies[n % len(bodies)] for n in range(count)}


def packed(way: str, python: Path, folder: Path, count: int, url: str) -> Spent:
    import pandas as pd

    from warehouse_classifier.bins import selection

    keys = objects(folder, count)
    facts = pd.DataFrame({"id": [Path(key).stem for key in keys], "quantity": 1, "split": "train"})
    md5s = [hashlib.md5(body, usedforsecurity=False).hexdigest() for body in keys.values()]
    facts = facts.assign(group=facts["id"], image_bytes=[*map(len, keys.values())], image_etag=md5s)
    with tempfile.TemporaryDirectory() as temporary:
        selection.write(facts, Path(temporary, "selection.csv"))
        Path(temporary, "urls.txt").write_text("\n".join(f"{url}/bins/{key}" for key in keys))
        spent = spend([python, __file__, "--pack", way, temporary, url, f"{temporary}/images"])
    if (done := spent.said.split()[-1]) != str(count):
        raise RuntimeError(f"{way} packed {done} of {count} photos")
    return spent


def photos(folder: Path, source: Path | None, count: int) -> int:
    """Put `count` JPEGs of real size into the folder, or as many as there are; returns how many."""
    from PIL import Image

    from warehouse_classifier.synthetic.bins import SyntheticBins

    folder.mkdir()
    files = sorted(source.glob("*.jpg")) if source else []
    for file in islice((file for file in files if Image.open(file).size != (SIDE, SIDE)), count):
        (folder / file.name).symlink_to(file.resolve())
    bins, draw = SyntheticBins(2 * count, 7), np.random.default_rng(7)
    for id in islice(bins.ids(), 0 if source else count):
        size = int(draw.integers(315, 785, endpoint=True)), int(draw.integers(240, 1069, endpoint=True))
        photo = Image.open(io.BytesIO(bins.photo(id))).resize(size, Image.Resampling.BICUBIC)
        photo.save(folder / f"{id}.jpg", quality=90)
    return len(list(folder.iterdir()))


def table(title: str, rates: dict[str, list[float]], heading: str, more: dict[str, str]) -> None:
    print(f"\n{title}\n{'':<14}{'images/s and core':>26}{'ours x theirs':>15}{heading:>24}")
    for way, values in rates.items():
        print(f"{way:<14}{middle(values):>26}{median(rates[OURS]) / median(values):>15.2f}{more[way]:>24}", flush=True)


def main(source: Path | None, count: int, rounds: int) -> None:
    from s3_server import Store, serving

    print(machine("simplejpeg", "torch", "pillow"))
    with tempfile.TemporaryDirectory() as temporary, rivals(THEIRS) as bins:
        here = Path(sys.executable).parent
        pythons = {way: at / "python" for way, at in {OURS: here, PILLOW: here, **bins}.items()}
        folder, out = Path(temporary, "photos"), Path(temporary, "pixels.npz")
        count = photos(folder, source, count)
        rates: dict[str, list[float]] = {way: [] for way in pythons}
        for _ in range(rounds):
            decibels = {}
            for way, python in pythons.items():
                spent = spend([python, __file__, "--resize", way, folder, out], {"OMP_NUM_THREADS": "1"})
                rates[way].append(count / float(spent.said))
                decibels[way] = f"{psnr(folder, out):.2f}"
        table(f"decode and resize {count} photos, one thread", rates, "PSNR dB", decibels)
        for way, reach in ((PILLOW, 2.2), (THEIRS, 1.3)):
            if way in rates:
                print(f"{median(rates[OURS]) / median(rates[way]):.2f} times {way}; to reach: {reach}")
        rates, walls, most = {way: [] for way in pythons}, dict[str, list[float]](), COPIES * count
        with serving(Store(partial(objects, folder, most)), process=True) as served:
            for _ in range(rounds):
                for way, python in pythons.items():
                    few, many = (packed(way, python, folder, n, served.url) for n in (FEW, most))
                    rates[way].append((most - FEW) / (many.cpu - few.cpu))
                    walls.setdefault(way, []).append((most - FEW) / (many.wall - few.wall))
        clock = {way: f"{median(values):.0f} images/s" for way, values in walls.items()}
        table(f"fetch, decode, resize, encode, pack {most} photos", rates, "by the clock", clock)


if __name__ == "__main__":
    if (words := sys.argv[1:])[:1] in (["--resize"], ["--pack"]):
        {"--resize": timed, "--pack": pack}[words[0]](*words[1:])
    else:
        numbers = [int(word) for word in words if word.isdigit()]
        where = next((Path(word) for word in words if not word.isdigit()), None)
        main(where, *(numbers + [400, 3][len(numbers) :]))
