"""The tables that the report shows beside its own figures: how networks learned, and what others have published."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from warehouse_classifier.models import folder
from warehouse_classifier.runtime.errors import UserError

HISTORY = ("epoch", "train_loss", "validation_loss", "validation_accuracy")
PUBLISHED = ("quantities", "model", "trained_on", "result")


def histories(folders: Mapping[str, Path]) -> dict[str, pd.DataFrame]:
    """A row for each epoch, by network. Raises UserError where one is missing or something else."""
    return {network: table(place / folder.HISTORY, HISTORY) for network, place in folders.items()}


def published(path: Path) -> pd.DataFrame:
    """A row for each result. Raises UserError where the file is missing or something else."""
    return table(path, PUBLISHED)


def table(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """A CSV with at least these columns. Raises UserError where it is missing or something else."""
    try:
        frame = pd.read_csv(path)
    except FileNotFoundError:
        raise UserError(
            f"{path} is missing; `dvc repro` makes it, or `git checkout {path}` where git tracks it"
        ) from None
    except ValueError as error:  # not CSV, empty, or not UTF-8
        raise UserError(f"{path} is not a CSV: {' '.join(str(error).split())}") from None
    if missing := [column for column in columns if column not in frame]:
        raise UserError(f"{path} lacks the column {', '.join(missing)}")
    return frame
