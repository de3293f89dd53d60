"""What dvc.yaml, dvc.lock and params.yaml say of one stage: what it reads, what it leaves, and one hash over all it depends on."""

import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from warehouse_classifier.compute import dvc_hash, parameters
from warehouse_classifier.runtime.errors import UserError

MAP, LOCK = Path("dvc.yaml"), Path("dvc.lock")
OUTS = ("outs", "metrics", "plots")


@dataclass(frozen=True)
class StageSpec:
    """One stage: what it reads, what it leaves, and its parameters."""

    stage: str
    argv: list[str]  # scale and paths
    files: dict[str, str]  # deps of this tree, files and folders, and the MD5 that DVC knows each by
    inputs: dict[str, str]  # deps that other stages leave, and the MD5 that DVC knows each by
    outs: list[str]
    params: dict[str, Any]  # the tracked ones: dotted names and values

    @property
    def digest(self) -> str:
        """One hash over the command, the files and the other stages' outputs."""
        return _hash(self.stage, self.argv, self.files, self.inputs)

    def with_params(self, *more: Any) -> str:
        """One hash over these as well."""
        return _hash(self.digest, self.params, self.outs, *more)


def read(stage: str, argv: list[str], tree: parameters.Tree | None = None) -> StageSpec:
    """`argv`: of the stage's command, scale and paths. `tree`: params.yaml, where it was read already.

    Raises UserError if dvc.yaml has no such stage, or a dep is missing.
    """
    pipeline = load(MAP).get("stages", {})
    if stage not in pipeline:
        raise UserError(f"{MAP} has no stage {stage}; there are: {', '.join(pipeline) or 'none'}")
    entry = json.loads(json.dumps(pipeline[stage]).replace("${scale}", argv[0]))
    made = {**dict.fromkeys(_outs(pipeline, argv[0]), ""), **_made()}
    deps = [dep for dep in entry.get("deps", []) if dep not in made]
    tree = parameters.read() if tree is None else tree
    return StageSpec(
        stage,
        argv,
        files={dep: _md5(stage, dep) for dep in deps},
        inputs={dep: made[dep] for dep in entry.get("deps", []) if dep in made},
        outs=[out for kind in OUTS for out in entry.get(kind, [])],
        params={name: parameters.at(tree, name) for name in entry.get("params", [])},
    )


def is_command(stage: str, argv: list[str]) -> bool:
    """Whether dvc.yaml runs the stage with these words."""
    entry = load(MAP).get("stages", {}).get(stage) or {}
    return str(entry.get("cmd", "")).replace("${scale}", argv[0]).split()[-1 - len(argv) :] == [stage, *argv]


def ran(stage: str) -> StageSpec:
    """What a stage was as it made the outputs that dvc.lock knows.

    Raises UserError if dvc.lock has no such stage, or what it read has become something else since.
    """
    stages = locked()
    if stage not in stages:
        raise UserError(f"{LOCK} has no stage {stage}; `dvc repro` runs it")
    entry, made = stages[stage], _made()
    deps = {dep["path"]: dep["md5"] for dep in entry.get("deps", [])}
    if others := [path for path, md5 in deps.items() if made.get(path, md5) != md5]:
        raise UserError(f"{LOCK}: {stage} was not run since {', '.join(others)} became another; `dvc repro` runs it")
    words = entry["cmd"].split()
    return StageSpec(
        stage,
        argv=words[words.index(stage) + 1 :],
        files={path: md5 for path, md5 in deps.items() if path not in made},
        inputs={path: md5 for path, md5 in deps.items() if path in made},
        outs=[out["path"] for out in entry.get("outs", [])],
        params={name: value for file in entry.get("params", {}).values() for name, value in file.items()},
    )


def locked() -> dict[str, Any]:
    """The stages as dvc.lock has them."""
    stages: dict[str, Any] = load(LOCK).get("stages", {}) if LOCK.exists() else {}
    return stages


def _outs(pipeline: dict[str, Any], scale: str) -> list[str]:
    """The outputs of all stages, as dvc.yaml names them."""
    entries = json.loads(json.dumps(pipeline).replace("${scale}", scale)).values()
    return [out for entry in entries for kind in OUTS for out in (entry or {}).get(kind, [])]


def _made() -> dict[str, str]:
    """The outputs of all stages, and the MD5 that DVC knows each by."""
    return {out["path"]: out["md5"] for entry in locked().values() for out in entry.get("outs", [])}


def load(file: Path) -> dict[str, Any]:
    """Raises UserError if the file is missing or no YAML."""
    try:
        tree = YAML(typ="safe", pure=True).load(file)
    except OSError as error:
        raise UserError(f"{file} cannot be read ({error.strerror}); run from the top of the project") from None
    except YAMLError as error:
        raise UserError(f"{file} is not YAML: {' '.join(str(error).split())}") from None
    return tree if isinstance(tree, dict) else {}


def _md5(stage: str, dep: str) -> str:
    try:
        return dvc_hash.md5(Path(dep))
    except FileNotFoundError:
        raise UserError(f"{stage} depends on {dep}, which is neither here nor an output that {LOCK} knows") from None


def _hash(*values: Any) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


def listing(deps: list[str]) -> dict[str, str]:
    """MD5 of every file that counts for these files and folders, by path."""
    hashes = {}
    for file in (file for dep in deps for file in dvc_hash.files(Path(dep))):
        with suppress(FileNotFoundError):  # an editor's, gone again
            hashes[str(file)] = dvc_hash.of_bytes(file.read_bytes())
    return hashes
