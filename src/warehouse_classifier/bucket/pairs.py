"""List a bucket and pair every photo with its metadata, by their names."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pyarrow as pa

from warehouse_classifier.bucket.bucket import Bucket
from warehouse_classifier.bucket.objects import METADATA, PHOTOS, Entry, id_of
from warehouse_classifier.runtime.progress import Watch

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


def list_pairs(
    bucket: Bucket, most: int | None, part: int, watch: Watch
) -> tuple[list[pa.Table], list[dict[str, Any]]]:
    """Tables of LISTED in the order of ids, `part` rows each, and id, key and reason of each file that has no partner.

    `most`: pairs, None for all. Both folders are walked side by side and not much further than that needs. Raises Fault if
    the bucket cannot be listed.
    """
    parts: list[pa.Table] = []
    pairs: list[dict[str, Any]] = []
    unpaired: list[dict[str, Any]] = []
    with (
        watch.bar("list the bucket", most, "pair") as bar,
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
