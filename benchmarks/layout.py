"""Which memory layout trains the ResNet34 faster, by precision: why models/device.py has `layout`.

    python benchmarks/layout.py [side]

Images per second of whole steps on a fixed batch of 64 in memory, two threads. Every way is measured in turn, five times
over, and the medians are set beside that of contiguous weights and images at the same precision.
"""

import statistics
import sys
import time
from collections.abc import Callable

import torch
from torch.nn.functional import cross_entropy

from warehouse_classifier.models import resnet34

BATCH, STEPS, ROUNDS = 64, 4, 5
LAYOUTS = {"contiguous": torch.contiguous_format, "channels last": torch.channels_last}


def stepper(precision: str, weights: str, images: str, side: int) -> Callable[[], None]:
    network = resnet34.build(5, "none", None).train().to(memory_format=LAYOUTS[weights])
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    batch = torch.randint(0, 256, (BATCH, 3, side, side), dtype=torch.uint8).to(memory_format=LAYOUTS[images])
    labels = torch.randint(0, 5, (BATCH,))

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            loss = cross_entropy(network(batch).float(), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def main(side: int) -> None:
    torch.set_num_threads(2)
    ways = [("contiguous", "contiguous"), ("channels last", "channels last"), ("contiguous", "channels last")]
    print(f"{'precision':<11}{'weights':<15}{'images':<15}{'images/s':>9}{'beside contiguous':>19}")
    for precision in ("fp32", "bf16"):
        steps = {way: stepper(precision, *way, side) for way in ways}
        rates: dict[tuple[str, str], list[float]] = {way: [] for way in ways}
        for step in steps.values():
            step()  # the first is slower
        for _ in range(ROUNDS):
            for way, step in steps.items():
                began = time.perf_counter()
                for _ in range(STEPS):
                    step()
                rates[way].append(BATCH * STEPS / (time.perf_counter() - began))
        base = statistics.median(rates[ways[0]])
        for way, measured in rates.items():
            rate = statistics.median(measured)
            print(f"{precision:<11}{way[0]:<15}{way[1]:<15}{rate:>9.0f}{rate / base:>19.2f}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 64)
