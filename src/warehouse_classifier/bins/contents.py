"""What a bin holds beside how many, by what the inventory says of its items: which, how full it is, and how cluttered."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from warehouse_classifier.bins import sizes
from warehouse_classifier.runtime.errors import UserError

UNKNOWN = "not known"
LITRES = 0.016387064  # of a cubic inch
COLUMNS = [
    "id",
    *(f"items.list.element.{name}" for name in ("asin", "quantity", "height", "length", "width", "weight", "name")),
]


def read(metadata: Path, ids: list[str]) -> pd.DataFrame:
    """One row for each of `ids`, in their order: items, litres (of all as boxes, NaN where a size is not known) and kinds.

    `items`: of each different one a mapping with asin, name and quantity. `kinds`: how many different ones there are. Raises
    UserError if the table is missing or lacks a bin.
    """
    if not metadata.exists():
        raise UserError(f"{metadata} is missing; `dvc repro fetch_metadata` makes it")
    with pq.ParquetFile(metadata) as file:
        table = file.read(COLUMNS)
    wanted = table.filter(pc.is_in(table["id"], pa.array(ids, pa.string())))
    rows = {row["id"]: row["items"] for row in wanted.to_pylist()}
    if missing := next((id for id in ids if id not in rows), None):
        raise UserError(f"{metadata} does not know bin {missing}; `dvc repro` makes it and the images agree")
    items = [rows[id] or [] for id in ids]
    return pd.DataFrame({"items": items, "litres": list(map(_litres, items)), "kinds": list(map(len, items))})


def articles(ids: list[str], inside: pd.DataFrame) -> dict[str, tuple[str, ...]]:
    """The asins in each bin, by id. `inside`: see read."""
    return {id: tuple(item["asin"] for item in items) for id, items in zip(ids, inside["items"], strict=True)}


def listed(inside: pd.DataFrame) -> npt.NDArray[np.int64]:
    """What the items of each bin add up to: not its quantity, where the inventory is at odds with itself."""
    return np.array([sum(item["quantity"] for item in items) for items in inside["items"]], dtype=np.int64)


def attributes(inside: pd.DataFrame) -> npt.NDArray[np.float64]:
    """ATTRIBUTES of each bin's list, [bins, attributes], see sizes.py."""
    return np.array([sizes.attributes(items) for items in inside["items"]]).reshape(len(inside), -1)


def quarters(litres: pd.Series) -> pd.Series:
    """Which quarter each bin is of, in words and in their order; bins whose volume is not known are a group of their own."""
    edges = [_shown(edge) for edge in np.nanquantile(litres, [0.25, 0.5, 0.75])] if litres.notna().any() else ["0"] * 3
    words = [f"up to {edges[0]} l", f"{edges[0]} to {edges[1]} l", f"{edges[1]} to {edges[2]} l", f"above {edges[2]} l"]
    # by the edges as they are shown, so that every bin lies where the words put it
    place = np.searchsorted([float(edge) for edge in edges], litres.to_numpy(), side="left")
    quarter = [UNKNOWN if np.isnan(volume) else words[at] for volume, at in zip(litres, place, strict=True)]
    return pd.Series(pd.Categorical(quarter, categories=list(dict.fromkeys([*words, UNKNOWN])), ordered=True))


def _shown(litres: float) -> str:
    return f"{litres:.2g}" if litres < 10 else f"{litres:.0f}"


def _litres(items: list[dict[str, Any]]) -> float:
    total = 0.0
    for item in items:
        sizes = [item[name] for name in ("quantity", "height", "length", "width")]
        if any(size is None for size in sizes):
            return float("nan")
        total += float(np.prod(sizes))
    return total * LITRES
