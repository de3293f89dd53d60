"""The label of a cell: its code in letters of 5 x 7 dots, since no font file is needed, and a data matrix."""

from collections.abc import Sequence

from PIL import ImageDraw

from warehouse_classifier.synthetic.frame import Point
from warehouse_classifier.synthetic.palette import INK, LABELS, PAPER, shade

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


def draw_label(draw: ImageDraw.ImageDraw, at: Point, size: float, code: str, numbers: Sequence[float]) -> None:
    """A coloured strip under clear tape: the code on white, and a data matrix.

    `at`: pixels of its upper left corner; `size`: pixels that it is high, about; `code`: signs of GLYPHS; `numbers`: two
    draws in [0, 1), of its colour and its matrix.
    """

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
