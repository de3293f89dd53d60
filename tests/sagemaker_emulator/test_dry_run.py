"""`make sagemaker-dry-run` with real processes and signals: what it leads to, and what it leaves behind."""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sagemaker_emulator.dry_run import FORGET, VARIABLES, main
from sagemaker_emulator.local_s3 import BUCKET, REMOTE, lead_to
from support.projects import TOP

pytestmark = pytest.mark.slow

COMMAND = [sys.executable, "-m", "sagemaker_emulator.dry_run"]
CONFIG = Path(".dvc/config.local")
OWN = b"['remote \"storage\"']\n\turl = s3://mine/bins # and nobody else's"
# of a laptop whose owner has other accounts; an address where nobody listens, for whoever goes there
ELSEWHERE = {
    "AWS_PROFILE": "of-mine", "AWS_SESSION_TOKEN": "of-worth", "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1",
    "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS": "http://127.0.0.1:1", "AWS_REGION": "eu-central-1", "no_proxy": "of.mine",
    "http_proxy": "http://127.0.0.1:1", "AWS_CONFIG_FILE": "/no/such/file",
    "DOCKER_HOST": "unix:///no/such/socket",  # of whoever has built the image under the emulator's name
}  # fmt: skip
# as a user would ask each service, in one process: the role, the image, the bucket, a job and its log
TRIES = """
import json, os, time, boto3
role, image = os.environ["SAGEMAKER_ROLE"], os.environ["SAGEMAKER_IMAGE"]
assert boto3.client("iam").get_role(RoleName=role.split("/")[1])["Role"]["Arn"] == role
registry, tag = image.split(":")
assert boto3.client("ecr").describe_images(repositoryName=registry.split("/")[1], imageIds=[{"imageTag": tag}])
assert boto3.client("sts").get_caller_identity()["Account"] == image[:12] == role.split(":")[4]
boto3.client("s3").put_object(Bucket="warehouse", Key="mine", Body=b"")
jobs = boto3.client("sagemaker")
jobs.create_training_job(
    TrainingJobName="tried", RoleArn=role, OutputDataConfig={"S3OutputPath": "s3://warehouse/out"},
    AlgorithmSpecification={
        "TrainingImage": image, "TrainingInputMode": "File", "ContainerEntrypoint": ["sh", "-c", COMMAND],
    },
    ResourceConfig={"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 1},
    StoppingCondition={"MaxRuntimeInSeconds": 60, **({"MaxWaitTimeInSeconds": 60} if SPOT else {})},
    EnableManagedSpotTraining=SPOT,
)
while (job := jobs.describe_training_job(TrainingJobName="tried"))["SecondaryStatus"] not in UNTIL:
    time.sleep(0.05)
print(json.dumps({
    "status": job["SecondaryStatus"], "runner": os.environ["STAGE_RUNNER"],
    "aws": sorted(name for name in os.environ if name.startswith("AWS_")), "no_proxy": os.environ["no_proxy"],
    "remote": os.environ["SAGEMAKER_REMOTE"], "env": os.path.exists(".dvc/tmp/sagemaker-dry-run.env"),
}))
"""
VARIABLES_OF_AWS = [
    "AWS_ACCESS_KEY_ID", "AWS_CONFIG_FILE", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SAGEMAKER",
    "AWS_REGION", "AWS_SECRET_ACCESS_KEY", "AWS_SHARED_CREDENTIALS_FILE",
]  # fmt: skip


@pytest.fixture
def project(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, port: int
) -> Path:
    """A folder that has what a dry run touches, with the remote at the port, where the test runs."""
    (tmp_path / ".dvc/tmp").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    shutil.copy(TOP / ".dvc/config", ".dvc/config")
    endpoint = f"['remote \"{REMOTE}\"']\nendpointurl = http://127.0.0.1:{port}\n"
    (tmp_path / CONFIG).write_bytes(OWN + b"\n" + endpoint.encode())
    for name in [name for name in os.environ if name.startswith(("AWS_", "DVC_", "MAKE", "SAGEMAKER_", "STAGE_"))]:
        monkeypatch.delenv(name)
    for name, value in {**ELSEWHERE, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}.items():
        monkeypatch.setenv(name, value)
    home = tmp_path_factory.mktemp("home")
    (home / ".aws").mkdir()
    (home / ".aws/config").write_text("[half")
    monkeypatch.setenv("HOME", str(home))
    return tmp_path


@pytest.fixture
def port() -> int:
    """One that is free, and the next one too; below those that the system gives to whoever connects to something."""
    while True:
        first = random.randrange(10000, 20000)
        try:
            for number in (first, first + 1):
                socket.create_server(("127.0.0.1", number)).close()
        except OSError:
            continue
        return first


def left(project: Path) -> list[str]:
    assert (project / CONFIG).read_bytes().startswith(OWN)
    return sorted(str(path.relative_to(project)) for path in project.rglob("*") if path.is_file())


UNTOUCHED = [".dvc/config", ".dvc/config.local"]


def tries(folder: Path, command: str = "true", until: str = "('Completed',)", spot: bool = False) -> str:
    (folder / "tries.py").write_text(f"COMMAND, UNTIL, SPOT = {command!r}, {until}, {spot}\n{TRIES}")
    return f"{sys.executable} {folder / 'tries.py'}"


@contextmanager
def waiting(port: int, *words: str, end: int = signal.SIGINT) -> Iterator[list[str]]:
    """What a dry run says that has no command; the signal ends it."""
    process = subprocess.Popen(
        [*(words or (*COMMAND, str(port)))], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        lines = [process.stdout.readline() for _ in range(4)]
        assert "Ctrl-C ends it" in lines[-1], (lines, process.communicate(timeout=5) if not lines[-1] else "")
        yield lines
    finally:
        process.send_signal(end)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == (-end if words else 0)  # make says that it was ended
    assert "Traceback" not in errors


def test_a_command_has_all_it_needs_and_its_status_is_returned(
    project: Path, port: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    command = tries(tmp_path_factory.mktemp("own"))
    ran = subprocess.run(
        [*COMMAND, str(port), f"{command} && exit 7"], capture_output=True, text=True, check=False, timeout=60
    )
    assert ran.returncode == 7, ran.stderr
    output = json.loads(ran.stdout)
    assert (output["status"], output["runner"], output["env"]) == ("Completed", "sagemaker", True)
    assert output["aws"] == VARIABLES_OF_AWS
    assert {"127.0.0.1", "localhost", "of.mine"} == {*output["no_proxy"].split(",")}
    assert output["remote"] == REMOTE
    assert "emulator: tried runs as a subprocess" in ran.stderr
    assert left(project) == UNTOUCHED


def test_dvc_goes_there_as_well(project: Path, port: int) -> None:
    config = project / ".dvc/config"
    config.write_text(config.read_text().replace("[core]\n", "[core]\n    no_scm = true\n", 1))
    (project / "one.txt").write_text("one")
    command = f"dvc add -q one.txt && dvc push -r {REMOTE} && rm -r .dvc/cache one.txt && dvc pull -r {REMOTE}"
    ran = subprocess.run([*COMMAND, str(port), command], capture_output=True, text=True, check=False, timeout=60)
    assert ran.returncode == 0, ran.stderr
    assert (project / "one.txt").read_text() == "one"


def test_another_terminal_has_it_from_the_file(
    project: Path, port: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("own")
    begins = f"touch {folder}/begun.$$; exec sleep 60"
    with waiting(port) as lines:
        assert lines[1] == f"in another terminal: . {VARIABLES}, and then dvc repro\n"
        command = tries(folder, begins, "('Training',)", spot=True)
        output = json.loads(subprocess.check_output(["sh", "-euc", f". {VARIABLES}; {command}"], text=True, timeout=30))
        assert output["aws"] == VARIABLES_OF_AWS
        assert output["runner"] == "sagemaker"

        # and what it says of an interruption is true
        interrupts = lines[2].split(": ", 1)[1].replace("<its name>", "tried")
        assert interrupts.startswith("curl -d '")
        begun = until(folder, 1)
        if shutil.which("curl"):
            subprocess.run(["sh", "-ec", f"no_proxy=127.0.0.1 {interrupts}"], check=True, capture_output=True)
            begun = until(folder, 2)
    for pid in begun:
        assert not Path(f"/proc/{pid}").exists()
    assert left(project) == UNTOUCHED


def until(folder: Path, count: int) -> list[str]:
    """Processes of the job that have begun, when they are so many."""
    last = time.monotonic() + 20
    while len(pids := [path.suffix[1:] for path in folder.glob("begun.*")]) < count:
        assert time.monotonic() < last
        time.sleep(0.02)
    return pids


def test_the_file_forgets_what_people_have_in_their_shell(project: Path) -> None:
    script = f"export AWS_STRANGE='a\nb'; {FORGET}; export AWS_REGION=here; env | grep ^AWS_"
    for shell in filter(shutil.which, ("sh", "bash", "zsh")):
        assert subprocess.check_output([shell, "-euc", script], text=True) == "AWS_REGION=here\n"


def test_it_ends_whole_with_its_terminal(project: Path, port: int) -> None:
    with waiting(port, end=signal.SIGHUP):
        assert VARIABLES.exists()
    assert left(project) == UNTOUCHED


def test_it_ends_whole_with_make(project: Path, port: int) -> None:
    (project / ".venv").mkdir()
    (project / ".venv/ready").touch()
    make = ("make", "-f", str(TOP / "Makefile"), "-o", ".venv/ready", "sagemaker-dry-run", f"PORT={port}")
    with waiting(port, *make, end=signal.SIGTERM):
        assert VARIABLES.exists()
    assert left(project) == [*UNTOUCHED, ".venv/ready"]


def test_make_hands_a_command_on_as_it_was_typed(project: Path, port: int) -> None:
    (project / ".venv").mkdir()
    (project / ".venv/ready").touch()
    run = """RUN=echo "$HOME 'and' $AWS_REGION"; exit 3"""
    make = ["make", "-f", str(TOP / "Makefile"), "-o", ".venv/ready", "sagemaker-dry-run", f"PORT={port}", run]
    ran = subprocess.run(make, capture_output=True, text=True, check=False, timeout=60)
    assert ran.stdout.splitlines()[:1] == [f"{os.environ['HOME']} 'and' us-east-1"]
    assert "Error 3" in ran.stderr
    assert left(project) == [*UNTOUCHED, ".venv/ready"]


def test_a_signal_ends_the_command_before_all_else(project: Path, port: int) -> None:
    in_order = "test -e .dvc/tmp/sagemaker-dry-run.env && echo in order"
    command = f"trap 'kill $!; {in_order}; exit 5' TERM; echo up; sleep 60 & wait"
    process = subprocess.Popen(
        [*COMMAND, str(port), command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    process.send_signal(signal.SIGINT)  # which a terminal sends to the command itself
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline() == "in order\n"
    assert process.wait(timeout=30) == 5
    process.stdout.close()
    assert left(project) == UNTOUCHED


SIGNALLED = """
import signal, sys, threading, time
from sagemaker_emulator.dry_run import _run
from sagemaker_emulator.signals import Signals
def later():
    time.sleep(0.3)
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
signals = Signals()
threading.Thread(target=later).start()
begun = time.monotonic()
print(_run("exec sleep 20", {}, signals), time.monotonic() - begun > 0.2)
signals.child = None
print(_run("exec sleep 20", {}, signals))
"""


def test_no_signal_is_lost(project: Path) -> None:
    """Neither one that another thread gets, while this one waits, nor one that comes before there is a command."""
    begun = time.monotonic()
    assert subprocess.check_output([sys.executable, "-c", SIGNALLED], text=True) == "143 True\n143\n"
    assert time.monotonic() - begun < 15


def test_a_remote_that_is_elsewhere_is_told_with_the_way_out(project: Path, port: int) -> None:
    (project / CONFIG).write_bytes(OWN)
    ran = subprocess.run([*COMMAND, str(port), "true"], capture_output=True, text=True, check=False, timeout=30)
    assert ran.returncode == 1
    there, here = "http://127.0.0.1:9000", f"http://127.0.0.1:{port}"
    assert ran.stderr == f"error: DVC looks for its remote laptop at {there}; `{lead_to(here)}` leads it here\n"
    assert left(project) == UNTOUCHED


@pytest.mark.parametrize("which", [0, 1])
def test_a_port_that_is_taken_is_named(project: Path, port: int, which: int) -> None:
    with socket.create_server(("127.0.0.1", port + which)):
        ran = subprocess.run([*COMMAND, str(port), "true"], capture_output=True, text=True, check=False, timeout=30)
    assert ran.returncode == 1
    other = port + 100 if port < 65000 else 9000
    assert ran.stderr == (
        f"error: port {port + which} of 127.0.0.1 cannot be had (Address already in use); name another:"
        f" `make sagemaker-dry-run PORT={other}`\n"
    )
    assert left(project) == UNTOUCHED


@pytest.mark.parametrize(
    ("words", "shown"),
    [(["soon"], "soon"), (["0"], "0"), (["65535"], "65535"), ([], "missing"), (["", "true"], "missing")],
)
def test_a_port_that_is_none_is_named(capfd: pytest.CaptureFixture[str], words: list[str], shown: str) -> None:
    assert main(words) == 1
    assert capfd.readouterr().err == f"error: PORT is {shown}, it must be a number from 1 to 65534\n"


def test_the_bucket_is_the_one_that_the_servers_make() -> None:
    assert f'Bucket="{BUCKET}"' in TRIES
