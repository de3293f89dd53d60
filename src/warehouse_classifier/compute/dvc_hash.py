"""The hash by which DVC knows a file or a folder, and the files of a folder that count for it."""

import hashlib
import json
from pathlib import Path


def files(path: Path) -> list[Path]:
    """Of a folder below this one all that lie in it, but those that .dvcignore names; else the file itself, if there is one."""
    if not path.is_dir():
        return [path] if path.is_file() else []
    from dvc.fs import localfs  # DVC's own reading of .dvcignore; only who has a folder waits for the import
    from dvc.ignore import DvcIgnoreFilter

    return sorted(map(Path, DvcIgnoreFilter(localfs, str(Path.cwd())).find(localfs, str(path))))


def md5(path: Path) -> str:
    """As dvc.lock has it. Raises FileNotFoundError where there is neither a file nor a folder with files."""
    lying = files(path)
    if not lying:
        raise FileNotFoundError(path)
    hashes = {file.relative_to(path).as_posix(): of_bytes(file.read_bytes()) for file in lying}
    return of_folder(hashes) if path.is_dir() else hashes["."]


def of_folder(hashes: dict[str, str]) -> str:
    """Of a folder with these files: their paths in it, and the MD5 of each."""
    listed = [{"md5": hashes[name], "relpath": name} for name in sorted(hashes)]
    return f"{of_bytes(json.dumps(listed, sort_keys=True).encode())}.dir"


def of_bytes(body: bytes) -> str:
    """The MD5 of a file with this content."""
    return hashlib.md5(body, usedforsecurity=False).hexdigest()
