"""Colours of the cell and of what is printed, and how they look under more or less light."""

from warehouse_classifier.synthetic.items import COLOURS, Colour

PAPER: Colour = (236, 234, 226)
INK: Colour = (30, 28, 30)
WALL: Colour = (168, 146, 84)
FLOOR: Colour = (150, 138, 108)
RAIL: Colour = (150, 148, 146)
LIP: Colour = (222, 200, 122)
DARK = (40, 28, 10, 100)
LABELS = [COLOURS[name] for name in ("Blue", "Sky", "Red", "Pink", "Green", "Purple", "Orange", "Grey", "Brown")]


def shade(colour: Colour, light: float, alpha: int = 255) -> tuple[int, int, int, int]:
    """The colour (RGB, 0 to 255) under more or less light (1 leaves it as it is), with its alpha (255: not transparent)."""
    red, green, blue = (min(255, int(part * light)) for part in colour)
    return red, green, blue, alpha
