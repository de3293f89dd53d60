"""The three data stages from a tenth of the real bucket's size to the whole: time for each item, and memory.

    python benchmarks/scale.py [pairs ...]

By default 53,523 and 535,234 pairs, of which a 24th part becomes images of 224 pixels (22,000 of the whole). Two buckets: bins
drawn on demand, where the drawing is most of the time, and an S3 server on loopback whose objects are of the real size, where
only metadata is fetched. The time is that of the whole command, its start included; memory is the most that all its
processes held together.
"""

import functools
import os
import sys
import tempfile
from itertools import islice
from pathlib import Path

import pandas as pd

from pipeline import run
from s3_server import Drawn, Store, serving
from warehouse_classifier.bucket.objects import METADATA, PHOTOS, key_of
from warehouse_classifier.synthetic.bins import SyntheticBins

WHOLE = 535_234
TEMPLATES = 300  # bodies that the objects of the S3 server share


def objects(pairs: int) -> Drawn:
    bins = SyntheticBins(WHOLE, 7)
    bodies = [bins.metadata(id) for id in islice(bins.ids(), TEMPLATES)]
    ids = list(SyntheticBins(pairs, 7).ids())
    return Drawn(
        [key_of(folder, id) for folder in (METADATA, PHOTOS) for id in ids],
        lambda key: bodies[hash(key) % TEMPLATES] if key.startswith(METADATA) else b"",
    )


def show(bucket: str, pairs: int, url: str, stages: int) -> None:
    images = max(200, pairs // 24)
    params = {
        "data.sample.bucket": url,
        "data.sample.side": 224,
        "fetch_metadata.sample.part": 5000,
        "select_images.sample.max_images": images - images % 100,
        "select_images.sample.test_images": images // 10,
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for ran in islice(run(folder, params), stages):
            items = len(pd.read_csv(folder / "data/selection.csv")) if ran.stage == "resize_images" else pairs
            print(
                f"{bucket:<12}{pairs:>9}  {ran.stage:<16}{items:>9}{ran.seconds:>9.1f}{ran.seconds / items * 1e3:>10.3f}"
                f"{ran.memory / 2**20:>8.0f} MiB",
                flush=True,
            )


def main(words: list[str]) -> None:
    sizes = [int(word) for word in words] or [WHOLE // 10, WHOLE]
    print(f"{'bucket':<12}{'pairs':>9}  {'stage':<16}{'items':>9}{'seconds':>9}{'ms each':>10}{'memory':>12}")
    for pairs in sizes:
        with serving(Store(functools.partial(objects, pairs)), process=True) as served:
            os.environ |= {"AWS_ENDPOINT_URL": served.url, "AWS_ACCESS_KEY_ID": "me", "AWS_SECRET_ACCESS_KEY": "none"}
            show("S3", pairs, "s3://bins", 1)
        del os.environ["AWS_ENDPOINT_URL"]
    for pairs in sizes:
        show("synthetic", pairs, f"synthetic://?pairs={pairs}&seed=7", 3)


if __name__ == "__main__":
    main(sys.argv[1:])
