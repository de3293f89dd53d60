"""List the bucket, pair every photo with its metadata, and read all metadata into one table.

bucket -> metadata.parquet, unreadable.parquet
"""

import hashlib
from collections.abc import Iterator
from contextlib import closing
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
    with in_progress("fetch_metadata", params.bucket) as work:
        pairs, unpaired = list_pairs(bucket, params.max_pairs, watch)
        if not pairs:
            raise Fault(
                f"bucket {params.bucket} holds no pair of {METADATA}/<id>.json and {PHOTOS}/<id>.jpg; check its name"
            )
        parts = [pairs[start : start + params.part] for start in range(0, len(pairs), params.part)]
        files = [work / f"part-{_fingerprint(part)}.parquet" for part in parts]
        todo = {file: part for file, part in zip(files, parts, strict=True) if not _is_done(file, part)}
        wanted = [metadata for part in todo.values() for _, metadata, _ in part]
        with (
            watch.bar("fetch_metadata", len(pairs), "pair") as bar,
            closing(bucket.get_many(wanted, params.concurrency)) as bodies,
        ):
            bar.advance(len(pairs) - len(wanted))
            for file, part in todo.items():
                rows = []
                for pair in part:
                    _, body = next(bodies)
                    rows.append(_row(pair, body))
                    bar.advance()
                with replacing(file) as half:
                    pq.write_table(pa.Table.from_pylist(rows, PART), half)
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

# a pair that was read, or why it was not, and whether another run may have more luck
PART = pa.schema([*PAIRS, ("key", pa.string()), ("reason", pa.string()), ("again", pa.bool_())])


def _side_by_side(
    metadata: Iterator[Entry], photos: Iterator[Entry]
) -> Iterator[tuple[str | None, Entry | None, Entry | None]]:
    """Merge two listings, each in the order of its keys. What is no key of the layout comes with id None."""
    left, right = next(metadata, None), next(photos, None)
    while left or right:
        a, b = id_of(left.key) if left else None, id_of(right.key) if right else None
        if left and right and a and a == b:
            yield a, left, right
            left, right = next(metadata, None), next(photos, None)
        # keys are in the order of ids with the dot that follows: "1-." < "1." < "10."
        elif left and (a is None or right is None or (b is not None and f"{a}." < f"{b}.")):
            yield a, left, None
            left = next(metadata, None)
        else:
            yield b, None, right
            right = next(photos, None)


def _row(pair: tuple[str, Entry, Entry], body: Body) -> dict[str, Any]:
    id, metadata, photo = pair
    return {"id": id, "image_bytes": photo.size, "image_etag": photo.etag, "key": metadata.key, **_content(body)}


def _content(body: Body) -> dict[str, Any]:
    if isinstance(body, Unreadable):
        return {"reason": body.reason, "again": True}
    try:
        quantity, items = parse(body)
    except ValueError as error:
        return {"reason": str(error)}
    return {"quantity": quantity, "items": items}


def _fingerprint(part: list[tuple[str, Entry, Entry]]) -> str:
    return hashlib.sha256(repr(part).encode()).hexdigest()[:16]


def _is_done(file: Path, part: list[tuple[str, Entry, Entry]]) -> bool:
    """Whether an earlier run read all of this part, and the ETags tell that the bucket holds the very same today."""
    if not file.exists() or any(metadata.etag is None for _, metadata, _ in part):
        return False
    return not any(pq.read_table(file, columns=["again"])["again"].to_pylist())


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
