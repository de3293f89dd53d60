"""What a stage is made of at one moment: the hashes of its code and inputs, and its parameters.

DVC hashes the code and the parameters when a stage has ended, so an edit that was made while it ran would stand in dvc.lock as
what ran. The launcher takes a snapshot before and after: where they differ, the stage has failed, and dvc.lock stays as it is.
"""

import hashlib
import importlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from warehouse_classifier.compute import parameters, stage_spec
from warehouse_classifier.runtime.errors import UserError

SOURCE = "src"


@dataclass(frozen=True)
class Snapshot:
    """What a stage is made of at one moment."""

    stage: str
    deps: list[str]  # code and other files that no stage makes, as dvc.yaml names them
    code: dict[str, str]  # MD5 of each file of the deps, by path
    inputs: dict[str, str]  # MD5 of what other stages have made, by path, as it lies here
    params: dict[str, Any]  # the tracked ones, by dotted name
    outs: list[str]

    @property
    def digest(self) -> str:
        """One hash over all that the outputs depend on."""
        values = [self.stage, self.code, self.inputs, self.params, self.outs]
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


def take(stage: str, argv: list[str], tree: parameters.Tree) -> Snapshot | None:
    """`tree`: params.yaml as it was read. None for a command that no dvc.yaml holds: no dvc.lock records it either."""
    if not stage_spec.MAP.exists() or not stage_spec.is_command(stage, argv):
        return None
    spec = stage_spec.read(stage, argv, tree)
    return Snapshot(
        stage, [*spec.files], stage_spec.listing([*spec.files]), dvc_hashes([*spec.inputs]), spec.params, spec.outs
    )


def again(snapshot: Snapshot) -> Snapshot:
    """The same things as they are now. What is gone has no hash, and what is no params.yaml any more no parameters."""
    try:
        tree = parameters.read()
    except UserError:
        tree = {}
    return Snapshot(
        snapshot.stage,
        snapshot.deps,
        stage_spec.listing([dep for dep in snapshot.deps if Path(dep).exists()]),
        dvc_hashes([path for path in snapshot.inputs if Path(path).exists()]),
        {name: parameters.at(tree, name) for name in snapshot.params},
        snapshot.outs,
    )


class Edited(UserError):
    """What a stage is made of was edited while it ran. `sound`: what it computed is of what it was when it began."""

    def __init__(self, stage: str, changed: list[str], *, sound: bool) -> None:
        self.sound = sound
        kept = "What was computed is kept: undo the edit, and `dvc repro` takes it; or keep the edit, and"
        super().__init__(
            f"{stage}: edited while it ran: {', '.join(changed)}; dvc.lock would record what was not run."
            f" {kept if sound else 'Undo the edit or keep it:'} `dvc repro` runs it"
        )


def refuse_changes(before: Snapshot | None, *, unsound_only: bool = False) -> None:
    """Raises Edited that names what was edited since `before`; with `unsound_only` if that may be in what was computed.

    Parameters are read once, and modules are loaded before the work begins: their edit changes nothing of what is computed.
    Inputs and templates are read all along.
    """
    if before is None:
        return
    after = again(before)
    params = _different(before.params, after.params)
    code = _different(before.code, after.code)
    inputs = _different(before.inputs, after.inputs)
    if params or code or inputs:
        sound = not inputs and all(path.endswith(".py") for path in code)
        if not (sound and unsound_only):
            names = [f"{parameters.FILE}: {name}" for name in params]
            raise Edited(before.stage, [*names, *code, *inputs], sound=sound)


def load_code(snapshot: Snapshot) -> None:
    """Import every module of the code, so that an edit from now on is in nothing that is computed. Raises Edited as well."""
    for path in snapshot.code:
        file = Path(path)
        if file.suffix == ".py" and file.parts[0] == SOURCE:
            parts = [part for part in file.with_suffix("").parts[1:] if part != "__init__"]
            importlib.import_module(".".join(parts))
    refuse_changes(snapshot)


def unrecorded(argv: list[str]) -> dict[str, Any]:
    """What stands for code and inputs of a command that no dvc.yaml holds: all of the package, and how its paths look."""
    package = Path(__file__).parents[1]
    files = [file for path in map(Path, argv[1:]) for file in ([path, *path.rglob("*")] if path.exists() else [])]
    looks = {str(file): (file.stat().st_size, file.stat().st_mtime_ns) for file in sorted(files) if file.is_file()}
    return {
        "code": {str(file): file.stat().st_mtime_ns for file in sorted(package.rglob("*.py"))},
        "paths": argv[1:],
        "looks": looks,
    }


def _different(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    return sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))


def dvc_hashes(paths: list[str]) -> dict[str, str]:
    """MD5 of files and folders as DVC has them, by way of its cache: what has not changed since it looked is not read again."""
    if not paths:
        return {}
    from dvc.exceptions import DvcException
    from dvc.repo import Repo  # takes half a second
    from dvc_data.hashfile.build import build

    if missing := [path for path in paths if not Path(path).exists()]:
        raise UserError(f"{', '.join(missing)}: it is missing; `dvc repro` makes it, `dvc pull` brings it")
    try:
        with Repo() as repo:
            odb, hashes = repo.cache.local, {}
            for path in paths:
                _, _, tree = build(odb, str(Path(path).absolute()), repo.fs, "md5", ignore=repo.dvcignore, dry_run=True)
                hashes[path] = str(tree.hash_info.value)
    except (OSError, DvcException) as error:
        raise UserError(f"{', '.join(paths)}: DVC cannot read it ({' '.join(str(error).split())})") from None
    return hashes
