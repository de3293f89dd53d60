"""List the bucket, pair every photo with its metadata, and read all metadata into one table.

bucket -> metadata.parquet, unreadable.parquet
"""

import hashlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from warehouse_classifier.bins.metadata import PAIRS, UNREADABLE, parse
from warehouse_classifier.bucket import bucket as buckets
from warehouse_classifier.bucket.bucket import Bucket
from warehouse_classifier.bucket.objects import METADATA, PHOTOS, Body, ObjectInfo, Unreadable, id_of, key_of
from warehouse_classifier.runtime.errors import UserError, refuse_too_many
from warehouse_classifier.runtime.files import replacing
from warehouse_classifier.runtime.params import Concurrency, Count, CountOrZero, Params
from warehouse_classifier.runtime.progress import Bar, Progress


class FetchMetadata(Params):
    """What is read of which bucket, and how much at once."""

    RESUMED_BY: ClassVar = ("bucket",)

    bucket: str
    max_pairs: Count | None  # the first so many in the order of ids; null takes all
    max_rejected: CountOrZero  # metadata files; one more stops the stage
    concurrency: Concurrency
    part: Count  # pairs that are kept together when the stage is killed


def fetch_metadata(params: FetchMetadata, table: Path, unreadable: Path, *, work: Path, progress: Progress) -> None:
    """Write PAIRS to `table`, UNREADABLE to `unreadable`. Raises UserError if the bucket cannot be read or spoils too much."""
    with closing(buckets.open_bucket(params.bucket, params.concurrency)) as bucket:
        parts, unpaired = list_pairs(bucket, params.max_pairs, params.part, progress)
        if not parts:
            raise UserError(
                f"bucket {params.bucket} holds no pair of {METADATA}/<id>.json and {PHOTOS}/<id>.jpg; check its name"
            )
        files: list[Path] = []
        rejected: list[dict[str, Any]] = []
        with progress.bar("fetch_metadata", sum(map(len, parts)), "pair") as bar:
            for part in parts:
                files.append(read_part(bucket, part.to_pylist(), work, bar))
                rejected += pq.read_table(files[-1], filters=pc.is_valid(pc.field("reason"))).to_pylist()
                reasons = [f"{row['key']} {row['reason']}" for row in rejected]
                refuse_too_many(reasons, params.max_rejected, "fetch_metadata", "metadata files")
        read = join(files, unpaired, table, unreadable)
    progress.measure(pairs=read, unreadable=len(rejected) + len(unpaired))
    progress.say(f"{read} pairs, {len(rejected) + len(unpaired)} that cannot be used (see {unreadable})")


def list_pairs(
    bucket: Bucket, most: int | None, part: int, progress: Progress
) -> tuple[list[pa.Table], list[dict[str, Any]]]:
    """Tables of LISTED in the order of ids, `part` rows each, and id, key and reason of each file that has no partner.

    `most`: pairs, None for all. Both folders are walked side by side and not much further than that needs. Raises UserError if
    the bucket cannot be listed.
    """
    parts: list[pa.Table] = []
    pairs: list[dict[str, Any]] = []
    unpaired: list[dict[str, Any]] = []
    with (
        progress.bar("list the bucket", most, "pair") as bar,
        closing(bucket.list(METADATA, most)) as metadata_files,
        closing(bucket.list(PHOTOS, most)) as photos,
    ):
        for id, metadata, photo in _side_by_side(metadata_files, photos):
            if metadata and photo and id is not None:
                pairs.append(
                    {
                        "id": id, "metadata_bytes": metadata.size, "metadata_etag": metadata.etag,
                        "image_bytes": photo.size, "image_etag": photo.etag,
                    }
                )  # fmt: skip
                bar.advance(errors=bucket.errors)
            elif metadata:
                unpaired.append({"id": id, "key": metadata.key, "reason": "has no photo" if id else "is no <id>.json"})
            elif photo:
                unpaired.append({"id": id, "key": photo.key, "reason": "has no metadata" if id else "is no <id>.jpg"})
            count = len(parts) * part + len(pairs)
            if len(pairs) == part or count == most:
                parts.append(pa.Table.from_pylist(pairs, LISTED))  # a tenth of the memory that the objects take
                pairs = []
            if count == most:
                break
    return [*parts, pa.Table.from_pylist(pairs, LISTED)] if pairs else parts, unpaired


def read_part(bucket: Bucket, pairs: list[dict[str, Any]], work: Path, bar: Bar) -> Path:
    """Read the metadata of rows of LISTED into one file of PART, but for what an earlier run has read and is the same."""
    entries = {
        pair["id"]: ObjectInfo(key_of(METADATA, pair["id"]), pair["metadata_bytes"], pair["metadata_etag"])
        for pair in pairs
    }
    stamps = [bucket.stamp(entry) for entry in entries.values()]
    file = work / f"part-{hashlib.sha256(repr((pairs, stamps)).encode()).hexdigest()[:16]}.parquet"
    done = _done(file) if None not in stamps else {}
    bar.advance(len(done))
    todo = [entry for id, entry in entries.items() if id not in done]
    if todo:
        with closing(bucket.get_many(todo)) as bodies:
            rows = [done.get(pair["id"]) or _row(bucket, pair, *next(bodies), bar) for pair in pairs]
        with replacing(file) as half:
            pq.write_table(pa.Table.from_pylist(rows, PART), half)
    return file


def join(parts: list[Path], unpaired: list[dict[str, Any]], table: Path, unreadable: Path) -> int:
    """Write both tables part by part; returns how many pairs can be used. Raises UserError if there is none."""
    read = 0
    with replacing(table) as good_half, replacing(unreadable) as bad_half:
        with pq.ParquetWriter(good_half, PAIRS) as good, pq.ParquetWriter(bad_half, UNREADABLE) as rest:
            for file in parts:
                part = pq.read_table(file)
                good.write_table(usable := part.filter(pc.is_null(part["reason"])).select(PAIRS.names))
                rest.write_table(part.filter(pc.is_valid(part["reason"])).select(UNREADABLE.names))
                read += len(usable)
            rest.write_table(pa.Table.from_pylist(unpaired, UNREADABLE))
        if not read:
            first = pq.read_table(bad_half).slice(0, 1).to_pylist()[0]
            raise UserError(f"no metadata can be used; the first is {first['key']}: {first['reason']}")
    return read


# a pair as the bucket lists it
LISTED = pa.schema(
    [
        ("id", pa.string()),
        ("metadata_bytes", pa.int64()),
        ("metadata_etag", pa.string()),
        ("image_bytes", pa.int64()),
        ("image_etag", pa.string()),
    ]
)
# a pair that was read, or why it was not, and whether another run may have more luck
PART = pa.schema([*PAIRS, ("key", pa.string()), ("reason", pa.string()), ("again", pa.bool_())])


def _side_by_side(
    metadata: Iterator[ObjectInfo], photos: Iterator[ObjectInfo]
) -> Iterator[tuple[str | None, ObjectInfo | None, ObjectInfo | None]]:
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


def _done(file: Path) -> dict[str, dict[str, Any]]:
    """The rows of PART that another run would find the same, by id."""
    try:
        return {row["id"]: row for row in pq.read_table(file).to_pylist() if not row["again"]}
    except (OSError, pa.ArrowInvalid):  # not there; and a power cut leaves empty files under good names
        return {}


def _row(bucket: Bucket, pair: dict[str, Any], entry: ObjectInfo, body: Body, bar: Bar) -> dict[str, Any]:
    row = {name: pair[name] for name in ("id", "image_bytes", "image_etag")} | {"key": entry.key, "again": False}
    if isinstance(body, Unreadable):
        bar.advance(errors=bucket.errors)
        return row | {"reason": body.reason, "again": body.again}
    bar.advance(size=len(body), errors=bucket.errors)
    try:
        quantity, items = parse(body)
    except ValueError as error:
        return row | {"reason": str(error)}
    digest = hashlib.md5(body, usedforsecurity=False).hexdigest()
    return row | {"quantity": quantity, "items": items, "metadata_md5": digest, "checked": bucket.checked(entry)}
