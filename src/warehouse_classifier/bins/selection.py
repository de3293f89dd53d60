"""selection.csv: which bins are used, and on which side of the split each one is."""

from pathlib import Path

import pandas as pd

from warehouse_classifier.runtime.errors import UserError
from warehouse_classifier.runtime.files import replacing

COLUMNS = {
    "id": "string",
    "quantity": "int64",
    "split": "string",
    "group": "string",  # bins of one group may show the same items; named after its first id
    "image_bytes": "Int64",  # as listed, empty where the listing does not tell
    "image_etag": "string",
}


def write(selection: pd.DataFrame, path: Path) -> None:
    """Write the rows in the order of ids; `selection` has at least COLUMNS."""
    with replacing(path) as half:
        selection[list(COLUMNS)].sort_values("id").to_csv(half, index=False, lineterminator="\n")


def read(path: Path) -> pd.DataFrame:
    """COLUMNS, a row for each bin. Raises UserError if the file is missing or no selection."""
    try:
        empty = {"image_bytes": "", "image_etag": ""}
        return pd.read_csv(path, dtype=COLUMNS, usecols=list(COLUMNS), keep_default_na=False, na_values=empty)
    except FileNotFoundError:
        raise UserError(f"{path} is missing; `dvc repro select_images` makes it") from None
    except ValueError as error:
        raise UserError(f"{path} is no selection; `dvc repro -f select_images` makes it anew ({error})") from None
