"""What a counter is asked of a photo, what it sees there, and what it says."""

from dataclasses import dataclass

from warehouse_classifier.bins.expectation import Expectation
from warehouse_classifier.dataset.photo import Pixels
from warehouse_classifier.evaluation.arrays import Floats


@dataclass(frozen=True)
class Answer:
    """What is said of one photo. `verdict` is None where nothing was expected; `reason` says why somebody must look."""

    predicted: int | None  # quantity
    probability: float | None  # of that quantity
    doubt: float | None  # 1 minus the probability of the expected quantity
    verdict: str | None  # match, look or mismatch
    reason: str | None


@dataclass(frozen=True)
class Before:
    """A photo of the same bin, [side, side, 3], at the visit before, and what was in it then."""

    pixels: Pixels
    held: Expectation


@dataclass(frozen=True)
class Question:
    """What is expected of a photo, None for nothing; and the photo before, if there is one."""

    expected: Expectation | None
    before: Before | None = None
    strange: str | None = None  # see Predictor.strange

    @property
    def quantity(self) -> int | None:
        """How many items are expected."""
        return None if self.expected is None else self.expected.quantity


@dataclass(frozen=True)
class Sight:
    """Calibrated probabilities of photos, [B, quantities] and, for whoever judges lists, features [B, features]."""

    probabilities: Floats
    features: Floats | None = None
