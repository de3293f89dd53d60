"""List the bucket, pair every photo with its metadata, and read all metadata into one table.

bucket -> metadata.parquet, unreadable.parquet
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import Field

from warehouse_classifier import bucket as buckets
from warehouse_classifier.bucket import METADATA, PHOTOS, Body, Bucket, Entry, Unreadable, id_of
from warehouse_classifier.fault import Fault
from warehouse_classifier.files import replacing
from warehouse_classifier.metadata import PAIRS, UNREADABLE, parse
from warehouse_classifier.params import Params
from warehouse_classifier.watch import Watch
from warehouse_classifier.work import in_progress


class FetchMetadata(Params):
    bucket: str
    max_pairs: int | None = Field(ge=1)  # the first so many in the order of ids; null takes all
    concurrency: int = Field(ge=1, le=1024)  # objects asked for at once
    part: int = Field(ge=1)  # pairs that are kept together when the stage is killed


def fetch_metadata(params: FetchMetadata, table: Path, unreadable: Path, *, watch: Watch) -> None:
    bucket = buckets.open_bucket(params.bucket)
    with in_progress("fetch_metadata", params.model_dump()) as work:
        pairs, unpaired = list_pairs(bucket, params.max_pairs, watch)
        if not pairs:
            raise Fault(
                f"bucket {params.bucket} holds no pair of {METADATA}/<id>.json and {PHOTOS}/<id>.jpg; check its name"
            )
        parts = [pairs[start : start + params.part] for start in range(0, len(pairs), params.part)]
        with watch.bar("fetch_metadata", len(pairs), "pair") as bar:
            for number, part in enumerate(parts):
                file = work / f"part-{number:05}.parquet"
                if not _is_of(file, part):
                    with replacing(file) as half:
                        pq.write_table(pa.Table.from_pylist(list(_read(bucket, part, params.concurrency)), PART), half)
                bar.advance(len(part))
        files = [work / f"part-{number:05}.parquet" for number in range(len(parts))]
        read, bad = _join(files, unpaired, table, unreadable)
    watch.measure(pairs=read, unreadable=bad)
    watch.say(f"{read} pairs, {bad} that cannot be used (see {unreadable})")


def list_pairs(
    bucket: Bucket, max_pairs: int | None, watch: Watch
) -> tuple[list[tuple[str, Entry, Entry]], list[dict[str, Any]]]:
    """(id, metadata, photo) in the order of ids, and rows of UNREADABLE for what has no partner.

    Both folders are walked side by side and no further than `max_pairs` needs.
    """
    pairs: list[tuple[str, Entry, Entry]] = []
    unpaired: list[dict[str, Any]] = []
    with watch.bar("list the bucket", max_pairs, "pair") as bar:
        for id, metadata, photo in _side_by_side(bucket.list(METADATA), bucket.list(PHOTOS)):
            if metadata and photo and id is not None:
                pairs.append((id, metadata, photo))
                bar.advance()
            elif metadata:
                unpaired.append({"id": id, "key": metadata.key, "reason": "has no photo" if id else "is no <id>.json"})
            elif photo:
                unpaired.append({"id": id, "key": photo.key, "reason": "has no metadata" if id else "is no <id>.jpg"})
            if len(pairs) == max_pairs:
                break
    return pairs, unpaired


# ---- thoughts

PART = pa.schema([*PAIRS, ("key", pa.string()), ("reason", pa.string())])  # a pair that was read, or why it was not


def _side_by_side(
    metadata: Iterator[Entry], photos: Iterator[Entry]
) -> Iterator[tuple[str | None, Entry | None, Entry | None]]:
    """Merge two listings, each in the order of its keys. What is no key of the layout comes with id None."""
    left, right = next(metadata, None), next(photos, None)
    while left or right:
        # <id>.json and <id>.jpg sort alike by their stem with the dot, and by nothing shorter ("1." < "10.")
        a, b = _stem(left), _stem(right)
        if left and right and a == b and id_of(left.key) and id_of(right.key):
            yield id_of(left.key), left, right
            left, right = next(metadata, None), next(photos, None)
        elif left and (right is None or a <= b):
            yield id_of(left.key), left, None
            left = next(metadata, None)
        elif right:
            yield id_of(right.key), None, right
            right = next(photos, None)


def _stem(entry: Entry | None) -> str:
    return "" if entry is None else entry.key.partition("/")[2].removesuffix("json").removesuffix("jpg")


def _read(bucket: Bucket, part: Iterable[tuple[str, Entry, Entry]], concurrency: int) -> Iterator[dict[str, Any]]:
    pairs = list(part)
    bodies = bucket.get_many([metadata for _, metadata, _ in pairs], concurrency)
    for (id, _, photo), (entry, body) in zip(pairs, bodies, strict=True):
        yield {"id": id, "image_bytes": photo.size, "image_etag": photo.etag, "key": entry.key, **_content(body)}


def _content(body: Body) -> dict[str, Any]:
    if isinstance(body, Unreadable):
        return {"reason": body.reason}
    try:
        quantity, items = parse(body)
    except ValueError as error:
        return {"reason": str(error)}
    return {"quantity": quantity, "items": items}


def _is_of(file: Path, part: Iterable[tuple[str, Entry, Entry]]) -> bool:
    """Whether a part that an earlier run left is of the very photos that are listed now."""
    if not file.exists():
        return False
    kept: list[dict[str, Any]] = pq.read_table(file, columns=["id", "image_bytes", "image_etag"]).to_pylist()
    return kept == [{"id": id, "image_bytes": photo.size, "image_etag": photo.etag} for id, _, photo in part]


def _join(parts: list[Path], unpaired: list[dict[str, Any]], table: Path, unreadable: Path) -> tuple[int, int]:
    """Write both tables part by part; returns how many rows each has. Raises Fault if there is nothing to go on with."""
    read, bad = 0, 0
    with replacing(table) as good_half, replacing(unreadable) as bad_half:
        with pq.ParquetWriter(good_half, PAIRS) as good, pq.ParquetWriter(bad_half, UNREADABLE) as rest:
            for file in parts:
                part = pq.read_table(file)
                good.write_table(usable := part.filter(pc.is_null(part["reason"])).select(PAIRS.names))
                rest.write_table(wrong := part.filter(pc.is_valid(part["reason"])).select(UNREADABLE.names))
                read, bad = read + len(usable), bad + len(wrong)
            rest.write_table(pa.Table.from_pylist(unpaired, UNREADABLE))
        if not read:
            first = pq.read_table(bad_half).slice(0, 1).to_pylist()[0]
            raise Fault(
                f"no metadata can be used, {bad} files are rejected; the first is {first['key']}: {first['reason']}"
            )
    return read, bad + len(unpaired)


# ---- wire


def wire(argv: list[str], watch: Watch) -> None:
    scale, table, unreadable = argv
    fetch_metadata(FetchMetadata.load("fetch_metadata", scale), Path(table), Path(unreadable), watch=watch)
