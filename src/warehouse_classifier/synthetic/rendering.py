"""Draws the photo of one bin: an open yellow fabric cell with what lies in it, behind bands of thin threads.

The same bytes on every machine: numbers come from PCG64 and hashes, curves are polygons, numpy does elementwise arithmetic
alone (sums, powers and sines differ in the last bit between processors), and no font file is needed.
Modelled on the real photos: warm, dim, flat in contrast, 0.6 to 1.7 times as wide as high; a little smaller.
"""

import hashlib
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from warehouse_classifier.synthetic.item_drawing import INK, PAPER, Frame, Point, paint, shade
from warehouse_classifier.synthetic.items import COLOURS, Colour, Good
from warehouse_classifier.synthetic.placement import Cell, Place, settle, stow

VERSION = 1  # raise it with every change that alters a photo or a JSON: fingerprints are made of it
ASPECTS = (0.6, 0.72, 0.9, 1.03, 1.2, 1.35, 1.41, 1.47, 1.65, 1.69)  # of the real photos, at equal steps of rank
WALL: Colour = (168, 146, 84)
FLOOR: Colour = (150, 138, 108)
RAIL: Colour = (150, 148, 146)
LIP: Colour = (222, 200, 122)
DARK = (40, 28, 10, 100)
LABELS = [COLOURS[name] for name in ("Blue", "Sky", "Red", "Pink", "Green", "Purple", "Orange", "Grey", "Brown")]
GLYPHS = {  # 5 x 7, one number a row
    "1": (4, 12, 4, 4, 4, 4, 14),
    "2": (14, 17, 1, 2, 4, 8, 31),
    "3": (31, 2, 4, 2, 1, 17, 14),
    "4": (2, 6, 10, 18, 31, 2, 2),
    "A": (4, 10, 17, 17, 31, 17, 17),
    "B": (30, 17, 17, 30, 17, 17, 30),
    "C": (14, 17, 16, 16, 16, 17, 14),
    "D": (30, 17, 17, 17, 17, 17, 30),
    "E": (31, 16, 16, 30, 16, 16, 31),
    "F": (31, 16, 16, 30, 16, 16, 16),
    "G": (14, 17, 16, 23, 17, 17, 15),
    "H": (17, 17, 17, 31, 17, 17, 17),
    "^": (4, 14, 31, 4, 4, 4, 4),
}


def draw_bin(bin_key: str, photo_key: str, goods: Sequence[Good], shown: frozenset[int]) -> bytes:
    """The JPEG of one bin, with the units of `goods` whose numbers are in `shown`.

    `goods` is every unit that is ever in the bin, so that each keeps its place from photo to photo.
    """
    still, moving = _generator(f"bin/{bin_key}"), _generator(f"photo/{photo_key}")
    cell = _cell(still)
    label, bands, folds = still.random(12).tolist(), still.random(16).tolist(), still.random((3, 3)).tolist()
    places = settle(stow(cell, goods, still), shown)
    order = sorted(shown, key=lambda unit: (-places[unit].depth, unit))
    image = _walls(cell, [places[unit] for unit in order], folds)
    draw = ImageDraw.Draw(image, "RGBA")
    for unit in order:
        _put(draw, cell, goods[unit], places[unit], moving.random(3).tolist())
    shake, *focus = moving.random(4).tolist()
    image = image.filter(ImageFilter.BoxBlur((0.25 + 1.6 * shake * focus[0], 0.25 + 0.5 * focus[1])))
    draw = ImageDraw.Draw(image, "RGBA")
    _threads(draw, cell, bands)
    _lips(draw, cell, label)
    image = image.filter(ImageFilter.BoxBlur(0.35 + 0.3 * focus[2]))
    return _expose(image, moving)


def _generator(key: str) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(int.from_bytes(hashlib.sha256(key.encode()).digest()[:16])))


def _cell(random: np.random.Generator) -> Cell:
    chance, upper, lower = random.random(3).tolist()
    step, part = divmod(chance * (len(ASPECTS) - 1), 1)
    aspect = ASPECTS[int(step)] + (ASPECTS[int(step) + 1] - ASPECTS[int(step)]) * part
    width = int(min(400, max(300, 162 * (1 + aspect))))
    height = int(width / aspect)
    return Cell(width, height, height * (0.03 + 0.04 * upper), height * (0.9 - 0.04 * lower))


def _walls(cell: Cell, places: Sequence[Place], folds: Sequence[Sequence[float]]) -> Image.Image:
    """The cell and the shadows on it. Drawn at a quarter of the size and enlarged, which is what makes them soft."""
    small = Image.new("RGB", (cell.width // 4 + 1, cell.height // 4 + 1), shade(WALL, 0.8)[:3])
    draw = ImageDraw.Draw(small, "RGBA")
    near, far = [], []
    for x, y in ((0.0, cell.top), (cell.width, cell.top), (cell.width, cell.bottom), (0.0, cell.bottom)):
        back = cell.toward(x, y, 1)
        near.append((x / 4, y / 4))
        far.append((back[0] / 4, (cell.floor(1) if y > cell.top else back[1]) / 4))
    draw.polygon(far, fill=shade(WALL, 0.92))
    for one, other, colour, light in ((0, 1, WALL, 0.55), (1, 2, WALL, 0.78), (2, 3, FLOOR, 0.92), (3, 0, WALL, 0.74)):
        draw.polygon([near[one], near[other], far[other], far[one]], fill=shade(colour, light))
    for at, slant, light in folds:  # the fabric hangs in folds
        x = small.width * (0.15 + 0.7 * at)
        draw.line([(x, far[0][1]), (x + 9 * (slant - 0.5), far[2][1])], fill=shade(WALL, 0.78 + 0.24 * light), width=3)
    for place in places:
        for grow in (0.18, 0.09):
            side, low = place.width * grow, min(place.base + 0.06 * place.height, cell.bottom)
            box = (place.x - side, place.base - place.height * (1 + grow * 0.6), place.x + place.width + side, low)
            draw.rectangle([part / 4 for part in box], fill=(26, 18, 4, 58))
    return small.filter(ImageFilter.BoxBlur(1.8)).resize((cell.width, cell.height), Image.Resampling.BILINEAR)


def _put(draw: ImageDraw.ImageDraw, cell: Cell, good: Good, place: Place, numbers: Sequence[float]) -> None:
    """The unit, nudged a little since the last photo, darker the farther back."""
    across, tilt, bright = numbers
    lean = place.lean + (tilt - 0.5) * (0.03 if place.under is not None else 0.1)
    frame = Frame(place.x + (across - 0.5) * 0.02 * cell.width, place.base, place.width, place.height, lean)
    paint(draw, good, frame, cell.vanishing, (0.86 + 0.24 * bright) * (1 - 0.25 * place.depth))


def _threads(draw: ImageDraw.ImageDraw, cell: Cell, d: Sequence[float]) -> None:
    """One to three elastic bands of thin threads across the opening, each with a haze, and hemmed at one end."""
    bands, height, right = 1 + int(d[0] * 3), cell.bottom - cell.top, float(cell.width)
    for band in range(bands):
        share = (band + 0.5 + 0.3 * (d[1 + band] - 0.5)) / bands if bands > 1 else 0.3 + 0.5 * d[1]
        thick, slope = height * (0.12 + 0.07 * d[4 + band]), 0.05 * height * (d[7 + band] - 0.5)
        upper = cell.top + height * share - thick / 2
        edge = [(0.0, upper), (right, upper + slope), (right, upper + slope + thick), (0.0, upper + thick)]
        draw.polygon(edge, fill=(214, 204, 186, 40))
        threads = max(6, int(thick / 3.2))
        for thread in range(threads):
            y = upper + thick * (thread + 0.5) / threads
            sag, faint = 2 * (d[10 + (thread + band) % 4] - 0.5), 60 + int(70 * d[(thread * 3 + band) % 14])
            draw.line([(0.0, y), (right * 0.5, y + slope / 2 + sag), (right, y + slope)], fill=(238, 230, 214, faint))
        hem = right * (0.985 - 0.05 * d[14])
        draw.polygon([(hem, upper + slope), *edge[1:3], (hem, upper + slope + thick)], fill=(228, 218, 194, 110))
        for rib in range(3):
            x = hem + (right - hem) * (rib + 0.5) / 3
            draw.line([(x, upper + slope), (x, upper + slope + thick)], fill=(150, 136, 104, 120))


def _lips(draw: ImageDraw.ImageDraw, cell: Cell, d: Sequence[float]) -> None:
    """The bright fabric edges above and below, with the cell's own label and, cut off, the one of the cell above."""
    sag = 0.02 * cell.height * (2 * d[0] - 0.5)
    curve = [(step / 8, step * (8 - step) / 16) for step in range(9)]
    lower = [(cell.width * part, cell.bottom + sag * bend) for part, bend in curve]
    upper = [(cell.width * part, cell.top - sag * bend / 2) for part, bend in curve]
    railed = d[10] < 0.15  # the uppermost cells hang from a grey rail
    draw.polygon([*lower, (cell.width, cell.height), (0, cell.height)], fill=shade(LIP, 0.95))
    draw.line([(x, y - 3) for x, y in lower], fill=DARK, width=3)
    draw.line(lower, fill=shade(LIP, 1.08), width=3)
    draw.line([(x, y + 0.028 * cell.height) for x, y in lower], fill=shade(LIP, 0.8, 150))  # a seam
    draw.polygon([(0, 0), (cell.width, 0), *reversed(upper)], fill=RAIL if railed else shade(LIP, 0.84))
    draw.line([(x, y + 2) for x, y in upper], fill=DARK, width=4)
    size, left = 0.085 * cell.width, cell.width * (0.3 + 0.25 * d[1])
    code = "1234"[int(d[2] * 4)] + "ABCDEFGH"[int(d[3] * 8)] + "^"
    _label(draw, (left, cell.bottom + sag + 0.022 * cell.height), size, code, d[5:7])
    if not railed:
        above = "1234"[int(d[4] * 4)] + code[1:]
        _label(draw, (left + size * (d[7] - 0.5), cell.top - 0.9 * size), size, above, d[8:10])


def _label(draw: ImageDraw.ImageDraw, at: Point, size: float, code: str, numbers: Sequence[float]) -> None:
    """A coloured strip under clear tape: the code on white, and a data matrix."""

    def block(left: float, upper: float, right: float, lower: float, colour: tuple[int, ...]) -> None:
        draw.rectangle(
            [at[0] + size * left, at[1] + size * upper, at[0] + size * right, at[1] + size * lower], fill=colour
        )

    block(-0.3, -0.12, 3.7, 1.02, shade(PAPER, 0.95, 150))
    block(0, 0, 3.2, 0.9, shade(LABELS[int(numbers[0] * len(LABELS))], 0.9))
    block(0.15, 0.1, 1.75, 0.8, PAPER)
    block(2.15, 0.03, 3.08, 0.87, PAPER)
    for place, sign in enumerate(code):
        for row, bits in enumerate(GLYPHS[sign]):
            for column in range(5):
                if bits >> (4 - column) & 1:
                    left, upper = 0.25 + 0.5 * place + 0.08 * column, 0.16 + 0.08 * row
                    block(left, upper, left + 0.08, upper + 0.08, INK)
    matrix = int(numbers[1] * 2**30)
    for dot in range(36):
        row, column = divmod(dot, 6)
        if column == 0 or row == 5 or matrix >> (dot % 30) & 1:  # its left and lower edges are solid
            left, upper = 2.25 + 0.125 * column, 0.09 + 0.12 * row
            block(left, upper, left + 0.1, upper + 0.1, INK)


def _expose(image: Image.Image, random: np.random.Generator) -> bytes:
    """What the camera does: a warm, flat, dim exposure, light that falls off to the sides, noise, JPEG."""
    exposure, warmth, aside, haze, grain = random.random(5).tolist()
    gain, lift = (0.6 + 0.22 * exposure) * (1.04 - 0.12 * haze), 22 + 12 * haze
    curve = [
        int(min(255.0, lift * dark + level * gain * tint))
        for dark, tint in ((1.0, 1.0 + 0.06 * warmth), (0.8, 0.96), (0.72, 0.95 - 0.1 * warmth))
        for level in range(256)
    ]
    pixels = np.asarray(image.point(curve)).astype(np.uint16)
    across = np.arange(image.width, dtype=np.int64) - int(image.width * (0.35 + 0.3 * aside))
    pixels *= (256 - across * across * 60 // (image.width * image.width)).astype(np.uint16)[None, :, None]
    pixels >>= 8
    pixels += random.integers(0, 256, size=pixels.shape, dtype=np.uint8) >> (5 if grain < 0.4 else 4)
    body = io.BytesIO()
    Image.fromarray(np.minimum(pixels, 255).astype(np.uint8)).save(body, "JPEG", quality=85, subsampling="4:2:0")
    return body.getvalue()
