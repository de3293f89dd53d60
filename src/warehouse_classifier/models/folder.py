"""history.csv: how a training went, one row an epoch, for the report and `dvc plots`."""

from pathlib import Path
from typing import Any

import pandas as pd

FILE = "history.csv"


def write(rows: list[dict[str, Any]], folder: Path) -> None:
    pd.DataFrame(rows).to_csv(folder / FILE, index=False, lineterminator="\n")
