"""Do the networks learn the synthetic bins, whatever the seed?

    python benchmarks/seeds.py [seed ...]

The whole pipeline once for each seed (1, 2 and 3 unless said otherwise): other bins, another split, other weights. Prints
accuracy with its 95 % interval beside the baseline, and ends with 1 if the lower end is not more than 5 points above it.
"""

import json
import sys
import tempfile
from pathlib import Path

from pipeline import run
from warehouse_classifier.models.registry import NETWORKS

MARGIN = 0.05


def main(seeds: list[int]) -> int:
    short = 0
    print(f"{'seed':<6}{'network':<10}{'accuracy':>9}{'low':>7}{'high':>7}{'baseline':>10}{'low - baseline':>16}")
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            bucket = f"synthetic://?pairs=5000&seed={seed}"
            for _ in run(Path(folder), {"seed": seed, "data.sample.bucket": bucket}):
                pass
            figures = json.loads((Path(folder) / "reports/evaluation.json").read_text())
        base = figures["baseline"]["accuracy"]
        for network in NETWORKS:
            its = figures[network]
            gain = its["accuracy_low"] - base
            short += gain <= MARGIN
            print(
                f"{seed:<6}{network:<10}{its['accuracy']:>9.3f}{its['accuracy_low']:>7.3f}{its['accuracy_high']:>7.3f}"
                f"{base:>10.3f}{gain:>16.3f}",
                flush=True,
            )
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main([int(word) for word in sys.argv[1:]] or [1, 2, 3]))
