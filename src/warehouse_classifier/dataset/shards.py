"""images/: JPEGs packed into a few large files, and an index that says where each one lies.

One file an image would cost a DVC remote hours where a few dozen files cost minutes.
"""

import hashlib
import shutil
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from warehouse_classifier.dataset.photo import OURS, Pixels, decode, decode_into
from warehouse_classifier.runtime.errors import UserError
from warehouse_classifier.work.parallel import ordered_map

INDEX, REJECTED = "index.parquet", "rejected.csv"
COLUMNS = ["id", "quantity", "split", "group", "shard", "offset", "length", "sha256"]


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


class Shards:
    """Random access to the packed images of a folder, for many threads at once.

    `index`: one row an image in the order of ids: id, quantity, split, group, shard, offset, length, sha256.
    """

    def __init__(self, folder: Path) -> None:
        """Raises UserError if the folder is not whole."""
        self.folder = folder
        try:
            self.index = pd.read_parquet(folder / INDEX, columns=COLUMNS)
        except (OSError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise UserError(f"{folder / INDEX} cannot be read; `dvc repro resize_images` makes it ({reason})") from None
        self._offset = self.index["offset"].to_numpy()
        self._length = self.index["length"].to_numpy()
        self._shard = self.index["shard"].to_numpy()
        self._sha256 = self.index["sha256"].to_numpy()
        # in Python's integers, of which no sum of nonsense runs over
        ends = pd.Series(self._offset, dtype=object) + pd.Series(self._length, dtype=object)
        for row in np.flatnonzero((self._offset < 0) | (self._length < 1)):
            raise UserError(
                f"{folder / INDEX} places image {self.index['id'].iloc[row]} at {self._offset[row]},"
                f" {self._length[row]} bytes long; run `dvc checkout {folder}`"
            )
        self._bytes = {}
        for name, end in ends.groupby(self._shard).max().items():
            path = folder / str(name)
            size = path.stat().st_size if path.exists() else 0
            if size != end:
                raise UserError(f"{path} has {size} bytes, the index says {end}; run `dvc checkout {folder}`")
            # mapped, not read: the system keeps what is used often, and threads need no file position of their own
            self._bytes[str(name)] = np.memmap(path, np.uint8, "r").data

    def verify(self, workers: int) -> None:
        """Hold every image against its SHA-256 in the index. Raises UserError for the first one that differs."""
        parts = np.array_split(np.arange(len(self.index)), -(-len(self.index) // 256) or 1)
        with ThreadPoolExecutor(workers) as pool:
            for _, wrong in ordered_map(pool, self._wrong, parts, 4 * workers):
                if wrong is not None:
                    facts = self.index.iloc[wrong]
                    raise UserError(
                        f"{self.folder / facts['shard']}: image {facts['id']} is not the one in the index (another"
                        f" SHA-256); run `dvc checkout {self.folder}`, or `dvc repro -f resize_images` to make it again"
                    )

    def rows(self, split: str, *beside: str) -> npt.NDArray[np.int64]:
        """Row numbers of one split, and of others that may be empty, in the order of ids. Raises UserError if the first has none."""
        splits = self.index["split"]
        if not (splits == split).any():
            raise UserError(f"{self.folder} holds no {split} image; look at selection.csv and {self.folder / REJECTED}")
        return np.flatnonzero(splits.isin((split, *beside)).to_numpy())

    @cached_property
    def side(self) -> int:
        """Pixels a side of every image, as the first one has it. Raises UserError if that one is damaged."""
        try:
            return len(decode(self.jpeg(0), OURS))
        except ValueError as error:
            raise self._fault(0, error) from None

    def read_into(self, row: int, out: Pixels) -> None:
        """The RGB pixels of one image into `out` [side, side, 3]. Raises UserError if it is damaged or of another size."""
        try:
            decode_into(self.jpeg(row), out)
        except ValueError as error:
            raise self._fault(row, error) from None

    def pixels(self, row: int) -> Pixels:
        """The RGB pixels of one image, [side, side, 3]. Raises UserError as read_into does."""
        out = np.empty((self.side, self.side, 3), np.uint8)
        self.read_into(row, out)
        return out

    def jpeg(self, row: int) -> bytes:
        """The JPEG of a row, as it was packed."""
        return bytes(self._view(row))

    def _view(self, row: int) -> memoryview:
        start = self._offset[row]
        return self._bytes[self._shard[row]][start : start + self._length[row]]

    def _wrong(self, rows: npt.NDArray[np.int64]) -> int | None:
        """The first of `rows` whose image is not what the index says."""
        return next(
            (int(row) for row in rows if hashlib.sha256(self._view(row)).hexdigest() != self._sha256[row]), None
        )

    def _fault(self, row: int, error: ValueError) -> UserError:
        id = self.index["id"].iloc[row]
        return UserError(f"{self.folder}: image {id} {error}; `dvc repro -f resize_images` makes it again")
