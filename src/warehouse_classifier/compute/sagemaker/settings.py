"""Where and on what SageMaker runs a stage: the section `sagemaker` of params.yaml, which no stage tracks.

SAGEMAKER_<NAME> in the environment overrides a value, and within `instances` and `price_per_hour` those that it names:
SAGEMAKER_SPOT=false, SAGEMAKER_INSTANCES='{train_vit: {type: ml.g5.12xlarge}}'.
"""

import difflib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from warehouse_classifier.compute import parameters
from warehouse_classifier.compute.params_errors import explain
from warehouse_classifier.runtime.errors import UserError

SECTION, PREFIX = "sagemaker", "SAGEMAKER_"
TEXTS = ("region", "role", "image", "remote", "mlflow")  # taken from the environment as they are, and not as YAML
HOUR = 3600  # seconds
MAX_HOURS = 28 * 24  # of a job, as SageMaker has it
Dollars = Annotated[float, Field(ge=0, le=100_000)]


class Section(BaseModel):
    """Strict, frozen, no unknown keys."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)


class Instance(Section):
    """The machines of one stage."""

    type: str = Field(pattern=r"^ml\.[a-z0-9-]+\.[a-z0-9-]+$")
    count: int = Field(ge=1, le=1000)


class Settings(Section):
    """The whole section."""

    region: str = Field(pattern=r"^[a-z]{2}(-[a-z]+)+-\d$")
    role: str | None = Field(pattern=r"^arn:aws[a-z-]*:iam::\d{12}:role/.+$")  # that the jobs take
    image: str | None = Field(pattern=r"^\d{12}\.dkr\.ecr\.[a-z0-9.-]+/[^:@]+(:[^:@]+|@sha256:[0-9a-f]{64})$")
    remote: str | None  # of DVC, by which the data goes there and back; null: the default one
    mlflow: str | None  # address of the server that gets the curves; null: the store of local runs
    instances: dict[str, Instance]  # of each stage
    volume_gb: int = Field(ge=1, le=16384)  # of machines that have no disks of their own
    max_hours: float = Field(gt=0, le=MAX_HOURS)  # of work, after which a job is stopped
    spot: bool  # machines that are cheaper and may be taken away
    max_wait_hours: float = Field(ge=0, le=MAX_HOURS)  # for a spot machine, beside the hours of work
    keep_warm_minutes: int = Field(ge=0, le=60)  # a machine stays rented for the next job
    poll_seconds: float = Field(gt=0, le=HOUR)  # between two looks at a job
    price_per_hour: dict[str, Dollars]  # of one instance

    @field_validator("keep_warm_minutes")
    @classmethod
    def _not_with_spot(cls, minutes: int, info: ValidationInfo) -> int:
        if minutes and info.data.get("spot"):
            raise ValueError("it must be 0 with spot, for which SageMaker keeps no machine")
        return minutes

    @field_validator("mlflow")
    @classmethod
    def _without_password(cls, address: str | None) -> str | None:
        if address and "@" in address:
            raise ValueError(
                "it must not hold a password, which would travel; use MLFLOW_TRACKING_USERNAME and _PASSWORD"
            )
        return address

    @classmethod
    def load(cls, file: Path = parameters.FILE) -> Self:
        """Raises UserError that names the key or the variable, its value and what it must be."""
        section = parameters.read(file).get(SECTION)
        if not isinstance(section, dict):
            raise UserError(f"{file}: the section {SECTION} is missing")
        overridden = _environment([*cls.model_fields])
        return cls.checked(
            _merged(section, overridden),
            lambda name: f"{PREFIX}{name.upper()}" if name in overridden else f"{file}: {SECTION}.{name}",
        )

    @classmethod
    def checked(cls, values: dict[str, Any], where: Callable[[str], str]) -> Self:
        """`where`: what a value is called in messages, by its name. Raises UserError, as load does."""
        try:
            return cls.model_validate_json(json.dumps(values))
        except ValidationError as error:
            messages = []
            for detail in error.errors():
                name, *deeper = map(str, detail["loc"])
                names = [*(Instance if len(deeper) > 1 else cls).model_fields]
                messages.append(explain(".".join([where(name), *deeper]), detail, names))
            raise UserError("; ".join(messages)) from None
        except TypeError:  # a date
            raise UserError(f"{SECTION} must hold plain texts, numbers and mappings") from None

    def instance(self, stage: str) -> Instance:
        """Raises UserError if none is named for the stage."""
        if stage not in self.instances:
            raise UserError(f"params.yaml: {SECTION}.instances.{stage} is missing, as {{type: ml.m5.xlarge, count: 1}}")
        return self.instances[stage]

    def price(self, type: str, count: int) -> float | None:
        """Dollars an hour for so many instances, or None where price_per_hour lacks the type."""
        return self.price_per_hour[type] * count if type in self.price_per_hour else None


def _environment(names: list[str]) -> dict[str, Any]:
    """What the environment overrides. Other programs have variables of that prefix too, so only a near miss is wrong."""
    values: dict[str, Any] = {}
    for variable, text in os.environ.items():
        name = variable.removeprefix(PREFIX).lower()
        if not variable.startswith(PREFIX):
            continue
        if name in TEXTS:
            values[name] = text or None
        elif name in names:
            try:
                values[name] = YAML(typ="safe", pure=True).load(text)
            except YAMLError:
                raise UserError(f"{variable} is {text}, which is not YAML") from None
        elif near := difflib.get_close_matches(name, names, n=1, cutoff=0.8):
            raise UserError(f"{variable} is unknown, did you mean {PREFIX}{near[0].upper()}?")
    return values


def _merged(value: Any, override: Any) -> Any:
    """Mappings key by key; a null says nothing."""
    if isinstance(value, dict) and isinstance(override, dict):
        return {name: _merged(value.get(name), override.get(name)) for name in {**value, **override}}
    return value if override is None else override
