"""torchvision's ResNet34 (He et al. 2015, https://arxiv.org/abs/1512.03385), with an answer for each quantity."""

import hashlib
import io
import json
from http.client import HTTPException
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as parse
from safetensors.torch import load_file, save_file
from torch import nn

from warehouse_classifier.models.folder import CONFIG, WEIGHTS
from warehouse_classifier.runtime.errors import UserError
from warehouse_classifier.runtime.files import root

# torchvision's ResNet34_Weights.IMAGENET1K_V1: the address, the whole hash, and the normalisation it was trained with
IMAGENET_URL = "https://download.pytorch.org/models/resnet34-b627a593.pth"
IMAGENET_SHA256 = "b627a593bcbe140c234610266fe4f8ae95ea42fc881d091c9b6052e6b1d0590f"
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class ResNet34(nn.Module):
    """The network with its normalisation: uint8 images in, logits out."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, answers: int) -> None:
        super().__init__()
        from torchvision.models import resnet34

        self.network = resnet34(num_classes=answers)
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1) * 255, persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(3, 1, 1) * 255, persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits [B, answers] of uint8 images [B, 3, H, W]."""
        logits: torch.Tensor = self.network((images.float() - self.mean) / self.std)
        return logits

    def read(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits, and what is seen: mean and maximum over the maps of the last three stages, [B, 1792]."""
        network = self.network
        maps = network.maxpool(network.relu(network.bn1(network.conv1((images.float() - self.mean) / self.std))))
        stages = []
        for stage in (network.layer1, network.layer2, network.layer3, network.layer4):
            maps = stage(maps)
            stages.append(maps)
        logits: torch.Tensor = network.fc(torch.flatten(network.avgpool(maps), 1))
        seen = [part for maps in stages[1:] for part in (maps.mean((2, 3)), maps.amax((2, 3)))]
        return logits, torch.cat(seen, dim=1)


def build(answers: int, weights: str, sha256: str | None) -> ResNet34:
    """A network to be trained. `weights`: "none", "imagenet", or the path of a state dict relative to $DVC_ROOT.

    The layer that answers is always new, unless the state dict has one for as many answers. Raises UserError if the weights
    cannot be had, are not of the `sha256` that was asked for, or are of another network.
    """
    network = ResNet34(answers)
    if weights == "none":
        return network
    file = _imagenet() if weights == "imagenet" else (root() / weights)
    state = _read(file, IMAGENET_SHA256 if weights == "imagenet" else sha256)
    own = network.network.state_dict()
    if "fc.weight" in state and state["fc.weight"].shape != own["fc.weight"].shape:
        state = {**state, "fc.weight": own["fc.weight"], "fc.bias": own["fc.bias"]}
    try:
        network.network.load_state_dict(state)
    except RuntimeError as error:
        raise UserError(f"{file} is no state dict of a ResNet34 ({' '.join(str(error).split())[:200]})") from None
    return network


def save(network: ResNet34, quantities: tuple[int, ...], folder: Path) -> None:
    """`folder` holds the state dict under torchvision's names and what its answers mean."""
    state = {name: tensor.contiguous() for name, tensor in network.network.state_dict().items()}
    save_file(state, folder / WEIGHTS)
    facts = {"network": "resnet34", "quantities": quantities, "mean": MEAN, "std": STD}
    (folder / CONFIG).write_text(json.dumps(facts, indent=2, sort_keys=True) + "\n")


def load(folder: Path) -> ResNet34:
    """The trained network, ready to answer. Raises UserError if the folder holds none."""
    try:
        answers = len(json.loads((folder / CONFIG).read_text())["quantities"])
        network = ResNet34(answers)
        network.network.load_state_dict(load_file(folder / WEIGHTS))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{folder} holds no trained ResNet34 ({reason}); `dvc repro train_resnet34` makes it") from None
    return network.eval()


def _imagenet() -> Path:
    """torchvision's file, from where torch keeps downloads or from the network."""
    file = Path(torch.hub.get_dir()) / "checkpoints" / Path(IMAGENET_URL).name
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(IMAGENET_URL, str(file), hash_prefix=IMAGENET_SHA256, progress=False)
        except (OSError, RuntimeError, HTTPException) as error:
            raise UserError(
                f"train_resnet34: weights is imagenet, but {IMAGENET_URL} cannot be downloaded ({error});"
                f" put the file at {file}, set weights to the path of a state dict, or to none"
            ) from None
    return file


def _read(file: Path, sha256: str | None) -> dict[str, torch.Tensor]:
    """A state dict from a safetensors file or a pickle of tensors and nothing else."""
    try:
        body = file.read_bytes()
    except OSError as error:
        raise UserError(
            f"train_resnet34: weights: {file} cannot be read ({error.strerror}); set it to imagenet or none"
        ) from None
    digest = hashlib.sha256(body).hexdigest()
    if sha256 is not None and digest != sha256:
        raise UserError(f"train_resnet34: {file} has the sha256 {digest}, not {sha256}; it is another file or damaged")
    try:
        state = parse(body) if file.suffix == ".safetensors" else torch.load(io.BytesIO(body), "cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001 -- a damaged pickle can raise anything
        raise UserError(f"train_resnet34: {file} is no state dict ({' '.join(str(error).split())[:200]})") from None
    pairs = state.items() if isinstance(state, dict) else [(None, None)]
    if not all(isinstance(name, str) and isinstance(tensor, torch.Tensor) for name, tensor in pairs):
        raise UserError(f"train_resnet34: {file} is no state dict: it must map names to tensors and nothing else")
    return state
