"""The picture of `mlflow ui` in README: both trainings compared by their curves, as a real browser shows them.

    python benchmarks/screenshot.py reports/mlflow.png

takes the newest trainings of mlflow.db, whose copy is what the server opens.
"""

import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from mlflow import MlflowClient
from PIL import Image

HOST = "127.0.0.1"
STAGES = ("train_resnet34", "train_vit")
METRIC = "validation_accuracy"
WINDOW = (1700, 720)  # pixels, of which the rightmost quarter is an assistant that nobody has asked for
KEPT = 1266
COLOURS = 256
PATIENCE = 120  # seconds for the server to come up
QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
    # there is a mouse, so that what it would show stays hidden
    "--blink-settings=primaryHoverType=2,availableHoverTypes=2,primaryPointerType=4,availablePointerTypes=4",
)  # fmt: skip


@contextmanager
def served(database: Path) -> Iterator[str]:
    """The address of `mlflow ui` over a database, until the block ends."""
    with socket.create_server((HOST, 0)) as free:
        port = free.getsockname()[1]
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    with tempfile.TemporaryFile() as log:
        server = subprocess.Popen(
            [
                sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", f"sqlite:///{database}", "--host", HOST,
                "--port", str(port), "--workers", "1",
            ],
            cwd=database.parent, env=environment, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
        try:
            until = time.monotonic() + PATIENCE
            while not _is_up(f"http://{HOST}:{port}/health"):
                if server.poll() is not None or time.monotonic() > until:
                    log.seek(0)
                    sys.exit(f"mlflow ui does not come up: {log.read().decode()}")
                time.sleep(0.2)
            yield f"http://{HOST}:{port}"
        finally:
            os.killpg(server.pid, signal.SIGTERM)  # it has started workers
            server.wait()


def browse(chromium: str, address: str, *flags: str, window: tuple[int, int] = WINDOW) -> str:
    """What the browser prints once the page has all that it asks for; its profile is forgotten."""
    with tempfile.TemporaryDirectory() as profile:
        size = f"--window-size={window[0]},{window[1]}"
        command = [chromium, *QUIET, f"--user-data-dir={profile}", size, "--virtual-time-budget=30000", *flags, address]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout


def compared(base: str, experiment: str, runs: Sequence[str]) -> str:
    """The address of the page that sets runs side by side."""
    return f"{base}/#/compare-runs?runs={_quoted(runs)}&experiments={_quoted([experiment])}"


def curves(base: str, experiment: str, runs: Sequence[str], metric: str) -> str:
    """The address of the page with one metric's curves."""
    shown = (
        f"metric={_quoted(metric)}&plot_metric_keys={_quoted([metric])}&x_axis=step&line_smoothness=1&show_point=true"
    )
    return f"{base}/#/metric?runs={_quoted(runs)}&experiments={_quoted([experiment])}&{shown}&plot_layout=%7B%7D"


def newest(database: Path) -> tuple[str, list[str]]:
    """The experiment of the newest finished trainings, and their runs."""
    client = MlflowClient(tracking_uri=f"sqlite:///{database}")
    experiment = client.get_experiment_by_name("warehouse-classifier")
    if experiment is None:
        sys.exit(f"{database} has no runs; `dvc repro` first")
    runs = []
    for stage in STAGES:
        latest = client.search_runs(
            [experiment.experiment_id], f"tags.stage = '{stage}' and attributes.status = 'FINISHED'",
            order_by=["start_time DESC"], max_results=1,
        )  # fmt: skip
        if not latest:
            sys.exit(f"{database} has no finished run of {stage}; `dvc repro` first")
        runs.append(latest[0].info.run_id)
    return experiment.experiment_id, runs


def small(png: bytes) -> bytes:
    """Without the assistant, in few colours."""
    with Image.open(io.BytesIO(png)) as image:
        kept = image.convert("RGB").crop((0, 0, KEPT, image.height))
        out = io.BytesIO()
        kept.quantize(COLOURS, dither=Image.Dither.NONE).save(out, "PNG", optimize=True)
    return out.getvalue()


def _quoted(value: object) -> str:
    return quote(json.dumps(value, separators=(",", ":")))


def _is_up(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:  # noqa: S310
            return bool(answer.status == 200)
    except OSError:
        return False


def main(target: Path) -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("no chromium here; `apt-get install chromium` brings it")
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder, "mlflow.db")
        shutil.copy("mlflow.db", database)
        experiment, runs = newest(database)
        shot = Path(folder, "shot.png")
        with served(database) as base:
            browse(chromium, curves(base, experiment, runs, METRIC), f"--screenshot={shot}")
        target.write_bytes(small(shot.read_bytes()))
    print(f"{target}: {target.stat().st_size:,} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
