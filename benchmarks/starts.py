"""What it takes to import the libraries that a stage stands on: seconds of processor time, each in a process of its own.

    python benchmarks/starts.py [--rounds 3]

The least of so many rounds; each line has all that its own import brings along.
"""

import argparse
import os
import subprocess
import sys

# as they come in a training: torchvision and every optimizer import torch._dynamo
IMPORTS = {
    "Python alone": "pass", "torch": "import torch", "torch._dynamo": "import torch._dynamo", "torchvision": "import torchvision",
    "transformers (ViT)": "from transformers import ViTForImageClassification", "MLflow": "import mlflow",
    "MLflow's database": "import mlflow.store.tracking.sqlalchemy_store", "DVC": "import dvc.repo",
}  # fmt: skip


def seconds(code: str) -> float:
    """User and system time of a Python that runs `code`."""
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, code
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    for name, code in IMPORTS.items():
        print(f"{name:20} {min(seconds(code) for _ in range(rounds)):5.2f} s")


if __name__ == "__main__":
    main()
