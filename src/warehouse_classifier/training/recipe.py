"""How a network is trained: what both training stages can be told alike."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from warehouse_classifier.runtime.params import Batch, Count, Params, Precision, Quantities, Rate, Seed, Threads

ShareOrZero = Annotated[float, Field(ge=0, lt=1)]
EpochCount = Annotated[int, Field(ge=1, le=1_000_000)]


class Augmentation(BaseModel):
    """How much a photo is changed at most; 0 for nothing of the kind."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)

    shrink: ShareOrZero  # share of the photo's side; it then stands anywhere in the room that this leaves
    turn: float = Field(ge=0, le=45)  # degrees, either way
    light: ShareOrZero  # share by which it gets brighter or darker, and its contrast more or less
    colour: ShareOrZero  # share by which each colour gets brighter or darker by itself


class Pretraining(BaseModel):
    """Drawn bins to begin with."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    pairs: Count  # of the synthetic bucket; those that hold a quantity to be told apart are learned from
    seed: Seed
    epochs: EpochCount


class Recipe(Params):
    """batch = processes x accumulated micro-batches x micro_batch: the same training for every number of processes."""

    lr: Rate | None  # overrides learning_rate
    seed: Seed
    quantities: Quantities
    batch: Batch  # images to a step of the optimizer
    micro_batch: Batch  # images that a network sees at once, and that a BatchNorm takes its averages over
    processes: int = Field(ge=1, le=1024)  # that share the micro-batches of a batch
    learning_rate: Rate
    warmup: ShareOrZero  # share of all steps in which the rate first rises from 0
    decay: bool  # whether it then falls to 0 in a line; else it is constant
    weight_decay: float = Field(ge=0, le=3e38)  # of AdamW; with 0 it is Adam
    epochs: EpochCount
    patience: EpochCount | None  # epochs without a better validation accuracy that end a training; null: none do
    augmentation: Augmentation | None  # null: images are mirrored and nothing else
    neighbours: ShareOrZero  # share of an image's target that goes to the quantities beside its own
    average: (
        ShareOrZero  # share of all steps, the last ones, whose weights are averaged: the result; 0: the best epoch's
    )
    auxiliary: float = Field(ge=0, le=1000)  # weight of what else a list says, as answers while it learns; 0: none
    pretrain: Pretraining | None  # null: the network begins with what its stage gives it
    precision: Precision
    compile: bool  # by torch.compile
    deterministic: bool  # the same bits again on a GPU too; a CPU gives them either way
    threads: Threads  # of the processor; sums differ in the last bit between one and two
    workers: Threads  # that decode images

    @field_validator("micro_batch")
    @classmethod
    def _divides_the_batch(cls, micro_batch: int, info: ValidationInfo) -> int:
        batch = info.data.get("batch", micro_batch)
        if batch % micro_batch:
            raise ValueError(f"it must divide the batch of {batch}")
        return micro_batch

    @field_validator("processes")
    @classmethod
    def _divide_the_micro_batches(cls, processes: int, info: ValidationInfo) -> int:
        micro_batches = info.data.get("batch", 0) // info.data.get("micro_batch", 1)
        if micro_batches % processes:
            raise ValueError(f"it must divide the number of micro-batches in a batch, {micro_batches}")
        return processes

    @field_validator("average")
    @classmethod
    def _reaches_its_steps(cls, average: float, info: ValidationInfo) -> float:
        """What ends early never comes to the steps that are averaged."""
        if average and info.data.get("patience") is not None:
            raise ValueError("it must be 0 where patience may end the training early")
        return average

    def rate(self, done: float) -> float:
        """The learning rate when `done` (0 to 1) of all steps are."""
        highest = self.lr or self.learning_rate
        if done < self.warmup:
            return highest * (done / self.warmup)
        return highest * ((1 - done) / (1 - self.warmup)) if self.decay else highest
