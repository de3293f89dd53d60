"""How numbers are computed: on which device, how precisely, in what order in memory, and whether alike each time."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch

from warehouse_classifier.runtime.errors import UserError


def layout(precision: str) -> torch.memory_format:
    """Of weights and images: channels last is faster in bf16 and tf32 and slower in fp32 (benchmarks/layout.py: ResNet34 at
    64 pixels on two cores, 1.08 and 0.91 times)."""
    return torch.contiguous_format if precision == "fp32" else torch.channels_last


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """Within it bf16 is used where it may be, if that is the precision."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


@contextmanager
def arithmetic(
    stage: str, precision: str, threads: int, *, deterministic: bool, device: torch.device | None = None
) -> Iterator[torch.device]:
    """Yield the device to compute on (the one given, a GPU or, without one, the processor) with torch set up for it.

    The same inputs give the same bits on the same kind of machine, on a GPU if `deterministic`: torch then raises
    RuntimeError where it knows no such way. Raises UserError if the device cannot do the precision.
    """
    device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if precision != "fp32" and device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise UserError(
            f"params.yaml: {stage}'s precision is {precision}, which this machine's GPU cannot do; set fp32"
        )
    if precision == "tf32" and device.type == "cpu":
        raise UserError(f"params.yaml: {stage}'s precision is tf32, which only a GPU has; set fp32 or bf16")
    if deterministic and device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when cuBLAS starts
    memory: Any = torch.utils.deterministic
    filled = memory.fill_uninitialized_memory
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled(), torch.get_float32_matmul_precision()
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic and device.type == "cuda")
    memory.fill_uninitialized_memory = False  # a pass over all new memory, and none of it is read
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    cudnn = torch.backends.cudnn.flags(
        enabled=True, benchmark=not deterministic, deterministic=deterministic, allow_tf32=precision == "tf32"
    )
    try:
        with cudnn:
            yield device
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1])
        memory.fill_uninitialized_memory = filled
        torch.set_float32_matmul_precision(before[2])
