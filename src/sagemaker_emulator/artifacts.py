"""What a job leaves: model.tar.gz, and output.tar.gz where there is anything to put in it."""

import tarfile
from collections.abc import Sequence
from pathlib import Path

from sagemaker_emulator.cloud import Cloud
from sagemaker_emulator.instance import Instance


def upload(instances: Sequence[Instance], folder: Path, address: str, cloud: Cloud) -> None:
    """Pack both in `folder` and send them to below `address`. Raises one of ERRORS.

    Several instances' files go into one archive; where they have the same name, the first one's stays.
    """
    for name, source in (("model", "model"), ("output", "output/data")):
        files: dict[str, Path] = {}
        for instance in reversed(instances):
            top = instance.ml / source
            files |= {path.relative_to(top).as_posix(): path for path in sorted(top.rglob("*"))}
        if name == "model" or files:
            archive = folder / f"{name}.tar.gz"
            with tarfile.open(archive, "w:gz", compresslevel=1) as packed:
                for arcname, path in sorted(files.items()):
                    packed.add(path, arcname, recursive=False)
            cloud.upload(archive, f"{address}/{archive.name}")
