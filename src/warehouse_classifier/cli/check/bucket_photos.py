"""Photos of a bucket, and what its metadata expects of them."""

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import replace

from warehouse_classifier.bins.metadata import parse
from warehouse_classifier.bucket.bucket import Bucket, open_bucket
from warehouse_classifier.bucket.objects import METADATA, PHOTOS, Body, ObjectInfo, Unreadable, id_of, key_of
from warehouse_classifier.cli.check.expectations import Expectations, Expected, Unknown
from warehouse_classifier.cli.check.photos import SUFFIXES, Mark, Photo, Seen


class BucketPhotos:
    """The bins of a bucket, as Photos."""

    total: int | None = None
    longest = 0

    def __init__(self, url: str, expected: Expectations | None, concurrency: int) -> None:
        """`expected`: None for what the bucket's metadata says. Raises UserError for a URL that names no bucket."""
        self.name, self.expected, self.lists = f"bucket {url}", expected, expected is None
        self.bucket: Bucket = open_bucket(url, concurrency)

    def listing(self) -> Iterator[Photo]:
        with closing(self.bucket.list(PHOTOS)) as images:
            if self.expected is not None:
                for image in images:
                    id = id_of(image.key)
                    yield from self._photo(image, self.expected.of([id, f"{id}.jpg", image.key] if id else [image.key]))
                return
            with closing(self.bucket.list(METADATA)) as files:
                metadata = next(files, None)
                for image in images:
                    id = id_of(image.key)
                    wanted = key_of(METADATA, id) if id else ""
                    while metadata is not None and metadata.key < wanted:
                        metadata = next(files, None)
                    own = metadata if metadata is not None and metadata.key == wanted else None
                    yield from self._photo(image, Unknown("it has no metadata"), own)

    def mark(self, photo: Photo) -> Mark | None:
        facts: Mark = []
        for entry in filter(None, (photo.image, photo.metadata)):
            stamp = self.bucket.stamp(entry)
            if stamp is None:
                return None
            facts += [entry.key, entry.size, stamp]
        return facts

    def read(self, photos: Iterable[Photo]) -> Generator[Seen, None, None]:
        asked: deque[Photo] = deque()

        def entries() -> Iterator[ObjectInfo]:
            for photo in photos:
                asked.append(photo)
                yield from filter(None, (photo.metadata, photo.image))

        with closing(self.bucket.get_many(entries())) as bodies:
            metadata: Body | None = None
            for entry, body in bodies:
                while asked[0].image is None:
                    yield _misplaced(asked.popleft())
                if entry is asked[0].metadata:
                    metadata = body
                else:
                    yield _seen(asked.popleft(), metadata, body)
                    metadata = None
        yield from map(_misplaced, asked)

    def close(self) -> None:
        self.bucket.close()

    def _photo(self, image: ObjectInfo, expected: Expected, metadata: ObjectInfo | None = None) -> Iterator[Photo]:
        """None of what is no photo by its name."""
        id = id_of(image.key)
        if id:
            self.longest = max(self.longest, len(id))
            yield Photo(id, id, expected, image, metadata)
        elif image.key.lower().endswith(SUFFIXES):
            yield Photo(image.key, image.key, expected)


def _misplaced(photo: Photo) -> Seen:
    return Seen(photo, Unreadable(f"is no {key_of(PHOTOS, '<id>')}, as a bucket of bins has them", again=False))


def _seen(photo: Photo, metadata: Body | None, body: Body) -> Seen:
    """`metadata`: its body, if there is any."""
    if metadata is None:
        return Seen(photo, body)
    if isinstance(metadata, Unreadable):
        return Seen(replace(photo, expected=Unknown(f"its metadata: {metadata.reason}")), body, metadata.again)
    try:
        quantity, items = parse(metadata)
    except ValueError as error:
        return Seen(replace(photo, expected=Unknown(f"its metadata {error}")), body)
    return Seen(replace(photo, expected=quantity, items=tuple(items)), body)
