"""Draws the photo of one bin: an open yellow fabric cell with what lies in it, behind bands of thin threads.

The same bytes on every machine: numbers come from PCG64 and hashes, curves are polygons, numpy does elementwise arithmetic
alone (sums, powers and sines differ in the last bit between processors), and no font file is needed.
Modelled on the real photos: warm, dim, flat in contrast, 0.6 to 1.7 times as wide as high, as large as their cell; two thirds
of their pixels an inch.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from PIL import ImageDraw, ImageFilter

from warehouse_classifier.synthetic.camera import expose
from warehouse_classifier.synthetic.cell import SCALE, Cell
from warehouse_classifier.synthetic.cell_drawing import lips, threads, walls
from warehouse_classifier.synthetic.frame import Frame, Perspective
from warehouse_classifier.synthetic.item_drawing import paint
from warehouse_classifier.synthetic.items import Item
from warehouse_classifier.synthetic.placement import Placement, after_visit, seen_from, stow
from warehouse_classifier.synthetic.sizes import LOWER, UPPER, CellSize

VERSION = 3  # raise it with every change that alters a photo or a JSON: fingerprints are made of it
MOVED = 0.08  # chance that a unit stands elsewhere than at the robot's last visit
ASIDE = 0.3  # how far the camera may look beside the middle, as a share of the photo's width and height
SHAKE = 4  # pixels by which the photo is off, at most


def draw_bin(bin_key: str, photo_key: str, size: CellSize, goods: Sequence[Item], shown: frozenset[int]) -> bytes:
    """The JPEG of one bin, with the units of `goods` whose numbers are in `shown`.

    `goods` is every unit that is ever in the bin, so that each keeps its place from photo to photo: the cell, its label and most
    units are the same, the light, the angle and now and then a unit's place are not.
    """
    still, moving = _generator(f"bin/{bin_key}"), _generator(f"photo/{photo_key}")
    cell = _cell(size, still.random(2).tolist())
    label, bands, folds = still.random(12).tolist(), still.random(16).tolist(), still.random((3, 3)).tolist()
    places = stow(cell, goods, still)
    moved = {unit for unit, chance in enumerate(moving.random(len(goods)).tolist()) if chance < MOVED}
    places = after_visit(cell, goods, places, shown, moved, moving)
    right, down, left, upper = moving.random(4).tolist()
    view = replace(
        cell,
        vanishing=(
            cell.vanishing[0] + ASIDE * (right - 0.5) * cell.width,
            cell.vanishing[1] + ASIDE * (down - 0.5) * cell.height,
        ),
    )
    places = seen_from(places, cell, view)
    order = sorted(shown, key=lambda unit: (-places[unit].depth, unit))
    image = walls(view, [places[unit] for unit in order], folds)
    draw = ImageDraw.Draw(image, "RGBA")
    for unit in order:
        _put(draw, view, goods[unit], places[unit], moving.random(3).tolist())
    shake, *focus = moving.random(4).tolist()
    image = image.filter(ImageFilter.BoxBlur((0.25 + 1.6 * shake * focus[0], 0.25 + 0.5 * focus[1])))
    draw = ImageDraw.Draw(image, "RGBA")
    threads(draw, view, bands)
    lips(draw, view, label)
    image = image.filter(ImageFilter.BoxBlur(0.35 + 0.3 * focus[2]))
    corner = int(left * (2 * SHAKE + 1)), int(upper * (2 * SHAKE + 1))
    image = image.crop((*corner, corner[0] + cell.width - 2 * SHAKE, corner[1] + cell.height - 2 * SHAKE))
    return expose(image, moving)


def _generator(key: str) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(int.from_bytes(hashlib.sha256(key.encode()).digest()[:16])))


def _cell(size: CellSize, numbers: Sequence[float]) -> Cell:
    width, height = int(SCALE * size.width), int(SCALE * size.height)
    upper, lower = ((0.7 + 0.6 * number) * SCALE * edge for number, edge in zip(numbers, (UPPER, LOWER), strict=True))
    return Cell(width, height, upper, height - lower, (width / 2, upper + (height - lower - upper) * 0.4))


def _put(draw: ImageDraw.ImageDraw, cell: Cell, good: Item, place: Placement, numbers: Sequence[float]) -> None:
    """The unit, nudged a little since the last photo, darker the farther back."""
    across, tilt, bright = numbers
    lean = place.lean + (tilt - 0.5) * (0.03 if place.under is not None else 0.1)
    x = place.x + (across - 0.5) * 0.02 * cell.width
    frame = Frame(x, place.base, place.width, place.height, lean)
    if good.kind == "tube" and place.width > place.height:  # it lies: its foot is at the left
        middle = place.base - place.height / 2
        frame = Frame(x - place.height / 2, middle, place.height, place.width, math.pi / 2)
    reach = 1 - cell.far(place.back) / cell.far(place.depth)
    paint(draw, good, frame, Perspective(cell.vanishing, reach), (0.86 + 0.24 * bright) * (1 - 0.25 * place.depth))
