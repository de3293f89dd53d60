"""calibration.json of a models folder: temperatures, and the doubts from which on somebody should look.

A doubt is 1 minus the probability of the quantity that the inventory expects: how sure a counter is that photo and inventory
disagree.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from warehouse_classifier.dataset.labels import QuantityEncoder
from warehouse_classifier.evaluation.arrays import Floats, Ints
from warehouse_classifier.evaluation.counters import AVERAGE, COUNTERS
from warehouse_classifier.evaluation.learned_from import LearnedFrom
from warehouse_classifier.evaluation.mismatches.expectations import right_mask, wrong_mask
from warehouse_classifier.evaluation.temperature import STEEPEST, averaged, fit, probabilities, scaled
from warehouse_classifier.evaluation.thresholds import match_threshold, mismatch_threshold
from warehouse_classifier.models.folder import BELONGS, hashes
from warehouse_classifier.models.registry import NETWORKS
from warehouse_classifier.runtime.errors import UserError

FILE = "calibration.json"
VERSION: Literal[3] = 3  # of the file; another one means something else
STRICT = ConfigDict(strict=True, frozen=True, extra="forbid")


class Calibrated(BaseModel):
    """One counter's temperature, and its thresholds on doubts (judge in thresholds.py)."""

    model_config = STRICT

    temperature: float = Field(ge=math.exp(-STEEPEST), le=math.exp(STEEPEST))
    match: float = Field(ge=-1, le=1)  # the largest doubt that is a match; -1 where none is
    mismatch: float = Field(ge=0, le=1)  # the largest doubt that is no mismatch

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.match > self.mismatch:
            raise ValueError("match must not be above mismatch")
        return self


class OperatingPoint(BaseModel):
    """The images that networks were evaluated on, and the errors that the thresholds may make."""

    model_config = STRICT

    quantities: list[int] = Field(min_length=2)  # the networks' classes, in ascending order
    side: int = Field(gt=0)  # pixels of the images
    quality: int = Field(ge=1, le=95)  # of the JPEGs that they were made into
    precision: Literal["fp32", "tf32", "bf16"]
    mirror: bool  # whether each image was also seen in a mirror
    false_alarms: float = Field(gt=0, lt=1)  # share of right expectations that may be called a mismatch
    misses: float = Field(gt=0, lt=1)  # share of expectations wrong by one item that may be called a match

    @field_validator("quantities")
    @classmethod
    def _ascend(cls, quantities: list[int]) -> list[int]:
        if quantities != sorted(set(quantities)):
            raise ValueError("quantities must ascend")
        return quantities


class Calibration(OperatingPoint):
    """All of calibration.json."""

    version: Literal[3]
    learned_from: LearnedFrom
    counters: dict[str, Calibrated]
    sha256: dict[str, dict[str, str]]  # by network and by file of its folder: the calibration holds for these alone

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
        return {counter: calibrated.temperature for counter, calibrated in self.counters.items()}

    def write(self, path: Path) -> None:
        """As JSON, the same bytes for the same calibration."""
        path.write_text(json.dumps(self.model_dump(), indent=2, sort_keys=True) + "\n", encoding="utf-8")


def load(models: Path) -> Calibration:
    """The calibration of a models folder. Raises UserError if there is none, or one that this program cannot read."""
    path = models / FILE
    try:
        tree = json.loads(path.read_bytes())
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror}); `dvc pull` brings trained models, `dvc repro` makes them"
        ) from None
    except ValueError:
        raise UserError(f"{path} is not JSON; `dvc checkout {path}` brings it back") from None
    version = tree.get("version") if isinstance(tree, dict) else None
    if version != VERSION:
        raise UserError(
            f"{path} is of version {version}, this program reads {VERSION}; `dvc repro evaluate` makes it anew"
        )
    try:
        return Calibration.model_validate(tree)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"])) or "the whole"
        raise UserError(
            f"{path}: {key}: {first['msg'].lower()}; `dvc checkout {path}` brings it back, `dvc repro evaluate`"
            " makes it anew"
        ) from None


def verify(calibration: Calibration, network: str, folder: Path) -> None:
    """Raises UserError unless `folder` holds the very network that was calibrated."""
    try:
        actual = hashes(folder)
    except OSError as error:
        raise UserError(
            f"{folder} holds no trained {NETWORKS[network].title} ({error.strerror}: {error.filename}); `dvc pull` brings"
            f" it, `dvc repro train_{network}` makes it"
        ) from None
    for name in BELONGS:
        if actual[name] != calibration.sha256[network][name]:
            raise UserError(
                f"{folder / name} is not the one that {FILE} belongs to (another SHA-256); `dvc checkout {folder.parent}`"
                " brings both back, `dvc repro evaluate` calibrates what is there"
            )


def calibrate(
    logits: Mapping[str, Floats],
    quantity: Ints,
    operating_point: OperatingPoint,
    learned_from: LearnedFrom,
    folders: Mapping[str, Path],
) -> Calibration:
    """Temperatures and thresholds on images that no network learned from.

    `logits`, by network, are [images, quantities], `quantity`, [images], is what each image holds, and `folders` hold the
    networks. Raises ValueError for a quantity that the networks do not know.
    """
    encoder = QuantityEncoder(operating_point.quantities)
    label = encoder.encode(quantity)
    temperatures = {network: fit(values, label) for network, values in logits.items()}
    networks = {network: scaled(values, temperatures[network]) for network, values in logits.items()}
    temperatures[AVERAGE] = fit(averaged(networks), label)
    right = right_mask(encoder.quantities, quantity)
    wrong = wrong_mask(encoder.quantities, quantity, "one_off")
    counters = {}
    for counter, shares in probabilities(logits, temperatures).items():
        doubts = 1 - shares
        mismatch = mismatch_threshold(doubts[right], operating_point.false_alarms)
        match = min(mismatch, match_threshold(doubts, right, wrong, operating_point.misses))
        counters[counter] = Calibrated(temperature=temperatures[counter], match=match, mismatch=mismatch)
    sha256 = {network: hashes(folder) for network, folder in folders.items()}
    return Calibration(
        version=VERSION, learned_from=learned_from, counters=counters, sha256=sha256, **operating_point.model_dump()
    )
