"""How large are the items of real bins, and are those of drawn ones alike?

    python benchmarks/sizes.py BUCKET [pairs]

BUCKET is the real one or a folder that mirrors it; its first `pairs` (10,000) bins, and as many drawn ones. By the number of items:
three quantiles of their total volume (cubic inches), the middle of the longest side (inches), the geometric mean of one item's volume
and the spread of its logarithm within a bin, of bins whose items all have their sides. Then, of the bins whose photo has its original size (a mirror may hold photos that were squashed to 224 x
224 pixels; they are left out): how the logs of the photo's area and of the volume go together (correlation and slope), and how
the number of items and the volume do, and eighteen groups of the photos, by area and then by shape: the middle of their sides, at
PIXELS an inch (of a real photo that is taken, and not measured).
"""

import io
import sys
from itertools import islice
from typing import NamedTuple

import numpy as np
from PIL import Image

from warehouse_classifier.bins.metadata import parse
from warehouse_classifier.bucket.bucket import Bucket, open_bucket
from warehouse_classifier.bucket.objects import METADATA, PHOTOS, ObjectInfo, id_of, key_of
from warehouse_classifier.synthetic.cell import SCALE

SQUASHED = (224, 224)
SHOWN = (0.1, 0.5, 0.9)
PHOTOS_READ = 2000  # at most: drawing takes time
RANGES = ((1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (6, 8), (9, 15))


PIXELS = {"real": 30.0, "drawn": SCALE}  # an inch


class Bin(NamedTuple):
    """What one metadata file says."""

    id: str
    quantity: int
    volume: float
    longest: float
    each: list[float]  # log of the volume of each different item


def bins(bucket: Bucket, pairs: int) -> list[Bin]:
    readable = []
    for entry, body in bucket.get_many(islice(bucket.list(METADATA, pairs), pairs)):
        if not isinstance(body, bytes):
            continue
        quantity, items = parse(body)
        sides = [[item[name] for name in ("height", "width", "length")] for item in items]
        if items and all(side is not None and side > 0 for three in sides for side in three):
            volume = sum(item["quantity"] * np.prod(three) for item, three in zip(items, sides, strict=True))
            each = [float(np.log(np.prod(three))) for three in sides]
            readable.append(Bin(str(id_of(entry.key)), quantity, float(volume), max(map(max, sides)), each))
    return readable


def table(its: list[Bin]) -> None:
    for low, high in RANGES:
        some = [one for one in its if low <= one.quantity <= high]
        if not some:
            continue
        shown = "".join(f"{volume:8.0f}" for volume in np.quantile([one.volume for one in some], SHOWN))
        longest = np.median([one.longest for one in some])
        item = np.exp(np.mean(np.concatenate([one.each for one in some])))
        several = [np.var(one.each, ddof=1) for one in some if len(one.each) > 1]
        spread = f"{np.sqrt(np.mean(several)):8.2f}" if several else ""
        print(
            f"  {f'{low} to {high}' if high > low else low!s:<8}{len(some):>6}{shown}{longest:8.1f}{item:8.0f}{spread}"
        )


def together(bucket: Bucket, its: list[Bin], pixels: float) -> None:
    by_id = {one.id: one for one in its}
    rows: list[tuple[float, float, int]] = []
    sides: list[tuple[float, float]] = []
    entries = (ObjectInfo(key_of(PHOTOS, id)) for id in by_id)
    for entry, body in bucket.get_many(entries):
        if len(rows) == PHOTOS_READ:
            break
        if isinstance(body, bytes) and (size := Image.open(io.BytesIO(body)).size) != SQUASHED:
            one = by_id[str(id_of(entry.key))]
            rows.append((float(np.log(size[0] * size[1])), float(np.log(one.volume)), one.quantity))
            sides.append((size[0] / pixels, size[1] / pixels))
    area, volume, quantity = np.array(rows).T
    slope = np.polyfit(area, volume, 1)[0]
    print(
        f"  {len(rows)} photos of their original size: area and volume {np.corrcoef(area, volume)[0, 1]:.2f}"
        f" (slope {slope:.2f}), number and volume {np.corrcoef(quantity, volume)[0, 1]:.2f},"
        f" number and area {np.corrcoef(quantity, area)[0, 1]:.2f}"
    )
    groups(sides, pixels)


def groups(sides: list[tuple[float, float]], pixels: float) -> None:
    by_area = np.array(sorted(sides, key=lambda side: side[0] * side[1]))
    halves = [
        half
        for part in np.array_split(by_area, 9)
        for half in np.array_split(part[np.argsort(part[:, 0] / part[:, 1])], 2)
    ]
    middles = [np.median(half, axis=0).round(1).tolist() for half in halves if len(half)]
    print(f"  sides in inches at {pixels:.0f} pixels: {', '.join(f'{wide} x {high}' for wide, high in middles)}")


def main(url: str, pairs: int) -> None:
    for title, where in (("real", url), ("drawn", f"synthetic://?pairs={pairs}&seed=1")):
        bucket = open_bucket(where, 8)
        try:
            its = bins(bucket, pairs)
            print(
                f"{title}: {len(its)} bins; cubic inches at 10, 50 and 90 %; longest side; one item, and its spread in a bin"
            )
            table(its)
            together(bucket, its, PIXELS[title])
        finally:
            bucket.close()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 10_000)
