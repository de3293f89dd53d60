"""`make s3` with real processes, real DVC and real signals: the remote `laptop`, and what is left when it has ended."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest

from sagemaker_emulator.local_s3 import BUCKET, PORT, REMOTE, lead_to, main
from support.projects import TOP

pytestmark = pytest.mark.slow

COMMAND = [sys.executable, "-m", "sagemaker_emulator.local_s3"]
CONFIG = Path(".dvc/config.local")
# of people who have a bucket, with what a rewriting would not keep: a comment, tabs, no newline at the end
OWN = b"""# mine
['remote "storage"']
	url = s3://mine/bins
	profile = of-mine
[core]
	autostage = true
['remote "other"']
    url = ../../other"""
FILES = {"one.txt": b"one\n", "folder/two.txt": b"two\n", "folder/three.txt": b"three\n"}


class Project:
    """A git and DVC project with this project's remote, where a few files are tracked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        unwanted = ("DVC_", "AWS_", "GIT_", "MAKE")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
        self.environment = {
            **kept,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(folder.parent),
            "DVC_SITE_CACHE_DIR": str(folder.parent / "site"),
            "no_proxy": "127.0.0.1",
        }

    def run(self, *words: str, fails: bool = False, **environment: str) -> str:
        """What the command says, on either stream; it must end well, or badly if it is to fail."""
        ran = subprocess.run(
            words, cwd=self.folder, env={**self.environment, **environment},
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        message = ran.stdout + ran.stderr
        assert (ran.returncode != 0) == fails, message
        return message

    def error(self, *command: str) -> str:
        """The one line that a server says which cannot start."""
        (line,) = self.run(*command, fails=True).splitlines()
        assert line.startswith("error: ")
        return line.removeprefix("error: ")

    @contextmanager
    def served(self, port: int, end: int = signal.SIGTERM, command: list[str] | None = None) -> Iterator[list[str]]:
        """What a server says that is ready; the signal ends it."""
        process = subprocess.Popen(
            command or [*COMMAND, str(port)], cwd=self.folder, env=self.environment,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        assert process.stdout is not None
        try:
            lines = [process.stdout.readline() for _ in range(3 if port == PORT else 4)]
            assert lines[-1] == "Ctrl-C ends it: what was pushed is then forgotten\n", lines
            yield lines
        finally:
            process.send_signal(end)
            rest, _ = process.communicate(timeout=30)
        assert rest == ""
        assert process.returncode == (0 if command is None and end != signal.SIGKILL else -end)

    def config(self) -> bytes | None:
        file = self.folder / CONFIG
        return file.read_bytes() if file.exists() else None

    def lose(self) -> None:
        """Everything that `dvc pull` is to bring back."""
        for name in (".dvc/cache", "folder"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        (self.folder / "one.txt").unlink(missing_ok=True)

    def files(self) -> dict[str, bytes]:
        return {name: (self.folder / name).read_bytes() for name in FILES if (self.folder / name).exists()}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = Project(tmp_path_factory.mktemp("template") / "project")
    for name, body in FILES.items():
        (project.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (project.folder / name).write_bytes(body)
    project.run("git", "init", "-q")
    project.run("dvc", "init", "-q")
    shutil.copy(TOP / ".dvc/config", project.folder / ".dvc/config")
    project.run("dvc", "add", "-q", "one.txt", "folder")
    return project.folder


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@pytest.fixture
def project(template: Path, tmp_path: Path, port: int) -> Project:
    """One whose remote is led to the port, by the very command that the server names."""
    shutil.copytree(template, tmp_path / "project")
    project = Project(tmp_path / "project")
    project.run(*lead_to(f"http://127.0.0.1:{port}").split())
    return project


def held(port: int) -> tuple[Any, list[str]]:
    """A client of the server, and the keys in its bucket."""
    client = boto3.Session("nobody", "none", None, "us-east-1").client("s3", endpoint_url=f"http://127.0.0.1:{port}")
    return client, [entry["Key"] for entry in client.list_objects_v2(Bucket=BUCKET).get("Contents", [])]


# ---- DVC and the server


def test_push_and_pull_need_nothing_else(project: Project, port: int) -> None:
    """Neither people's own remote nor their AWS variables come in between, and both stay as they are."""
    own = OWN + b"\n" + (project.config() or b"")
    (project.folder / CONFIG).write_bytes(own)
    elsewhere = {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1",
        "AWS_ACCESS_KEY_ID": "a-person",
        "AWS_SECRET_ACCESS_KEY": "of-worth",
        "AWS_SESSION_TOKEN": "of-worth",
        "AWS_REGION": "eu-central-1",
    }
    with project.served(port) as lines:
        assert lines[1] == f"lead DVC to this port: {lead_to(f'http://127.0.0.1:{port}')}\n"
        assert "4 files pushed" in project.run("dvc", "push", "-r", REMOTE, **elsewhere)
        assert len(held(port)[1]) == 4
        project.lose()
        project.run("dvc", "pull", "-r", REMOTE, **elsewhere)
    assert project.files() == FILES
    assert project.config() == own


def test_the_default_port_is_that_of_the_configuration() -> None:
    """So that who says `make s3` alone has nothing to lead."""
    text = (TOP / ".dvc/config").read_text()
    section = text.partition(f"['remote \"{REMOTE}\"']")[2].partition("[")[0]
    assert f"endpointurl = http://127.0.0.1:{PORT}\n" in section
    assert f"url = s3://{BUCKET}\n" in section
    assert "verify = true" in section
    assert re.search(rf"^s3: PORT = {PORT}$", (TOP / "Makefile").read_text(), re.MULTILINE)


def test_a_server_that_has_forgotten_is_pushed_to_again(project: Project, port: int) -> None:
    """DVC keeps a list of what a remote holds, and the next server has the same address."""
    for _ in range(2):
        with project.served(port):
            assert held(port)[1] == []
            assert "4 files pushed" in project.run("dvc", "push", "-r", REMOTE)
            assert len(held(port)[1]) == 4


def test_what_was_corrupted_in_the_remote_does_not_come_back(project: Project, port: int) -> None:
    with project.served(port):
        project.run("dvc", "push", "-r", REMOTE)
        client, keys = held(port)
        for key in keys:
            if not key.endswith(".dir"):
                client.put_object(Bucket=BUCKET, Key=key, Body=b"wrong")
        project.lose()
        assert "failed to pull" in project.run("dvc", "pull", "-r", REMOTE, fails=True)
        assert project.files() == {}

        # which is the doing of one line
        config = project.folder / ".dvc/config"
        config.write_text(config.read_text().replace("verify = true", "verify = false"))
        project.lose()
        assert "3 files added" in project.run("dvc", "pull", "-r", REMOTE)
        assert project.files() == dict.fromkeys(FILES, b"wrong")
        assert "up to date" in project.run("dvc", "status")


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGHUP, signal.SIGKILL])
def test_nothing_is_left_in_the_project(project: Project, port: int, end: int) -> None:
    before = {path: path.read_bytes() for path in project.folder.rglob("*") if path.is_file()}
    with project.served(port, end):
        assert held(port)[1] == []
    assert {path: path.read_bytes() for path in project.folder.rglob("*") if path.is_file()} == before


def test_make_s3_ends_with_make(project: Project, port: int) -> None:
    (project.folder / ".venv").mkdir()
    (project.folder / ".venv/ready").touch()
    command = ["make", "-f", str(TOP / "Makefile"), "-o", ".venv/ready", "s3", f"PORT={port}"]
    with project.served(port, command=command):
        assert held(port)[1] == []


# ---- what is wrong, in one line


def test_a_port_that_is_taken_is_named(project: Project, port: int) -> None:
    with project.served(port, signal.SIGKILL):
        pass
    with socket.create_server(("127.0.0.1", port)):
        message = project.error(*COMMAND, str(port))
    assert message == (
        f"port {port} of 127.0.0.1 cannot be had (Address already in use); "
        f"name another: `make s3 PORT={port + 100 if port < 65000 else 9000}`"
    )


@pytest.mark.parametrize(
    ("words", "shown"), [(["soon"], "soon"), (["0"], "0"), (["65536"], "65536"), ([], "missing"), (["-1"], "-1")]
)
def test_a_port_that_is_none_is_named(capfd: pytest.CaptureFixture[str], words: list[str], shown: str) -> None:
    assert main(words) == 1
    assert capfd.readouterr().err == f"error: PORT is {shown}, it must be a number from 1 to 65535\n"


def test_a_missing_moto_is_told(project: Project, port: int) -> None:
    code = f"""
import sys
sys.modules["moto"] = None
from sagemaker_emulator.local_s3 import main
sys.exit(main(["{port}"]))
"""
    message = project.error(sys.executable, "-c", code)
    assert message.startswith("the S3 server is not installed (")
    assert message.endswith("); `make s3` installs and starts it")


def test_a_proxy_is_told_of(project: Project, port: int) -> None:
    """DVC would ask it for what lies on loopback."""
    for exempt, first in (("127.0.0.1", ""), ("", "no_proxy=127.0.0.1 ")):
        project.environment |= {"http_proxy": "http://127.0.0.1:1", "no_proxy": exempt}
        with project.served(port) as lines:
            assert lines[-2] == f"in another terminal: {first}dvc push -r {REMOTE}, {first}dvc pull -r {REMOTE}\n"
