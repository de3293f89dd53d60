"""Bring every selected image to one square size.

selection.csv, bucket -> images/
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import Field

from warehouse_classifier import bucket as buckets
from warehouse_classifier import selection as selections
from warehouse_classifier import shards
from warehouse_classifier.bucket import PHOTOS, Body, Entry, Unreadable, key_of
from warehouse_classifier.fault import Fault
from warehouse_classifier.files import replacing
from warehouse_classifier.params import Params
from warehouse_classifier.photo import decode, encode, square
from warehouse_classifier.stream import in_order
from warehouse_classifier.watch import Watch


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
    rejected: list[dict[str, str]] = []
    with replacing(images) as half, watch.bar("resize_images", len(chosen), "image") as bar:
        half.mkdir()

        def kept() -> Iterator[tuple[dict[str, Any], bytes]]:
            for facts, result in resized(params, chosen):
                if isinstance(result, Unreadable):
                    rejected.append({"id": facts["id"], "reason": result.reason})
                    _stop_if_too_many(rejected, params.max_rejected)
                else:
                    yield facts, result
                bar.advance(rejected=len(rejected))

        count = shards.write(half, kept())
        pd.DataFrame(rejected, columns=["id", "reason"]).sort_values("id").to_csv(half / shards.REJECTED, index=False)
    watch.measure(images=count, rejected=len(rejected))
    watch.say(f"{count} images, {len(rejected)} rejected (see {images / shards.REJECTED})")


# ---- thoughts


def resized(params: ResizeImages, chosen: pd.DataFrame) -> Iterator[tuple[dict[str, Any], Body]]:
    """(id, quantity, split, group) and the small JPEG of every bin, in the order of shards, as a stream."""
    chosen = chosen.assign(shard=chosen["id"].map(shards.shard_of)).sort_values(["shard", "id"])
    facts = iter(chosen[["id", "quantity", "split", "group"]].to_dict("records"))
    bodies = buckets.open_bucket(params.bucket).get_many(
        [_entry(row) for _, row in chosen.iterrows()], params.concurrency
    )
    # Pillow lets go of the interpreter while it decodes and resizes, so threads use every processor
    with ThreadPoolExecutor(params.workers) as pool:
        small = in_order(pool, lambda body: shrink(body, params), (body for _, body in bodies), 4 * params.workers)
        for (_, result), fact in zip(small, facts, strict=True):
            yield {str(name): value for name, value in fact.items()}, result


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


def _stop_if_too_many(rejected: list[dict[str, str]], most: int) -> None:
    if len(rejected) > most:
        listed = "; ".join(f"{row['id']} {row['reason']}" for row in rejected[:3])
        raise Fault(
            f"resize_images: {len(rejected)} images are rejected, max_rejected is {most}; raise it or mend the bucket"
            f" (the first: {listed})"
        )


# ---- wire


def wire(argv: list[str], watch: Watch) -> None:
    scale, selection, images = argv
    resize_images(ResizeImages.load("resize_images", scale), Path(selection), Path(images), watch=watch)
