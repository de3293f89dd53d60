"""The ViT: where it may come from, and that what is saved is what is loaded, here and in transformers."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import ViTForImageClassification

from warehouse_classifier.models import vit
from warehouse_classifier.runtime.errors import UserError

QUANTITIES = (1, 2, 3)
SIZE = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32, "patch_size": 8}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))


def own(side: int = 32, quantities: tuple[int, ...] = QUANTITIES, seed: int = 0) -> vit.ViT:
    torch.manual_seed(seed)
    return vit.build("own", None, SIZE, side, quantities)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """As save_pretrained leaves it."""
    vit.save(own(), tmp_path / "pretrained")
    return tmp_path / "pretrained"


def images(side: int = 32) -> torch.Tensor:
    return torch.randint(0, 256, (2, 3, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def logits(network: vit.ViT, side: int = 32) -> torch.Tensor:
    with torch.inference_mode():
        answers: torch.Tensor = network.eval()(images(side))
    return answers


def refuse(match: str, model_name: str, side: int = 32) -> None:
    with pytest.raises(UserError, match=match) as fault:
        vit.build(model_name, None, None, side, QUANTITIES)
    assert "\n" not in str(fault.value)


def edit(folder: Path, **changed: Any) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changed}))


# ---- where it comes from


def test_a_size_of_our_own_is_a_function_of_the_seed() -> None:
    network = own()
    assert network.network.config.image_size == 32
    assert network.network.config.id2label == {0: "1", 1: "2", 2: "3"}
    assert logits(network).shape == (2, 3)
    assert torch.equal(logits(own()), logits(own()))
    assert not torch.equal(logits(own()), logits(own(seed=1)))


def test_a_folder_is_taken_whole(folder: Path) -> None:
    again = vit.build("pretrained", None, None, 32, QUANTITIES)  # found from $DVC_ROOT
    assert torch.equal(logits(again), logits(own()))


def test_a_folder_for_other_quantities_keeps_its_body(folder: Path) -> None:
    network = vit.build(str(folder), None, None, 32, (0, 1, 2, 3, 9))
    body, wanted = network.network.vit.state_dict(), own().network.vit.state_dict()
    assert all(torch.equal(body[name], wanted[name]) for name in wanted)
    assert logits(network).shape == (2, 5)
    assert network.network.config.id2label == {0: "0", 1: "1", 2: "2", 3: "3", 4: "9"}


def test_a_body_without_an_answer_is_taken(folder: Path) -> None:
    """Such as google/vit-base-patch16-224-in21k, which has a pooler instead."""
    state = load_file(folder / "model.safetensors")
    state = {name: tensor for name, tensor in state.items() if not name.startswith("classifier.")}
    state |= {"vit.pooler.dense.weight": torch.zeros(16, 16), "vit.pooler.dense.bias": torch.zeros(16)}
    save_file(state, folder / "model.safetensors", {"format": "pt"})
    body = vit.build(str(folder), None, None, 32, QUANTITIES).network.vit.state_dict()
    assert all(torch.equal(body[name], tensor) for name, tensor in own().network.vit.state_dict().items())


def test_a_folder_in_half_precision_is_trained_in_full(folder: Path) -> None:
    vit.save(vit.ViT(own().network.to(torch.bfloat16)), folder)
    assert {tensor.dtype for tensor in load_file(folder / "model.safetensors").values()} == {torch.bfloat16}
    network = vit.build(str(folder), None, None, 32, QUANTITIES)
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}


def test_another_side_than_the_networks(folder: Path, tmp_path: Path) -> None:
    network = vit.build(str(folder), None, None, 64, QUANTITIES)
    answers = logits(network, 64)
    assert answers.shape == (2, 3)
    # the position embeddings matter, and they are those of the folder, interpolated
    with torch.no_grad():
        network.network.vit.embeddings.position_embeddings.zero_()
    assert not torch.equal(logits(network, 64), answers)
    # and what was trained so answers in the same way once it is loaded
    network = vit.build(str(folder), None, None, 64, QUANTITIES)
    vit.save(network, tmp_path / "trained")
    assert torch.equal(logits(vit.load(tmp_path / "trained"), 64), answers)


def test_a_side_that_is_cut_off_by_the_patches(folder: Path) -> None:
    refuse("sees patches of 8 pixels, data.side is 60; set a multiple", str(folder), side=60)


def test_a_missing_folder(tmp_path: Path) -> None:
    for name in ("./none", "/none/at/all", "models/none/at"):
        refuse(f"model_name {name}: there is no folder .*it must be a hub name, a folder or own", name)


@pytest.mark.slow
@pytest.mark.parametrize(
    "damage", ["cut", "no weights", "no config", "not json", "missing tensor", "other shape", "a pickle"]
)
def test_a_damaged_folder(folder: Path, damage: str) -> None:
    weights = folder / "model.safetensors"
    match damage:
        case "cut":
            weights.write_bytes(weights.read_bytes()[:-100])
        case "no weights":
            weights.unlink()
        case "no config":
            (folder / "config.json").unlink()
        case "not json":
            (folder / "config.json").write_text("{")
        case "missing tensor":
            state = load_file(weights)
            del state["vit.embeddings.cls_token"]
            save_file(state, weights, {"format": "pt"})
        case "other shape":
            edit(folder, intermediate_size=40)
        case "a pickle":
            torch.save(load_file(weights), folder / "pytorch_model.bin")
            weights.unlink()
    refuse(r"model_name .*pretrained cannot be had .*set it to a folder that holds", str(folder))


@pytest.mark.slow
def test_a_hub_that_cannot_be_reached(tmp_path: Path) -> None:
    """In a process of its own, as huggingface_hub reads where the hub is when it is imported."""
    code = """
import time
from warehouse_classifier.models import vit
from warehouse_classifier.runtime.errors import UserError
began, waited = time.monotonic(), []
time.sleep = waited.append  # between the hub's retries: counted, not slept
try:
    vit.build("google/vit-base-patch16-224-in21k", "b4569560a39a0f1af58e3ddaf17facf20ab919b0", None, 224, (1, 2))
except UserError as fault:
    print(fault)
print(time.monotonic() - began + sum(waited))
"""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "TRANSFORMERS_"))}
    # port 9 is that of "discard", which nothing listens on
    hub = {**environment, "HF_HOME": str(tmp_path), "HF_ENDPOINT": "http://127.0.0.1:9", "NO_PROXY": "127.0.0.1"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=hub, capture_output=True, text=True, check=True, timeout=200
    )
    fault, seconds = done.stdout.splitlines()
    assert fault.startswith("train_vit: model_name google/vit-base-patch16-224-in21k cannot be had (")
    assert fault.endswith("set it to a folder that holds config.json and model.safetensors, or to own")
    assert float(seconds) < 60
    assert done.stderr == ""


# ---- save and load


def test_the_round_trip(folder: Path) -> None:
    assert torch.equal(logits(vit.load(folder)), logits(own()))
    # and without this project: transformers' network, and the numbers of vit.py
    theirs = ViTForImageClassification.from_pretrained(folder).eval()
    with torch.inference_mode():
        answers = theirs((images().float() / 255 - 0.5) / 0.5).logits
    assert torch.equal(answers, logits(own()))
    assert theirs.config.id2label == {0: "1", 1: "2", 2: "3"}


@pytest.mark.parametrize(
    "damage", ["no folder", "cut", "no weights", "no config", "foreign", "missing tensor", "more layers"]
)
def test_a_folder_without_a_network(folder: Path, damage: str) -> None:
    weights = folder / "model.safetensors"
    match damage:
        case "no folder":
            shutil.rmtree(folder)
        case "cut":
            weights.write_bytes(weights.read_bytes()[:-100])
        case "no weights":
            weights.unlink()
        case "no config":
            (folder / "config.json").unlink()
        case "foreign":
            save_file({"layer.weight": torch.zeros(3)}, weights, {"format": "pt"})
        case "missing tensor":  # transformers would load it, with a new and random one instead
            state = load_file(weights)
            del state["classifier.weight"]
            save_file(state, weights, {"format": "pt"})
        case "more layers":
            edit(folder, num_hidden_layers=3)
    with pytest.raises(UserError, match=r"pretrained holds no trained ViT .*dvc repro train_vit") as fault:
        vit.load(folder)
    assert "\n" not in str(fault.value)
