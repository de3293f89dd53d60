"""What several tests need: a real S3 server, a project's folder, a browser, bins made by hand, a watcher that remembers."""

import importlib
import io
import itertools
import json
import logging
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NoReturn

import boto3
import numpy as np
import pytest
from moto.server import ThreadedMotoServer
from PIL import Image

os.environ["CUDA_VISIBLE_DEVICES"] = ""  # tests hold a processor to its bits, with a GPU beside it or without

from projects import Project, shrunk
from server import Served, Store, serving
from warehouse_classifier.bucket import retry
from warehouse_classifier.compute.__main__ import launch
from warehouse_classifier.runtime.progress import Silence

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "a-tester",
    "AWS_SECRET_ACCESS_KEY": "of-no-worth",
    "AWS_DEFAULT_REGION": "us-east-1",
}
PARAMS = """\
scale: small
lr: null
seed: 7
data:
  small: {bucket: bins, quantities: [1, 2, 3], side: 32, quality: 90}
  other: {bucket: bins, quantities: [1, 2, 3], side: 32, quality: 90}
fetch_metadata:
  small: {max_pairs: null, max_rejected: 20, concurrency: 4, part: 10}
  other: {max_pairs: null, max_rejected: 20, concurrency: 4, part: 10}
select_images:
  small: {max_images: null, test_images: 6, validation_share: 0.2, split: grouped, outside_images: 0}
resize_images:
  small: {max_pixels: 1000000, max_rejected: 2, concurrency: 4, workers: 2}
"""


def pytest_configure() -> None:
    # pytest shows every warning; photo.py has hidden Pillow's from everyone else
    warnings.filterwarnings("ignore", module=r"PIL\.")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line for each request that the S3 server answers


OWN_PATHS: list[str] = []


def pytest_collection_finish() -> None:
    OWN_PATHS[:] = sys.path


def jpeg(
    shade: int = 0, size: tuple[int, int] = (48, 36), mode: str = "RGB", format: str = "JPEG", **how: Any
) -> bytes:
    """A picture whose top left is bright and whose content is a function of `shade`."""
    pixels = np.random.default_rng(shade).integers(0, 120, (size[1], size[0], 3), dtype=np.uint8)
    pixels[: size[1] // 3, : size[0] // 3] = 250
    out = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(out, format, **how)
    return out.getvalue()


def metadata(quantity: Any, *asins: str, **more: Any) -> bytes:
    """A metadata file that holds one item for each asin."""
    size = {"unit": "IN", "value": 2.5}
    items = {
        asin: {
            "asin": asin, "height": size, "length": size, "name": f"thing {asin}", "normalizedName": None, "quantity": 1,
            "weight": {"unit": "pounds", "value": 0.4}, "width": None,
        }
        for asin in asins
    }  # fmt: skip
    return json.dumps({"BIN_FCSKU_DATA": items, "EXPECTED_QUANTITY": quantity, **more}).encode()


def bins(count: int = 45) -> dict[str, bytes]:
    """Keys and bodies of a small bucket: quantities 1 to 3 in turn, every third bin shares an item with the next."""
    bodies = {}
    for n in range(1, count + 1):
        bodies[f"metadata/{n:05}.json"] = metadata(1 + n % 3, f"A{n}", f"S{(n + 1) // 3 if n % 3 != 1 else -n}")
        bodies[f"bin-images/{n:05}.jpg"] = jpeg(n)
    return bodies


def mirror(bodies: Mapping[str, bytes], folder: Path) -> str:
    """The bodies as a folder; returns the bucket's URL."""
    for key, body in bodies.items():
        (folder / key).parent.mkdir(parents=True, exist_ok=True)
        (folder / key).write_bytes(body)
    return str(folder)


def error_line(capfd: pytest.CaptureFixture[str], stage: str, *argv: str) -> str:
    """What `launch` says of a stage that cannot go on: a failure, and one line of error that is the last one."""
    capfd.readouterr()
    assert launch(stage, list(argv)) == 1
    out, err = capfd.readouterr()
    lines = err.splitlines()
    assert "Traceback" not in out + err
    assert [line for line in lines if line.startswith("error: ")] == lines[-1:]
    return lines[-1].removeprefix("error: ")


class Noted:
    """A Watch that remembers."""

    def __init__(self) -> None:
        self.measured: dict[str, float] = {}
        self.said: list[str] = []
        self.bars: dict[str, int] = {}
        self.facts: dict[str, float] = {}
        self.bytes = 0

    @contextmanager
    def bar(self, title: str, total: int | None, unit: str, done: int = 0) -> Iterator["Noted"]:
        self.bars[title] = 0
        self.title = title
        yield self

    def advance(self, count: int = 1, size: int = 0, **facts: float) -> None:
        self.bars[self.title] += count
        self.bytes += size
        self.facts |= facts

    def measure(self, step: int | None = None, **values: float) -> None:
        self.measured |= values

    def say(self, line: str) -> None:
        self.said.append(line)


@pytest.fixture(autouse=True)
def own_modules() -> Iterator[None]:
    """MLflow puts the modules of a model that it loads before all others, and processes started later get those alone."""
    yield
    sys.path[:] = OWN_PATHS


class S3:
    """A real S3 server on loopback."""

    def __init__(self, url: str) -> None:
        self.url = url
        id, secret, region = CREDENTIALS.values()
        self.client = boto3.Session(id, secret, None, region).client("s3", endpoint_url=url)
        self.numbers = itertools.count()

    def bucket(self, bodies: Mapping[str, bytes], prefix: str = "") -> str:
        """A new bucket that holds the bodies; returns its URL."""
        name = f"bins-{next(self.numbers)}"
        self.client.create_bucket(Bucket=name)
        for key, body in bodies.items():
            self.client.put_object(Bucket=name, Key=f"{prefix}/{key}".strip("/"), Body=body)
        return f"s3://{name}/{prefix}".rstrip("/")


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield S3(f"http://{host}:{port}")
    server.stop()


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment that knows of one S3 server at most, by what the test sets."""
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


@pytest.fixture
def s3(s3_server: S3, aws: pytest.MonkeyPatch) -> S3:
    aws.setenv("AWS_ENDPOINT_URL", s3_server.url)
    return s3_server


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the store does about an answer that is wrong or missing is as ever, only sooner."""
    monkeypatch.setattr(retry, "PAUSES", (0.001, 0.01))


@pytest.fixture
def told_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """For what is out of reach: that is told after less than the usual seconds."""
    monkeypatch.setattr(retry, "FIRST_SILENCE", 0.2)


@pytest.fixture
def serve(aws: pytest.MonkeyPatch) -> Iterator[Callable[..., Served]]:
    """Put a fast server that misbehaves as told in the place of S3: (objects, fault, ...) as server.Store has them."""
    with ExitStack() as stack:

        def start(*what: Any, **how: Any) -> Served:
            served = stack.enter_context(serving(Store(*what, **how)))
            aws.setenv("AWS_ENDPOINT_URL", served.url)
            return served

        yield start


@pytest.fixture
def answering(aws: pytest.MonkeyPatch) -> Iterator[Any]:
    """Put a server that gives one answer to everything in the place of AWS, or of one service of it.

    Called with (status, body, service) it returns the requests.
    """
    servers = []

    def start(status: int, body: str, service: str = "") -> list[str]:
        asked: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.do_GET()

            def do_GET(self) -> None:
                asked.append(self.path)
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, format: str, *args: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        servers.append(server)
        aws.setenv("_".join(filter(None, ["AWS_ENDPOINT_URL", service])), f"http://127.0.0.1:{server.server_port}")
        return asked

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a small params.yaml, where the test runs; `launch` may be called in it."""
    (tmp_path / "params.yaml").write_text(PARAMS)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.delenv("STAGE_RUNNER", raising=False)
    monkeypatch.chdir(tmp_path)
    terminated = signal.getsignal(signal.SIGTERM)  # a launched stage answers it in its own way
    yield tmp_path
    signal.signal(signal.SIGTERM, terminated)


@pytest.fixture(scope="session")
def reproduced(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A small pipeline after `dvc repro` on this machine, with everything committed; to be copied, and left as it is."""
    project = shrunk(tmp_path_factory.mktemp("reproduced") / "project")
    project.run("dvc", "repro")
    project.run("git", "add", "-A")
    project.run("git", "commit", "-qm", "the pipeline, run")
    return project


@pytest.fixture(scope="session")
def account(s3_server: S3, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """An AWS account whose SageMaker is the emulator, see cloud.py."""
    from cloud import Account

    account = Account(s3_server, tmp_path_factory.mktemp("jobs"))
    with account.emulator:
        yield account


@pytest.fixture(scope="session")
def chromium() -> str:
    found = shutil.which("chromium")
    if found is None:
        lacking("no chromium here; `apt-get install chromium` brings it")
    return found


def lacking(reason: str) -> NoReturn:
    """Skip a test that this machine cannot do, or fail it where it should."""
    if os.environ.get("REQUIRE_SYSTEM_PACKAGES") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


class SmallDisk:
    """A file system of its own at the folder where the test runs, as large as it is told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def resize(self, kilobytes: int) -> None:
        how = "" if not self.folder.is_mount() else "remount,"
        command = ["mount", "-t", "tmpfs", "-o", f"{how}size={kilobytes}k", "none", str(self.folder)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            # a right of whoever runs the tests, and no package that could be asked for: said with -ra, not failed
            pytest.skip(f"a full disk takes the right to mount one ({done.stderr.strip()})")


@pytest.fixture
def small_disk(project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallDisk]:
    if shutil.which("mount") is None:
        lacking("a full disk takes a command to mount one")
    folder = project / "small"
    folder.mkdir()
    disk = SmallDisk(folder)
    disk.resize(1000)
    shutil.copy(project / "params.yaml", folder)
    with monkeypatch.context() as there:
        there.setenv("DVC_ROOT", str(folder))
        there.chdir(folder)
        yield disk
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


class Elsewhere:
    """Stages in processes of their own, to be killed: forked from one that has imported everything already."""

    def __init__(self) -> None:
        self.forks = multiprocessing.get_context("forkserver")
        stages = ["fetch_metadata", "resize_images"]
        self.forks.set_forkserver_preload(["torch", *(f"warehouse_classifier.stages.{stage}" for stage in stages)])

    @contextmanager
    def running(self, stage: str, params: dict[str, Any], *paths: Path) -> Iterator[BaseProcess]:
        process = self.forks.Process(target=_act, args=(dict(os.environ), Path.cwd(), stage, params, paths))
        process.start()
        yield process
        process.kill()
        process.join()

    def until_killed(self, served: Served, gets: int, stage: str, params: dict[str, Any], *paths: Path) -> bool:
        """Kill a stage some moment after the server has answered so many; tells whether it was still at work."""
        with self.running(stage, params, *paths) as process:
            while process.is_alive() and served.record().requests["get", 200] < gets:
                time.sleep(0.001)
            time.sleep(random.Random(gets).random() / 50)
        return process.exitcode == -signal.SIGKILL


def _act(
    environment: dict[str, str], folder: Path, stage: str, params: dict[str, Any], paths: tuple[Path, ...]
) -> None:
    os.environ.update(environment)
    os.chdir(folder)
    module = importlib.import_module(f"warehouse_classifier.stages.{stage}")
    getattr(module, stage)(getattr(module, stage.title().replace("_", ""))(**params), *paths, watch=Silence())


@pytest.fixture(scope="session")
def elsewhere() -> Elsewhere:
    return Elsewhere()
