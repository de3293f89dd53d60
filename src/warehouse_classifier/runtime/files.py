"""Files and folders that are either whole or not there."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def root() -> Path:
    """The folder that relative buckets, weights and work in progress are found from.

    DVC sets DVC_ROOT for every stage; under `dvc exp run --temp` it names the original project, not the throw-away copy.
    """
    return Path(os.environ.get("DVC_ROOT") or ".").resolve()


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a name beside `path` to write a file or a folder under; it takes the name `path` only if the block succeeds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.half")
    _remove(beside)
    try:
        yield beside
        _remove(path)
        beside.rename(path)
    finally:
        _remove(beside)


def same(source: Path, target: Path) -> None:
    """Give a file a second name or, where the file system has no such thing, copy it. Raises FileExistsError."""
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError:
        with source.open("rb") as original, target.open("xb") as copy:
            shutil.copyfileobj(original, copy)


def sha256(path: Path) -> str:
    """The SHA-256 of a file, as hexadecimal digits. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
