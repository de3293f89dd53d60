"""Whether a body is the one that was listed, by its length, ETag and MD5."""

import hashlib

from warehouse_classifier.bucket.errors import WrongAnswer
from warehouse_classifier.bucket.objects import ObjectInfo


def check(entry: ObjectInfo, body: bytes, etag: str | None) -> None:
    """Raises WrongAnswer if this is not what was listed. `etag`: of the answer, as `plain` has it."""
    digest = hashlib.md5(body, usedforsecurity=False).hexdigest()
    if entry.etag is not None and etag != entry.etag:
        whole = etag is not None and ObjectInfo(entry.key, None, etag).md5 in (None, digest)
        raise WrongAnswer(f"its ETag is {etag}, {entry.etag} was listed", etag if whole else None)
    if entry.size is not None and len(body) != entry.size:
        raise WrongAnswer(f"{len(body)} bytes came, {entry.size} were listed")
    if entry.md5 not in (None, digest):
        raise WrongAnswer(
            f"its MD5 is not the ETag {entry.etag} that was listed (one encrypted with KMS has no MD5 there)"
        )


def plain(etag: str | None) -> str | None:
    """An ETag without its quotes and its mark of weakness; None for an empty one."""
    return (etag or "").removeprefix("W/").strip('"') or None
