"""Where and on what SageMaker runs a stage: the section `sagemaker` of params.yaml, which no stage tracks.

SAGEMAKER_<NAME> in the environment overrides a value, and within `instances` and `price_per_hour` those that it names:
SAGEMAKER_SPOT=false, SAGEMAKER_INSTANCES='{train_vit: {type: ml.g5.12xlarge}}'.
"""

import difflib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from warehouse_classifier.compute import parameters
from warehouse_classifier.compute.params_errors import explain
from warehouse_classifier.runtime.errors import UserError

SECTION, PREFIX = "sagemaker", "SAGEMAKER_"
TEXTS = ("region", "role", "image", "remote", "mlflow")  # taken from the environment as they are
HOUR = 3600  # seconds


class Instance(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    type: str = Field(pattern=r"^ml\.[a-z0-9-]+\.[a-z0-9-]+$")
    count: int = Field(ge=1)


class Settings(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    region: str = Field(pattern=r"^[a-z]{2}(-[a-z]+)+-\d$")
    role: str | None = Field(pattern=r"^arn:aws[a-z-]*:iam::\d{12}:role/.+$")  # that the jobs take
    image: str | None = Field(pattern=r"^\d{12}\.dkr\.ecr\.[a-z0-9.-]+/[^:@]+(:[^:@]+|@sha256:[0-9a-f]{64})$")
    remote: str | None  # of DVC, by which the data goes there and back; null: the default one
    mlflow: str | None  # address of the server that gets the curves; null: the store of local runs
    instances: dict[str, Instance]  # of each stage
    volume_gb: int = Field(ge=1, le=16384)  # of machines that have no disks of their own
    max_hours: float = Field(gt=0, le=28 * 24)  # of work, after which a job is stopped
    spot: bool  # machines that are cheaper and may be taken away
    max_wait_hours: float = Field(ge=0, le=28 * 24)  # for a spot machine, beside the hours of work
    keep_warm_minutes: int = Field(ge=0, le=60)  # a machine stays rented for the next job
    poll_seconds: float = Field(gt=0)  # from one look at a job to the next
    price_per_hour: dict[str, float]  # dollars, of one instance

    @field_validator("keep_warm_minutes")
    @classmethod
    def _not_with_spot(cls, minutes: int, info: ValidationInfo) -> int:
        if minutes and info.data.get("spot"):
            raise ValueError("it must be 0 with spot, for which SageMaker keeps no machine")
        return minutes

    @classmethod
    def load(cls, file: Path = parameters.FILE) -> Self:
        """Raises UserError that names the key or the variable, its value and what it must be."""
        tree = parameters.read(file).get(SECTION)
        if not isinstance(tree, dict):
            raise UserError(f"{file}: the section {SECTION} is missing")
        overridden = _environment([*cls.model_fields])
        values = {name: _over(tree.get(name), overridden.get(name)) for name in {**tree, **overridden}}
        return cls.checked(
            values, lambda name: f"{PREFIX}{name.upper()}" if name in overridden else f"{file}: {SECTION}.{name}"
        )

    @classmethod
    def checked(cls, values: dict[str, Any], where: Callable[[str], str]) -> Self:
        """`where`: what a value is called in front of people. Raises UserError, as load does."""
        try:
            return cls.model_validate_json(json.dumps(values))
        except ValidationError as error:
            faults = []
            for detail in error.errors():
                name, *deeper = map(str, detail["loc"])
                known = [*(Instance if len(deeper) > 1 else cls).model_fields]
                faults.append(explain(".".join([where(name), *deeper]), detail, known))
            raise UserError("; ".join(faults)) from None
        except TypeError:  # a date
            raise UserError(f"{SECTION} must hold plain texts, numbers and mappings") from None

    @field_validator("mlflow")
    @classmethod
    def _without_password(cls, address: str | None) -> str | None:
        if address and "@" in address:
            raise ValueError(
                "it must not hold a password, which would travel; use MLFLOW_TRACKING_USERNAME and _PASSWORD"
            )
        return address

    def instance(self, stage: str) -> Instance:
        """Raises UserError if none is named for the stage."""
        if stage not in self.instances:
            raise UserError(f"params.yaml: {SECTION}.instances.{stage} is missing, as {{type: ml.m5.xlarge, count: 1}}")
        return self.instances[stage]

    def price(self, type: str, count: int) -> float | None:
        """Dollars an hour for so many instances, or None where nobody has told it."""
        known = self.price_per_hour.get(type)
        return None if known is None else known * count


def _environment(names: list[str]) -> dict[str, Any]:
    """What the environment overrides. Other programs have variables of that prefix too, so only a near miss is wrong."""
    found: dict[str, Any] = {}
    for variable, text in os.environ.items():
        name = variable.removeprefix(PREFIX).lower()
        if not variable.startswith(PREFIX):
            continue
        if name in TEXTS:
            found[name] = text or None
        elif name in names:
            try:
                found[name] = YAML(typ="safe", pure=True).load(text)
            except YAMLError:
                raise UserError(f"{variable} is {text}, which is not YAML") from None
        elif near := difflib.get_close_matches(name, names, n=1, cutoff=0.8):
            raise UserError(f"{variable} is unknown, did you mean {PREFIX}{near[0].upper()}?")
    return found


def _over(value: Any, other: Any) -> Any:
    if isinstance(value, dict) and isinstance(other, dict):
        return {name: _over(value.get(name), other.get(name)) for name in {**value, **other}}
    return value if other is None else other
