"""Clones of this project in folders of their own, driven by the commands that people type."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

TOP = Path(__file__).resolve().parents[2]
STAGES = [*YAML(typ="safe", pure=True).load(TOP / "dvc.yaml")["stages"]]
TRAININGS = [stage for stage in STAGES if stage.startswith("train_")]
SMALL = {
    "data": {"bucket": "synthetic://?pairs=160&seed=7", "side": 32},
    "fetch_metadata": {"part": 50},
    "select_images": {"test_images": 30},
    "train_resnet34": {"epochs": 1, "batch": 32, "micro_batch": 32},
    "train_vit": {"epochs": 2, "batch": 32, "micro_batch": 16},
    "evaluate": {"resamples": 1000, "gallery": 6},
}
FOREIGN = ("DVC_", "MLFLOW_", "AWS_", "STAGE_", "SAGEMAKER_")


class Project:
    """A git and DVC project, and an environment that knows of nothing else."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.environment = {**kept, "PATH": path, "GIT_CONFIG_GLOBAL": "/dev/null", "HOME": str(folder.parent)}

    def run(self, *words: str, fails: bool = False, **environment: str) -> str:
        """What the command says, on either stream; it must end well, or badly if it is to fail."""
        ran = subprocess.run(
            words, cwd=self.folder, env={**self.environment, **environment}, capture_output=True, text=True, check=False
        )
        output = ran.stdout + ran.stderr
        assert (ran.returncode != 0) == fails, output
        return output

    def read(self, name: str) -> str:
        return (self.folder / name).read_text()

    def set(self, **sections: dict[str, Any]) -> None:
        """Change values in the sections' block of the sample."""
        yaml = YAML()
        params = yaml.load(self.folder / "params.yaml")
        for section, values in sections.items():
            params[section]["sample"].update(values)
        yaml.dump(params, self.folder / "params.yaml")

    def copy(self, folder: Path) -> "Project":
        shutil.copytree(self.folder, folder, symlinks=True)
        other = type(self)(folder)
        other.environment = {**self.environment, "HOME": str(folder.parent)}
        return other


def shrunk(folder: Path) -> Project:
    """This project's working tree with small parameters, in a git repository of its own that has no commit yet."""
    project = Project(folder)
    files = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=TOP, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    for name in filter(None, files.split("\0")):
        if (TOP / name).is_file() and name != "dvc.lock":
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(TOP / name, folder / name)
    project.set(**SMALL)
    project.run("git", "init", "-q")
    project.run("git", "config", "user.name", "a tester")
    project.run("git", "config", "user.email", "tester@example.com")
    return project
