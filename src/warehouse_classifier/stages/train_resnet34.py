"""Train torchvision's ResNet34 to count the items in a bin.

images/ -> models/resnet34/
"""

from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from warehouse_classifier.files import replacing, sha256
from warehouse_classifier.label import Labels
from warehouse_classifier.params import Params
from warehouse_classifier.watch import Watch
from warehouse_classifier.work import in_progress


class TrainResnet34(Params):
    lr: float | None = Field(gt=0, allow_inf_nan=False)  # overrides learning_rate
    seed: int = Field(ge=0)
    quantities: list[int]
    weights: str  # imagenet, none, or the path of a state dict
    weights_sha256: str | None = Field(pattern="^[0-9a-f]{64}$")  # of that state dict
    batch: int = Field(ge=3)  # cut from an odd number, batches of two leave one image, too few for a BatchNorm
    learning_rate: float = Field(gt=0, allow_inf_nan=False)  # of Adam, constant
    epochs: int = Field(ge=1)
    precision: Literal["fp32", "bf16"]
    threads: int = Field(ge=1)  # of the processor; sums differ in the last bit between one and two
    workers: int = Field(ge=1)  # threads that decode images

    @field_validator("weights_sha256")
    @classmethod
    def _names_the_file(cls, sha256: str | None, info: ValidationInfo) -> str | None:
        """DVC sees the path alone: another file under the same path is another experiment."""
        weights = info.data.get("weights", "none")
        if sha256 is None and weights not in {"none", "imagenet"}:
            raise ValueError(f"it must be what `sha256sum {weights}` prints")
        return sha256


def train_resnet34(params: TrainResnet34, images: Path, model: Path, *, watch: Watch) -> None:
    import torch

    from warehouse_classifier import history, resnet34, training
    from warehouse_classifier.shards import INDEX, Shards

    torch.manual_seed(params.seed)
    torch.set_num_threads(params.threads)
    labels, shards = Labels(params.quantities), Shards(images)
    network = resnet34.build(len(labels), params.weights, params.weights_sha256)
    rate = params.lr or params.learning_rate
    optimizer = torch.optim.Adam(network.parameters(), rate)
    recipe = training.Recipe(
        params.epochs, params.batch, params.seed, params.workers, params.precision, rate=lambda _: rate
    )
    with in_progress("train_resnet34", params.model_dump(), sha256(images / INDEX)) as work:
        rows = training.train("train_resnet34", network, optimizer, shards, labels, recipe, work, watch)
        with replacing(model) as half:
            half.mkdir()
            resnet34.save(network, labels.quantities, half)
            history.write(rows, half)


# ---- wire


def wire(argv: list[str], watch: Watch) -> None:
    scale, images, model = argv
    train_resnet34(TrainResnet34.load("train_resnet34", scale), Path(images), Path(model), watch=watch)
