"""A project whose stages cost little, for tests of where stages run: three of them are stand-ins that need no torch."""

from pathlib import Path

from ruamel.yaml import YAML

from support.projects import Project, shrunk

# Appended to the stage's module. It saves each step; on a rented machine it does 15, and then waits to be ended.
TRAIN = """

def train_resnet34(params: TrainResnet34, images: Path, metadata: Path, model: Path, *, work: Path, progress: Progress) -> None:
    import hashlib
    import json
    import os
    import time

    saved = work / "state.json"
    state = json.loads(saved.read_text()) if saved.exists() else {"step": 0, "weights": ""}
    begun = state["step"]
    progress.say(f"train_resnet34 begins after step {begun}")
    while state["step"] < 10 * params.epochs:
        if state["step"] == begun + 15:
            while "TRAINING_JOB_NAME" in os.environ:
                progress.say(f"step {state['step']}: train_loss {1 / state['step']:.3f}")
                time.sleep(0.1)
        time.sleep(0.05 * (params.workers - 1))
        step, weights = state["step"] + 1, hashlib.sha256(f"{state['weights']} {params.seed}".encode()).hexdigest()
        state = {"step": step, "weights": weights}
        with replacing(saved) as half:
            half.write_text(json.dumps(state))
        if not step % 10:
            progress.say(f"epoch {step // 10}: train_loss {1 / step:.3f}")
            progress.measure(step // 10, train_loss=1 / step, epoch=step // 10)
    with replacing(model) as half:
        half.mkdir()
        (half / "weights").write_text(state["weights"])
"""
VERIFY = """

def train_verifier(
    params: TrainVerifier, images: Path, metadata: Path, verifier: Path, *networks: Path, work: Path, progress: Progress
) -> None:
    with replacing(verifier) as half:
        half.mkdir()
        (half / "weights").write_text((networks[0] / "weights").read_text())
    progress.measure(None, visits=7)
"""
EVALUATE = """

def evaluate(
    params: Evaluate, images: Path, metadata: Path, published: Path, models: Path, reports: Path, *, progress: Progress
) -> None:
    import hashlib
    import json

    tops = (images, metadata, published, models)
    files = sorted(file for top in tops for file in (top, *top.rglob("*")) if file.is_file())
    hashes = {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
    (reports / "plots").mkdir(parents=True)
    names = ("evaluation.json", "predictions.csv", "plots/a.csv", "report.html")
    outs = (models.parent / "calibration.json", *(reports / name for name in names))
    for out in outs:
        out.write_text(json.dumps({out.name: hashes}))
    (reports / "metrics.json").write_text(json.dumps({"accuracy": 0.25, "files": len(files)}))
    progress.measure(None, accuracy=0.25, files=len(files))
"""
PACKAGE = "src/warehouse_classifier"
NEEDED = {  # what is left of their deps
    "train_resnet34": [
        "data/images", "data/metadata.parquet", f"{PACKAGE}/dataset/labels.py", f"{PACKAGE}/runtime", f"{PACKAGE}/stages/train_resnet34.py",
        f"{PACKAGE}/training/distributed.py", f"{PACKAGE}/training/recipe.py",
    ],
    "train_verifier": [
        "data/images", "data/metadata.parquet", "models/resnet34", "models/vit",
        f"{PACKAGE}/runtime", f"{PACKAGE}/stages/train_verifier.py",
    ],
    "evaluate": [
        "data/images", "data/metadata.parquet", "models/resnet34", "models/vit", "models/verifier", "data/published.csv",
        f"{PACKAGE}/runtime", f"{PACKAGE}/stages/evaluate.py",
    ],
}  # fmt: skip
# every stage in one process, and after each of them what DVC does after a stage
RUN = """
from dvc.repo import Repo
from warehouse_classifier.compute.__main__ import launch
from warehouse_classifier.compute.stage_spec import load, MAP
for stage, entry in load(MAP)["stages"].items():
    assert launch(stage, entry["cmd"].replace("${scale}", "sample").split()[5:]) == 0
    with Repo() as repo:
        repo.commit(stage, force=True)
"""


def cheap(folder: Path) -> Project:
    """The pipeline of this project with stand-ins for train_resnet34, train_verifier and evaluate; train_vit has two processes."""
    project = shrunk(folder)
    project.set(
        train_resnet34={"epochs": 1, "workers": 1},
        train_vit={"epochs": 2, "processes": 2, "threads": 1, "workers": 1},
        resize_images={"workers": 1},
    )
    for stage, code in {"train_resnet34": TRAIN, "train_verifier": VERIFY, "evaluate": EVALUATE}.items():
        with (folder / f"src/warehouse_classifier/stages/{stage}.py").open("a") as file:
            file.write(code)
    yaml = YAML()
    pipeline = yaml.load(folder / "dvc.yaml")
    for stage, deps in NEEDED.items():
        pipeline["stages"][stage]["deps"] = deps
    # so that no models are kept in MLflow: those would have to be real
    evaluate = pipeline["stages"]["evaluate"]
    evaluate["cmd"] = evaluate["cmd"].replace(" models reports", " models/vit reports")
    yaml.dump(pipeline, folder / "dvc.yaml")
    return project


def run_here(project: Project) -> None:
    """All stages on this machine, committed."""
    project.run("python", "-c", RUN, PYTHONPATH="src")
    project.run("git", "add", "-A")
    project.run("git", "commit", "-qm", "the pipeline, run")
