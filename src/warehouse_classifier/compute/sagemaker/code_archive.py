"""The code that travels to a rented machine: the stage's own deps and the launcher, and nothing else of the working tree."""

import io
import tarfile
from pathlib import Path

from warehouse_classifier.compute import dvc_hash
from warehouse_classifier.compute.sagemaker.dvc_remote import Remote
from warehouse_classifier.compute.stage_spec import StageSpec

PACKAGE = Path("src/warehouse_classifier")
# the launcher, and what it imports before it knows which stage there is
ROOMS = ("compute", "runtime", "tracking", "training", "work")
PROJECT_FILES = ("dvc.yaml", "dvc.lock", "params.yaml", "pyproject.toml", ".dvcignore")


def pack(spec: StageSpec, remote: Remote) -> bytes:
    """A tar.gz with `contents` and a .dvc/config that has no secret."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        files = {
            **{file.as_posix(): file.read_bytes() for file in contents(spec)},
            ".dvc/config": remote.config().encode(),
        }
        for name, body in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(body)
            tar.addfile(member, io.BytesIO(body))
    return archive.getvalue()


def contents(spec: StageSpec) -> list[Path]:
    """The files of the working tree that travel, as paths from its top."""
    deps = {file for dep in spec.files for file in dvc_hash.files(Path(dep))}
    launcher = {file for room in ROOMS for file in (PACKAGE / room).rglob("*.py")}
    packages = {folder / "__init__.py" for file in deps | launcher for folder in file.parents}
    return sorted({*deps, *launcher, *(file for file in {*packages, *map(Path, PROJECT_FILES)} if file.is_file())})
