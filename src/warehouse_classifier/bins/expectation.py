"""What should be in a bin, by whoever keeps the inventory: how many items and, where it is known, which.

People hand items in with units that they name; within the program sides are inches and weights pounds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from warehouse_classifier.bins.sizes import THINKABLE

LARGEST = 1_000_000  # items, as of metadata.py, which would bring pyarrow along with the model that is served
INCHES = {"in": 1.0, "cm": 1 / 2.54, "mm": 1 / 25.4}
POUNDS = {"lb": 1.0, "oz": 1 / 16, "kg": 1 / 0.45359237, "g": 1 / 453.59237}  # by definition, since 1959
SIDES = ("length", "width", "height")

Measure = Annotated[float, Field(gt=0)]
Lower = BeforeValidator(
    lambda given: given.lower() if isinstance(given, str) else given
)  # the bucket's metadata has IN
ItemFacts = Mapping[
    str, Any
]  # quantity, SIDES in inches and weight in pounds, None for what is not known: see sizes.py


@dataclass(frozen=True, slots=True)
class Expectation:
    """So many items; `items`: each different one, None where only their number is known."""

    quantity: int
    items: Sequence[ItemFacts] | None = None


class ExpectedItem(BaseModel):
    """One line of a list. What is not known of an item is left out."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    quantity: int = Field(ge=0, le=LARGEST)
    length: Measure | None = None
    width: Measure | None = None
    height: Measure | None = None
    unit: Annotated[Literal["in", "cm", "mm"] | None, Lower] = None  # of the sides
    weight: Measure | None = None  # of one of them
    weight_unit: Annotated[Literal["lb", "oz", "kg", "g"] | None, Lower] = None

    @model_validator(mode="after")
    def _name_the_units(self) -> Self:
        side = next((side for side in SIDES if getattr(self, side) is not None), None)
        if side and self.unit is None:
            raise ValueError(f"{side} needs a unit: in, cm or mm")
        if self.weight is not None and self.weight_unit is None:
            raise ValueError("weight needs a weight_unit: lb, oz, kg or g")
        facts, (least, most) = self.facts(), THINKABLE
        for name, unit, everyday in (*((side, self.unit, "in") for side in SIDES), ("weight", self.weight_unit, "lb")):
            if facts[name] is not None and not least <= facts[name] <= most:
                raise ValueError(
                    f"{name} is {getattr(self, name):g} {unit}, and no item of a bin has less than {least:g} or more than {most:g} {everyday}"
                )
        return self

    def facts(self) -> ItemFacts:
        """In inches and pounds."""
        sides = {side: _times(getattr(self, side), INCHES[self.unit or "in"]) for side in SIDES}
        return {"quantity": self.quantity, **sides, "weight": _times(self.weight, POUNDS[self.weight_unit or "lb"])}


FIELDS = tuple(ExpectedItem.model_fields)


def item(given: Mapping[str, Any]) -> ItemFacts:
    """An item that was handed in, as texts or numbers under FIELDS. Raises ValueError with the reason in a line."""
    try:
        return ExpectedItem.model_validate(given).facts()
    except ValidationError as error:
        raise ValueError(reason(error)) from None


def reason(error: ValidationError, skip: int = 0) -> str:
    """The first thing that is wrong, in a line that names it, without the first `skip` parts of its name."""
    first = error.errors()[0]
    # people count from 1
    name = ".".join(str(part + 1 if isinstance(part, int) else part) for part in first["loc"][skip:])
    what = first["msg"].removeprefix("Value error, ")
    if first["type"] == "missing":
        return f"{name} is missing"
    if first["type"] == "extra_forbidden":
        return f"{name[:40]!r} is not known"
    said = f"{what[:1].lower()}{what[1:]}"
    if first["type"] == "float_parsing":
        said = "write a number, with a point and without a unit: 9.5"
    if first["type"] == "value_error":
        return f"{name}: {said}" if name else said
    return f"{name} is {str(first['input'])[:40]!r}; {said}"


def _times(measure: float | None, unit: float) -> float | None:
    return None if measure is None else measure * unit
