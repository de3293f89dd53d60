"""The code that travels to a rented machine: what one stage is made of, and nothing else of the working tree."""

import io
import tarfile
from pathlib import Path

from warehouse_classifier.compute import imports
from warehouse_classifier.compute.sagemaker.dvc_remote import Remote
from warehouse_classifier.compute.stage_spec import Plan
from warehouse_classifier.runtime.errors import Fault

SOURCE = Path("src")
# what runs there: the container's own module, and the launcher that it starts
ENTRIES = ("warehouse_classifier.compute.sagemaker.container", "warehouse_classifier.compute.__main__")
MAPS = ("dvc.yaml", "dvc.lock", "params.yaml", "pyproject.toml")


def pack(told: Plan, remote: Remote) -> bytes:
    """A tar.gz with the stage's deps that are files here, the launcher, what both import, the map and a .dvc/config.

    Raises Fault if a dep is missing or is no file.
    """
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name in contents(told):
            _add(tar, name, Path(name).read_bytes())
        _add(tar, ".dvc/config", remote.config().encode())
    return out.getvalue()


def contents(told: Plan) -> list[str]:
    """The files of the working tree that travel, as paths from its top."""
    for dep in told.files:
        if not Path(dep).is_file():
            raise Fault(f"{told.stage} depends on {dep}, which is no file here and no output of another stage")
    entries = [imports.file_of(entry, SOURCE) for entry in ENTRIES]
    code = {path for path in [*map(Path, told.files), *entries] if path and path.suffix == ".py"}
    maps = [name for name in MAPS if Path(name).is_file()]
    return sorted({*told.files, *maps, *map(str, imports.own(code, SOURCE))})


def _add(tar: tarfile.TarFile, name: str, body: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(body)
    tar.addfile(member, io.BytesIO(body))
