"""What the lists of many bins say of how these should look, read from metadata.parquet."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from warehouse_classifier.bins.sizes import SIDES, attributes
from warehouse_classifier.runtime.errors import UserError

COLUMNS = ["id", *(f"items.list.element.{name}" for name in ("quantity", *SIDES, "weight"))]


def read(metadata: Path, ids: list[str]) -> npt.NDArray[np.float64]:
    """ATTRIBUTES (sizes.py) of each of `ids`, in their order, [bins, attributes]. Raises UserError if the table is missing or lacks a bin."""
    if not metadata.exists():
        raise UserError(f"{metadata} is missing; `dvc repro fetch_metadata` makes it")
    with pq.ParquetFile(metadata) as file:
        table = file.read(COLUMNS)
    wanted = table.filter(pc.is_in(table["id"], pa.array(ids, pa.string())))
    lists = {row["id"]: attributes(row["items"] or []) for row in wanted.to_pylist()}
    if missing := next((id for id in ids if id not in lists), None):
        raise UserError(f"{metadata} does not know bin {missing}; `dvc repro` makes it and the images agree")
    return np.array([lists[id] for id in ids])
