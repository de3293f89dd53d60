"""What several tests need: a real S3 server, a project's folder, a browser, bins made by hand, a watcher that remembers."""

import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from moto.server import ThreadedMotoServer

os.environ["CUDA_VISIBLE_DEVICES"] = ""  # tests hold a processor to its bits, with a GPU beside it or without

from support.groups import SHARED, group_of
from support.killing import Elsewhere
from support.launching import PARAMS
from support.networks import be_all, be_two
from support.projects import Project, shrunk
from support.s3 import CREDENTIALS, S3
from support.server import Served, Store, serving
from support.system import SmallDisk, lacking
from warehouse_classifier.bucket import retry


def pytest_configure() -> None:
    be_two()
    busy = [hypothesis.HealthCheck.too_slow]  # a machine may have other things to do
    hypothesis.settings.register_profile("of these tests", deadline=None, suppress_health_check=busy)
    hypothesis.settings.load_profile("of these tests")
    # A shell starts what runs in its background with SIGINT ignored, and nohup with SIGHUP; so would be the processes of tests,
    # which are sent these signals. What is handled here is at its default there.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: None)
    # pytest shows every warning; photo.py has hidden Pillow's from everyone else
    warnings.filterwarnings("ignore", module=r"PIL\.")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line for each request that the S3 server answers


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    groups = {item: group_of(item) for item in items}
    items.sort(key=lambda item: SHARED.index(groups[item]) if groups[item] in SHARED else len(SHARED))
    for item, group in groups.items():
        item.add_marker(pytest.mark.xdist_group(group))
        if group in SHARED or item.get_closest_marker("soak"):
            item.add_marker(pytest.mark.slow)


OWN_PATHS: list[str] = []


def pytest_collection_finish(session: pytest.Session) -> None:
    OWN_PATHS[:] = sys.path
    # In a process of pytest -n. Some versions of pytest and pytest-xdist do not go together, and say nothing.
    if getattr(session.config.option, "loadgroup", False):
        assert all("@" in item.nodeid for item in session.items), "pytest-xdist does not group tests"


@pytest.fixture(autouse=True)
def own_modules() -> Iterator[None]:
    """MLflow puts the modules of a model that it loads before all others, and processes started later get those alone."""
    yield
    sys.path[:] = OWN_PATHS


@pytest.fixture(autouse=True)
def own_signals() -> Iterator[None]:
    """A stage or a command that ran in this process has answered signals in its own way."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="module")
def every_network() -> Iterator[None]:
    """For tests of folders that processes of their own read, which know of every network that the project has."""
    with be_all():
        yield


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
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a small params.yaml, where the test runs; `launch` may be called in it."""
    (tmp_path / "params.yaml").write_text(PARAMS)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.delenv("STAGE_RUNNER", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


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
    from support.cloud import Account

    account = Account(s3_server, tmp_path_factory.mktemp("jobs"))
    with account.emulator:
        yield account


@pytest.fixture(scope="session")
def chromium() -> str:
    program = shutil.which("chromium")
    if program is None:
        lacking("no chromium here; `apt-get install chromium` brings it")
    return program


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


@pytest.fixture(scope="session")
def elsewhere() -> Elsewhere:
    return Elsewhere()
