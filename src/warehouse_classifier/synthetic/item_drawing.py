"""How one unit of an article looks in the photo: cartons, books edge-on, poly bags and tubes, as polygons.

Every drawing here is in a frame of the unit's own, u across and v up, both 0 to 1 over its front.
"""

from collections.abc import Sequence

from PIL import ImageDraw

from warehouse_classifier.synthetic.frame import Box, Frame, Perspective
from warehouse_classifier.synthetic.items import Item
from warehouse_classifier.synthetic.palette import INK, PAPER, shade

OCTAGON = ((1, 0), (0.7, 0.7), (0, 1), (-0.7, 0.7), (-1, 0), (-0.7, -0.7), (0, -1), (0.7, -0.7))
TUBE_SHADES = (0.5, 0.78, 1.0, 1.18, 1.08, 0.86, 0.6)  # a cylinder lit from the front, left to right


def paint(draw: ImageDraw.ImageDraw, good: Item, frame: Frame, view: Perspective, light: float) -> None:
    """One unit. Its dark edge keeps two units of one article apart when the photo is small."""
    _shadow(draw, frame, 0.14 if good.kind == "tube" else 0.0)
    {"carton": _carton, "book": _book, "bag": _bag, "tube": _tube}[good.kind](draw, good, frame, view, light)


def _shadow(draw: ImageDraw.ImageDraw, frame: Frame, shoulder: float) -> None:
    """Darkens what is behind and under the unit, softly: two outlines, one larger. A tube is narrower above its shoulder."""
    for grow in (0.06, 0.03):
        left, right, low, high = -grow, 1 + grow, -grow * 0.4, 1 + grow * 0.3
        outline = ((left, low), (right, low), (right, 1 - shoulder), (right - 2 * shoulder, high))
        mirrored = ((left + 2 * shoulder, high), (left, 1 - shoulder))
        draw.polygon([frame.at(u, v) for u, v in (*outline, *mirrored)], fill=(20, 14, 6, 70))


def _box(draw: ImageDraw.ImageDraw, good: Item, frame: Frame, view: Perspective, light: float) -> None:
    """A box: front, and the side and the top where the camera sees them."""
    front = frame.quad(0, 0, 1, 1)
    (right, down), reach = view
    back = [(x + (right - x) * reach, y + (down - y) * reach) for x, y in front]
    lower_left, lower_right, upper_right, upper_left = range(4)
    edge = shade(good.colour, 0.25 * light)
    for one, other, bright in (
        (lower_left, upper_left, 0.5),
        (lower_right, upper_right, 0.56),
        (upper_left, upper_right, 1.12),
    ):
        draw.polygon(
            [front[one], front[other], back[other], back[one]], fill=shade(good.colour, bright * light), outline=edge
        )
    draw.polygon(front, fill=shade(good.colour, light), outline=edge, width=2)


def _print(draw: ImageDraw.ImageDraw, frame: Frame, box: Box, colour: tuple[int, ...], look: Sequence[float]) -> None:
    """Rows of words that nobody can read, in a box of left, low, right, high."""
    left, low, right, high = box
    step = (high - low) / len(look)
    for row, chance in enumerate(look):
        base = low + step * row
        split = left + (right - left) * (0.25 + 0.35 * chance)
        end = split + (right - split) * (0.3 + 0.7 * look[row - 1])
        for start, stop in ((left, split - 0.04), (split, end)):
            draw.polygon(frame.quad(start, base, stop, base + step * 0.55), fill=colour)


def _barcode(draw: ImageDraw.ImageDraw, frame: Frame, left: float, low: float, light: float) -> None:
    """The sticker that most units in the real photos carry."""
    draw.polygon(frame.quad(left, low, left + 0.34, low + 0.16), fill=shade(PAPER, light))
    for bar in range(6):
        start = left + 0.03 + bar * 0.048
        draw.polygon(frame.quad(start, low + 0.05, start + 0.022, low + 0.14), fill=shade(INK, light))


def _carton(draw: ImageDraw.ImageDraw, good: Item, frame: Frame, view: Perspective, light: float) -> None:
    _box(draw, good, frame, view, light)
    accent, pattern = shade(good.accent, light), good.look[0]
    if pattern < 0.35:  # a printed panel with a picture
        draw.polygon(frame.quad(0.08, 0.34, 0.92, 0.93), fill=accent)
        _print(draw, frame, (0.16, 0.62, 0.84, 0.88), shade(PAPER, light), good.look[1:4])
        disc = [frame.at(0.5 + 0.22 * u, 0.48 + 0.11 * v) for u, v in OCTAGON]
        draw.polygon(disc, fill=shade(good.colour, 0.8 * light))
    elif pattern < 0.65:  # a stripe and a slogan
        height = 0.3 + 0.25 * good.look[1]
        draw.polygon(frame.quad(0, height, 1, height + 0.16), fill=accent)
        _print(draw, frame, (0.12, 0.74, 0.88, 0.92), shade(good.accent, 0.9 * light), good.look[2:5])
    else:  # plain, taped down the middle, small print
        draw.polygon(frame.quad(0.42, 0, 0.58, 1), fill=shade(PAPER, 0.9 * light, 60))
        _print(draw, frame, (0.1, 0.5, 0.6, 0.66), shade(INK, light, 200), good.look[1:4])
    if good.look[4] < 0.6:
        _barcode(draw, frame, 0.08 + 0.5 * good.look[2], 0.06, light)


def _book(draw: ImageDraw.ImageDraw, good: Item, frame: Frame, view: Perspective, light: float) -> None:
    _box(draw, good, frame, view, light)
    accent = shade(good.accent, light)
    low = 0.3 + 0.1 * good.look[0]
    draw.polygon(frame.quad(0.3, low, 0.7, low + 0.45), fill=shade(PAPER if good.look[1] < 0.5 else good.accent, light))
    draw.polygon(frame.quad(0, 0.08, 1, 0.12), fill=accent)
    draw.polygon(frame.quad(0, 0.88, 1, 0.92), fill=accent)


def _tube(draw: ImageDraw.ImageDraw, good: Item, frame: Frame, view: Perspective, light: float) -> None:
    del view  # a cylinder looks the same from every side
    edge = shade(good.colour, 0.25 * light)
    outline = [(0.0, 0.03), (0.2, 0.0), (0.8, 0.0), (1.0, 0.03), (1.0, 0.78), (0.7, 0.87), (0.3, 0.87), (0.0, 0.78)]
    strips = len(TUBE_SHADES)
    low = 0.22 + 0.1 * good.look[0]
    for strip, bright in enumerate(TUBE_SHADES):
        left, right = strip / strips, (strip + 1) / strips
        draw.polygon(frame.quad(left, 0.02, right, 0.8), fill=shade(good.colour, bright * light))
        draw.polygon(frame.quad(left, low, right, low + 0.34), fill=shade(good.accent, bright * light))
        draw.polygon(
            frame.quad(0.24 + 0.52 * left, 0.86, 0.24 + 0.52 * right, 1), fill=shade(PAPER, bright * light * 0.9)
        )
    shoulder = [frame.at(*point) for point in ((0, 0.78), (1, 0.78), (0.7, 0.87), (0.3, 0.87))]
    draw.polygon(shoulder, fill=shade(good.colour, 0.85 * light))
    draw.polygon([frame.at(*point) for point in outline], outline=edge, width=2)
    _print(draw, frame, (0.3, low + 0.08, 0.75, low + 0.28), shade(PAPER, light), good.look[1:3])


def _bag(draw: ImageDraw.ImageDraw, good: Item, frame: Frame, view: Perspective, light: float) -> None:
    del view  # it has no faces
    wobble = [0.06 * d for d in (*good.look, *good.look, *good.look)]
    rim = [
        (0, 0.04),
        (0.3, 0),
        (0.7, 0),
        (1, 0.05),
        (1, 0.35),
        (0.96, 0.7),
        (1, 0.97),
        (0.6, 1),
        (0.3, 1),
        (0, 0.96),
        (0.04, 0.6),
        (0, 0.3),
    ]
    outline = [
        frame.at(u + (wobble[i] if u < 0.5 else -wobble[i]), v + (wobble[i + 1] if v < 0.5 else -wobble[i + 1]))
        for i, (u, v) in enumerate(rim)
    ]
    draw.polygon(outline, fill=shade(good.colour, 0.92 * light, 244), outline=shade(good.colour, 0.3 * light), width=2)
    draw.polygon(frame.quad(0.2, 0.25, 0.75, 0.6), fill=shade(good.accent, light, 150))
    for crease in range(4):  # plastic catches the light along its creases
        start, end = good.look[crease], good.look[crease + 1]
        points = [
            frame.at(0.1 + 0.25 * crease * 0.9, 0.1 + 0.5 * start),
            frame.at(0.15 + 0.2 * crease + 0.1 * end, 0.6 + 0.3 * end),
        ]
        draw.line(points, fill=(255, 252, 240, 120), width=2)
    draw.polygon(frame.quad(0.06, 0.88, 0.94, 0.95), fill=(250, 246, 232, 60))
    _barcode(draw, frame, 0.15 + 0.45 * good.look[3], 0.66, light)
