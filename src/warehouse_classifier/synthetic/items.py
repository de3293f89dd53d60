"""What a synthetic item is, as the inventory knows it, and how one unit of it looks from the front."""

import hashlib
import struct
from typing import NamedTuple

Colour = tuple[int, int, int]

KINDS = ("carton", "carton", "book", "bag", "tube")  # cartons are the commonest in the real photos
SHAPES = {  # width / length and height / width of an item of USUAL volume: least and spread of each
    "carton": ((0.5, 0.45), (0.3, 0.6)),
    "bag": ((0.5, 0.4), (0.12, 0.3)),
    "tube": ((0.3, 0.35), (1.0, 0.0)),
    "book": ((0.6, 0.22), (0.08, 0.2)),
}
USUAL = 100.0  # cubic inches
FLATTER = 0.2  # smaller items are flatter: height / width goes with this power of the volume
LEAST = 0.2  # inches: no side is shorter
BASE36 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
PAIRS = tuple(one + other for one in BASE36 for other in BASE36)
SIXTEEN = struct.Struct(">16I")
# Real values are tenths of an inch that went through centimetres and back: 3.5 became 3.49999999643.
ROUND_TRIP = 0.99999999898

COLOURS: dict[str, Colour] = {  # as they look in a dim cell: less pure than in a shop
    "White": (226, 220, 212),
    "Ivory": (206, 196, 176),
    "Black": (44, 42, 46),
    "Charcoal": (70, 68, 72),
    "Kraft": (170, 124, 88),
    "Brown": (104, 68, 50),
    "Blue": (44, 84, 158),
    "Navy": (36, 48, 92),
    "Sky": (106, 164, 202),
    "Red": (178, 50, 50),
    "Pink": (206, 112, 144),
    "Green": (40, 112, 82),
    "Teal": (36, 122, 132),
    "Purple": (100, 64, 130),
    "Orange": (204, 110, 50),
    "Grey": (132, 132, 136),
}
HUES = tuple(COLOURS)
BRANDS = (
    "Norvale",
    "Tessaro",
    "Quillon",
    "Bramford",
    "Okeley",
    "Luminor",
    "Halvex",
    "Pinecroft",
    "Zaffera",
    "Merribel",
)
TRAITS = ("Classic", "Portable", "Heavy Duty", "Deluxe", "Compact", "Everyday", "Premium", "Slim", "Family", "Original")
NOUNS = {
    "carton": ("Desk Lamp", "Kitchen Timer", "Phone Case", "Puzzle", "LED Bulb", "Wall Charger", "Card Game"),
    "book": ("Garden Planner", "World Atlas", "Crossword Collection", "Cookbook", "Field Guide to Birds"),
    "bag": ("Cotton T-Shirt", "Ankle Socks (3 Pack)", "Dog Treats", "Craft Beads", "Baby Bib", "Shower Curtain"),
    "tube": ("Water Bottle", "Shampoo", "Protein Powder", "Drain Cleaner", "Tennis Balls", "Vitamin C Tablets"),
}
SIZES = ('12"', "16 oz", "Pack of 2", "Size M", '9.5" x 6"', "2 lb", "250 ml", "Set of 4")


def draws(*key: object) -> tuple[float, ...]:
    """Sixteen numbers in [0, 1) that depend on nothing but the key.

    A hash and not a generator: setting up PCG64 takes longer than writing a whole JSON.
    """
    digest = hashlib.sha512("/".join(map(str, key)).encode()).digest()
    return tuple([word * 2**-32 for word in SIXTEEN.unpack(digest)])


class Item(NamedTuple):
    """One article. Inches and pounds as in the metadata, where height <= width <= length."""

    asin: str
    kind: str
    name: str
    height: float
    width: float
    length: float
    weight: float
    colour: Colour
    accent: Colour  # the colour of its print
    look: tuple[float, ...]  # five draws for the details of the print
    quirk: float  # a draw for what its metadata lacks


def invent(*key: object, volume: float, room: tuple[float, float, float]) -> Item:
    """The article of this key: of about `volume` cubic inches, no side longer than that of `room`, shortest first."""
    d = draws("good", *key)
    kind = _pick(KINDS, d[0])
    (slim, more_slim), (flat, more_flat) = SHAPES[kind]
    across, thin = slim + more_slim * d[1], flat + more_flat * d[2]
    if kind != "tube":
        thin = min(1.0, thin * (volume / USUAL) ** FLATTER)
    longest = (volume / (across * across * thin)) ** (1 / 3)
    sides = sorted((longest, longest * across, longest * across * thin))
    height, width, length = (_tenths(max(LEAST, min(side, most))) for side, most in zip(sides, room, strict=True))
    colour, accent = _pick(HUES, d[4]), _pick(HUES, (d[4] + 0.07 + 0.86 * d[5]) % 1.0)
    return Item(
        asin=_asin(d[6], d[7]),
        kind=kind,
        name=f"{_pick(BRANDS, d[6])} {_pick(TRAITS, d[7])} {_pick(NOUNS[kind], d[8])}, {_pick(SIZES, d[9])}, {colour}",
        height=height,
        width=width,
        length=length,
        weight=round(height * width * length * (0.01 + 0.02 * d[3]) + 0.05, 2),
        colour=COLOURS[colour],
        accent=COLOURS[accent],
        look=d[10:15],
        quirk=d[15],
    )


def _pick(choices: tuple[str, ...], chance: float) -> str:
    return choices[int(chance * len(choices))]


def _tenths(inches: float) -> float:
    return round(inches, 1) * ROUND_TRIP


def _asin(high: float, low: float) -> str:
    """B0 and eight signs: 36^8 names, so two of the bucket's million articles practically never share one."""
    number = int(high * 2**32) << 32 | int(low * 2**32)
    signs = []
    for _ in range(4):
        number, pair = divmod(number, len(PAIRS))
        signs.append(PAIRS[pair])
    return "B0" + "".join(signs)
