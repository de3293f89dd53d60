"""Draws the photo of one bin: an open yellow fabric cell with what lies in it, behind bands of thin threads.

The same bytes on every machine: numbers come from PCG64 and hashes, curves are polygons, numpy does elementwise arithmetic
alone (sums, powers and sines differ in the last bit between processors), and no font file is needed.
Modelled on the real photos: warm, dim, flat in contrast, 0.6 to 1.7 times as wide as high; a little smaller.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
from PIL import ImageDraw, ImageFilter

from warehouse_classifier.synthetic.camera import expose
from warehouse_classifier.synthetic.cell_drawing import lips, threads, walls
from warehouse_classifier.synthetic.frame import Frame
from warehouse_classifier.synthetic.item_drawing import paint
from warehouse_classifier.synthetic.items import Item
from warehouse_classifier.synthetic.placement import Cell, Placement, settle, stow

VERSION = 1  # raise it with every change that alters a photo or a JSON: fingerprints are made of it
ASPECTS = (0.6, 0.72, 0.9, 1.03, 1.2, 1.35, 1.41, 1.47, 1.65, 1.69)  # of the real photos, at equal steps of rank


def draw_bin(bin_key: str, photo_key: str, goods: Sequence[Item], shown: frozenset[int]) -> bytes:
    """The JPEG of one bin, with the units of `goods` whose numbers are in `shown`.

    `goods` is every unit that is ever in the bin, so that each keeps its place from photo to photo.
    """
    still, moving = _generator(f"bin/{bin_key}"), _generator(f"photo/{photo_key}")
    cell = _cell(still)
    label, bands, folds = still.random(12).tolist(), still.random(16).tolist(), still.random((3, 3)).tolist()
    places = settle(stow(cell, goods, still), shown)
    order = sorted(shown, key=lambda unit: (-places[unit].depth, unit))
    image = walls(cell, [places[unit] for unit in order], folds)
    draw = ImageDraw.Draw(image, "RGBA")
    for unit in order:
        _put(draw, cell, goods[unit], places[unit], moving.random(3).tolist())
    shake, *focus = moving.random(4).tolist()
    image = image.filter(ImageFilter.BoxBlur((0.25 + 1.6 * shake * focus[0], 0.25 + 0.5 * focus[1])))
    draw = ImageDraw.Draw(image, "RGBA")
    threads(draw, cell, bands)
    lips(draw, cell, label)
    image = image.filter(ImageFilter.BoxBlur(0.35 + 0.3 * focus[2]))
    return expose(image, moving)


def _generator(key: str) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(int.from_bytes(hashlib.sha256(key.encode()).digest()[:16])))


def _cell(random: np.random.Generator) -> Cell:
    chance, upper, lower = random.random(3).tolist()
    step, part = divmod(chance * (len(ASPECTS) - 1), 1)
    aspect = ASPECTS[int(step)] + (ASPECTS[int(step) + 1] - ASPECTS[int(step)]) * part
    width = int(min(400, max(300, 162 * (1 + aspect))))
    height = int(width / aspect)
    return Cell(width, height, height * (0.03 + 0.04 * upper), height * (0.9 - 0.04 * lower))


def _put(draw: ImageDraw.ImageDraw, cell: Cell, good: Item, place: Placement, numbers: Sequence[float]) -> None:
    """The unit, nudged a little since the last photo, darker the farther back."""
    across, tilt, bright = numbers
    lean = place.lean + (tilt - 0.5) * (0.03 if place.under is not None else 0.1)
    frame = Frame(place.x + (across - 0.5) * 0.02 * cell.width, place.base, place.width, place.height, lean)
    paint(draw, good, frame, cell.vanishing, (0.86 + 0.24 * bright) * (1 - 0.25 * place.depth))
