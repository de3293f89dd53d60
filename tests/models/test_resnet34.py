"""ResNet34: where its weights may come from, and that what is saved is what is loaded, here and in torchvision."""

import hashlib
import json
import os
import pickle
import socket
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torchvision.models import ResNet34_Weights
from torchvision.models import resnet34 as torchvision_resnet34

from warehouse_classifier.models import resnet34
from warehouse_classifier.runtime.errors import UserError

QUANTITIES = (1, 2, 3)
State = dict[str, torch.Tensor]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


@pytest.fixture(scope="module")
def published() -> State:
    """A state dict for 1,000 classes, as torchvision publishes it."""
    torch.manual_seed(5)
    return torchvision_resnet34(num_classes=1000).state_dict()


@pytest.fixture(scope="module")
def pth(published: State, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("served") / "resnet34-of-a-test.pth"
    torch.save(published, file)
    return file


@pytest.fixture
def server(pth: Path) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(pth.parent))) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{http.server_port}"
        finally:
            http.shutdown()
            thread.join()


def closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def images(count: int = 2, side: int = 32) -> torch.Tensor:
    return torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def has_body_of(network: resnet34.ResNet34, state: State) -> bool:
    own = network.network.state_dict()
    return all(torch.equal(own[name], tensor) for name, tensor in state.items() if not name.startswith("fc."))


def refuse(match: str, weights: str, sha: str | None = None) -> None:
    with pytest.raises(UserError, match=match) as fault:
        resnet34.build(3, weights, sha)
    assert "\n" not in str(fault.value)


# ---- weights


@pytest.mark.slow
def test_from_nothing_is_a_function_of_the_seed() -> None:
    built = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        built.append(resnet34.build(3, "none", None).network.state_dict())
    assert all(torch.equal(built[0][name], built[1][name]) for name in built[0])
    assert not torch.equal(built[0]["conv1.weight"], built[2]["conv1.weight"])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pth", "safetensors"])
def test_a_state_dict_gives_its_body_and_a_new_answer(tmp_path: Path, pth: Path, published: State, kind: str) -> None:
    weights = tmp_path / "weights.safetensors"
    if kind == "pth":
        (tmp_path / "weights.pth").symlink_to(pth)
        weights = tmp_path / "weights.pth"
    else:
        save_file(published, weights)
    network = resnet34.build(3, weights.name, sha256(weights))  # found from $DVC_ROOT
    assert has_body_of(network, published)
    assert network.network.fc.weight.shape == (3, 512)
    assert network(images()).shape == (2, 3)


@pytest.mark.slow
def test_an_answer_for_as_many_is_kept(tmp_path: Path) -> None:
    state = torchvision_resnet34(num_classes=3).state_dict()
    save_file(state, tmp_path / "mine.safetensors")
    network = resnet34.build(3, str(tmp_path / "mine.safetensors"), None)
    assert torch.equal(network.network.fc.weight, state["fc.weight"])


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.folder,)

    def __init__(self, folder: str) -> None:
        self.folder = folder


@pytest.mark.slow
def test_a_pickle_with_code_in_it_is_refused_and_not_run(tmp_path: Path) -> None:
    for file in (tmp_path / "new.pth", tmp_path / "old.pth"):
        boom = {"conv1.weight": Bomb(str(tmp_path / "boom"))}
        torch.save(boom, file) if file.stem == "new" else file.write_bytes(pickle.dumps(boom, 2))
        refuse(rf"train_resnet34: .*{file.name} is no state dict", file.name)
    assert not (tmp_path / "boom").exists()


@pytest.mark.parametrize(
    ("body", "match"),
    [(b"", "is no state dict"), (b"<html>", "is no state dict"), (b"PK\x03\x04cut", "is no state dict")],
)
@pytest.mark.parametrize("name", ["damaged.pth", "damaged.safetensors"])
def test_a_damaged_file(tmp_path: Path, body: bytes, match: str, name: str) -> None:
    (tmp_path / name).write_bytes(body)
    refuse(f"{name} {match}", name)


@pytest.mark.slow
def test_a_file_of_another_hash(tmp_path: Path, pth: Path) -> None:
    digest = sha256(pth)
    refuse(f"{pth.name} has the sha256 {digest}, not {'0' * 64}", str(pth), "0" * 64)


def test_a_missing_file(tmp_path: Path) -> None:
    refuse(f"weights: {tmp_path}/none.pth cannot be read .No such file.*set it to imagenet or none", "none.pth")
    refuse("cannot be read .Is a directory", ".")


def test_another_network(tmp_path: Path) -> None:
    save_file({"layer.weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    refuse("other.safetensors is no state dict of a ResNet34", "other.safetensors")
    torch.save({"state_dict": {"conv1.weight": torch.zeros(3)}}, tmp_path / "nested.pth")
    refuse("nested.pth is no state dict: it must map names to tensors", "nested.pth")
    torch.save({7: torch.zeros(3)}, tmp_path / "numbers.pth")
    refuse("numbers.pth is no state dict", "numbers.pth")


# ---- imagenet


def test_imagenet_is_what_torchvision_publishes() -> None:
    assert ResNet34_Weights.IMAGENET1K_V1.url == resnet34.IMAGENET_URL
    # torchvision puts the first eight digits into the name
    assert Path(resnet34.IMAGENET_URL).stem == f"resnet34-{resnet34.IMAGENET_SHA256[:8]}"
    assert ResNet34_Weights.IMAGENET1K_V1.transforms().mean == list(resnet34.MEAN)
    assert ResNet34_Weights.IMAGENET1K_V1.transforms().std == list(resnet34.STD)


def test_imagenet_without_a_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(resnet34, "IMAGENET_URL", f"http://127.0.0.1:{closed_port()}/resnet34.pth")
    refuse(r"weights is imagenet, but http://127.* cannot be downloaded .*put the file at .*or to none", "imagenet")
    assert not [file for file in (tmp_path / "torch").rglob("*") if file.is_file()]


@pytest.mark.slow
def test_imagenet_is_downloaded_once(
    server: str, pth: Path, published: State, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(resnet34, "IMAGENET_URL", f"{server}/{pth.name}")
    monkeypatch.setattr(resnet34, "IMAGENET_SHA256", sha256(pth))
    assert has_body_of(resnet34.build(3, "imagenet", None), published)
    monkeypatch.setattr(resnet34, "IMAGENET_URL", f"http://127.0.0.1:{closed_port()}/{pth.name}")
    assert has_body_of(resnet34.build(3, "imagenet", None), published)
    assert capfd.readouterr().err == ""


@pytest.mark.slow
def test_a_download_of_another_hash_leaves_nothing(
    server: str, pth: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(resnet34, "IMAGENET_URL", f"{server}/{pth.name}")
    refuse("cannot be downloaded .invalid hash value", "imagenet")
    assert not [file for file in (tmp_path / "torch").rglob("*") if file.is_file()]


def test_a_missing_download(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resnet34, "IMAGENET_URL", f"{server}/nothing.pth")
    refuse("cannot be downloaded .HTTP Error 404", "imagenet")


# ---- save and load


@pytest.mark.slow
def test_the_round_trip(tmp_path: Path) -> None:
    torch.manual_seed(3)
    network = resnet34.build(3, "none", None)
    network(images(4))  # the averages of BatchNorm move
    network.eval()
    resnet34.save(network, QUANTITIES, tmp_path)
    with torch.inference_mode():
        logits = network(images())
        assert torch.equal(resnet34.load(tmp_path)(images()), logits)
        # and without this project: torchvision's network, the numbers of config.json
        facts = json.loads((tmp_path / "config.json").read_text())
        theirs = torchvision_resnet34(num_classes=len(facts["quantities"]))
        theirs.load_state_dict(load_file(tmp_path / "model.safetensors"))
        mean, std = (torch.tensor(facts[key]).view(3, 1, 1) for key in ("mean", "std"))
        assert torch.allclose(theirs.eval()((images().float() / 255 - mean) / std), logits, atol=1e-4)
    assert facts["quantities"] == [1, 2, 3]


@pytest.mark.parametrize(
    "damage", ["no folder", "no config", "no weights", "cut", "foreign", "not json", "no quantities"]
)
def test_a_folder_without_a_network(tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "resnet34"
    if damage != "no folder":
        folder.mkdir()
        # a small file will do: the config says three answers, and it holds another network
        save_file({"layer.weight": torch.zeros(3)}, folder / "model.safetensors")
        (folder / "config.json").write_text('{"quantities": [1, 2, 3]}')
    match damage:
        case "no config":
            (folder / "config.json").unlink()
        case "no weights":
            (folder / "model.safetensors").unlink()
        case "cut":
            (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:20])
        case "not json":
            (folder / "config.json").write_text("{")
        case "no quantities":
            (folder / "config.json").write_text("[]")
    with pytest.raises(UserError, match=r"resnet34 holds no trained ResNet34 .*dvc repro train_resnet34") as fault:
        resnet34.load(folder)
    assert "\n" not in str(fault.value)


def test_weights_for_other_quantities(tmp_path: Path) -> None:
    resnet34.save(resnet34.build(2, "none", None), QUANTITIES, tmp_path)
    with pytest.raises(UserError, match=r"holds no trained ResNet34 .*size mismatch for fc.weight"):
        resnet34.load(tmp_path)
