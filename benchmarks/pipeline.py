"""The commands of dvc.yaml, run one after the other in an empty folder, with wall time and memory of each."""

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

TOP = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Ran:
    stage: str
    seconds: float
    memory: int  # bytes: the most that the stage's processes held together, shared pages counted once each


def run(folder: Path, params: dict[str, Any]) -> Iterator[Ran]:
    """Every stage in turn. `params`: dotted names of params.yaml and the values to put there."""
    yaml = YAML()
    tree = yaml.load(TOP / "params.yaml")
    for dotted, value in params.items():
        *sections, name = dotted.split(".")
        section = tree
        for part in sections:
            section = section[part]
        section[name] = value
    yaml.dump(tree, folder / "params.yaml")
    (folder / "data").mkdir()
    shutil.copy(TOP / "data" / "published.csv", folder / "data")
    environment = {**os.environ, "DVC_ROOT": str(folder), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for stage, facts in YAML(typ="safe", pure=True).load(TOP / "dvc.yaml")["stages"].items():
        command = facts["cmd"].replace("PYTHONPATH=src ", "").replace("${scale}", tree["scale"]).split()
        began = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=sys.stderr, start_new_session=True)
        most = [0]
        watcher = threading.Thread(target=_watch, args=(process, most), daemon=True)
        watcher.start()
        if process.wait() != 0:
            sys.exit(f"{stage} failed")
        yield Ran(stage, time.perf_counter() - began, most[0])


def _watch(process: "subprocess.Popen[bytes]", most: list[int]) -> None:
    while process.poll() is None:
        most[0] = max(most[0], sum(_held(int(file.name)) for file in Path("/proc").iterdir() if _in(file, process.pid)))
        time.sleep(0.2)


def _in(file: Path, session: int) -> bool:
    try:
        return file.name.isdigit() and os.getsid(int(file.name)) == session
    except OSError:
        return False


def _held(pid: int) -> int:
    """Proportional set size in bytes: a page that n processes share counts as an nth for each."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
