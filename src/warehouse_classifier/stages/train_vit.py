"""Train a Vision Transformer to count the items in a bin.

images/, metadata.parquet -> models/vit/
"""

from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from warehouse_classifier.dataset.labels import QuantityEncoder
from warehouse_classifier.runtime.files import replacing
from warehouse_classifier.runtime.params import Side
from warehouse_classifier.runtime.progress import Progress
from warehouse_classifier.training.distributed import rank
from warehouse_classifier.training.recipe import Recipe


class Size(BaseModel):
    """Of a network of our own, in the words of transformers' ViTConfig."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    hidden_size: int = Field(ge=8, le=2**16)
    num_hidden_layers: int = Field(ge=1, le=1024)
    num_attention_heads: int = Field(ge=1, le=1024)
    intermediate_size: int = Field(ge=8, le=2**18)
    patch_size: int = Field(ge=1, le=2048)  # pixels


class TrainVit(Recipe):
    """The recipe, and the network to begin with."""

    LIBRARIES: ClassVar = ("torch", "transformers", "pillow")  # which draws what pretraining begins on

    side: Side
    model_name: str  # a hub name, the path of a folder, or own
    revision: str | None = Field(
        pattern="^([0-9a-f]{40}|[0-9a-f]{64})$"
    )  # commit of a hub name, or the sha256 of the folder's model.safetensors
    own_size: Size | None

    @field_validator("revision")
    @classmethod
    def _names_the_weights(cls, revision: str | None, info: ValidationInfo) -> str | None:
        """DVC sees the name alone: other weights under the same name are another experiment."""
        name = info.data.get("model_name", "own")
        if revision is None and name != "own":
            raise ValueError(
                f"it must be a commit of {name} or, for a folder, what `sha256sum {name}/model.safetensors` prints"
            )
        return revision

    @field_validator("own_size")
    @classmethod
    def _fits(cls, size: Size | None, info: ValidationInfo) -> Size | None:
        """An own network needs a size, and one that cuts the image into whole patches and its width into whole heads."""
        if info.data.get("model_name") == "own" and size is None:
            raise ValueError("it must be given, because model_name is own")
        if size and info.data.get("side", 0) % size.patch_size:
            raise ValueError(f"its patch_size must divide the side of {info.data['side']} pixels")
        if size and size.hidden_size % size.num_attention_heads:
            raise ValueError("its num_attention_heads must divide its hidden_size")
        return size


def train_vit(params: TrainVit, images: Path, metadata: Path, model: Path, *, work: Path, progress: Progress) -> None:
    """Write the trained network and its history to `model`. `metadata` is read where the recipe asks for auxiliary answers.

    Raises UserError, as loop.train does, and where the metadata lacks a bin.
    """
    import torch

    from warehouse_classifier.bins import list_attributes
    from warehouse_classifier.dataset.shards import Shards
    from warehouse_classifier.models import folder, vit
    from warehouse_classifier.training import loop

    torch.manual_seed(params.seed)
    torch.set_num_threads(params.threads)
    encoder, shards = QuantityEncoder(params.quantities), Shards(images)
    size = params.own_size.model_dump() if params.own_size else None
    network = vit.build(params.model_name, params.revision, size, params.side, encoder.quantities)
    lists = list_attributes.read(metadata, shards.index["id"].tolist()) if params.auxiliary else None
    rows = loop.train("train_vit", network, shards, encoder, params, work, progress, lists)
    if rank() == 0:
        with replacing(model) as half:
            half.mkdir()
            vit.save(network, half)
            folder.write(rows, half)
