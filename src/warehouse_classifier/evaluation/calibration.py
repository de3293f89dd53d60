"""calibration.json of a models folder: what the networks' answers are worth, and from which doubt on somebody should look.

A doubt is 1 minus the probability of the quantity that the inventory expects: how sure a counter is that photo and inventory
disagree.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from warehouse_classifier.dataset.labels import QuantityEncoder
from warehouse_classifier.evaluation.counters import AVERAGE, COUNTERS
from warehouse_classifier.evaluation.expectations import right_of, wrong_of
from warehouse_classifier.evaluation.temperature import STEEPEST, Floats, averaged, fit, probabilities, scaled
from warehouse_classifier.evaluation.thresholds import match_upto, mismatch_above
from warehouse_classifier.models.folder import BELONGS, hashes
from warehouse_classifier.models.registry import NETWORKS
from warehouse_classifier.runtime.errors import UserError

FILE = "calibration.json"
VERSION: Literal[1] = 1  # of the file; another one means something else


class Calibrated(BaseModel):
    """What is known of one counter."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    temperature: float = Field(ge=math.exp(-STEEPEST), le=math.exp(STEEPEST))
    match: float = Field(ge=-1, le=1)  # the largest doubt that is none; -1 where every doubt is one
    mismatch: float = Field(ge=0, le=1)  # the largest doubt that is no alarm

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.match > self.mismatch:
            raise ValueError("match must not be above mismatch")
        return self


class OperatingPoint(BaseModel):
    """What the networks were evaluated on, and what the thresholds were chosen for."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    quantities: list[int] = Field(min_length=2)  # as the networks tell them apart, in ascending order
    side: int = Field(gt=0)  # pixels of the images that the networks know
    quality: int = Field(ge=1, le=95)  # of the JPEGs that they were made into
    precision: Literal["fp32", "tf32", "bf16"]
    false_alarms: float = Field(gt=0, lt=1)  # share of right expectations that may be called a mismatch
    misses: float = Field(gt=0, lt=1)  # share of expectations wrong by one item that may be called a match

    @field_validator("quantities")
    @classmethod
    def _ascend(cls, quantities: list[int]) -> list[int]:
        if quantities != sorted(set(quantities)):
            raise ValueError("quantities must ascend")
        return quantities


class Calibration(OperatingPoint):
    version: Literal[1]
    counters: dict[str, Calibrated]
    sha256: dict[str, dict[str, str]]  # of each network's files: what all this belongs to

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.counters.keys() != COUNTERS.keys():
            raise ValueError(f"counters must be {', '.join(COUNTERS)}")
        if any(self.sha256.get(network, {}).keys() != {*BELONGS} for network in NETWORKS):
            raise ValueError(f"sha256 must name {' and '.join(BELONGS)} of each network")
        return self

    @property
    def temperatures(self) -> dict[str, float]:
        """By counter."""
        return {name: counted.temperature for name, counted in self.counters.items()}

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(self.model_dump(), indent=2, sort_keys=True) + "\n", encoding="utf-8")


def load(models: Path) -> Calibration:
    """The calibration of a models folder. Raises UserError if there is none, or one that this program cannot read."""
    path = models / FILE
    try:
        body = json.loads(path.read_bytes())
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror}); `dvc pull` brings trained models, `dvc repro` makes them"
        ) from None
    except ValueError:
        raise UserError(f"{path} is not JSON; `dvc checkout {path}` brings it back") from None
    version = body.get("version") if isinstance(body, dict) else None
    if version != VERSION:
        raise UserError(
            f"{path} is of version {version}, this program reads {VERSION}; `dvc repro evaluate` makes it anew"
        )
    try:
        return Calibration.model_validate(body)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise UserError(
            f"{path}: {where}: {first['msg'].lower()}; `dvc checkout {path}` brings it back, `dvc repro evaluate`"
            " makes it anew"
        ) from None


def verify(calibration: Calibration, network: str, folder: Path) -> None:
    """Raises UserError unless `folder` holds the very network that was calibrated."""
    try:
        found = hashes(folder)
    except OSError as error:
        raise UserError(
            f"{folder} holds no trained {NETWORKS[network].title} ({error.strerror}: {error.filename}); `dvc pull` brings"
            f" it, `dvc repro train_{network}` makes it"
        ) from None
    for name in BELONGS:
        if found[name] != calibration.sha256[network][name]:
            raise UserError(
                f"{folder / name} is not the one that {FILE} belongs to (another SHA-256); `dvc checkout {folder.parent}`"
                " brings both back, `dvc repro evaluate` calibrates what is there"
            )


def calibrate(
    logits: Mapping[str, Floats], quantity: npt.NDArray[np.int64], promise: OperatingPoint, folders: Mapping[str, Path]
) -> Calibration:
    """Temperatures and thresholds from what the networks of `folders` say of images that they did not learn from.

    `quantity`: what each image holds.
    """
    labels = QuantityEncoder(promise.quantities)
    temperatures = {network: fit(of, labels.encode(quantity)) for network, of in logits.items()}
    said = {network: scaled(of, temperatures[network]) for network, of in logits.items()}
    temperatures[AVERAGE] = fit(averaged(said), labels.encode(quantity))
    right = right_of(labels.quantities, quantity)
    wrong = wrong_of(labels.quantities, quantity, "one_off")
    counters = {}
    for who, of in probabilities(logits, temperatures).items():
        doubts = 1 - of
        mismatch = mismatch_above(doubts[right], promise.false_alarms)
        match = min(mismatch, match_upto(doubts, right, wrong, promise.misses))
        counters[who] = Calibrated(temperature=temperatures[who], match=match, mismatch=mismatch)
    known = promise.model_dump()
    found = {network: hashes(folder) for network, folder in folders.items()}
    return Calibration(version=VERSION, counters=counters, sha256=found, **known)
