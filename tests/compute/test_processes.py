"""Two processes that train one network together, as the launcher and torchrun start them."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mlflow import MlflowClient
from ruamel.yaml import YAML
from safetensors.torch import load_file

from support.images import RECIPE, pack
from support.launching import PARAMS, act, loaded
from support.projects import TOP
from warehouse_classifier.runtime.progress import NullProgress

pytestmark = pytest.mark.slow

VIT = {
    "model_name": "own", "revision": None, "warmup": 0.1, "weight_decay": 0.05, "neighbours": 0.2, "average": 0.5,
    "augmentation": {"shrink": 0.1, "turn": 5.0, "light": 0.2, "colour": 0.1}, "own_size": {
        "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32, "patch_size": 8,
    },
}  # fmt: skip
OWN: dict[str, dict[str, Any]] = {"train_resnet34": {"weights": "none", "weights_sha256": None}, "train_vit": VIT}
TORCHRUN = ("-m", "torch.distributed.run", "--nproc-per-node=2", "--master-addr=localhost")


class Project:
    """Shards, and a params.yaml for both training stages."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        pack(folder / "images")
        unwanted = ("STAGE_", "MLFLOW_", "DVC_", "OMP_", "CHECKPOINT_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
        self.environment = {**kept, "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/curves.db"}

    def ask_for(self, stage: str, **changed: Any) -> None:
        own = {name: value for name, value in RECIPE.items() if name not in ("lr", "seed", "quantities")}
        tree = YAML(typ="safe").load(PARAMS)
        tree[stage] = {"small": {**own, **OWN[stage], "epochs": 2, "micro_batch": 4, **changed}}
        YAML().dump(tree, self.folder / "params.yaml")

    def start(self, stage: str, model: str, *launcher: str, **environment: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, *launcher, "-m", "warehouse_classifier.compute", stage, "small", "images", "metadata", model],
            cwd=self.folder, env={**self.environment, **environment}, stderr=subprocess.PIPE, text=True,
            start_new_session=True,
        )  # fmt: skip

    def run(self, stage: str, model: str, *launcher: str) -> tuple[int, str]:
        """Exit status and what was said on stderr."""
        with self.start(stage, model, *launcher) as process:
            output = process.communicate(timeout=200)[1]
            return process.returncode, output

    def run_alone(self, stage: str, model: str) -> None:
        """The stage as one process, which is this one."""
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.folder)
            act(stage, loaded(stage, "small"), Path("images"), Path("metadata"), Path(model), progress=NullProgress())

    def newest(self) -> str:
        """The name of the newest checkpoint, or nothing."""
        return max((path.name for path in self.folder.glob(".work/*/0*-*")), default="")

    def weights(self, model: str) -> dict[str, torch.Tensor]:
        return load_file(self.folder / model / "model.safetensors")

    def history(self, model: str) -> np.ndarray[Any, Any]:
        return np.loadtxt(self.folder / model / "history.csv", delimiter=",", skiprows=1)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def difference(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    """The largest one of any weight or running average, beside the largest of its tensor."""
    assert one.keys() == other.keys()
    pairs = [(one[name].double(), other[name].double()) for name in one]
    return max(float((a - b).abs().max() / (1e-2 + a.abs().max())) for a, b in pairs)


def test_the_launcher_starts_as_many_as_params_says_and_they_learn_what_one_learns(project: Project) -> None:
    """torchvision's network, whose BatchNorms would tell: micro-batches of four, two to a batch, on either side."""
    project.ask_for("train_resnet34")
    project.run_alone("train_resnet34", "one")
    project.ask_for("train_resnet34", processes=2)
    status, output = project.run("train_resnet34", "two")
    assert status == 0, output
    shapes = (r"epoch [12]: train_loss .*", r"train_resnet34( (epoch|validation) [12]/2)?: \d+ of \d+.*")
    for line in output.splitlines():  # of one process alone, and of no library
        assert any(re.fullmatch(shape, line) for shape in shapes), output
    assert difference(project.weights("one"), project.weights("two")) < 1e-3
    assert project.history("two") == pytest.approx(project.history("one"), abs=2e-3)
    client = MlflowClient(project.environment["MLFLOW_TRACKING_URI"])
    assert len(client.search_runs([client.get_experiment_by_name("warehouse-classifier").experiment_id])) == 1
    assert list((project.folder / ".work").iterdir()) == []


@pytest.mark.soak
def test_how_a_batch_is_cut_matters_to_a_batchnorm_and_more_than_rounding(project: Project) -> None:
    project.ask_for("train_resnet34")
    project.run_alone("train_resnet34", "parts")
    project.ask_for("train_resnet34", micro_batch=8)
    project.run_alone("train_resnet34", "whole")
    assert difference(project.weights("parts"), project.weights("whole")) > 1e-2


@pytest.mark.soak
def test_torchrun_starts_them_as_well(project: Project) -> None:
    project.ask_for("train_vit")
    project.run_alone("train_vit", "one")
    project.ask_for("train_vit", processes=2)
    status, output = project.run("train_vit", "two", *TORCHRUN)
    assert status == 0, output
    assert difference(project.weights("one"), project.weights("two")) < 1e-3


SEEN = """
import sys
from pathlib import Path
import torch
from torch import nn
from support.images import RECIPE, Diary
from warehouse_classifier.training import distributed
from warehouse_classifier.dataset.labels import QuantityEncoder
from warehouse_classifier.training.recipe import Recipe
from warehouse_classifier.dataset.shards import Shards
from warehouse_classifier.training.loop import train

class Looking(nn.Module):
    def __init__(self):
        super().__init__()
        self.answer = nn.Linear(3072, 3)
        self.seen = []

    def forward(self, images):
        if self.training:
            self.seen.append(images.clone())
        return self.answer(images.float().flatten(1) / 255)

torch.manual_seed(0)
network = Looking()
recipe = Recipe(**{**RECIPE, "micro_batch": 2, "processes": 2, "epochs": 2})
folder = Path(sys.argv[1])
train("train_small", network, Shards(folder / "images"), QuantityEncoder([1, 2, 3]), recipe, folder / "work", Diary())
torch.save(network.seen, folder / f"seen-{distributed.rank()}.pt")
"""


def test_every_image_is_seen_once_an_epoch_by_one_of_them(project: Project) -> None:
    from warehouse_classifier.dataset.batches import batches
    from warehouse_classifier.dataset.shards import Shards

    (project.folder / "look.py").write_text(SEEN)
    (project.folder / "work").mkdir()
    path = f"{TOP / 'tests'}"
    ran = subprocess.run(
        [sys.executable, *TORCHRUN, "look.py", "."], cwd=project.folder, capture_output=True, text=True, check=False,
        env={**project.environment, "PYTHONPATH": path},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    shards = Shards(project.folder / "images")
    plain = next(batches(shards, [shards.rows("train")], 1))
    # each process: two epochs of five steps of two micro-batches of two
    seen = [torch.load(project.folder / f"seen-{rank}.pt", weights_only=True) for rank in range(2)]
    assert [[len(images) for images in part] for part in seen] == [[2] * 20] * 2
    for epoch in range(2):
        images = torch.cat([images for part in seen for images in part[10 * epoch : 10 * epoch + 10]])
        views = (images, images.flip(3))
        matches = sum((view[:, None] == plain[None]).flatten(2).all(2).int() for view in views)
        assert matches.sum(0).tolist() == matches.sum(1).tolist() == [1] * 40


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def gone(pid: int) -> bool:
    try:
        return "Z" in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return True


KILLS = {"worker": (signal.SIGKILL, 1), "launcher": (signal.SIGKILL, -signal.SIGKILL), "stop": (signal.SIGTERM, 130)}


@pytest.mark.parametrize(
    ("processes", "kills"),
    [
        pytest.param(2, ("worker",), id="two processes"),
        # sums of two are the same in every order, those of three are not
        pytest.param(3, ("worker", "launcher", "stop"), id="three processes", marks=pytest.mark.soak),
    ],
)
def test_a_kill_of_one_ends_all_and_the_next_run_goes_on(
    project: Project, processes: int, kills: tuple[str, ...]
) -> None:
    """Of a worker; in the soak also of the launcher, and a SIGTERM as a rented machine sends it before it is taken away.

    After that nobody is left, and the weights are those of a whole run.
    """
    project.environment["FIGURES"] = "log"  # MLflow takes seconds to import
    project.ask_for("train_vit", batch=4 * processes, micro_batch=4, processes=processes, epochs=40)
    assert project.run("train_vit", "whole")[0] == 0
    reached = "00001"
    for kill in kills:
        sent, status = KILLS[kill]
        with project.start("train_vit", "model", CHECKPOINT_SECONDS="0") as process:
            until = time.monotonic() + 100
            while project.newest() <= reached and time.monotonic() < until:
                time.sleep(0.02)
            workers = children(process.pid)
            assert len(workers) == processes
            os.kill(workers[1] if kill == "worker" else process.pid, sent)
            output = process.communicate(timeout=100)[1]
            assert process.returncode == status, output
        while not all(map(gone, workers)) and time.monotonic() < until:
            time.sleep(0.05)
        assert all(map(gone, workers))
        assert "Traceback" not in output
        errors = [line for line in output.splitlines() if line.startswith("error: ")]
        if kill == "worker":
            assert len(errors) == 1, output
            wanted = f"error: train_vit: process 1 of {processes} was ended by SIGKILL, as a machine does that is out of memory"
            assert errors[0].startswith(wanted)
        elif kill == "stop":
            assert errors == ["error: train_vit was interrupted; `dvc repro` goes on from what is done"]
        assert not (project.folder / "model").exists()
        reached = project.newest()
    status, output = project.run("train_vit", "model")
    assert status == 0, output
    for file in (project.folder / "whole").iterdir():
        assert file.read_bytes() == (project.folder / "model" / file.name).read_bytes(), file.name


def test_what_is_wrong_with_params_is_said_once(project: Project) -> None:
    project.ask_for("train_vit", processes=2, epochs=0)
    status, output = project.run("train_vit", "model")
    assert (status, output) == (1, "error: params.yaml: train_vit.small.epochs is 0, it must be at least 1\n")


def test_a_fault_of_all_of_them_is_said_by_the_first(project: Project) -> None:
    project.ask_for("train_vit", processes=2, learning_rate=1e30)
    status, output = project.run("train_vit", "model")
    assert status == 1
    errors = [line for line in output.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, output
    assert re.match(r"error: train_vit: the loss is (nan|inf) in epoch 1; lower the learning rate", errors[0])
    assert "Traceback" not in output
    assert not (project.folder / "model").exists()
