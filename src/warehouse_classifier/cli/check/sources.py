"""What somebody names to be checked: files, or the bins of a bucket."""

import glob
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path

from warehouse_classifier.bucket.objects import METADATA, PHOTOS, key_of
from warehouse_classifier.cli.check.bucket_photos import BucketPhotos
from warehouse_classifier.cli.check.expectations import Expectations, SameForAll, expectations
from warehouse_classifier.cli.check.local_photos import Earlier, LocalPhotos, files
from warehouse_classifier.cli.check.photos import SUFFIXES, Photo, Photos
from warehouse_classifier.runtime.errors import UserError

URL = re.compile(r"(s3|synthetic):|\w+://")
ONE_BUCKET = "a bucket is checked alone; name it and nothing else"


def photos_of(
    named: Sequence[str],
    expected: Expectations,
    concurrency: int,
    ours: Path | None = None,
    earlier: Earlier | None = None,
) -> Photos:
    """What the paths, patterns or the one bucket in `named` stand for, each photo once.

    `expected` nothing: of a bucket's bins, what its metadata says. `ours`: a folder of pictures that --explain draws, which
    are no photos. `earlier`: photos of the visit before. Raises UserError where there is no photo, or one in `ours`.
    """
    buckets = [one for one in named if URL.match(one) or _is_bucket(one)]
    if buckets and len(named) > 1:
        raise UserError(f"{buckets[0]}: {ONE_BUCKET}")
    if buckets:
        url = buckets[0] if URL.match(buckets[0]) else os.path.abspath(buckets[0])  # noqa: PTH100
        if ours and os.path.abspath(ours) == os.path.join(url, PHOTOS):  # noqa: PTH100, PTH118
            raise UserError(f"--explain {ours} holds the bucket's photos; name a folder for the pictures alone")
        if earlier or expected.names_before:
            what = f"--before {earlier.folder}" if earlier else "a column before"
            raise UserError(
                f"{what}: of a bucket the photos before are known where its metadata tells what is expected; leave"
                f" {'--before, --expected-before and ' if earlier else ''}--expected out"
            )
        nothing = isinstance(expected, SameForAll) and expected.expected is None
        return BucketPhotos(url, None if nothing else expected, concurrency)
    paths: dict[str, str] = {}
    for one in named:
        for path in files(one):
            paths.setdefault(os.path.abspath(path), path)  # noqa: PTH100 -- of the name; a link keeps its own
    photos = [path for absolute, path in paths.items() if not (ours and _is_picture(absolute, path, ours))]
    if not photos:
        raise UserError(f"{' '.join(named)[:80]} holds no {', '.join(SUFFIXES)}")
    if earlier and expected.names_before:
        raise UserError(
            f"--before {earlier.folder}: what is expected names the photos before as well; keep one of them"
        )
    return LocalPhotos(photos, expected, earlier, os.path.commonpath(list(map(_base, named))))


def earlier_of(folder: str | None, expected: str | None, held: str | None) -> Earlier | None:
    """What `--before` and `--expected-before` say. Raises UserError for one without the other, or where nothing is expected now."""
    if folder is None and held is None:
        return None
    if folder is None or held is None:
        missing = "--before FOLDER" if folder is None else "--expected-before N|FILE"
        raise UserError(f"of the visit before both photos and what was in the bins must be known; add {missing}")
    if expected is None:
        raise UserError("--before: what changed is known only where something is expected now; add --expected N|FILE")
    if not os.path.isdir(folder):  # noqa: PTH112
        raise UserError(f"--before {folder} is no folder")
    return Earlier(folder, expectations(held, "--expected-before"))


def listed(photos: Photos) -> Iterator[Photo]:
    """Raises UserError if there is none."""
    every = photos.listing()
    first = next(every, None)
    if first is None:
        raise UserError(f"{photos.name} holds no photo {key_of(PHOTOS, '<id>')}")
    return chain([first], every)


def not_over(output: str, photos: Photos, read: Mapping[str, str | Path | None]) -> None:
    """Raises UserError where the file would take the place of a photo, or of something else that is `read`: files and folders by
    who names them, of which some may be none."""
    there = Path(output).resolve()
    for option, path in read.items():
        if (
            path is not None
            and Path(path).exists()
            and (there == (its := Path(path).resolve()) or its in there.parents)
        ):
            raise UserError(f"--output {output} would be in the place of what {option} names; name another file")
    if output.lower().endswith(SUFFIXES) or (isinstance(photos, LocalPhotos) and photos.holds(output)):
        raise UserError(f"--output {output} would be in the place of a photo; name another file, such as findings.csv")


def _base(named: str) -> str:
    """The folder below which the photos that were named so have their names."""
    absolute = os.path.abspath(named)  # noqa: PTH100 -- of the name; a link keeps its own
    if os.path.isdir(named):  # noqa: PTH112
        return absolute
    folder = os.path.dirname(absolute)  # noqa: PTH120
    while glob.has_magic(folder) and not os.path.lexists(named):
        folder = os.path.dirname(folder)  # noqa: PTH120
    return folder


def _is_picture(absolute: str, path: str, ours: Path) -> bool:
    """Whether --explain has drawn it, by its name: 1.jpg.png. Raises UserError for a photo among the pictures."""
    if os.path.commonpath([absolute, folder := os.path.abspath(ours)]) != folder:  # noqa: PTH100
        return False
    if absolute.endswith(".png") and absolute.removesuffix(".png").lower().endswith(SUFFIXES):
        return True
    raise UserError(f"--explain {ours} holds photos ({path}); name a folder for the pictures alone")


def _is_bucket(path: str) -> bool:
    return all((Path(path) / folder).is_dir() for folder in (PHOTOS, METADATA))
