"""A photo to be checked, wherever it is: listed first, then read."""

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from warehouse_classifier.bucket.objects import Body, ObjectInfo
from warehouse_classifier.cli.check.expectations import Expected

SUFFIXES = (".jpg", ".jpeg", ".png")  # in any case


@dataclass(frozen=True, slots=True)
class Photo:
    """One photo, and what is expected of it."""

    name: str  # a path as it was given, or a bin's id
    place: str  # below a folder of pictures; no two photos share one
    expected: Expected
    image: ObjectInfo | None = None  # of a bucket; None for what is no <id>.jpg
    metadata: ObjectInfo | None = None
    before: "Photo | None" = None  # of the same bin at the visit before, and what it held then


@dataclass(frozen=True, slots=True)
class Seen:
    """A photo with what is expected of it, and its bytes, or where they are."""

    photo: Photo
    body: Body | Path
    again: bool = False  # another run may learn what is expected
    before: "Seen | None" = None  # of the photo before


Mark = list[int | str | None]


class Photos(Protocol):
    """What is to be checked, wherever it lies."""

    name: str
    total: int | None  # how many there are; None where only listing them all tells
    lists: bool  # whether it may tell which items are expected, not only how many
    drawn: bool  # whether they are drawings by their address
    lacking: str | None  # says of which photos the one before is lacking that is to be there
    visits: bool  # whether there are photos before, which only a verifier can hold others against
    longest: int  # characters of a name, of those listed so far

    def listing(self) -> Iterator[Photo]: ...

    def mark(self, photo: Photo) -> Mark | None:
        """What changes whenever the photo or what is expected of it does; None where nothing can tell."""

    def read(self, photos: Iterable[Photo]) -> Generator[Seen, None, None]: ...

    def close(self) -> None: ...
