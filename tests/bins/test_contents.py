"""How full a bin is and how many different items it holds, from the table of the metadata."""

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from warehouse_classifier.bins import contents
from warehouse_classifier.bins.metadata import PAIRS
from warehouse_classifier.runtime.errors import UserError


def item(quantity: int, *sizes: float | None) -> dict[str, Any]:
    measures = dict(zip(("height", "length", "width"), sizes, strict=True))
    return {"asin": "A", "quantity": quantity, "weight": None, "name": None, **measures}


@pytest.fixture
def metadata(tmp_path: Path) -> Path:
    bins = {
        "1": [item(2, 10.0, 10.0, 10.0), item(1, 1.0, 2.0, 3.0)],
        "00001": [item(3, 1.0, 1.0, 1.0)],
        "00002": [item(1, 1.0, None, 1.0), item(1, 1.0, 1.0, 1.0)],
        "00003": [],
    }
    path = tmp_path / "metadata.parquet"
    pq.write_table(pa.Table.from_pylist([{"id": id, "items": items} for id, items in bins.items()], PAIRS), path)
    return path


def test_litres_and_kinds_in_the_order_asked_for(metadata: Path) -> None:
    rows = contents.read(metadata, ["00003", "1", "00002", "00001"])
    assert rows["kinds"].tolist() == [0, 2, 2, 1]
    assert rows["litres"].tolist() == pytest.approx([0, 2006 * 0.016387064, float("nan"), 3 * 0.016387064], nan_ok=True)


def test_a_bin_that_nobody_knows_is_told(metadata: Path) -> None:
    with pytest.raises(UserError, match="does not know bin 00009"):
        contents.read(metadata, ["1", "00009"])
    with pytest.raises(UserError, match="is missing; `dvc repro fetch_metadata`"):
        contents.read(metadata.with_name("none"), ["1"])


def test_quarters_are_where_their_words_say() -> None:
    litres = pd.Series([*range(1, 101), float("nan")], dtype=float)
    quarter = contents.quarters(litres)
    assert [*quarter.cat.categories] == ["up to 26 l", "26 to 50 l", "50 to 75 l", "above 75 l", "not known"]
    counts = quarter.value_counts()
    assert counts["not known"] == 1
    assert counts.drop("not known").tolist() == pytest.approx([25] * 4, abs=1)
    assert quarter[25] == "up to 26 l"
    assert quarter[26] == "26 to 50 l"
    assert contents.quarters(pd.Series([float("nan")] * 2)).tolist() == ["not known"] * 2
    large = contents.quarters(pd.Series([50.0, 99.6, 120.0, 1280.0]))
    assert large.cat.categories[1:3].tolist() == ["87 to 110 l", "110 to 410 l"]
    assert contents.quarters(pd.Series([3.0] * 5)).tolist() == ["up to 3 l"] * 5
