"""Photos in files, folders and patterns."""

import glob
import os
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from warehouse_classifier.bucket.objects import LARGEST, PHOTOS
from warehouse_classifier.cli.check.expectations import Expectations, Unknown
from warehouse_classifier.cli.check.photos import SUFFIXES, Mark, Photo, Seen
from warehouse_classifier.runtime.errors import UserError


class LocalPhotos:
    """Photos in folders of this machine, as Photos."""

    drawn = False

    def __init__(
        self, paths: Sequence[str], expected: Expectations, earlier: "Earlier | None" = None, root: str | None = None
    ) -> None:
        """`root`: the folder below which photos have their names, that of all of them where it is None. Raises UserError where
        `expected` cannot tell the photos apart, or a photo before is not there."""
        self.paths, self.expected, self.earlier = paths, expected, earlier
        self.name, self.lists = paths[0], expected.lists
        self.total: int | None = len(paths)
        self.longest = max(map(len, paths))
        self._root = root or os.path.commonpath({os.path.dirname(os.path.abspath(path)) for path in paths})  # noqa: PTH100, PTH120
        alone = [path for path in paths if self._photo(path).before is None]
        self.visits, self.lacking = len(alone) < len(paths), None
        if earlier and not self.visits:
            raise UserError(
                f"--before {earlier.folder} holds none of the photos by its name, such as {self._place(paths[0])}"
            )
        if earlier and alone:
            self.lacking = (
                f"--before {earlier.folder} holds no photo by the name of {len(alone)} of {len(paths)}, such as"
                f" {self._place(alone[0])}; these are judged by themselves"
            )

    def listing(self) -> Iterator[Photo]:
        yield from map(self._photo, self.paths)

    def mark(self, photo: Photo) -> Mark:
        try:
            file = Path(photo.name).stat()
        except OSError as error:
            return [error.errno]
        own: Mark = [file.st_size, file.st_mtime_ns, file.st_ino]
        return own if photo.before is None else [*own, photo.before.name, *self.mark(photo.before)]

    def read(self, photos: Iterable[Photo]) -> Generator[Seen, None, None]:
        for photo in photos:
            yield _seen(photo)

    def holds(self, path: str) -> bool:
        """Whether the path is that of a photo, by whatever names its folder goes."""

        def entry(path: str) -> tuple[str, str]:
            folder, name = os.path.split(path)
            return os.path.realpath(folder), name  # the name's own link would be replaced, not what it leads to

        folders = {folder: os.path.realpath(folder) for folder in {os.path.dirname(path) for path in self.paths}}  # noqa: PTH120
        return entry(path) in {(folders[os.path.dirname(path)], os.path.basename(path)) for path in self.paths}  # noqa: PTH119, PTH120

    def close(self) -> None:
        """Nothing is held."""

    def _place(self, path: str) -> str:
        return os.path.relpath(path, self._root)

    def _photo(self, path: str) -> Photo:
        """Raises UserError where what is expected of it, or of the photo before, cannot be told."""
        names = self._names(path, self.expected)
        return Photo(path, self._place(path), self.expected.of(names), before=self._before(path, names))

    def _before(self, path: str, names: Sequence[str]) -> Photo | None:
        if self.earlier:
            there = os.path.join(self.earlier.folder, self._place(path))  # noqa: PTH118 -- of the name, as it was given
            if os.path.realpath(there) == os.path.realpath(path):
                raise UserError(
                    f"--before {self.earlier.folder} holds the photos that are checked; name another folder"
                )
            expected = self.earlier.expected.of(self._names(there, self.earlier.expected))
            return Photo(there, there, expected) if os.path.lexists(there) else None
        there = self.expected.before(names) or ""
        if not there:
            return None
        if os.path.realpath(there) == os.path.realpath(path):
            raise UserError(f"{path}: the photo before is said to be the photo itself")
        if not os.path.lexists(there):
            raise UserError(f"{path}: the photo before, {there}, does not exist")
        its_names = self._names(there, self.expected)
        if os.path.realpath(self.expected.before(its_names) or os.devnull) == os.path.realpath(path):
            raise UserError(f"{path} and {there} are each said to be the photo before the other")
        expected = self.expected.of(its_names)
        if isinstance(expected, Unknown):
            raise UserError(
                f"{path}: of the photo before, {there}, nobody says what was in it then; give it a row of its own"
            )
        return Photo(there, there, expected)

    @staticmethod
    def _names(path: str, expected: Expectations) -> list[str]:
        """What a CSV may call it, in full first."""
        absolute = os.path.abspath(path)  # noqa: PTH100 -- of the name; a link keeps its own
        file = os.path.basename(path)  # noqa: PTH119
        return (
            [absolute, file.rpartition(".")[0] or file] if expected.by_id else [absolute, os.path.normpath(path), file]
        )


@dataclass(frozen=True)
class Earlier:
    """Photos of the same bins at the visit before, under the same names in a folder, and what was in them then."""

    folder: str
    expected: Expectations


def _seen(photo: Photo) -> Seen:
    return Seen(photo, Path(photo.name), before=None if photo.before is None else _seen(photo.before))


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
