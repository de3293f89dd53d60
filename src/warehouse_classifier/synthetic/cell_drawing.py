"""The cell around the items: fabric walls behind them, bands of threads and the edges of the fabric before them."""

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFilter

from warehouse_classifier.synthetic.cell import SCALE, Cell
from warehouse_classifier.synthetic.cell_label import draw_label
from warehouse_classifier.synthetic.palette import DARK, FLOOR, LIP, RAIL, WALL, shade
from warehouse_classifier.synthetic.placement import Placement

LABEL = 1.35  # inches that a label is high, whatever the cell


def walls(cell: Cell, places: Sequence[Placement], folds: Sequence[Sequence[float]]) -> Image.Image:
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


def threads(draw: ImageDraw.ImageDraw, cell: Cell, d: Sequence[float]) -> None:
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


def lips(draw: ImageDraw.ImageDraw, cell: Cell, d: Sequence[float]) -> None:
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
    size = LABEL * SCALE
    left = max(0.0, cell.width - 3.6 * size) * (0.25 + 0.5 * d[1])
    code = "1234"[int(d[2] * 4)] + "ABCDEFGH"[int(d[3] * 8)] + "^"
    draw_label(draw, (left, cell.bottom + sag + 0.022 * cell.height), size, code, d[5:7])
    if not railed:
        above = "1234"[int(d[4] * 4)] + code[1:]
        draw_label(draw, (left + size * (d[7] - 0.5), cell.top - 0.9 * size), size, above, d[8:10])
