"""The stage as a whole, with a ViT of our own on a few tiny images."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from support.images import RECIPE, Diary, pack, run_until_killed
from support.launching import act, loaded
from warehouse_classifier.models import vit
from warehouse_classifier.runtime.errors import UserError
from warehouse_classifier.runtime.files import sha256
from warehouse_classifier.runtime.params import Params
from warehouse_classifier.stages.train_vit import TrainVit

SIZE = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32, "patch_size": 8}
PARAMS: dict[str, Any] = {
    **RECIPE, "side": 32, "model_name": "own", "revision": None, "own_size": SIZE, "warmup": 0.1, "weight_decay": 0.05,
}  # fmt: skip
WEIGHTS = "model.safetensors"
NOTHING = Path("metadata")  # is not read where no further answers are asked for


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack(tmp_path_factory.mktemp("vit") / "images")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))


def run(images: Path, model: Path, **changed: Any) -> Diary:
    diary = Diary()
    act("train_vit", TrainVit(**{**PARAMS, **changed}), images, NOTHING, model, progress=diary)
    return diary


def test_the_same_again_and_another_seed(images: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run(images, tmp_path / "one")
    torch.rand(3)
    run(images, tmp_path / "two")
    run(images, tmp_path / "three", seed=8)
    one, two, three = (tmp_path / name for name in ("one", "two", "three"))
    assert [sha256(one / file.name) == sha256(file) for file in sorted(two.iterdir())] == [True] * 3
    assert sha256(one / WEIGHTS) != sha256(three / WEIGHTS)
    assert vit.load(one)(torch.zeros(1, 3, 32, 32, dtype=torch.uint8)).shape == (1, 3)
    assert list((tmp_path / ".work").iterdir()) == []
    assert capfd.readouterr().err == ""  # no library's warning among our lines


@pytest.mark.slow
def test_a_killed_run_ends_with_the_same_bytes(images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """kill -9 in the second epoch, in a process of its own."""
    run_until_killed("train_vit", PARAMS, images, tmp_path / "model", batch=7)
    assert not (tmp_path / "model").exists()
    (work,) = (tmp_path / ".work").glob("train_vit-*/")
    assert [folder.name for folder in work.iterdir()] == ["00001-0000000"]

    assert len(run(images, tmp_path / "model").advanced) == 2 * 5  # the second and the third epoch
    assert list((tmp_path / ".work").iterdir()) == []
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "elsewhere"))
    assert run(images, tmp_path / "whole").steps == [1, 2, 3]
    for file in (tmp_path / "whole").iterdir():
        assert sha256(tmp_path / "model" / file.name) == sha256(file), file.name


@pytest.mark.slow
def test_other_params_do_not_pick_it_up(images: Path, tmp_path: Path) -> None:
    run_until_killed("train_vit", PARAMS, images, tmp_path / "model", batch=7)
    assert len(run(images, tmp_path / "model", weight_decay=0.1).advanced) == 3 * 5


def test_a_folder_made_by_transformers_is_fine_tuned(images: Path, tmp_path: Path) -> None:
    """At another side than it was made for, and loaded again at that side."""
    torch.manual_seed(0)
    vit.save(vit.build("own", None, SIZE, 64, (1, 2, 3)), tmp_path / "pretrained")
    theirs = {"model_name": "pretrained", "own_size": None, "epochs": 1}
    diary = run(images, tmp_path / "model", **theirs, revision=sha256(tmp_path / "pretrained" / WEIGHTS))
    assert diary.steps == [1]
    assert sha256(tmp_path / "model" / WEIGHTS) != sha256(tmp_path / "pretrained" / WEIGHTS)
    assert vit.load(tmp_path / "model")(torch.zeros(1, 3, 32, 32, dtype=torch.uint8)).shape == (1, 3)
    with pytest.raises(UserError, match=r"its model\.safetensors has the sha256 .*, revision is 00"):
        run(images, tmp_path / "model", **theirs, revision="0" * 64)


def test_bf16_trains(images: Path, tmp_path: Path) -> None:
    diary = run(images, tmp_path / "model", precision="bf16", epochs=1)
    assert np.isfinite(diary.measured[0][1]["train_loss"])


def test_weights_by_name_are_pinned() -> None:
    with pytest.raises(ValidationError, match="it must be a commit of google/vit or, for a folder, what `sha256sum"):
        TrainVit(**{**PARAMS, "model_name": "google/vit"})


def test_a_fault_leaves_no_model(images: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"train_vit: the loss is (nan|inf) in epoch \d; lower the learning rate"):
        run(images, tmp_path / "model", lr=1e30)
    with pytest.raises(UserError, match=r"images holds bins of 3 items, and params.yaml names only 1, 2 in"):
        run(images, tmp_path / "model", quantities=[1, 2])
    with pytest.raises(UserError, match="there is no folder"):
        run(images, tmp_path / "model", model_name="./none", revision="0" * 64)
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    ("own_size", "side", "wanted"),
    [
        (None, 32, r"train_vit.sample.own_size is null, it must be given, because model_name is own"),
        (SIZE, 60, r"train_vit.sample.own_size is .*its patch_size must divide the side of 60 pixels"),
        ({**SIZE, "num_attention_heads": 3}, 32, r"own_size is .*its num_attention_heads must divide its hidden_size"),
        (
            {**SIZE, "hidden_size": "16"},
            32,
            r"train_vit.sample.own_size.hidden_size is \"16\", it must be a whole number",
        ),
        ({**SIZE, "depth": 3}, 32, r"train_vit.sample.own_size.depth is unknown"),
    ],
)
def test_a_size_that_does_not_fit(tmp_path: Path, own_size: Any, side: int, wanted: str) -> None:
    from ruamel.yaml import YAML

    own = {name: value for name, value in PARAMS.items() if name not in ("lr", "seed", "quantities", "side")}
    tree = {
        "lr": None, "seed": 7, "data": {"sample": {"quantities": [1, 2], "side": side}},
        "train_vit": {"sample": {**own, "own_size": own_size}},
    }  # fmt: skip
    YAML().dump(tree, tmp_path / "params.yaml")
    assert issubclass(TrainVit, Params)
    with pytest.raises(UserError, match=wanted) as fault:
        loaded("train_vit", "sample", tmp_path / "params.yaml")
    assert "\n" not in str(fault.value)
