"""The picture at the top of the README: reports/bin.png, four test bins with what is expected and what is counted.

    python benchmarks/picture.py

Needs the outputs of `dvc repro` on the synthetic bucket; photos of the real one must not be committed.
"""

import io
import sys
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from warehouse_classifier.bucket.bucket import open_bucket
from warehouse_classifier.bucket.objects import PHOTOS, ObjectInfo
from warehouse_classifier.compute.parameters import read

TARGET = Path("reports/bin.png")


def pick(predictions: pd.DataFrame) -> pd.DataFrame:
    """The first bin that both count right, for a small, a middle and a large quantity, and the first that one counts wrong."""
    right = (predictions["resnet34"] == predictions["quantity"]) & (predictions["vit"] == predictions["quantity"])
    wrong = predictions["resnet34"] != predictions["quantity"]
    rows = [predictions[right & (predictions["quantity"] == quantity)].head(1) for quantity in (2, 3, 5)]
    return pd.concat([*rows, predictions[wrong].head(1)])


def main() -> None:
    params = read()
    url = params["data"][params["scale"]]["bucket"]
    if not url.startswith("synthetic:"):
        sys.exit(f"{url} holds real photos, which the README must not show")
    bucket = open_bucket(url)
    figure = Figure(figsize=(11, 3.4), layout="constrained")
    shown = pick(pd.read_csv("reports/predictions.csv", dtype={"id": str}))
    for axes, row in zip(figure.subplots(1, len(shown)), shown.itertuples(), strict=True):
        body = bucket.get(ObjectInfo(f"{PHOTOS}/{row.id}.jpg"))
        assert isinstance(body, bytes)
        axes.imshow(Image.open(io.BytesIO(body)))
        axes.set_title(f"expected {row.quantity}\nResNet34 {row.resnet34}, ViT {row.vit}", fontsize=12)
        axes.set_axis_off()
    figure.savefig(TARGET, dpi=80, metadata={"Software": None})


if __name__ == "__main__":
    main()
