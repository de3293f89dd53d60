"""Train torchvision's ResNet34 to count the items in a bin.

images/, metadata.parquet -> models/resnet34/
"""

from pathlib import Path
from typing import ClassVar

from pydantic import Field, ValidationInfo, field_validator

from warehouse_classifier.dataset.labels import QuantityEncoder
from warehouse_classifier.runtime.files import replacing
from warehouse_classifier.runtime.progress import Progress
from warehouse_classifier.training.distributed import rank
from warehouse_classifier.training.recipe import Recipe


class TrainResnet34(Recipe):
    """The recipe, and the weights to begin with."""

    LIBRARIES: ClassVar = ("torch", "torchvision", "pillow")  # which draws what pretraining begins on

    weights: str  # imagenet, none, or the path of a state dict
    weights_sha256: str | None = Field(pattern="^[0-9a-f]{64}$")  # of that state dict

    @field_validator("weights_sha256")
    @classmethod
    def _names_the_file(cls, sha256: str | None, info: ValidationInfo) -> str | None:
        """DVC sees the path alone: another file under the same path is another experiment."""
        weights = info.data.get("weights", "none")
        if sha256 is None and weights not in {"none", "imagenet"}:
            raise ValueError(f"it must be what `sha256sum {weights}` prints")
        return sha256


def train_resnet34(
    params: TrainResnet34, images: Path, metadata: Path, model: Path, *, work: Path, progress: Progress
) -> None:
    """Write the trained network and its history to `model`. `metadata` is read where the recipe asks for auxiliary answers.

    Raises UserError, as loop.train does, and where the metadata lacks a bin.
    """
    import torch

    from warehouse_classifier.bins import list_attributes
    from warehouse_classifier.dataset.shards import Shards
    from warehouse_classifier.models import folder, resnet34
    from warehouse_classifier.training import loop

    torch.manual_seed(params.seed)
    torch.set_num_threads(params.threads)
    encoder, shards = QuantityEncoder(params.quantities), Shards(images)
    network = resnet34.build(len(encoder), params.weights, params.weights_sha256)
    lists = list_attributes.read(metadata, shards.index["id"].tolist()) if params.auxiliary else None
    rows = loop.train("train_resnet34", network, shards, encoder, params, work, progress, lists)
    if rank() == 0:
        with replacing(model) as half:
            half.mkdir()
            resnet34.save(network, encoder.quantities, half)
            folder.write(rows, half)
