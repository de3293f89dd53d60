"""What is found in one photo: a row of what `check` says."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """`again`: another run may say something else of the same photo."""

    photo: str
    expected: int | None
    predicted: int | None
    probability: float | None
    doubt: float | None
    verdict: str | None
    reason: str | None
    again: bool = False
