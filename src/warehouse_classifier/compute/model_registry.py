"""Models for MLflow: what a stage that calibrates networks has left, as counters that answer requests."""

import filecmp
import hashlib
import json
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import warehouse_classifier
from warehouse_classifier.compute import imports, stage_spec
from warehouse_classifier.models.registry import NETWORKS
from warehouse_classifier.runtime.errors import UserError
from warehouse_classifier.runtime.files import replacing, same, sha256
from warehouse_classifier.tracking.mlflow_run import EXPERIMENT, MlflowRun
from warehouse_classifier.tracking.stderr import say

PACKAGE = Path(warehouse_classifier.__path__[0]).resolve()
SOURCE = PACKAGE.parent
SCRIPT = PACKAGE / "serving" / "mlflow_model.py"


def models(run: MlflowRun, stage: str, argv: list[str]) -> None:
    """Keep each network and their average as models, where the stage's command names the folder of all networks.

    What hinders that is told in a line: the stage's outputs are worth more.
    """
    folders = [Path(word) for word in argv if all(Path(word, network).is_dir() for network in NETWORKS)]
    if not folders:
        return
    try:
        _models(run, folders[0], data_of(stage, argv))
    except (UserError, OSError) as error:
        say(f"{error}; the models are not kept there, `dvc repro --force {stage}` tries again")


def _models(run: MlflowRun, folder: Path, data: str) -> None:
    from warehouse_classifier.evaluation import calibration  # with scipy, which no other stage waits for
    from warehouse_classifier.evaluation.counters import AVERAGE, COUNTERS, VERIFIER
    from warehouse_classifier.models.folder import BELONGS, WEIGHTS
    from warehouse_classifier.serving import mlflow_model

    calibrated = calibration.load(folder)
    for network in NETWORKS:
        calibration.verify(calibrated, network, folder / network)
    code = sorted(imports.own([SCRIPT], SOURCE) - {SCRIPT})
    needed = imports.requirements([SCRIPT, *code])
    kept = []
    for name in COUNTERS:
        networks = [network for network in NETWORKS if name in (network, AVERAGE)]
        with tempfile.TemporaryDirectory() as beside:
            artifact, package = Path(beside, mlflow_model.MODELS), Path(beside, PACKAGE.name)
            parts = [*networks, *([VERIFIER] if (folder / VERIFIER).is_dir() else [])]
            files = [calibration.FILE, *(f"{part}/{name}" for part in parts for name in BELONGS)]
            for file in files:
                _lay(folder / file, artifact / file)
            for module in code:
                _lay(module, package / module.relative_to(PACKAGE))
            hashes = {file: sha256(folder / file) for file in files}
            version, place = run.register(
                f"{EXPERIMENT}-{name}",
                content(hashes, [SCRIPT, *code], needed),
                {
                    "data": data,
                    "learned_from": str(calibrated.learned_from),
                    "calibration": hashes[calibration.FILE],
                    **{f"weights_{net}": calibrated.sha256[net][WEIGHTS] for net in networks},
                },
                {
                    "python_model": str(SCRIPT),
                    "artifacts": {mlflow_model.MODELS: str(artifact)},
                    "code_paths": [str(package)],
                    "pip_requirements": needed,
                    "signature": mlflow_model.signature(calibrated.quantities),
                    "input_example": mlflow_model.example(calibrated.quantities, calibrated.side),
                },
            )
        if place:
            share(Path(place))
        kept.append(f"{EXPERIMENT}-{name} {version}{'' if place else ' (as before)'}")
    run.set_tags(models=", ".join(kept))
    say(f"models in MLflow: {', '.join(kept)}")


def share(model: Path) -> None:
    """Weights that another model has too take no room, where models lie in a folder of this machine, one beside the other."""
    for file in model.rglob("*.safetensors"):
        for other in model.parent.parent.rglob(file.name):
            if (
                not other.samefile(file)
                and other.stat().st_size == file.stat().st_size
                and filecmp.cmp(other, file, False)
            ):
                with suppress(OSError), replacing(file) as half:  # some file systems have no links
                    os.link(other, half)
                break


def content(hashes: dict[str, str], code: list[Path], needed: list[str]) -> str:
    """One hash over all that a model is made of."""
    parts: Any = [hashes, {str(file.relative_to(SOURCE)): sha256(file) for file in code}, needed]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def data_of(stage: str, argv: list[str]) -> str:
    """The MD5 by which DVC knows the images that a stage read, or nothing."""
    from warehouse_classifier.dataset.shards import INDEX

    try:
        inputs = stage_spec.read(stage, argv).inputs
    except UserError:  # no dvc.yaml here
        return ""
    return next((md5 for path, md5 in inputs.items() if Path(path, INDEX).is_file()), "")


def _lay(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    same(source.resolve(), target)
