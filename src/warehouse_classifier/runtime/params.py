"""What a stage can be told: strict, frozen, and with no defaults in code.

A parameter that several stages read has one type here, so that every one of them refuses the same values. Numbers are
bounded by what machines can hold, so that a value out of reach is told as such and not by whatever breaks over it.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

TOP = ("lr", "seed")  # shared by stages, at the top of the file
DATA = ("bucket", "quality", "quantities", "side")  # shared by stages, in data.<scale>


class Params(BaseModel):
    """Of one stage. A field named in TOP or DATA is filled from there, every other from the stage's section."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)

    # Beside the stage's code and inputs, what a killed run's work depends on: these fields (None: all of them), and the
    # versions of these libraries. Others may be changed between a kill and the next run, which then goes on.
    RESUMED_BY: ClassVar[tuple[str, ...] | None] = None
    LIBRARIES: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def keys(cls, stage: str, scale: str) -> list[str]:
        """Where in params.yaml the fields stand: exactly what dvc.yaml has to track for the stage."""
        return sorted({section(name, stage, scale) for name in cls.model_fields})


def section(name: str, stage: str, scale: str) -> str:
    """The dotted name under which dvc.yaml tracks a field."""
    if name in TOP:
        return name
    return f"data.{scale}.{name}" if name in DATA else f"{stage}.{scale}"


def _without_gap(quantities: list[int]) -> list[int]:
    first = quantities[0] if quantities else -1
    if len(quantities) < 2 or first < 0 or quantities != [*range(first, first + len(quantities))]:
        raise ValueError("it must be two or more quantities that ascend one by one, of 0 or above")
    return quantities


Quantities = Annotated[list[Annotated[int, Field(le=1000)]], AfterValidator(_without_gap)]
Seed = Annotated[int, Field(ge=0, le=2**63 - 1)]  # what torch's generators take
Rate = Annotated[float, Field(gt=0, le=3e38)]  # of learning, as float32 holds it
Side = Annotated[int, Field(ge=16, le=2048)]  # pixels
Quality = Annotated[int, Field(ge=1, le=95)]  # of a JPEG
Precision = Literal["fp32", "tf32", "bf16"]
Count = Annotated[int, Field(ge=1, le=2**31 - 1)]  # of pairs, images or draws
CountOrZero = Annotated[int, Field(ge=0, le=2**31 - 1)]
Batch = Annotated[int, Field(ge=1, le=2**20)]  # images
Threads = Annotated[int, Field(ge=1, le=1024)]
Concurrency = Annotated[int, Field(ge=1, le=1024)]  # objects asked for at once
