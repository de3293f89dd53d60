"""Drawn bins to begin with: what a network sees before the photos that it is to learn."""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from warehouse_classifier.bins.sizes import SIDES, attributes
from warehouse_classifier.bucket.objects import PHOTOS, ObjectInfo, Unreadable, key_of
from warehouse_classifier.bucket.synthetic import SyntheticBucket
from warehouse_classifier.dataset.batches import Rows
from warehouse_classifier.dataset.labels import QuantityEncoder
from warehouse_classifier.dataset.photo import Pixels, decode, square
from warehouse_classifier.runtime.errors import UserError
from warehouse_classifier.runtime.progress import Progress
from warehouse_classifier.training.auxiliary import Attributes
from warehouse_classifier.training.recipe import Pretraining

HELD_OUT = 0.05  # share of the drawn bins that is not learned from
LARGEST = 1_000_000  # pixels of a drawing


@dataclass(frozen=True)
class DrawnBins:
    """Drawn bins in memory, uint8 [N, side, side, 3], the label of each: what the drawing shows, int64 [N], and what its list says."""

    pixels: Pixels
    labels: Rows
    attributes: Attributes  # of their lists

    @property
    def side(self) -> int:
        """Pixels of an image's side."""
        return int(self.pixels.shape[1])

    def read_into(self, row: int, out: Pixels) -> None:
        """Copy the image of a row into `out`, uint8 [side, side, 3]."""
        out[:] = self.pixels[row]

    def rows(self) -> tuple[Rows, Rows]:
        """The rows to learn from and those held out: photos of one bin follow each other, so few have a sibling over there."""
        cut = int(len(self.labels) * (1 - HELD_OUT))
        every = np.arange(len(self.labels))
        return every[:cut], every[cut:]


def draw(
    name: str, pretraining: Pretraining, encoder: QuantityEncoder, side: int, workers: int, progress: Progress
) -> DrawnBins:
    """The bins of the synthetic bucket whose photos show a quantity that is to be told apart, `workers` drawn at once.

    Raises UserError if they are too few to learn from.
    """
    bucket = SyntheticBucket(f"synthetic://?pairs={pretraining.pairs}&seed={pretraining.seed}", workers)
    shown = {id: bucket.bins.shown(id) for id in bucket.bins.ids()}
    wanted = [id for id, quantity in shown.items() if quantity in encoder.quantities]
    pixels = np.empty((len(wanted), side, side, 3), np.uint8)
    entries = (ObjectInfo(key_of(PHOTOS, id), None, None) for id in wanted)
    try:
        with progress.bar(f"{name}: draw bins", len(wanted), "bin") as bar:
            for place, (_, body) in zip(pixels, bucket.get_many(entries), strict=True):
                assert not isinstance(body, Unreadable)
                place[:] = square(decode(body, LARGEST), side)
                bar.advance(1)
    finally:
        bucket.close()
    lists = np.array([attributes(_items(bucket.bins.metadata(id))) for id in wanted]).reshape(len(wanted), -1)
    drawn = DrawnBins(pixels, encoder.encode([shown[id] for id in wanted]), lists)
    if not all(map(len, drawn.rows())):
        raise UserError(
            f"params.yaml: {name}'s pretrain.pairs is {pretraining.pairs}, too few to learn from; draw more"
        )
    return drawn


def _items(metadata: bytes) -> list[dict[str, Any]]:
    """Quantities and measures of a drawn bin's items; the JSON is ours, and needs none of the care that a foreign one does."""
    items = json.loads(metadata)["BIN_FCSKU_DATA"].values()
    return [
        {"quantity": item["quantity"], **{name: (item[name] or {}).get("value") for name in (*SIDES, "weight")}}
        for item in items
    ]
