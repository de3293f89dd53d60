"""The Vision Transformer (Dosovitskiy et al. 2020, https://arxiv.org/abs/2010.11929) as Hugging Face has it."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from warehouse_classifier.runtime.errors import UserError
from warehouse_classifier.runtime.files import root, sha256

OWN = "own"  # the model_name of a network that starts from nothing, of the size given beside it
MEAN, STD = 0.5, 0.5  # of the images that the published ViTs were trained on, for each colour


class ViT(nn.Module):
    """The network with its normalisation: uint8 images in, logits out."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits [B, answers] of uint8 images [B, 3, H, W]."""
        # images of another side than the network was made for get its position embeddings interpolated
        logits: torch.Tensor = self.network(_pixels(images), interpolate_pos_encoding=True).logits
        return logits

    def read(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits, and what is seen: the first token, mean and maximum of the others, [B, 3 * hidden_size]."""
        tokens = self.network.vit(_pixels(images), interpolate_pos_encoding=True).last_hidden_state
        first, others = tokens[:, 0], tokens[:, 1:]
        return self.network.classifier(first), torch.cat([first, others.mean(1), others.amax(1)], dim=1)


def _pixels(images: torch.Tensor) -> torch.Tensor:
    return (images.float() / 255 - MEAN) / STD


def build(
    model_name: str, revision: str | None, size: Mapping[str, int] | None, side: int, quantities: tuple[int, ...]
) -> ViT:
    """A network to be trained. `model_name`: a hub name, a folder relative to $DVC_ROOT, or "own".

    `revision`: commit of a hub name, or sha256 of a folder's model.safetensors; None takes what is there. `size`:
    hidden_size, num_hidden_layers, num_attention_heads, intermediate_size and patch_size of an own one. The layer that
    answers is new, unless the model has one for as many answers. Raises UserError if the model cannot be had.
    """
    transformers = _transformers()
    names = {label: str(quantity) for label, quantity in enumerate(quantities)}
    answers = {"num_labels": len(names), "id2label": names, "label2id": {name: label for label, name in names.items()}}
    if model_name == OWN:
        config = transformers.ViTConfig(image_size=side, **(size or {}), **answers)
        return ViT(transformers.ViTForImageClassification(config))
    folder = root() / model_name
    source = str(folder) if folder.is_dir() else model_name
    if not folder.is_dir() and (model_name.startswith((".", "/")) or model_name.count("/") > 1):
        raise UserError(
            f"train_vit: model_name {model_name}: there is no folder {folder}; it must be a hub name, a folder or own"
        )
    try:
        if folder.is_dir() and revision not in {None, digest := sha256(folder / "model.safetensors")}:
            raise ValueError(f"its model.safetensors has the sha256 {digest}, revision is {revision}")
        network, report = transformers.ViTForImageClassification.from_pretrained(
            source,
            revision=None if folder.is_dir() else revision,
            ignore_mismatched_sizes=True,
            use_safetensors=True,
            output_loading_info=True,
            dtype=torch.float32,  # not that of the file: Adam cannot train what is kept in bf16
            **answers,
        )
        # what is missing would be new and random, and nobody would be told
        missing = {*report["missing_keys"], *(name for name, *_ in report["mismatched_keys"])}
        lost = sorted(name for name in missing if not name.startswith("classifier."))
        if lost:
            raise ValueError(f"its weights lack {', '.join(lost[:3])} or have it in another shape")
    except Exception as error:  # noqa: BLE001 -- the hub, the network and damaged files all raise their own
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"train_vit: model_name {model_name} cannot be had ({reason}); set it to a folder that holds"
            " config.json and model.safetensors, or to own"
        ) from None
    patch = network.config.patch_size
    if side % patch:
        raise UserError(
            f"train_vit: model_name {model_name} sees patches of {patch} pixels, data.side is {side}; set a multiple"
        )
    return ViT(network)


def save(network: ViT, folder: Path) -> None:
    """`folder` is one that transformers' own from_pretrained loads."""
    network.network.save_pretrained(folder)


def load(folder: Path) -> ViT:
    """The trained network, ready to answer. Raises UserError if the folder holds none."""
    try:
        network, report = _transformers().ViTForImageClassification.from_pretrained(
            str(folder), local_files_only=True, use_safetensors=True, output_loading_info=True
        )
        lost = sorted({*report["missing_keys"], *report["unexpected_keys"]})
        if lost:
            raise ValueError(f"the weights and the config do not agree on {', '.join(lost[:3])}")
    except Exception as error:  # noqa: BLE001 -- damaged files raise whatever their parsers raise
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{folder} holds no trained ViT ({reason}); `dvc repro train_vit` makes it") from None
    return ViT(network).eval()


def _transformers() -> Any:
    """transformers, without the bars and warnings that it writes over ours."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    import transformers
    from huggingface_hub.utils import logging as hub_logging
    from transformers.utils import logging

    # which tells of every retry
    hub_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    return transformers
