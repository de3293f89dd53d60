"""What lies in the folder of a trained network: its weights, its configuration, and how its training went."""

from pathlib import Path
from typing import Any

import pandas as pd

from warehouse_classifier.runtime.files import sha256

HISTORY = "history.csv"  # one row an epoch, for the report and `dvc plots`
CONFIG, WEIGHTS = "config.json", "model.safetensors"
BELONGS = (CONFIG, WEIGHTS)  # what the network's answers depend on


def write(rows: list[dict[str, Any]], folder: Path) -> None:
    """history.csv from a row for each epoch."""
    pd.DataFrame(rows).to_csv(folder / HISTORY, index=False, lineterminator="\n")


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of the files that a network's answers depend on. Raises OSError if one is missing."""
    return {name: sha256(folder / name) for name in BELONGS}
