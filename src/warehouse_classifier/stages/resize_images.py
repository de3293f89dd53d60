"""Bring every selected image to one square size.

selection.csv, bucket -> images/
"""

import json
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import Field

from warehouse_classifier import bucket as buckets
from warehouse_classifier import selection as selections
from warehouse_classifier import shards
from warehouse_classifier.bucket import PHOTOS, Body, Entry, Unreadable, key_of
from warehouse_classifier.fault import Fault
from warehouse_classifier.files import replacing, sha256
from warehouse_classifier.params import Params
from warehouse_classifier.photo import decode, encode, square
from warehouse_classifier.stream import in_order
from warehouse_classifier.watch import Bar, Watch
from warehouse_classifier.work import in_progress


class ResizeImages(Params):
    bucket: str
    side: int = Field(ge=16, le=2048)  # pixels
    quality: int = Field(ge=1, le=95)  # of the JPEGs in the shards
    max_pixels: int = Field(ge=1, le=178_956_970)  # a photo that claims more is rejected before it is decoded
    max_rejected: int = Field(ge=0)  # images; one more stops the stage
    concurrency: int = Field(ge=1, le=1024)  # objects asked for at once
    workers: int = Field(ge=1)  # threads that decode and resize


def resize_images(params: ResizeImages, selection: Path, images: Path, *, watch: Watch) -> None:
    chosen = selections.read(selection)
    chosen = chosen.assign(shard=chosen["id"].map(shards.shard_of)).sort_values(["shard", "id"])
    what = params.model_dump(include={"bucket", "side", "quality", "max_pixels"})
    with in_progress("resize_images", what, sha256(selection)) as work:
        parts = {work / str(name): rows for name, rows in chosen.groupby("shard")}
        todo = {folder: rows for folder, rows in parts.items() if not _is_done(folder, rows)}
        rejected = [row for folder in parts if folder not in todo for row in _rejected(folder)]
        with (
            watch.bar("resize_images", len(chosen), "image") as bar,
            closing(resized(params, pd.concat([chosen[:0], *todo.values()]))) as results,
        ):
            bar.advance(len(chosen) - sum(map(len, todo.values())))
            for folder, rows in todo.items():
                with replacing(folder) as half:
                    half.mkdir()
                    rejected += pack(half, islice(results, len(rows)), params.max_rejected - len(rejected), bar)
        with replacing(images) as half:
            half.mkdir()
            count = shards.join(parts, half)
            listed = pd.DataFrame(rejected, columns=["id", "reason"]).sort_values("id")
            listed.to_csv(half / shards.REJECTED, index=False, lineterminator="\n")
    watch.measure(images=count, rejected=len(rejected))
    watch.say(f"{count} images, {len(rejected)} rejected (see {images / shards.REJECTED})")


# ---- thoughts


def resized(params: ResizeImages, chosen: pd.DataFrame) -> Generator[tuple[dict[str, Any], Body], None, None]:
    """(id, quantity, split, group, again) and the small JPEG of every bin, in the order asked for, as a stream."""
    facts = chosen[["id", "quantity", "split", "group"]].to_dict("records")
    bodies = buckets.open_bucket(params.bucket).get_many(
        [_entry(row) for _, row in chosen.iterrows()], params.concurrency
    )
    # Pillow lets go of the interpreter while it decodes and resizes, so threads use every processor
    with closing(bodies), ThreadPoolExecutor(params.workers) as pool:
        small = in_order(pool, lambda body: shrink(body, params), (body for _, body in bodies), 4 * params.workers)
        for (body, result), fact in zip(small, facts, strict=True):
            # another run may have more luck with the bucket, but not with the image
            again = isinstance(body, Unreadable)
            yield {str(name): value for name, value in fact.items()} | {"again": again}, result


def pack(folder: Path, results: Iterable[tuple[dict[str, Any], Body]], most: int, bar: Bar) -> list[dict[str, Any]]:
    """Write one part and what is rejected in it; returns the latter. Raises Fault for more than `most`."""
    rejected: list[dict[str, Any]] = []

    def kept() -> Iterator[tuple[dict[str, Any], bytes]]:
        for facts, result in results:
            again = facts.pop("again")
            if isinstance(result, Unreadable):
                rejected.append({"id": facts["id"], "reason": result.reason, "again": again})
                if len(rejected) > most:
                    listed = "; ".join(f"{row['id']} {row['reason']}" for row in rejected[:3])
                    raise Fault(
                        "resize_images: more images are rejected than max_rejected says; raise it or mend the bucket"
                        f" (among them: {listed})"
                    )
            else:
                yield facts, result
            bar.advance(rejected=len(rejected))

    shards.write(folder, kept())
    (folder / shards.REJECTED).write_text(json.dumps(rejected))
    return rejected


def shrink(body: Body, params: ResizeImages) -> Body:
    if isinstance(body, Unreadable):
        return body
    try:
        return encode(square(decode(body, params.max_pixels), params.side), params.quality)
    except ValueError as error:
        return Unreadable(str(error))


def _entry(row: "pd.Series[Any]") -> Entry:
    size, etag = row["image_bytes"], row["image_etag"]
    return Entry(key_of(PHOTOS, row["id"]), None if pd.isna(size) else int(size), None if pd.isna(etag) else etag)


def _is_done(folder: Path, rows: pd.DataFrame) -> bool:
    """Whether an earlier run left this part, and another would find the same: ETags vouch for the photos it had."""
    return folder.exists() and bool(rows["image_etag"].notna().all()) and not any(x["again"] for x in _rejected(folder))


def _rejected(folder: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((folder / shards.REJECTED).read_text())
    return rows


# ---- wire


def wire(argv: list[str], watch: Watch) -> None:
    scale, selection, images = argv
    resize_images(ResizeImages.load("resize_images", scale), Path(selection), Path(images), watch=watch)
