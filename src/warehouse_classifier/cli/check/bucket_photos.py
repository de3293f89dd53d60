"""Photos of a bucket, and what its metadata expects of them."""

from collections import OrderedDict, deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from typing import Generic, TypeVar

from warehouse_classifier.bins import groups
from warehouse_classifier.bins.expectation import Expectation
from warehouse_classifier.bins.metadata import parse
from warehouse_classifier.bucket.bucket import Bucket, open_bucket
from warehouse_classifier.bucket.objects import METADATA, PHOTOS, Body, ObjectInfo, Unreadable, id_of, key_of
from warehouse_classifier.cli.check.expectations import Expectations, Expected, Unknown
from warehouse_classifier.cli.check.photos import SUFFIXES, Mark, Photo, Seen
from warehouse_classifier.evaluation.learned_from import DRAWN

T = TypeVar("T")
NEAR = 16  # bins that may stand between one and the one before, as 10000, 100000, ..., 100009, 10001 do


class BucketPhotos:
    """The bins of a bucket, as Photos. Where its metadata says what is expected, it does so of the photo before as well."""

    total: int | None = None
    longest = 0
    lacking: str | None = None
    visits = False  # there may be some; whoever has no verifier goes without

    def __init__(self, url: str, expected: Expectations | None, concurrency: int) -> None:
        """`expected`: None for what the bucket's metadata says. Raises UserError for a URL that names no bucket."""
        self.name, self.expected, self.lists = f"bucket {url}", expected, expected is None or expected.lists
        self.drawn = url.startswith(DRAWN)
        self.bucket: Bucket = open_bucket(url, concurrency)
        self._listed: Near[Photo] = Near()

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
        if photo.before is None:
            return facts
        earlier = self.mark(photo.before)
        return None if earlier is None else [*facts, *earlier]

    def read(self, photos: Iterable[Photo]) -> Generator[Seen, None, None]:
        asked: deque[tuple[Photo, bool]] = deque()  # and whether it is for its own sake
        near: Near[None] = Near()

        def entries() -> Iterator[ObjectInfo]:
            for photo in photos:
                earlier = photo.before if photo.before and photo.before.name not in near else None
                for one in filter(None, (earlier, photo)):
                    asked.append((one, one is photo))
                    near.add(one.name, None)
                    yield from filter(None, (one.metadata, one.image))

        seen: Near[Seen] = Near()
        with closing(self.bucket.get_many(entries())) as bodies:
            metadata: Body | None = None
            for entry, body in bodies:
                while asked[0][0].image is None:
                    yield _misplaced(asked.popleft()[0])
                if entry is asked[0][0].metadata:
                    metadata = body
                    continue
                photo, wanted = asked.popleft()
                its = _seen(photo, metadata, body)
                metadata = None
                if wanted:
                    yield replace(its, before=_same_bin(its, seen.get(photo.before.name)) if photo.before else None)
                seen.add(photo.name, its)
        yield from (_misplaced(photo) for photo, _ in asked)

    def close(self) -> None:
        self.bucket.close()

    def _photo(self, image: ObjectInfo, expected: Expected, metadata: ObjectInfo | None = None) -> Iterator[Photo]:
        """None of what is no photo by its name."""
        id = id_of(image.key)
        if id:
            self.longest = max(self.longest, len(id))
            photo = Photo(id, id, expected, image, metadata)
            before = self._listed.get(groups.before(id) or "") if metadata else None
            if metadata:
                self._listed.add(id, photo)
            yield replace(photo, before=before)
        elif image.key.lower().endswith(SUFFIXES):
            yield Photo(image.key, image.key, expected)


class Near(Generic[T]):
    """The last NEAR things, by the ids of their bins."""

    def __init__(self) -> None:
        self.last: OrderedDict[str, T] = OrderedDict()

    def add(self, id: str, thing: T) -> None:
        self.last[id] = thing
        if len(self.last) > NEAR:
            self.last.popitem(last=False)

    def get(self, id: str) -> T | None:
        return self.last.get(id)

    def __contains__(self, id: str) -> bool:
        return id in self.last


def _same_bin(photo: Seen, before: Seen | None) -> Seen | None:
    """The photo before, if the inventory says that something of it is still there."""
    if before is None:
        return None
    lists = [one.photo.expected.items for one in (before, photo) if isinstance(one.photo.expected, Expectation)]
    articles = [{item["asin"] for item in items} for items in lists if items is not None]
    return before if len(articles) == 2 and articles[0] & articles[1] else None


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
    return Seen(replace(photo, expected=Expectation(quantity, tuple(items))), body)
