"""What a bucket lists and what it gives: one object of the layout `bin-images/<id>.jpg` and `metadata/<id>.json`."""

import re
from dataclasses import dataclass

PHOTOS, METADATA = "bin-images", "metadata"
SUFFIX = {PHOTOS: ".jpg", METADATA: ".json"}
ID = re.compile(r"[A-Za-z0-9_-]{1,64}")  # no dot nor slash: ids sort like their keys and name files
# Bytes; no more of an object is ever fetched. The fullest real bin holds 111 items at 0.7 KB, the largest photo has 0.2 MB.
LARGEST = {METADATA: 4 << 20, PHOTOS: 64 << 20}


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One object as a bucket lists it: size in bytes and ETag, each None where the listing does not tell."""

    key: str
    size: int | None = None
    etag: str | None = None

    @property
    def md5(self) -> str | None:
        """What the body must hash to; None where the ETag is no MD5, as that of an upload in parts (it has a dash)."""
        return self.etag.lower() if self.etag and re.fullmatch(r"[0-9a-fA-F]{32}", self.etag) else None


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Stands for a body that could not be had, while others can. `again`: another run may have more luck."""

    reason: str
    again: bool = True


Body = bytes | Unreadable


def key_of(folder: str, id: str) -> str:
    """The key of a bin's photo or metadata; `folder`: PHOTOS or METADATA."""
    return f"{folder}/{id}{SUFFIX[folder]}"


def folder_of(key: str) -> str:
    """The folder of a key of the layout."""
    return key.partition("/")[0]


def id_of(key: str) -> str | None:
    """The id that a key of the layout names; None if it is no such key. An id is a text: "1" is not "00001"."""
    folder, _, name = key.partition("/")
    suffix = SUFFIX.get(folder, "")
    id = name.removesuffix(suffix)
    return id if suffix and name.endswith(suffix) and ID.fullmatch(id) else None
