"""The image on its way to ECR.

ECR and STS are moto's. Where tests run there is no docker daemon, and one could reach no registry: so an executable `docker` stands
first on PATH that notes what it was told, takes a password as docker does, and on `push` puts an image into moto's ECR. What the
Dockerfile is worth, `python benchmarks/image.py` tells with a real daemon.
"""

import base64
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from support.projects import TOP
from support.s3 import S3
from warehouse_classifier.compute.sagemaker import image
from warehouse_classifier.compute.sagemaker.image import REPOSITORY
from warehouse_classifier.runtime.errors import UserError

FILES = ("params.yaml", "Dockerfile", ".dockerignore", "requirements.lock")
REGION = "eu-west-1"
REGISTRY = f"123456789012.dkr.ecr.{REGION}.amazonaws.com"
DOCKER = """\
#!{python} -S
import http.client, json, os, sys, time
verb, folder = sys.argv[1], {folder!r}
own = os.environ.get("DOCKER_CONFIG") or os.environ["HOME"] + "/.docker"
noted = {{"words": sys.argv[1:], "own": own, "config": {{}}, "contexts": [], "stdin": None}}
if os.path.exists(own + "/contexts"):
    noted["contexts"] = os.listdir(own + "/contexts")
if verb == "login":
    noted["stdin"] = sys.stdin.read()
    config = json.load(open(own + "/config.json"))
    config["auths"][sys.argv[-1]] = {{"auth": noted["stdin"]}}
    json.dump(config, open(own + "/config.json", "w"))
    print("WARNING! Your credentials are stored unencrypted", file=sys.stderr)
if verb in ("login", "push"):
    noted["config"] = json.load(open(own + "/config.json"))
with open(folder + "/noted", "a") as notes:
    notes.write(json.dumps(noted) + "\\n")
print("docker is at", verb)
if verb == "push" and os.environ.get("PUSHES") != "no":
    repository, tag = sys.argv[2].split("/")[1].split(":")
    manifest = json.dumps({{"schemaVersion": 2, "layers": [], "config": {{"digest": "sha256:" + "0" * 64, "size": 1}},
                            "mediaType": "application/vnd.docker.distribution.manifest.v2+json"}})
    server = http.client.HTTPConnection(os.environ["AWS_ENDPOINT_URL"].split("/")[2])
    server.request("POST", "/", json.dumps({{"repositoryName": repository, "imageTag": tag, "imageManifest": manifest}}), {{
        "X-Amz-Target": "AmazonEC2ContainerRegistry_V20150921.PutImage", "Content-Type": "application/x-amz-json-1.1",
        "Authorization": "AWS4-HMAC-SHA256 Credential=a/20260101/{region}/ecr/aws4_request, SignedHeaders=host, Signature=b"}})
    assert server.getresponse().status == 200
for line in open(folder + "/wrong"):
    name, status, said = line.rstrip().split("|")
    if name == verb:
        print(said, file=sys.stderr, flush=True)
        if status == "hangs":
            time.sleep(60)
        sys.exit(int(status))
"""


@dataclass
class Docker:
    folder: Path

    def does(self, verb: str, status: int | str, message: str = "") -> None:
        with (self.folder / "wrong").open("a") as wrong:
            wrong.write(f"{verb}|{status}|{message}\n")

    def noted(self) -> list[dict[str, Any]]:
        file = self.folder / "noted"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def call(self, verb: str) -> dict[str, Any]:
        [noted] = [noted for noted in self.noted() if noted["words"][0] == verb]
        return noted


@pytest.fixture
def top(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The top of the project, as far as an image asks for it; people's own settings are out of sight."""
    for name in FILES:
        shutil.copy(TOP / name, project)
    for name in list(os.environ):
        if name.startswith(("SAGEMAKER_", "DOCKER_", "BASE")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("SAGEMAKER_REGION", REGION)
    monkeypatch.setenv("HOME", str(project / "home"))
    (project / "home/.docker").mkdir(parents=True)
    return project


@pytest.fixture
def docker(top: Path, monkeypatch: pytest.MonkeyPatch) -> Docker:
    folder = top / "bin"
    folder.mkdir()
    (folder / "docker").write_text(DOCKER.format(python=sys.executable, folder=str(folder), region=REGION))
    (folder / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))  # a real one is out of sight
    made = Docker(folder)
    made.does("buildx", 1, "docker: 'buildx' is not a docker command.")
    return made


@pytest.fixture
def ecr(s3_server: S3, aws: pytest.MonkeyPatch) -> Iterator[Any]:
    aws.setenv("AWS_ENDPOINT_URL", s3_server.url)
    client = boto3.Session().client("ecr", region_name=REGION, endpoint_url=s3_server.url)
    yield client
    if client.describe_repositories()["repositories"]:
        client.delete_repository(repositoryName=REPOSITORY, force=True)


@pytest.fixture
def refusing(answering: Callable[..., list[str]]) -> Callable[..., None]:
    """Put an AWS that knows who asks, or not even that, and refuses the rest in the place of moto's."""

    def start(code: str, identified: bool = True) -> None:
        account = "<Account>123456789012</Account>"
        late = f"<Error><Code>{code}</Code><Message>too late</Message></Error>"
        if identified:
            answering(200, f"<R><GetCallerIdentityResult>{account}</GetCallerIdentityResult></R>", "STS")
        else:
            answering(403, f"<R>{late}</R>", "STS")
        answering(400, json.dumps({"__type": code, "message": "nobody may"}), "ECR")

    return start


def error_of(capfd: pytest.CaptureFixture[str]) -> str:
    """What is said of an image that cannot be brought: one line, at the end, and no address."""
    capfd.readouterr()
    assert image.main() == 1
    out, err = capfd.readouterr()
    assert out == ""
    assert "Traceback" not in err
    lines = err.splitlines()
    assert [line for line in lines if line.startswith("error: ")] == lines[-1:]
    return lines[-1].removeprefix("error: ")


@pytest.mark.slow
def test_an_environment_is_built_and_sent_once(
    docker: Docker, ecr: Any, top: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert image.main() == 0
    address = f"{REGISTRY}/warehouse-classifier:{image.fingerprint(None)}"
    out, err = capfd.readouterr()
    assert out == f"{address}\n"  # and nothing else, so that $(make -s sagemaker-image) is the address
    assert f"export SAGEMAKER_IMAGE={address}" in err
    assert "docker is at push" in err
    assert [noted["words"] for noted in docker.noted()] == [
        ["version"],
        ["login", "--username", "AWS", "--password-stdin", REGISTRY],
        ["buildx", "version"],
        ["build", "--platform", "linux/amd64", "--tag", address, "."],
        ["push", address],
    ]
    [made] = ecr.describe_repositories()["repositories"]
    assert made["imageTagMutability"] == "IMMUTABLE"
    assert made["imageScanningConfiguration"] == {"scanOnPush": True}

    (docker.folder / "docker").unlink()
    assert image.main() == 0
    out, err = capfd.readouterr()
    assert out == f"{address}\n"
    assert "has this environment in eu-west-1 already" in err

    with (top / "requirements.lock").open("a") as lock:
        lock.write("# another environment\n")
    assert "docker cannot be started" in error_of(capfd)  # as it would have to be


@pytest.mark.slow
def test_the_password_goes_to_docker_alone_and_stays_nowhere(
    docker: Docker, ecr: Any, top: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    token = ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]
    password = base64.b64decode(token).decode().removeprefix("AWS:")
    (top / "home/.docker/config.json").write_text('{"credsStore": "keychain"}')
    assert image.main() == 0
    out, err = capfd.readouterr()
    assert password not in out + err
    assert docker.call("login")["stdin"] == password
    assert not any(password in word for noted in docker.noted() for word in noted["words"])
    pushed = docker.call("push")
    assert pushed["config"]["auths"][REGISTRY] == {"auth": password}
    assert pushed["own"] == docker.call("login")["own"]
    assert not Path(pushed["own"]).exists()
    assert (top / "home/.docker/config.json").read_text() == '{"credsStore": "keychain"}'
    assert docker.call("build")["own"] == str(top / "home/.docker")


@pytest.mark.slow
def test_docker_is_led_to_no_keychain_and_to_the_daemon_of_the_user(
    docker: Docker, ecr: Any, top: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = top / "own"
    (own / "contexts").mkdir(parents=True)
    (own / "contexts/meta").touch()
    (own / "config.json").write_text(
        '{"credsStore": "keychain", "credHelpers": {"a": "b"}, "currentContext": "rootless"}'
    )
    monkeypatch.setenv("DOCKER_CONFIG", str(own))
    assert image.main() == 0
    for verb in ("login", "push"):
        config = docker.call(verb)["config"]
        assert config.keys() == {"auths", "currentContext"}
        assert config["currentContext"] == "rootless"
        assert docker.call(verb)["contexts"] == ["meta"]
    assert docker.call("build")["own"] == str(own)  # where plugins, proxies and other registries' logins are


@pytest.mark.slow
@pytest.mark.parametrize("config", ["{", "[]", "{}"])
def test_settings_of_docker_that_name_no_context_are_no_hindrance(
    docker: Docker, ecr: Any, top: Path, config: str
) -> None:
    (top / "home/.docker/config.json").write_text(config)
    assert image.main() == 0
    assert docker.call("push")["config"]["currentContext"] == ""


@pytest.mark.slow
def test_buildx_makes_what_sagemaker_takes(docker: Docker, ecr: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (docker.folder / "wrong").write_text("")  # it is there
    monkeypatch.setenv("BASE", "debian-python")
    assert image.main() == 0
    address = f"{REGISTRY}/warehouse-classifier:{image.fingerprint('debian-python')}"
    assert docker.noted()[3]["words"] == [
        "buildx", "build", "--provenance=false", "--output=type=docker",
        "--platform", "linux/amd64", "--tag", address, "--build-arg", "BASE=debian-python", ".",
    ]  # fmt: skip
    ecr.delete_repository(repositoryName=REPOSITORY, force=True)
    monkeypatch.setenv("DOCKER_BUILDKIT", "0")
    assert image.main() == 0
    assert docker.call("build")["words"][1:3] == ["--platform", "linux/amd64"]


def test_the_tag_is_of_all_that_goes_in_and_of_nothing_else(top: Path) -> None:
    first = image.fingerprint(None)
    (top / "src").mkdir()
    (top / "src/new.py").write_text("new = 1")
    (top / ".env").write_text("AWS_SECRET_ACCESS_KEY=secret")
    assert image.fingerprint(None) == first
    others = {image.fingerprint("another-base")}
    for name in ("Dockerfile", "requirements.lock"):
        body = (top / name).read_bytes()
        (top / name).write_bytes(body + b"\n")
        others.add(image.fingerprint(None))
        (top / name).write_bytes(body)
    assert len(others - {first}) == 3
    assert image.fingerprint(None) == first
    (top / "requirements.lock").unlink()
    with pytest.raises(UserError, match=r"^requirements\.lock cannot be read \(No such file or directory\)"):
        image.fingerprint(None)


def test_the_daemon_gets_what_the_dockerfile_copies_and_nothing_else() -> None:
    rules = [line for line in (TOP / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    copies = re.findall(r"^(?:COPY|ADD) (.*) \S+$", (TOP / "Dockerfile").read_text(), re.MULTILINE)
    taken = {name for names in copies if "--from=" not in names for name in names.split()}
    assert rules == ["*", *(f"!{name}" for name in sorted(taken))]
    assert taken == {"requirements.lock"}


def test_image_and_venv_are_made_by_the_same_uv() -> None:
    versions = [re.findall(r"uv==([0-9.]+)", (TOP / name).read_text()) for name in ("Dockerfile", "Makefile")]
    assert versions[0] == versions[1]
    assert len(versions[0]) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("verb", "message", "expected"),
    [
        (
            "version",
            "Cannot connect to the Docker daemon.",
            "no docker daemon answers (Cannot connect to the Docker daemon.)",
        ),
        ("version", "", "no docker daemon answers (status 7)"),
        ("login", "Error: 401", f"no login to {REGISTRY} (Error: 401)"),
        ("build", "no space left", "the build failed (docker says above why, status 7)"),
    ],
)
def test_what_docker_cannot_do_is_one_line(
    docker: Docker, ecr: Any, capfd: pytest.CaptureFixture[str], verb: str, message: str, expected: str
) -> None:
    docker.does(verb, 7, message)
    assert error_of(capfd) == expected
    assert "push" not in [noted["words"][0] for noted in docker.noted()]


@pytest.mark.slow
def test_a_push_that_fails_is_one_line_unless_somebody_was_faster(
    docker: Docker, ecr: Any, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    docker.does("push", 1, "denied")
    with monkeypatch.context() as without:
        without.setenv("PUSHES", "no")
        assert error_of(capfd) == "the push failed (docker says above why, status 1)"
    assert image.main() == 0
    assert capfd.readouterr().out.startswith(REGISTRY)


@pytest.mark.slow
def test_without_docker_nothing_is_begun(
    top: Path, ecr: Any, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(top))
    assert error_of(capfd).startswith("docker cannot be started (No such file or directory); install it")
    assert ecr.describe_repositories()["repositories"] == []


@pytest.mark.slow
def test_credentials_that_are_missing_or_expired_are_one_line(
    docker: Docker, refusing: Any, aws: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    refusing("ExpiredToken", identified=False)
    assert re.match(r"the image: .*\(ExpiredToken: too late\)", error_of(capfd))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        aws.delenv(name)
    aws.setenv("AWS_EC2_METADATA_DISABLED", "true")
    assert "there are no AWS credentials" in error_of(capfd)
    assert docker.noted() == []


def test_a_right_that_is_missing_is_named(docker: Docker, refusing: Any, capfd: pytest.CaptureFixture[str]) -> None:
    refusing("AccessDeniedException")
    assert re.match(r"the image: DescribeRepositories is not allowed \(nobody may\)", error_of(capfd))
    assert docker.noted() == []


@pytest.mark.slow
def test_who_ends_it_leaves_no_password_behind(docker: Docker, ecr: Any, top: Path) -> None:
    docker.does("build", "hangs", "it hangs")
    (top / "temporary").mkdir()
    command = [sys.executable, "-m", "warehouse_classifier.compute.sagemaker.image"]
    environment = {**os.environ, "TMPDIR": str(top / "temporary"), "PYTHONPATH": str(TOP / "src")}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        stderr = iter(process.stderr)
        assert any("it hangs" in line for line in stderr)
        [folder] = (top / "temporary").iterdir()
        assert docker.call("login")["stdin"] in (folder / "config.json").read_text()
        process.send_signal(signal.SIGTERM)
        assert list(stderr)[-1].startswith("error: interrupted")
        assert process.wait() == 130
    assert list((top / "temporary").iterdir()) == []
