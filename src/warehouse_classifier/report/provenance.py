"""What the report was made from, in words and hashes: nothing of when, where or how fast."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from warehouse_classifier.dataset.shards import INDEX
from warehouse_classifier.models.folder import WEIGHTS
from warehouse_classifier.models.registry import NETWORKS
from warehouse_classifier.runtime.files import sha256
from warehouse_classifier.runtime.params import DATA, TOP


def provenance(params: Mapping[str, Any], images: Path, metadata: Path, folders: Mapping[str, Path]) -> dict[str, str]:
    """What the figures depend on. `folders`: of the networks, by key."""
    return {
        "Images": f"{params['side']} pixels a side, JPEGs of quality {params['quality']}",
        "Bootstrap": f"{params['resamples']:,} draws of whole groups, seed {params['seed']}",
        "SHA-256 of the metadata": sha256(metadata),
        "SHA-256 of the image index": sha256(images / INDEX),
        **{f"SHA-256 of {NETWORKS[key].title}’s weights": sha256(folder / WEIGHTS) for key, folder in folders.items()},
    }


def parameters(params: Mapping[str, Any], section: str) -> dict[str, str]:
    """Values as JSON by the keys of params.yaml, but for the scale. Not the bucket, which may tell of the machine."""
    return {_key(name, section): json.dumps(value) for name, value in params.items() if name != "bucket"}


def _key(name: str, section: str) -> str:
    return name if name in TOP else f"data.{name}" if name in DATA else f"{section}.{name}"
