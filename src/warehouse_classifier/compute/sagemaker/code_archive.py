"""The code that travels to a rented machine: what one stage is made of, the launcher, and nothing else of the working tree."""

import io
import tarfile
from pathlib import Path

from warehouse_classifier.compute import dvc_hash
from warehouse_classifier.compute.sagemaker.dvc_remote import Remote
from warehouse_classifier.compute.stage_spec import StageSpec

PACKAGE = Path("src/warehouse_classifier")
# the launcher, and what it imports before it knows which stage there is
ROOMS = ("compute", "runtime", "tracking", "training", "work")
MAPS = ("dvc.yaml", "dvc.lock", "params.yaml", "pyproject.toml", ".dvcignore")


def pack(told: StageSpec, remote: Remote) -> bytes:
    """A tar.gz with the stage's deps that lie in this tree, the launcher, the map and a .dvc/config."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for file in contents(told):
            _add(tar, file.as_posix(), file.read_bytes())
        _add(tar, ".dvc/config", remote.config().encode())
    return out.getvalue()


def contents(told: StageSpec) -> list[Path]:
    """The files of the working tree that travel, as paths from its top."""
    deps = {file for dep in told.files for file in dvc_hash.files(Path(dep))}
    launcher = {file for room in ROOMS for file in (PACKAGE / room).rglob("*.py")}
    packages = {folder / "__init__.py" for file in deps | launcher for folder in file.parents}
    return sorted({*deps, *launcher, *(file for file in {*packages, *map(Path, MAPS)} if file.is_file())})


def _add(tar: tarfile.TarFile, name: str, body: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(body)
    tar.addfile(member, io.BytesIO(body))
