"""What lies in the folder of a trained verifier: its numbers, which networks it belongs to, and what usual photos look like."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from warehouse_classifier.bins.sizes import ATTRIBUTES
from warehouse_classifier.evaluation.thresholds import Limits
from warehouse_classifier.models.folder import BELONGS, CONFIG, WEIGHTS, hashes
from warehouse_classifier.models.registry import NETWORKS
from warehouse_classifier.runtime.errors import UserError
from warehouse_classifier.verifier.evidence import Spread
from warehouse_classifier.verifier.heads import Heads
from warehouse_classifier.verifier.outliers import OutlierDetector
from warehouse_classifier.verifier.verifier import Verifier

NUMBERS = ("bias", "volume_low", "volume_high")  # of a Verifier, in CONFIG
LIMITS = ("of_list", "of_record", "other_list", "other_record")  # the same
OUTLIER_ARRAYS, OUTLIER_NUMBERS = ("middle", "spread", "precision", "weights"), ("farthest", "likest")
DAMAGED = (OSError, ValueError, KeyError, TypeError, SafetensorError)  # what reading a folder may raise
VERSION = 3  # of the folder; another one means something else


def save(
    verifier: Verifier, detector: OutlierDetector, networks: Mapping[str, Path], folder: Path, *, mirror: bool
) -> None:
    """The same bytes for the same verifier. `networks`: the folder of each network that it sees with; `mirror`: whether features were
    the mean of both views."""
    arrays = {
        "heads.weights": verifier.heads.weights,
        "heads.bias": verifier.heads.bias,
        "lists.middle": verifier.middle,
        "lists.spread": verifier.spread,
        "scatter.apart": verifier.scatter.apart,
        "scatter.usual": verifier.scatter.usual,
        "evidence.weights": verifier.weights,
        "change.direction": verifier.direction,
        **{f"outliers.{name}": getattr(detector, name) for name in OUTLIER_ARRAYS},
    }
    save_file({name: np.ascontiguousarray(values) for name, values in arrays.items()}, folder / WEIGHTS)
    facts = {
        "version": VERSION,
        "mirror": mirror,
        "attributes": ATTRIBUTES,
        "most": verifier.most,
        "counted": list(verifier.counted),
        **{name: getattr(verifier, name) for name in NUMBERS},
        **{name: asdict(getattr(verifier, name)) for name in LIMITS},
        "outliers": {name: getattr(detector, name) for name in OUTLIER_NUMBERS},
        "sha256": {network: hashes(where) for network, where in networks.items()},
    }
    (folder / CONFIG).write_text(json.dumps(facts, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def load(folder: Path, networks: Mapping[str, Path], *, mirror: bool) -> Verifier:
    """The verifier of `folder`, for the networks that it was trained with, by their folders, and for photos seen as it saw them.

    Raises UserError if there is none, one of another version, of other networks, or of photos that were seen otherwise.
    """
    try:
        facts, arrays = _read(folder)
        numbers = {name: float(facts[name]) for name in NUMBERS}
        limits = {name: Limits(float(facts[name]["match"]), float(facts[name]["mismatch"])) for name in LIMITS}
        verifier = Verifier(
            heads=Heads(arrays["heads.weights"], arrays["heads.bias"]),
            middle=arrays["lists.middle"],
            spread=arrays["lists.spread"],
            scatter=Spread(arrays["scatter.apart"], arrays["scatter.usual"]),
            weights=arrays["evidence.weights"],
            direction=arrays["change.direction"],
            most=int(facts["most"]),
            counted=_range(facts["counted"]),
            **numbers, **limits,  # type: ignore[arg-type]
        )  # fmt: skip
        expected = {network: {name: facts["sha256"][network][name] for name in BELONGS} for network in networks}
    except DAMAGED as error:
        raise _none(folder, error) from None
    for network, where in networks.items():
        if hashes(where) != expected[network]:
            raise UserError(
                f"{folder} was trained with another {NETWORKS[network].title} than the one in {where};"
                " `dvc checkout` brings both back, `dvc repro train_verifier` trains it anew"
            )
    if facts.get("mirror") != mirror:
        raise UserError(
            f"{folder} was trained with mirror: {str(not mirror).lower()}, and evaluate has mirror: {str(mirror).lower()};"
            " give train_verifier and evaluate the same in params.yaml"
        )
    return verifier


def load_outliers(folder: Path) -> OutlierDetector:
    """What usual photos look like, whichever networks see them. Raises UserError if the folder holds no trained verifier."""
    try:
        facts, arrays = _read(folder)
        middle, spread, precision, weights = (arrays[f"outliers.{name}"] for name in OUTLIER_ARRAYS)
        farthest, likest = (float(facts["outliers"][name]) for name in OUTLIER_NUMBERS)
        return OutlierDetector(middle, spread, precision, weights, farthest, likest)
    except DAMAGED as error:
        raise _none(folder, error) from None


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, npt.NDArray[np.float64]]]:
    """Raises one of DAMAGED."""
    facts, arrays = json.loads((folder / CONFIG).read_bytes()), load_file(folder / WEIGHTS)
    if facts["version"] != VERSION or tuple(facts["attributes"]) != ATTRIBUTES:
        raise ValueError(f"it is of version {facts['version']}, this program reads {VERSION}")
    return facts, arrays


def _range(numbers: Any) -> tuple[int, int]:
    first, last = map(int, numbers)
    return first, last


def _none(folder: Path, error: Exception) -> UserError:
    reason = " ".join(str(error).split())[:200]
    return UserError(f"{folder} holds no trained verifier ({reason}); `dvc repro train_verifier` makes it")
