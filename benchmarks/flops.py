"""How much a network computes for an image it is trained on, and how much a machine can compute at most."""

import time
from typing import Any

from loops import Task, build

# tera-FLOP a second, dense, without sparsity's factor of two; NVIDIA's data sheets of each card
PUBLISHED = {
    "H200": {"bf16": 989.4, "tf32": 494.7, "fp32": 66.9},
    "H100 PCIe": {"bf16": 756.0, "tf32": 378.0, "fp32": 51.2},
    "H100": {"bf16": 989.4, "tf32": 494.7, "fp32": 66.9},
    "A100": {"bf16": 312.0, "tf32": 156.0, "fp32": 19.5},
    "L40S": {"bf16": 362.05, "tf32": 183.0, "fp32": 91.6},
    "L4": {"bf16": 121.0, "tf32": 60.0, "fp32": 30.3},
    "T4": {"fp32": 8.1},
}
SIZES = {"cpu": (1024, 2048, 4096), "cuda": (4096, 8192, 16384)}  # rows and columns of the matrices
LOOKED = 0.5  # seconds for each size


def published(card: str, precision: str) -> float | None:
    """FLOP a second by the name that the driver gives the card, None for one that is not in the table."""
    peaks_of_card = next((peaks for name, peaks in PUBLISHED.items() if f"{name} " in f"{card.replace('-', ' ')} "), {})
    return peaks_of_card[precision] * 1e12 if precision in peaks_of_card else None


def of_an_image(task: Task) -> float:
    """FLOP forward and backward, by torch's counter: convolutions and matrix products, a multiply-add as two."""
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    network, images = build(task).train(), torch.zeros(2, 3, task.side, task.side, dtype=torch.uint8)
    # other attentions than this one the counter does not all know
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        network(images).sum().backward()
    return counter.get_total_flops() / len(images)


def matmul(precision: str, threads: int) -> float:
    """FLOP a second of square matrix products, those of the best size."""
    import torch

    from warehouse_classifier.models.device import arithmetic

    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    with arithmetic("matmul", precision, threads, deterministic=False) as device:
        return max(_rate(torch.randn(2, side, side, device=device).to(kind)) for side in SIZES[device.type])


def _rate(matrices: Any) -> float:
    import torch

    a, b = matrices
    wait = torch.cuda.synchronize if a.is_cuda else lambda: None
    for _ in range(2):
        a @ b
    wait()
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < LOOKED:
        for _ in range(4 if a.is_cuda else 1):
            a @ b
        wait()
        count += 4 if a.is_cuda else 1
    return count * 2 * len(a) ** 3 / (time.perf_counter() - began)
