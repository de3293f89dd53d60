"""How large are the items of real bins, and are those of drawn ones alike?

    python benchmarks/sizes.py BUCKET [pairs]

BUCKET is the real one or a folder that mirrors it; its first `pairs` (10,000) bins, and as many drawn ones. By the number of items:
three quantiles of their total volume (cubic inches) and the middle of the longest side (inches), of bins whose items all have their
sides. Then, of the bins whose photo has its original size (a mirror may hold photos that were squashed to 224 x
224 pixels; they are left out): how the logs of the photo's area and of the volume go together (correlation and slope), and how
the number of items and the volume do.
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

SQUASHED = (224, 224)
SHOWN = (0.1, 0.5, 0.9)
PHOTOS_READ = 2000  # at most: drawing takes time
RANGES = ((1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (6, 8), (9, 15))


class Bin(NamedTuple):
    """What one metadata file says."""

    id: str
    quantity: int
    volume: float
    longest: float


def bins(bucket: Bucket, pairs: int) -> list[Bin]:
    found = []
    for entry, body in bucket.get_many(islice(bucket.list(METADATA, pairs), pairs)):
        if not isinstance(body, bytes):
            continue
        quantity, items = parse(body)
        sides = [[item[name] for name in ("height", "width", "length")] for item in items]
        if items and all(side is not None and side > 0 for three in sides for side in three):
            volume = sum(item["quantity"] * np.prod(three) for item, three in zip(items, sides, strict=True))
            found.append(Bin(str(id_of(entry.key)), quantity, float(volume), max(map(max, sides))))
    return found


def table(its: list[Bin]) -> None:
    for low, high in RANGES:
        some = [(one.volume, one.longest) for one in its if low <= one.quantity <= high]
        volumes, longest = zip(*some, strict=True) if some else ([np.nan], [np.nan])
        shown = "".join(f"{volume:8.0f}" for volume in np.quantile(volumes, SHOWN))
        print(f"  {f'{low} to {high}' if high > low else low!s:<8}{len(some):>6}{shown}{np.median(longest):8.1f}")


def together(bucket: Bucket, its: list[Bin]) -> None:
    by_id = {one.id: one for one in its}
    rows: list[tuple[float, float, int]] = []
    entries = (ObjectInfo(key_of(PHOTOS, id)) for id in by_id)
    for entry, body in bucket.get_many(entries):
        if len(rows) == PHOTOS_READ:
            break
        if isinstance(body, bytes) and (size := Image.open(io.BytesIO(body)).size) != SQUASHED:
            one = by_id[str(id_of(entry.key))]
            rows.append((float(np.log(size[0] * size[1])), float(np.log(one.volume)), one.quantity))
    area, volume, quantity = np.array(rows).T
    slope = np.polyfit(area, volume, 1)[0]
    print(
        f"  {len(rows)} photos of their original size: area and volume {np.corrcoef(area, volume)[0, 1]:.2f}"
        f" (slope {slope:.2f}), number and volume {np.corrcoef(quantity, volume)[0, 1]:.2f},"
        f" number and area {np.corrcoef(quantity, area)[0, 1]:.2f}"
    )


def main(url: str, pairs: int) -> None:
    for title, where in (("real", url), ("drawn", f"synthetic://?pairs={pairs}&seed=1")):
        bucket = open_bucket(where, 8)
        try:
            its = bins(bucket, pairs)
            print(f"{title}: {len(its)} bins; cubic inches at 10, 50 and 90 %, the longest side")
            table(its)
            together(bucket, its)
        finally:
            bucket.close()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 10_000)
