"""The fabric cell as the camera sees it: where its opening and its floor are in the photo, and how small is what is far back."""

from dataclasses import dataclass

from warehouse_classifier.synthetic.frame import Point

SCALE = 20.0  # pixels an inch at the opening
BACK = 0.84  # how large the back wall is beside the opening
RISE = (
    0.07  # how much higher in the photo the floor ends at the back, beyond perspective: the camera looks down a little
)


@dataclass(frozen=True)
class Cell:
    """The fabric cell, in pixels of the photo."""

    width: int
    height: int
    top: float  # the opening ends here, under the upper lip
    bottom: float  # and here, above the lower one
    vanishing: Point  # what the camera looks straight at

    @staticmethod
    def far(depth: float) -> float:
        """How large something is beside what stands in the opening. Depth 0 is the opening, 1 the back wall."""
        return 1 - (1 - BACK) * depth

    def toward(self, x: float, y: float, depth: float) -> Point:
        """A point of the opening, moved back."""
        far = self.far(depth)
        return self.vanishing[0] + (x - self.vanishing[0]) * far, self.vanishing[1] + (y - self.vanishing[1]) * far

    def floor(self, depth: float) -> float:
        """How far down the photo the floor is."""
        return self.toward(0, self.bottom - 2, depth)[1] - RISE * depth * self.height
