"""Photos in files, folders and patterns."""

import glob
import os
from collections.abc import Generator, Iterable, Iterator, Sequence
from pathlib import Path

from warehouse_classifier.bucket.objects import LARGEST, PHOTOS
from warehouse_classifier.cli.check.expectations import Expectations
from warehouse_classifier.cli.check.photos import SUFFIXES, Mark, Photo, Seen
from warehouse_classifier.runtime.errors import UserError


class LocalPhotos:
    """Photos in folders of this machine, as Photos."""

    def __init__(self, paths: Sequence[str], expected: Expectations) -> None:
        """Raises UserError where `expected` cannot tell the photos apart."""
        self.paths, self.expected = paths, expected
        self.name, self.lists = paths[0], False
        self.total: int | None = len(paths)
        self.longest = max(map(len, paths))
        self._root = os.path.commonpath({os.path.dirname(os.path.abspath(path)) for path in paths})  # noqa: PTH100, PTH120
        for path in paths:
            expected.of(self._names(path))

    def listing(self) -> Iterator[Photo]:
        for path in self.paths:
            place = os.path.relpath(path, self._root)
            yield Photo(path, place, self.expected.of(self._names(path)))

    def mark(self, photo: Photo) -> Mark:
        try:
            file = Path(photo.name).stat()
        except OSError as error:
            return [error.errno]
        return [file.st_size, file.st_mtime_ns, file.st_ino]

    def read(self, photos: Iterable[Photo]) -> Generator[Seen, None, None]:
        for photo in photos:
            yield Seen(photo, Path(photo.name))

    def holds(self, path: str) -> bool:
        """Whether the path is that of a photo, by whatever names its folder goes."""

        def entry(path: str) -> tuple[str, str]:
            folder, name = os.path.split(path)
            return os.path.realpath(folder), name  # the name's own link would be replaced, not what it leads to

        folders = {folder: os.path.realpath(folder) for folder in {os.path.dirname(path) for path in self.paths}}  # noqa: PTH120
        return entry(path) in {(folders[os.path.dirname(path)], os.path.basename(path)) for path in self.paths}  # noqa: PTH119, PTH120

    def close(self) -> None:
        """Nothing is held."""

    def _names(self, path: str) -> list[str]:
        """What a CSV may call it, in full first."""
        absolute = os.path.abspath(path)  # noqa: PTH100 -- of the name; a link keeps its own
        file = os.path.basename(path)  # noqa: PTH119
        return (
            [absolute, file.rpartition(".")[0] or file]
            if self.expected.by_id
            else [absolute, os.path.normpath(path), file]
        )


def files(named: str) -> list[str]:
    """Files that a file, a folder or a pattern stands for, sorted. Raises UserError if there is none."""
    if os.path.isdir(named):  # noqa: PTH112
        inside = sorted(_within(named))
        if not inside:
            raise UserError(f"{named} holds no {', '.join(SUFFIXES)}")
        return inside
    if os.path.lexists(named):
        return [named]
    if not glob.has_magic(named):
        raise UserError(f"{named} does not exist")
    matches = glob.glob(named, recursive=True)  # noqa: PTH207 -- of a path that may be absolute
    all_files = {file for match in matches for file in (_within(match) if os.path.isdir(match) else [match])}  # noqa: PTH112
    photos = sorted(file for file in all_files if file.lower().endswith(SUFFIXES))
    if not photos:
        raise UserError(f"{named} matches no {', '.join(SUFFIXES)}")
    return photos


def _within(folder: str) -> Iterator[str]:
    """Photos in a folder and below, but for what is hidden."""

    def stop(error: OSError) -> None:
        raise UserError(f"{error.filename} cannot be read ({error.strerror})")

    for path, folders, files in os.walk(folder, onerror=stop):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if name.lower().endswith(SUFFIXES) and not name.startswith("."):
                yield os.path.join(path, name)  # noqa: PTH118 -- Path would change how it was given


def body_of(path: Path) -> bytes:
    """Raises OSError, or ValueError for what is no photo by its kind or its size."""
    size = path.stat().st_size
    if not path.is_file():
        raise ValueError("is no file")
    if size > LARGEST[PHOTOS]:
        raise ValueError(f"has {size} bytes, more than the {LARGEST[PHOTOS]} that are ever read")
    return path.read_bytes()
