"""Bring every selected image to one square size.

selection.csv, bucket -> images/
"""

import hashlib
import json
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
from pydantic import Field

from warehouse_classifier.bins import selection as selections
from warehouse_classifier.bucket import bucket as buckets
from warehouse_classifier.bucket.bucket import Bucket
from warehouse_classifier.bucket.objects import PHOTOS, Body, ObjectInfo, Unreadable, key_of
from warehouse_classifier.dataset import shards
from warehouse_classifier.dataset.photo import decode, encode, square
from warehouse_classifier.dataset.shards import Shards
from warehouse_classifier.runtime.errors import UserError, refuse_too_many
from warehouse_classifier.runtime.files import replacing
from warehouse_classifier.runtime.params import Concurrency, CountOrZero, Params, Quality, Side, Threads
from warehouse_classifier.runtime.progress import Bar, Progress
from warehouse_classifier.work.parallel import ordered_map


class ResizeImages(Params):
    """Of which bucket photos come, and what they are made into."""

    RESUMED_BY: ClassVar = ("bucket", "side", "quality", "max_pixels")
    LIBRARIES: ClassVar = ("pillow", "simplejpeg", "torch")

    bucket: str
    side: Side
    quality: Quality  # of the JPEGs in the shards
    max_pixels: int = Field(ge=1, le=178_956_970)  # a photo that claims more is rejected before it is decoded
    max_rejected: CountOrZero  # images; one more stops the stage
    concurrency: Concurrency
    workers: Threads  # that decode and resize


def resize_images(params: ResizeImages, selection: Path, images: Path, *, work: Path, progress: Progress) -> None:
    """Write shards of small JPEGs. Raises UserError if the bucket cannot be read or too many photos are rejected."""
    chosen = selections.read(selection)
    chosen = chosen.assign(shard=chosen["id"].map(shards.shard_of)).sort_values(["shard", "id"])
    rejected: list[dict[str, Any]] = []
    with closing(buckets.open_bucket(params.bucket, params.concurrency)) as bucket:
        parts = {work / str(name): rows for name, rows in chosen.groupby("shard")}
        with progress.bar("resize_images", len(chosen), "image") as bar:
            for folder, rows in parts.items():
                rejected += make_part(params, bucket, rows, folder, params.max_rejected - len(rejected), bar)
        with replacing(images) as half:
            half.mkdir()
            count = shards.join(parts, half)
            listed = pd.DataFrame(rejected, columns=["id", "reason"]).sort_values("id")
            listed.to_csv(half / shards.REJECTED, index=False, lineterminator="\n")
    progress.measure(images=count, rejected=len(rejected))
    progress.say(f"{count} images, {len(rejected)} rejected (see {images / shards.REJECTED})")


Row = dict[str, Any]  # of the selection


def make_part(
    params: ResizeImages, bucket: Bucket, chosen: pd.DataFrame, folder: Path, most: int, bar: Bar
) -> list[dict[str, Any]]:
    """Pack the bins of one shard, but for what an earlier run has packed and is the same; returns what is rejected.

    Raises UserError if that is more than `most`.
    """
    rows: list[Row] = [{str(name): value for name, value in row.items()} for row in chosen.to_dict("records")]
    entries = {row["id"]: _entry(row) for row in rows}
    stamps = [bucket.stamp(entry) for entry in entries.values()]
    stamp = hashlib.sha256(repr(stamps).encode()).hexdigest() if None not in stamps else None
    done = _done(folder, stamp, params.workers)
    bar.advance(len(done))
    todo = [entry for id, entry in entries.items() if id not in done]
    rejected = [
        {"id": id, "reason": body.reason, "again": False} for id, body in done.items() if isinstance(body, Unreadable)
    ]
    check(rejected, most)
    if not todo:
        return rejected

    def jpegs(fresh: Iterator[Body]) -> Iterator[tuple[Row, bytes]]:
        for row in rows:
            again = done.get(row["id"])
            body = again() if callable(again) else again or next(fresh)
            if isinstance(body, bytes):
                yield {name: row[name] for name in ("id", "quantity", "split", "group")}, body
            elif again is None:
                rejected.append({"id": row["id"], "reason": body.reason, "again": body.again})
                check(rejected, most)
                bar.advance(rejected=len(rejected), errors=bucket.errors)

    with replacing(folder) as half, closing(resized(params, bucket, todo, bar)) as fresh:
        half.mkdir()
        shards.write(half, jpegs(fresh))
        (half / PROGRESS).write_text(json.dumps({"stamp": stamp, "rejected": rejected}))
    return rejected


def resized(params: ResizeImages, bucket: Bucket, entries: list[ObjectInfo], bar: Bar) -> Generator[Body, None, None]:
    """The small JPEG of every photo, in the order asked for, as a stream."""
    # decoder and resizer let go of the interpreter, so threads use every processor
    with closing(bucket.get_many(entries)) as bodies, ThreadPoolExecutor(params.workers) as pool:
        photos = (body for _, body in bodies)
        for body, small in ordered_map(pool, lambda body: shrink(body, params), photos, 4 * params.workers):
            if isinstance(small, bytes):
                bar.advance(size=len(body) if isinstance(body, bytes) else 0, errors=bucket.errors)
            yield small


def shrink(body: Body, params: ResizeImages) -> Body:
    """The JPEG of a photo at the stage's size, or why there is none."""
    if isinstance(body, Unreadable):
        return body
    try:
        return encode(square(decode(body, params.max_pixels), params.side), params.quality)
    except ValueError as error:
        return Unreadable(str(error), again=False)  # another run may have more luck with the bucket, not with the photo


def check(rejected: list[dict[str, Any]], most: int) -> None:
    """Raises UserError for more rejected images than the most there may be."""
    refuse_too_many([f"{row['id']} {row['reason']}" for row in rejected], most, "resize_images", "images")


PROGRESS = "progress.json"  # of a part: what the bucket's stamps were, and what is rejected


def _done(folder: Path, stamp: str | None, workers: int) -> dict[str, Unreadable | Callable[[], bytes]]:
    """What an earlier run left of this part and another would find the same, by id: a reason, or what reads the JPEG."""
    if stamp is None or not folder.exists():
        return {}
    try:
        progress = json.loads((folder / PROGRESS).read_text())
        if progress["stamp"] != stamp:
            return {}
        packed = Shards(folder)
        packed.verify(workers)
    except (UserError, OSError, ValueError, KeyError):  # a power cut leaves empty files under good names
        return {}
    rejected = (row for row in progress["rejected"] if not row["again"])
    reasons: dict[str, Unreadable | Callable[[], bytes]] = {
        row["id"]: Unreadable(row["reason"], again=False) for row in rejected
    }
    return reasons | {id: partial(packed.jpeg, row) for row, id in enumerate(packed.index["id"])}


def _entry(row: Row) -> ObjectInfo:
    size, etag = row["image_bytes"], row["image_etag"]
    return ObjectInfo(key_of(PHOTOS, row["id"]), None if pd.isna(size) else int(size), None if pd.isna(etag) else etag)
