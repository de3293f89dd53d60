"""Where the front of a unit stands in the photo, and its points there."""

import math
from dataclasses import dataclass
from typing import NamedTuple

Point = tuple[float, float]
Box = tuple[float, float, float, float]


class Perspective(NamedTuple):
    """The pixel that the camera looks straight at, and how far toward it a unit reaches back (0 to 1)."""

    vanishing: Point
    reach: float


@dataclass(frozen=True)
class Frame:
    """Where a front stands: pixels of its lower left corner, its size in pixels, and its lean."""

    x: float
    y: float
    width: float
    height: float
    lean: float  # radians, clockwise

    def at(self, u: float, v: float) -> Point:
        """The pixel of a point of the front: u across and v up, both 0 to 1."""
        cos, sin = round(math.cos(self.lean), 6), round(math.sin(self.lean), 6)
        right, up = (u - 0.5) * self.width, v * self.height
        return self.x + self.width / 2 + right * cos + up * sin, self.y + right * sin - up * cos

    def quad(self, left: float, low: float, right: float, high: float) -> list[Point]:
        """The four corners of an upright rectangle on the front, in pixels, from the lower left one on."""
        return [self.at(left, low), self.at(right, low), self.at(right, high), self.at(left, high)]
