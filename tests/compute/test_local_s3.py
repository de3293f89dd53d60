"""`make s3` with real processes, real DVC and real signals: what it leads DVC to, and what it leaves behind."""

import os
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

from support.projects import TOP
from warehouse_classifier.compute.local_s3 import BUCKET, CONFIG, KEPT, KEY, main, put_back

COMMAND = [sys.executable, "-m", "warehouse_classifier.compute.local_s3"]
# of people who have a bucket, with what a rewriting would not keep: a comment, tabs, no newline at the end
OWN = b"""# mine\r
['remote "storage"']
\turl = s3://mine/bins
\tprofile = of-mine
[core]
\tautostage = true
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
        said = ran.stdout + ran.stderr
        assert (ran.returncode != 0) == fails, said
        return said

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
            lines = [process.stdout.readline() for _ in range(3)]
            assert "Ctrl-C ends it" in lines[-1], lines
            assert "forgotten" in lines[-1]
            yield lines
        finally:
            process.send_signal(end)
            said, _ = process.communicate(timeout=30)
        if end != signal.SIGKILL:
            assert said == f"ended; {CONFIG} is again what it was\n"

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
def project(template: Path, tmp_path: Path) -> Project:
    shutil.copytree(template, tmp_path / "project")
    return Project(tmp_path / "project")


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def held(port: int) -> tuple[Any, list[str]]:
    """A client of the server, and the keys in its bucket."""
    client = boto3.Session(KEY, "none", None, "us-east-1").client("s3", endpoint_url=f"http://127.0.0.1:{port}")
    return client, [found["Key"] for found in client.list_objects_v2(Bucket=BUCKET).get("Contents", [])]


# ---- DVC and the server


def test_push_and_pull_need_nothing_else(project: Project, port: int) -> None:
    """Neither people's own remote nor their AWS variables come in between."""
    (project.folder / CONFIG).write_bytes(OWN)
    elsewhere = {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1",
        "AWS_ACCESS_KEY_ID": "a-person",
        "AWS_SECRET_ACCESS_KEY": "of-worth",
        "AWS_SESSION_TOKEN": "of-worth",
        "AWS_REGION": "eu-central-1",
    }
    with project.served(port):
        config = (project.config() or b"").decode()
        assert "profile" not in config
        assert "autostage = true" in config
        assert "url = ../../other" in config
        assert "4 files pushed" in project.run("dvc", "push", **elsewhere)
        assert len(held(port)[1]) == 4
        project.lose()
        project.run("dvc", "pull", **elsewhere)
    assert project.files() == FILES
    assert project.config() == OWN


def test_a_server_that_has_forgotten_is_pushed_to_again(project: Project, port: int) -> None:
    """DVC keeps a list of what a remote holds, and the next server has the same address."""
    for _ in range(2):
        with project.served(port):
            assert held(port)[1] == []
            assert "4 files pushed" in project.run("dvc", "push")
            assert len(held(port)[1]) == 4


def test_what_was_corrupted_in_the_remote_does_not_come_back(project: Project, port: int) -> None:
    with project.served(port):
        project.run("dvc", "push")
        client, keys = held(port)
        for key in keys:
            if not key.endswith(".dir"):
                client.put_object(Bucket=BUCKET, Key=key, Body=b"wrong")
        project.lose()
        assert "failed to pull" in project.run("dvc", "pull", fails=True)
        assert project.files() == {}

        # which is the doing of one line
        config = project.folder / ".dvc/config"
        config.write_text(config.read_text().replace("verify = true", "verify = false"))
        project.lose()
        assert "3 files added" in project.run("dvc", "pull")
        assert project.files() == dict.fromkeys(FILES, b"wrong")
        assert "up to date" in project.run("dvc", "status")


# ---- what it leaves behind


@pytest.mark.parametrize(
    ("before", "end"), [(None, signal.SIGINT), (OWN, signal.SIGINT), (b"", signal.SIGTERM), (OWN, signal.SIGHUP)]
)
def test_config_local_is_what_it_was(project: Project, port: int, before: bytes | None, end: int) -> None:
    if before is not None:
        (project.folder / CONFIG).write_bytes(before)
        (project.folder / CONFIG).chmod(0o600)
    tree = {path for path in project.folder.rglob("*") if path.is_file()}
    seen_by_git = project.run("git", "status", "--porcelain")
    with project.served(port, end):
        assert KEY.encode() in (project.config() or b"")
        if before is not None:
            assert (project.folder / CONFIG).stat().st_mode & 0o077 == 0
        assert project.run("git", "status", "--porcelain") == seen_by_git
    assert project.config() == before
    assert {path for path in project.folder.rglob("*") if path.is_file()} - tree == {
        project.folder / KEPT.with_name("s3.lock")
    }


@pytest.mark.parametrize("before", [None, OWN])
def test_a_kill_loses_nothing(project: Project, port: int, before: bytes | None) -> None:
    if before is not None:
        (project.folder / CONFIG).write_bytes(before)
    for end in (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM):
        with project.served(port, end):
            assert KEY.encode() in (project.config() or b"")
    assert project.config() == before


OURS = KEY.encode()


@pytest.mark.parametrize(
    ("config", "kept", "after"),
    [
        (OURS, OWN, OWN),
        (OURS, None, None),
        (None, OWN, OWN),
        (None, None, None),
        (OWN, None, OWN),
        (OWN, b"what the killed server had kept", OWN),
    ],
)
def test_what_a_killed_server_has_left_is_put_back_unless_people_were_faster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: bytes | None, kept: bytes | None, after: bytes | None
) -> None:
    monkeypatch.chdir(tmp_path)
    KEPT.parent.mkdir(parents=True)
    for file, body in ((CONFIG, config), (KEPT, kept)):
        if body is not None:
            file.write_bytes(body)
    put_back()
    assert (CONFIG.read_bytes() if CONFIG.exists() else None) == after
    assert not KEPT.exists()


def test_make_s3_ends_with_make(project: Project, port: int) -> None:
    (project.folder / ".venv").mkdir()
    (project.folder / ".venv/ready").touch()
    command = ["make", "-f", str(TOP / "Makefile"), "-o", ".venv/ready", "s3", f"PORT={port}"]
    with project.served(port, command=command):
        assert held(port)[1] == []
    assert project.config() is None


# ---- what is wrong, in one line


def test_a_port_that_is_taken_is_named(project: Project, port: int) -> None:
    with project.served(port, signal.SIGKILL):
        pass
    with socket.create_server(("127.0.0.1", port)):
        said = project.error(*COMMAND, str(port))
    assert said == (
        f"port {port} of 127.0.0.1 cannot be had (Address already in use); "
        f"name another: `make s3 PORT={port + 100 if port < 65000 else 9000}`"
    )
    assert project.config() is None  # the killed one's is gone all the same


def test_one_project_has_one_server(project: Project, port: int) -> None:
    with project.served(port):
        before = project.config()
        said = project.error(*COMMAND, str(port + 1 if port < 65535 else 9000))
        assert said == "a server of this project is running already; use it, or end it with Ctrl-C"
        assert project.config() == before


@pytest.mark.parametrize(
    ("words", "shown"), [(["soon"], "soon"), (["0"], "0"), (["65536"], "65536"), ([], "missing"), (["-1"], "-1")]
)
def test_a_port_that_is_none_is_named(capfd: pytest.CaptureFixture[str], words: list[str], shown: str) -> None:
    assert main(words) == 1
    assert capfd.readouterr().err == f"error: PORT is {shown}, it must be a number from 1 to 65535\n"


def test_a_folder_without_dvc_is_told_so(project: Project, port: int) -> None:
    shutil.rmtree(project.folder / ".dvc")
    assert project.error(*COMMAND, str(port)) == "there is no .dvc here; run this in the project's folder"
    assert not (project.folder / ".dvc").exists()


def test_a_config_that_dvc_cannot_read_is_left_alone(project: Project, port: int) -> None:
    (project.folder / CONFIG).write_bytes(b"[core\n")
    assert project.error(*COMMAND, str(port)).startswith("DVC cannot read its configuration: ")
    assert project.config() == b"[core\n"


def test_a_missing_moto_is_told(project: Project, port: int) -> None:
    code = f"""
import sys
sys.modules["moto"] = None
from warehouse_classifier.compute.local_s3 import main
sys.exit(main(["{port}"]))
"""
    said = project.error(sys.executable, "-c", code)
    assert said.startswith("the S3 server is not installed (")
    assert said.endswith("); `make s3` installs and starts it")


def test_a_proxy_is_told_of(project: Project, port: int) -> None:
    """DVC would ask it for what lies on loopback."""
    for known, first in (("127.0.0.1", ""), ("", "no_proxy=127.0.0.1 ")):
        project.environment |= {"http_proxy": "http://127.0.0.1:1", "no_proxy": known}
        with project.served(port) as lines:
            assert lines[1] == f"in another terminal: {first}dvc push, {first}dvc pull\n"
