"""Pack images into shards and index them, and join what several runs have packed."""

import hashlib
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from warehouse_classifier.dataset.shards import COLUMNS, INDEX


def shard_of(id: str) -> str:
    """The shard an id belongs to: all of an id but its last four characters, so one shard holds up to 10,000 bins.

    It depends on the id alone. A rerun with a few more images changes few shards.
    """
    return f"shard-{id[:-4]}.bin" if len(id) > 4 else "shard.bin"


def write(folder: Path, images: Iterable[tuple[dict[str, Any], bytes]]) -> None:
    """Pack (facts, JPEG) in the order of (shard, id) and index them.

    `facts`: id, quantity, split, group. The folder must exist.
    """
    rows = []
    open_name, offset = "", 0
    file = None
    try:
        for facts, jpeg in images:
            name = shard_of(facts["id"])
            if name != open_name:
                if file is not None:
                    file.close()
                file, open_name, offset = (folder / name).open("xb"), name, 0
            assert file is not None
            file.write(jpeg)
            place = {"shard": name, "offset": offset, "length": len(jpeg), "sha256": hashlib.sha256(jpeg).hexdigest()}
            rows.append({**facts, **place})
            offset += len(jpeg)
    finally:
        if file is not None:
            file.close()
    pd.DataFrame(rows, columns=COLUMNS).sort_values("id").to_parquet(folder / INDEX, index=False)


def join(parts: Iterable[Path], folder: Path) -> int:
    """Put folders that `write` has left, each of shards of its own, together in `folder`; returns how many images."""
    indexes = []
    for part in parts:
        indexes.append(pd.read_parquet(part / INDEX))
        for file in part.glob("*.bin"):
            shutil.copyfile(file, folder / file.name)
    # what holds no image has no types either, and would spoil the others'
    rows = pd.concat([index for index in indexes if len(index)] or [pd.DataFrame(columns=COLUMNS)])
    rows.sort_values("id").to_parquet(folder / INDEX, index=False)
    return len(rows)
