"""How a network is trained: what both training stages can be told alike."""

from pydantic import Field, ValidationInfo, field_validator

from warehouse_classifier.runtime.params import Batch, Params, Precision, Quantities, Rate, Seed, Threads


class Recipe(Params):
    """batch = processes x accumulated micro-batches x micro_batch: the same training for every number of processes."""

    lr: Rate | None  # overrides learning_rate
    seed: Seed
    quantities: Quantities
    batch: Batch  # images to a step of the optimizer
    micro_batch: Batch  # images that a network sees at once, and that a BatchNorm takes its averages over
    processes: int = Field(ge=1, le=1024)  # that share the micro-batches of a batch
    learning_rate: Rate
    epochs: int = Field(ge=1, le=1_000_000)
    patience: int | None = Field(
        ge=1, le=1_000_000
    )  # epochs without a better validation accuracy that end a training; null: none do
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
