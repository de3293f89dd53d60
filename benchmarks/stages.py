"""Items per second and peak memory of each stage.

    python benchmarks/stages.py [name=value ...]

The pipeline of dvc.yaml, in an empty folder, with params.yaml as it is but for what is said, for example
'data.sample.bucket=synthetic://?pairs=1000&seed=7' (in quotes). The time is that of the whole command, its start included.
"""

import os
import platform
import sys
import tempfile
from pathlib import Path

import pandas as pd
from ruamel.yaml import YAML

from pipeline import run


def items(stage: str, folder: Path) -> tuple[int, str]:
    """What a stage worked on: how many, and of what."""
    match stage:
        case "fetch_metadata" | "select_images":
            return len(pd.read_parquet(folder / "data/metadata.parquet", columns=["id"])), "pairs"
        case "resize_images":
            return len(pd.read_csv(folder / "data/selection.csv")), "images"
        case "train_resnet34" | "train_vit":
            train = int((pd.read_csv(folder / "data/selection.csv")["split"] == "train").sum())
            return train * len(
                pd.read_csv(folder / f"models/{stage.removeprefix('train_')}/history.csv")
            ), "images trained on"
        case _:
            return int((pd.read_csv(folder / "data/selection.csv")["split"] != "train").sum()), "images, both networks"


def main(words: list[str]) -> None:
    yaml = YAML(typ="safe", pure=True)
    params = {name: yaml.load(value) for name, _, value in (word.partition("=") for word in words)}
    print(f"{platform.machine()}, {len(os.sched_getaffinity(0))} processors, Python {platform.python_version()}")
    print(f"{'stage':<16}{'seconds':>9}{'items':>9}{'a second':>10}{'memory':>10}  of what")
    with tempfile.TemporaryDirectory() as folder:
        for ran in run(Path(folder), params):
            count, what = items(ran.stage, Path(folder))
            rate, memory = count / ran.seconds, ran.memory / 2**20
            print(f"{ran.stage:<16}{ran.seconds:>9.1f}{count:>9}{rate:>10.1f}{memory:>6.0f} MiB  {what}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
