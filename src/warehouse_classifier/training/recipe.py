"""How a network is trained: what both training stages can be told alike."""

from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from warehouse_classifier.runtime.params import Params


class Recipe(Params):
    """batch = processes x accumulated micro-batches x micro_batch: the same training for every number of processes."""

    lr: float | None = Field(gt=0, allow_inf_nan=False)  # overrides learning_rate
    seed: int = Field(ge=0)
    quantities: list[int]
    batch: int = Field(ge=1)  # images to a step of the optimizer
    micro_batch: int = Field(ge=1)  # images that a network sees at once, and that a BatchNorm takes its averages over
    processes: int = Field(ge=1)  # that share the micro-batches of a batch
    learning_rate: float = Field(gt=0, allow_inf_nan=False)
    epochs: int = Field(ge=1)
    patience: int | None = Field(ge=1)  # epochs without a better validation accuracy that end a training; null: none do
    precision: Literal["fp32", "tf32", "bf16"]
    compile: bool  # by torch.compile
    deterministic: bool  # the same bits again on a GPU too; a CPU gives them either way
    threads: int = Field(ge=1)  # of the processor; sums differ in the last bit between one and two
    workers: int = Field(ge=1)  # threads that decode images

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
