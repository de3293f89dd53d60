"""The SageMaker emulator, asked by boto3, with real containers' processes, and moto for the other services."""

import contextlib
import http.client
import io
import itertools
import json
import os
import socket
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.validate import ParamValidator
from hypothesis import given
from hypothesis import strategies as st

from sagemaker_emulator import limits
from sagemaker_emulator.cloud import ACCOUNT, REGION, Cloud
from sagemaker_emulator.instance import OPT
from sagemaker_emulator.log import GROUP
from sagemaker_emulator.record import Record
from sagemaker_emulator.server import Emulator
from sagemaker_emulator.shapes import WrongType, constraints, violations
from support.s3 import CREDENTIALS, S3
from warehouse_classifier.runtime.errors import UserError

MODEL = botocore.session.get_session().get_service_model("sagemaker")
OPERATIONS = ("CreateTrainingJob", "DescribeTrainingJob", "StopTrainingJob", "ListTrainingJobs")
BUCKET, REPOSITORY = "jobs", "emulated"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/emulated"
IMAGE = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{REPOSITORY}:latest"
KIND = "ml.m5.xlarge"
ENDED = ("Completed", "Failed", "Stopped")
UNEVENTFUL = ["Starting", "Downloading", "Training", "Uploading", "Completed"]
SPOT = {"EnableManagedSpotTraining": True, "StoppingCondition": {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 90}}
numbers = itertools.count()


class Account:
    """A client of an emulator, and of what its jobs leave in the other services."""

    def __init__(self, emulator: Emulator, aws: str) -> None:
        self.emulator = emulator
        id, secret, region = CREDENTIALS.values()
        self.session = boto3.Session(id, secret, None, region)
        self.s3, self.logs, self.iam, self.ecr = (
            self.session.client(name, endpoint_url=aws) for name in ("s3", "logs", "iam", "ecr")
        )
        unchecked = Config(parameter_validation=False, retries={"total_max_attempts": 1})
        self.client = self.session.client("sagemaker", endpoint_url=emulator.url, config=unchecked)
        for operation in OPERATIONS:
            self.client.meta.events.register(f"before-parse.sagemaker.{operation}", _is_well_formed)

    def start(self, *command: str, **more: Any) -> str:
        name = more.get("TrainingJobName") or f"job-{next(numbers)}"
        self.client.create_training_job(**asked(*command, **{**more, "TrainingJobName": name}))
        return name

    def script(self, code: str, **more: Any) -> str:
        """Start a job whose program is too long for a request: it comes as a channel."""
        prefix = f"code/{next(numbers)}/"
        self.s3.put_object(Bucket=BUCKET, Key=f"{prefix}main.py", Body=code.encode())
        channels = [channel("code", prefix), *more.pop("InputDataConfig", [])]
        return self.start("python", f"{OPT}/input/data/code/main.py", InputDataConfig=channels, **more)

    def described(self, name: str) -> dict[str, Any]:
        return dict(self.client.describe_training_job(TrainingJobName=name))

    def until(self, name: str, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        last = time.monotonic() + 20
        while not holds(job := self.described(name)):
            assert time.monotonic() < last, job
            time.sleep(0.02)
        return job

    def end(self, name: str, status: str = "Completed") -> dict[str, Any]:
        job = self.until(name, lambda job: job["TrainingJobStatus"] in ENDED)
        assert job["TrainingJobStatus"] == status, (job, self.lines(name))
        return job

    def streams(self, name: str) -> list[str]:
        try:
            listed = self.logs.describe_log_streams(logGroupName=GROUP, logStreamNamePrefix=f"{name}/")["logStreams"]
        except self.logs.exceptions.ResourceNotFoundException:
            return []
        return sorted(stream["logStreamName"] for stream in listed)

    def lines(self, name: str) -> list[str]:
        listed: list[str] = []
        for stream in self.streams(name):
            events = self.logs.get_log_events(logGroupName=GROUP, logStreamName=stream, startFromHead=True)["events"]
            listed += [event["message"] for event in events]
        return listed

    def says(self, name: str, line: str) -> None:
        """Wait until it has said it."""
        last = time.monotonic() + 20
        while line not in self.lines(name):
            job = self.described(name)
            assert time.monotonic() < last, (job.get("FailureReason"), job, self.lines(name))
            time.sleep(0.02)

    def keys(self, prefix: str) -> dict[str, bytes]:
        listed = self.s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
        bodies = {item["Key"]: self.s3.get_object(Bucket=BUCKET, Key=item["Key"])["Body"].read() for item in listed}
        return {key.removeprefix(prefix): body for key, body in bodies.items()}

    def archive(self, name: str, what: str = "model") -> dict[str, bytes]:
        with tarfile.open(fileobj=io.BytesIO(self.keys(f"out/{name}/output/")[f"{what}.tar.gz"])) as packed:
            files = {member.name: packed.extractfile(member) for member in packed if member.isfile()}
            return {file: body.read() for file, body in files.items() if body}

    def interrupt(self, name: str) -> tuple[int, dict[str, Any]]:
        return post(self.emulator, json.dumps({"TrainingJobName": name}), path="/interrupt")


def _is_well_formed(operation_model: Any, response_dict: dict[str, Any], **how: Any) -> None:
    """Every answer holds what the model says of it. ModelArtifacts alone is missing before there are any, as there."""
    if response_dict["status_code"] == 200 and operation_model.output_shape is not None:
        listed = [*violations(operation_model.output_shape, json.loads(response_dict["body"]))]
        assert [says for says in listed if "null at 'modelArtifacts'" not in says] == []


def asked(*command: str, **more: Any) -> dict[str, Any]:
    entrypoint = {"ContainerEntrypoint": [*command]} if command else {}
    resources = {"InstanceType": KIND, "InstanceCount": 1, "VolumeSizeInGB": 5, **more.pop("ResourceConfig", {})}
    return {
        "AlgorithmSpecification": {
            "TrainingImage": more.pop("image", IMAGE), "TrainingInputMode": "File", **entrypoint,
        },
        "RoleArn": ROLE,
        "OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/out"},
        "ResourceConfig": resources,
        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
        **more,
    }  # fmt: skip


def channel(name: str, prefix: str) -> dict[str, Any]:
    source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/{prefix}"}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}}


def statuses(job: dict[str, Any]) -> list[str]:
    return [transition["Status"] for transition in job["SecondaryStatusTransitions"]]


def post(emulator: Emulator, body: str, path: str = "/", **headers: str) -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection("127.0.0.1", emulator.server.server_port, timeout=10)
    connection.request("POST", path, body, headers)
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


def alive(folder: Path) -> list[str]:
    """Processes of jobs in that folder, by what they were born with."""
    listed = []
    for file in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if f"OPT_ML={folder}".encode() in file.read_bytes():
                listed.append(file.with_name("cmdline").read_bytes().replace(b"\0", b" ").decode())
    return listed


@contextlib.contextmanager
def opened(folder: Path, aws: str, **how: Any) -> Iterator[Account]:
    with Emulator(folder, aws, **{"runner": "subprocess", "say": str, **how}) as emulator:
        yield Account(emulator, aws)
    assert alive(folder) == []


@pytest.fixture(scope="module")
def aws(s3_server: S3) -> str:
    """Address of a server that has what an account needs for jobs."""
    session = boto3.Session(*[*CREDENTIALS.values()][:2], None, REGION)
    s3, iam, ecr = (session.client(name, endpoint_url=s3_server.url) for name in ("s3", "iam", "ecr"))
    s3.create_bucket(Bucket=BUCKET)
    for name, service in (("emulated", "sagemaker"), ("of-others", "ec2")):
        trust = {"Effect": "Allow", "Principal": {"Service": f"{service}.amazonaws.com"}, "Action": "sts:AssumeRole"}
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps({"Statement": [trust]}))
    ecr.create_repository(repositoryName=REPOSITORY)
    layer = {
        "mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip",
        "size": 0,
        "digest": f"sha256:{'0' * 64}",
    }
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json"}
    body = json.dumps({**manifest, "config": layer, "layers": [layer]})
    ecr.put_image(repositoryName=REPOSITORY, imageTag="latest", imageManifest=body)
    return s3_server.url


@pytest.fixture(scope="module")
def emulated(aws: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    with opened(tmp_path_factory.mktemp("jobs"), aws) as emulated:
        yield emulated


# ---- the container contract

FINDS = """
import json, os, pathlib
ml = pathlib.Path(os.environ["OPT_ML"])
config = {file.stem: json.loads(file.read_text()) for file in (ml / "input/config").iterdir()}
data = {str(file.relative_to(ml)): file.read_text() for file in (ml / "input/data").rglob("*") if file.is_file()}
folders = sorted(str(folder.relative_to(ml)) for folder in ml.rglob("*") if folder.is_dir())
found = {"config": config, "data": data, "folders": folders, "env": {**os.environ}, "cwd": os.listdir()}
(ml / "model/deep").mkdir()
(ml / "model/deep/found.json").write_text(json.dumps(found))
(ml / "output/data/aside.txt").write_text("aside")
"""


@pytest.mark.slow
def test_a_container_finds_what_the_contract_promises(emulated: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OF_THE_LAPTOP", "and to stay there")
    monkeypatch.setenv("AWS_PROFILE", "of-the-laptop")
    for key in ("train/one.txt", "train/deep/two.txt", "train/", "single.txt", "singles.txt", "part-1", "part-2"):
        emulated.s3.put_object(Bucket=BUCKET, Key=f"inputs/{key}", Body=key.encode())
    channels = [
        {**channel("train", "inputs/train"), "ContentType": "text/plain"},
        channel("single", "inputs/single.txt"),
        channel("parts", "inputs/part-"),
    ]
    own = {"WHERE": f"{OPT}/model", "LIKE": f"{OPT}odel", "SOME": "a b=c\nd"}
    name = emulated.script(
        FINDS,
        InputDataConfig=channels,
        HyperParameters={"lr": "0.1"},
        Environment=own,
        ResourceConfig={"InstanceCount": 1},
    )
    emulated.end(name)
    listed = json.loads(emulated.archive(name)["deep/found.json"])

    ml = listed["env"]["OPT_ML"]
    config = {"TrainingInputMode": "File", "S3DistributionType": "FullyReplicated", "RecordWrapperType": "None"}
    assert listed["config"] == {
        "hyperparameters": {"lr": "0.1"},
        "inputdataconfig": {
            "code": config, "train": {**config, "ContentType": "text/plain"}, "single": config, "parts": config,
        },
        "resourceconfig": {
            "current_host": "127.0.0.1", "current_instance_type": KIND, "current_group_name": "homogeneousCluster",
            "hosts": ["127.0.0.1"], "network_interface_name": "lo",
            "instance_groups": [
                {"instance_group_name": "homogeneousCluster", "instance_type": KIND, "hosts": ["127.0.0.1"]}
            ],
        },
    }  # fmt: skip
    assert listed["data"] == {
        "input/data/code/main.py": FINDS,
        "input/data/train/one.txt": "train/one.txt",
        "input/data/train/deep/two.txt": "train/deep/two.txt",
        "input/data/single/single.txt": "single.txt",
        "input/data/parts/part-1": "part-1",
        "input/data/parts/part-2": "part-2",
    }
    assert {"model", "checkpoints", "output", "output/data"} <= {*listed["folders"]}
    assert listed["cwd"] == []
    assert {key: value for key, value in listed["env"].items() if not key.startswith("LC_")} == {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "LANG": os.environ.get("LANG", "C.UTF-8"),
        "HOME": ml.removesuffix("ml") + "home", "TMPDIR": ml.removesuffix("ml") + "tmp",
        "DVC_SITE_CACHE_DIR": ml.removesuffix("ml") + "site", "OPT_ML": ml,
        "TRAINING_JOB_NAME": name, "TRAINING_JOB_ARN": f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:training-job/{name}",
        "AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION, "AWS_ENDPOINT_URL": emulated.emulator.context.address,
        "AWS_ACCESS_KEY_ID": "nobody-of-the-emulator", "AWS_SECRET_ACCESS_KEY": "none",
        **own, "WHERE": f"{ml}/model",
    }  # fmt: skip
    assert emulated.archive(name, "output") == {"aside.txt": b"aside"}
    assert not Path(ml).exists()


def test_nothing_leaves_the_folder_of_a_channel(emulated: Account) -> None:
    emulated.s3.put_object(Bucket=BUCKET, Key="evil/../../../../../away.txt", Body=b"")
    job = emulated.end(emulated.start("true", InputDataConfig=[channel("evil", "evil/")]), "Failed")
    assert "would leave" in job["FailureReason"]


def test_the_log_comes_while_the_job_runs(emulated: Account) -> None:
    code = """
import os, sys, time
print("first", flush=True)
print("on the other stream", file=sys.stderr, flush=True)
os.write(1, b"\\n" + b"\\xff" * 3 + b"\\n" + b"x" * 600_000)
while not os.path.exists(os.environ["OPT_ML"] + "/checkpoints/go"):
    time.sleep(0.02)
print("\\nlast, with no newline", end="")
"""
    emulated.s3.put_object(Bucket=BUCKET, Key="log-checkpoints/held", Body=b"")
    before = time.time() * 1000
    name = emulated.script(code)
    emulated.says(name, "on the other stream")
    job = emulated.described(name)
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("InProgress", "Training")
    assert "ModelArtifacts" not in job
    (folder,) = emulated.emulator.context.folder.glob(f"{name}/*/ml/checkpoints")
    (folder / "go").touch()
    emulated.end(name)
    lines = emulated.lines(name)
    assert lines[:3] == ["first", "on the other stream", "\ufffd" * 3]
    assert lines[-1] == "last, with no newline"
    assert {*"".join(lines[3:-1])} == {"x"}
    (stream,) = emulated.streams(name)
    job, host = stream.split("/")
    algorithm, number, when = host.split("-")
    assert (job, algorithm, number) == (name, "algo", "1")
    assert before <= int(when) <= time.time() * 1000


# ---- states


def test_a_job_that_does_well(emulated: Account) -> None:
    name = emulated.start("sh", "-c", "exit 0", Environment={"A": "b"}, Tags=[{"Key": "who", "Value": "me"}])
    job = emulated.end(name)
    assert statuses(job) == UNEVENTFUL
    assert job["SecondaryStatus"] == "Completed"
    times = [(step["StartTime"], step["EndTime"]) for step in job["SecondaryStatusTransitions"]]
    assert [*itertools.chain(*times)] == sorted(itertools.chain(*times))
    assert job["CreationTime"] <= job["TrainingStartTime"] < job["TrainingEndTime"] <= job["LastModifiedTime"]
    assert 1 <= job["BillableTimeInSeconds"] <= job["TrainingTimeInSeconds"] <= 20
    assert job["ModelArtifacts"]["S3ModelArtifacts"] == f"s3://{BUCKET}/out/{name}/output/model.tar.gz"
    assert emulated.keys(f"out/{name}/output/").keys() == {"model.tar.gz"}
    assert "FailureReason" not in job
    for key, value in asked("sh", "-c", "exit 0", Environment={"A": "b"}).items():
        assert job[key] == value


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("exit 3", "AlgorithmError: , exit code: 3"),
        ("echo the disk is full > $OPT_ML/output/failure; exit 1", "AlgorithmError: the disk is full\n, exit code: 1"),
        ("kill -9 $$", "AlgorithmError: , exit code: 137"),
        (
            "seq -s '' 9999 > $OPT_ML/output/failure; exit 1",
            f"AlgorithmError: {''.join(map(str, range(1, 9999)))[: 1024 - 30]}, exit code: 1",
        ),
    ],
)
def test_a_job_that_fails_says_why(emulated: Account, command: str, reason: str) -> None:
    kept = f"kept/{next(numbers)}"
    saves = "touch $OPT_ML/model/half; echo step > $OPT_ML/checkpoints/kept; echo tried"
    checkpoints = {"S3Uri": f"s3://{BUCKET}/{kept}"}
    name = emulated.start("sh", "-c", f"{saves}; {command}", CheckpointConfig=checkpoints)
    job = emulated.end(name, "Failed")
    assert emulated.keys(kept) == {"/kept": b"step\n"}
    assert job["FailureReason"] == reason
    assert (job["SecondaryStatus"], statuses(job)[-2:]) == ("Failed", ["Uploading", "Failed"])
    assert emulated.lines(name) == ["tried"]
    assert emulated.keys(f"out/{name}/") == {}


def test_a_container_that_cannot_start_fails(emulated: Account) -> None:
    job = emulated.end(emulated.start("no-such-command"), "Failed")
    assert "no-such-command" in job["FailureReason"]
    assert job["FailureReason"].endswith("exit code: 127")
    assert "there is none" in emulated.end(emulated.start(), "Failed")["FailureReason"]


def test_an_output_that_cannot_be_written_fails(emulated: Account) -> None:
    name = emulated.start("true", OutputDataConfig={"S3OutputPath": "s3://no-such-bucket/out"})
    assert "InternalServerError" in emulated.end(name, "Failed")["FailureReason"]


def test_what_is_not_there_is_not_found(emulated: Account) -> None:
    for ask in (emulated.client.describe_training_job, emulated.client.stop_training_job):
        with pytest.raises(ClientError) as refused:
            ask(TrainingJobName="of-nobody")
        assert refused.value.response["Error"] == {
            "Code": "ValidationException",
            "Message": "Requested resource not found.",
        }
    assert emulated.interrupt("of-nobody")[0] == 400


def test_a_name_is_never_free_again(emulated: Account) -> None:
    name = f"job-{next(numbers)}"

    def create(_: int) -> str:
        try:
            return str(emulated.client.create_training_job(**asked("true", TrainingJobName=name))["TrainingJobArn"])
        except emulated.client.exceptions.ResourceInUse as refused:
            return str(refused)

    with ThreadPoolExecutor(8) as pool:
        response = [*pool.map(create, range(8))]
    emulated.end(name)
    response.append(create(0))
    arn = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:training-job/{name}"
    assert [line for line in response if line == arn] == [arn]
    assert sum("Training job names must be unique within an AWS account and region" in line for line in response) == 8


# ---- its end before its time

IGNORES = "trap '' TERM; (setsid sh -c 'trap \"\" TERM; sleep 60' &); echo up; while true; do sleep 0.1; done"


def test_a_stopped_job_has_time_to_save(emulated: Account) -> None:
    # the second process gets no SIGTERM, as in a container
    command = "sleep 60 & trap 'echo saved > $OPT_ML/model/weights; kill $!; exit 0' TERM; echo up; wait"
    name = emulated.start("sh", "-c", command)
    emulated.says(name, "up")
    emulated.client.stop_training_job(TrainingJobName=name)
    job = emulated.end(name, "Stopped")
    assert statuses(job) == ["Starting", "Downloading", "Training", "Stopping", "Uploading", "Stopped"]
    assert emulated.archive(name) == {"weights": b"saved\n"}
    with pytest.raises(ClientError) as refused:
        emulated.client.stop_training_job(TrainingJobName=name)
    assert refused.value.response["Error"]["Code"] == "ValidationException"
    assert str(refused.value).endswith("The request was rejected because the training job is in status Stopped.")


@pytest.mark.slow
def test_a_job_that_does_not_want_to_end_is_killed(aws: str, tmp_path: Path) -> None:
    with opened(tmp_path, aws, grace=0.6) as emulated:
        name = emulated.start("sh", "-c", IGNORES)
        emulated.says(name, "up")
        asked_at = time.monotonic()
        emulated.client.stop_training_job(TrainingJobName=name)
        assert emulated.described(name)["TrainingJobStatus"] == "Stopping"
        assert emulated.described(name)["SecondaryStatus"] == "Stopping"
        assert len(alive(tmp_path)) > 1
        emulated.end(name, "Stopped")
        assert 0.6 < time.monotonic() - asked_at < 3
        assert alive(tmp_path) == []


@pytest.mark.slow
def test_nothing_outlives_the_emulator(aws: str, tmp_path: Path) -> None:
    with opened(tmp_path, aws) as emulated:
        names = [emulated.start("sh", "-c", IGNORES), emulated.start("sh", "-c", IGNORES)]
        for name in names:
            emulated.says(name, "up")
        assert len(alive(tmp_path)) > 3
        begun = time.monotonic()
    assert time.monotonic() - begun < 5
    assert alive(tmp_path) == []
    assert [*tmp_path.iterdir()] == []


def test_with_its_first_process_a_container_ends_whole(emulated: Account) -> None:
    """And not with the job: another instance may have hours of work left."""
    first = "case $OPT_ML in *algo-1*) (setsid sleep 61 &); echo left; exit 0;; esac"
    name = emulated.start("sh", "-c", f"{first}; echo up; exec sleep 62", ResourceConfig={"InstanceCount": 2})
    for line in ("left", "up"):
        emulated.says(name, line)
    folder, last = emulated.emulator.context.folder / name, time.monotonic() + 10
    while [line.strip() for line in alive(folder)] != ["sleep 62"]:
        assert time.monotonic() < last, alive(folder)
        time.sleep(0.02)
    emulated.client.stop_training_job(TrainingJobName=name)
    emulated.end(name, "Stopped")


@pytest.mark.slow
def test_a_job_has_no_more_time_than_it_was_given(emulated: Account) -> None:
    name = emulated.start("sleep", "60", StoppingCondition={"MaxRuntimeInSeconds": 1})
    job = emulated.end(name, "Stopped")
    assert job["SecondaryStatus"] == "MaxRuntimeExceeded"
    assert statuses(job)[-3:] == ["Stopping", "Uploading", "MaxRuntimeExceeded"]
    assert job["BillableTimeInSeconds"] == 2


def test_time_is_billed_while_there_are_instances_and_waited_for_beyond() -> None:
    record = Record(asked("true", TrainingJobName="a", **SPOT))
    now = time.time()
    record.rented = [(now - 50, now - 40), (now - 20, None)]
    record.created = now - 80
    record.check_timeouts()
    assert record.status == "InProgress"
    record.created = now - 91
    record.check_timeouts()
    assert (record.status, record.secondary) == ("Stopping", "Stopping")
    record.end(record.stop_as)
    job = record.describe()
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxWaitTimeExceeded")
    assert job["BillableTimeInSeconds"] in (30, 31)
    assert job["TrainingTimeInSeconds"] in (50, 51)


def test_a_job_that_is_stopped_does_not_begin_anything() -> None:
    record = Record(asked("true", TrainingJobName="a"))
    record.stop()
    record.rent()
    record.enter("Training")
    record.end("Completed")
    assert statuses(record.describe()) == ["Starting", "Stopping", "Stopped"]


# ---- spot

RESUMES = """
import os, pathlib, signal, sys, time
ml = pathlib.Path(os.environ["OPT_ML"])
kept = ml / "checkpoints/deep/step"
kept.parent.mkdir(exist_ok=True)
done = int(kept.read_text()) if kept.exists() else 0
print("begins at", done, "in", ml.parent.name, sorted(os.listdir(ml / "model")), sorted(os.listdir(ml / "checkpoints")), flush=True)
def save(*_):
    (ml / "checkpoints/at-the-end").write_text("saved")
    sys.exit(1)
signal.signal(signal.SIGTERM, save)
(ml / "model/half").write_text("")
(ml / "checkpoints/removed").write_text("")
kept.write_text(str(done + 1))
while done == 0:
    time.sleep(0.1)
"""


def test_an_interrupted_spot_job_goes_on_elsewhere(emulated: Account) -> None:
    bucket = f"versioned-{next(numbers)}"
    emulated.s3.create_bucket(Bucket=bucket)
    emulated.s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    emulated.s3.put_object(Bucket=bucket, Key="kept/from-before", Body=b"")
    name = emulated.script(RESUMES, CheckpointConfig={"S3Uri": f"s3://{bucket}/kept"}, **SPOT)

    def held() -> list[str]:
        return sorted(listed["Key"] for listed in emulated.s3.list_objects_v2(Bucket=bucket)["Contents"])

    def is_held(_: object) -> bool:
        return {"kept/deep/step", "kept/removed"} <= {*held()}

    emulated.until(name, is_held)  # while it runs
    (folder,) = emulated.emulator.context.folder.glob(f"{name}/*/ml/checkpoints")
    (folder / "removed").unlink()
    assert emulated.interrupt(name) == (200, {})
    job = emulated.end(name)
    assert statuses(job) == [*UNEVENTFUL[:3], "Interrupted", *UNEVENTFUL]
    assert emulated.lines(name) == [
        "begins at 0 in 0-algo-1 [] ['deep', 'from-before']",
        "begins at 1 in 1-algo-1 [] ['at-the-end', 'deep', 'from-before']",
    ]
    assert len(emulated.streams(name)) == 2
    assert held() == ["kept/at-the-end", "kept/deep/step", "kept/from-before", "kept/removed"]
    versions = [listed["Key"] for listed in emulated.s3.list_object_versions(Bucket=bucket)["Versions"]]
    assert sorted(versions) == [
        "kept/at-the-end", "kept/deep/step", "kept/deep/step", "kept/from-before", "kept/removed", "kept/removed",
    ]  # fmt: skip
    assert emulated.interrupt(name)[1]["message"] == f"{name} is Completed, it can be interrupted while it is Training"


@pytest.mark.slow
def test_an_interruption_kills_whoever_does_not_save(aws: str, tmp_path: Path) -> None:
    with opened(tmp_path, aws, grace=0.3) as emulated:
        name = emulated.start("sh", "-c", IGNORES, **SPOT)
        emulated.says(name, "up")
        first = alive(tmp_path)
        assert emulated.interrupt(name)[0] == 200
        emulated.until(name, lambda job: statuses(job).count("Training") == 2)
        emulated.client.stop_training_job(TrainingJobName=name)
        job = emulated.end(name, "Stopped")
        assert first
        assert statuses(job)[3:6] == ["Interrupted", "Starting", "Downloading"]


def test_only_a_spot_job_is_interrupted(emulated: Account) -> None:
    name = emulated.start("sleep", "60")
    emulated.until(name, lambda job: job["SecondaryStatus"] == "Training")
    status, response = emulated.interrupt(name)
    assert (status, response["__type"]) == (400, "ValidationException")
    assert "is no spot job" in response["message"]
    emulated.client.stop_training_job(TrainingJobName=name)
    assert "Interrupted" not in statuses(emulated.end(name, "Stopped"))


# ---- several instances

MEETS = """
import json, os, pathlib, socket, time
ml = pathlib.Path(os.environ["OPT_ML"])
resources = json.loads((ml / "input/config/resourceconfig.json").read_text())
port = int(json.loads((ml / "input/config/hyperparameters.json").read_text())["port"])
first, here = resources["hosts"][0], resources["current_host"]
with socket.create_server((here, port)) as server:
    if here == first:
        server.accept()[0].sendall(b"hello")
    else:
        while True:
            try:
                with socket.create_connection((first, port)) as client:
                    print(here, "hears", client.recv(9).decode())
                break
            except ConnectionRefusedError:
                time.sleep(0.05)
(ml / "model" / here).write_text("")
(ml / "model/both").write_text(here)
"""


def test_instances_see_each_other(emulated: Account) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    name = emulated.script(MEETS, HyperParameters={"port": str(port)}, ResourceConfig={"InstanceCount": 2})
    emulated.end(name)
    assert emulated.lines(name) == ["127.0.0.2 hears hello"]
    assert [stream.split("/")[1][:6] for stream in emulated.streams(name)] == ["algo-1", "algo-2"]
    assert emulated.archive(name) == {"127.0.0.1": b"", "127.0.0.2": b"", "both": b"127.0.0.1"}


def test_where_one_instance_fails_the_others_are_ended(emulated: Account) -> None:
    code = """
import json, os, time
with open(os.environ["OPT_ML"] + "/input/config/resourceconfig.json") as file:
    second = json.load(file)["current_host"] == "127.0.0.2"
if second:
    with open(os.environ["OPT_ML"] + "/output/failure", "w") as file:
        file.write("the second one")
    raise SystemExit(4)
time.sleep(60)
"""
    begun = time.monotonic()
    job = emulated.end(emulated.script(code, ResourceConfig={"InstanceCount": 2}), "Failed")
    assert job["FailureReason"] == "AlgorithmError: the second one, exit code: 4"
    assert time.monotonic() - begun < 10


# ---- what is refused


def changed(path: str, value: Any) -> dict[str, Any]:
    request = asked("true", TrainingJobName="refused")
    *deeper, last = path.split(".")
    part = request
    for name in deeper:
        part = part.setdefault(name, {})
    part[last] = value
    return request


CONSTRAINT = "failed to satisfy constraint: "


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        (
            "TrainingJobName", "under_score",
            "1 validation error detected: Value 'under_score' at 'trainingJobName' " + CONSTRAINT
            + "Member must satisfy regular expression pattern: [a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}",
        ),
        ("TrainingJobName", "a" * 64, "2 validation errors detected: "),
        ("TrainingJobName", "a" * 64, CONSTRAINT + "Member must have length less than or equal to 63"),
        ("TrainingJobName", None, f"Value null at 'trainingJobName' {CONSTRAINT}Member must not be null"),
        ("RoleArn", "warehouse-classifier", "at 'roleArn' " + CONSTRAINT),
        ("RoleArn", ROLE.replace(ACCOUNT, "\u0661" * 12), "at 'roleArn' " + CONSTRAINT),  # digits, but not the service's
        ("ResourceConfig.InstanceType", "ml.huge", "at 'resourceConfig.instanceType' " + CONSTRAINT + "Member must satisfy enum"),
        ("ResourceConfig.KeepAlivePeriodInSeconds", 21601, "Member must have value less than or equal to 21600"),
        ("StoppingCondition.MaxRuntimeInSeconds", 0, "Member must have value greater than or equal to 1"),
        ("HyperParameters", {str(n): "" for n in range(101)}, "Member must have length less than or equal to 100"),
        (
            "HyperParameters", {"a": "b" * 2501},
            "at 'hyperParameters' " + CONSTRAINT + "Map value must satisfy constraint: [Member must have length less than"
            " or equal to 2500, Member must have length greater than or equal to 0",
        ),
        ("HyperParameters", {"a": "two\nlines"}, "Map value must satisfy constraint"),
        ("HyperParameters", {"a" * 257: ""}, "Map keys must satisfy constraint"),
        ("Environment", {"A": "b" * 513}, "Member must have length less than or equal to 512"),
        ("Environment", {"A-B": ""}, "Map keys must satisfy constraint: ["),
        ("Environment", {str(n): "" for n in range(101)}, "Member must have length less than or equal to 100"),
        ("AlgorithmSpecification.ContainerEntrypoint", [], "Member must have length greater than or equal to 1"),
        ("AlgorithmSpecification.ContainerEntrypoint", ["a", "b" * 257], "'algorithmSpecification.containerEntrypoint.2.member'"),
        ("InputDataConfig", [{"ChannelName": "a"}], "Value null at 'inputDataConfig.1.member.dataSource'"),
        ("Tags", [{"Key": "a\tb", "Value": ""}], "at 'tags.1.member.key'"),
        # beyond the model
        ("ResourceConfig", {"InstanceType": KIND}, "InstanceType and InstanceCount must be specified"),
        ("StoppingCondition.MaxRuntimeInSeconds", 28 * 86400 + 1, "Invalid MaxRuntimeInSeconds"),
        ("StoppingCondition.MaxWaitTimeInSeconds", 60, "It is only supported when EnableManagedSpotTraining is set to true"),
        ("EnableManagedSpotTraining", True, "Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to"),
        ("AlgorithmSpecification.TrainingImage", "python:3.11", "Please provide a valid Amazon Elastic Container Registry path"),
        ("InputDataConfig", [channel("none", "no-such/")], f'No S3 objects found under S3 URL "s3://{BUCKET}/no-such/"'),
        ("RoleArn", ROLE[:-1], f"Could not assume role {ROLE[:-1]}. Please ensure that the role exists and allows principal"),
        ("RoleArn", ROLE.replace("emulated", "of-others"), "Could not assume role "),
        ("RoleArn", ROLE.replace(ACCOUNT, "1" * 12), "Could not assume role "),
        # of the emulator alone
        ("EnableNetworkIsolation", True, "EnableNetworkIsolation is beyond the emulator"),
        ("AlgorithmSpecification.TrainingInputMode", "Pipe", None),
        ("CheckpointConfig", {"S3Uri": "s3://a/b", "LocalPath": "/var"}, "/var is beyond the emulator"),
        ("CheckpointConfig", {"S3Uri": "s3://a/b", "LocalPath": "/opt/ml/../a"}, "is beyond the emulator"),
    ],
)  # fmt: skip
def test_a_wrong_request_is_refused(emulated: Account, path: str, value: Any, says: str | None) -> None:
    request = changed(path, value)
    if says is None:  # in its own words, where there is a channel
        request["InputDataConfig"], says = [channel("train", "inputs/")], "The channel train is beyond the emulator"
    with pytest.raises(ClientError) as refused:
        emulated.client.create_training_job(**request)
    assert refused.value.response["Error"]["Code"] == "ValidationException"
    assert says in refused.value.response["Error"]["Message"]
    with pytest.raises(ClientError, match=r"Requested resource not found\.|trainingJobName"):
        emulated.described(str(request["TrainingJobName"]))


def test_spot_goes_without_warm_machines_and_with_time_to_wait(emulated: Account) -> None:
    for stopping, resources, says in (
        ({"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 59}, {}, "Invalid MaxWaitTimeInSeconds"),
        (SPOT["StoppingCondition"], {"KeepAlivePeriodInSeconds": 60}, "Invalid KeepAlivePeriodInSeconds"),
    ):
        with pytest.raises(ClientError, match=says):
            emulated.start("true", **{**SPOT, "StoppingCondition": stopping}, ResourceConfig=resources)
    emulated.end(emulated.start("true", ResourceConfig={"KeepAlivePeriodInSeconds": 60}))


def test_an_image_that_ecr_does_not_hold_fails_later(emulated: Account) -> None:
    for image in (
        IMAGE.replace("latest", "older"),
        IMAGE.replace(REPOSITORY, "nowhere"),
        IMAGE.replace(REGION, "eu-west-1"),
    ):
        job = emulated.end(emulated.start("true", image=image), "Failed")
        assert job["FailureReason"].startswith("ClientError: Cannot pull algorithm container.")
        assert "Training" not in statuses(job)
    emulated.end(emulated.start("true", image=IMAGE.removesuffix(":latest")))


@pytest.mark.slow
def test_quotas_are_kept(aws: str, tmp_path: Path) -> None:
    with opened(
        tmp_path, aws, quotas={KIND: 2, f"{KIND} for spot training job usage": 1, "ml.m5.large": 0}
    ) as emulated:
        first = emulated.start("sleep", "60")
        with pytest.raises(emulated.client.exceptions.ResourceLimitExceeded) as refused:
            emulated.start("true", ResourceConfig={"InstanceCount": 2})
        assert (
            f"The account-level service limit '{KIND} for training job usage' is 2 Instances, with current utilization of"
            " 1 Instances and a request delta of 2 Instances. Please use AWS Service Quotas to request an increase"
        ) in str(refused.value)
        emulated.start("sleep", "60", **SPOT)
        with pytest.raises(emulated.client.exceptions.ResourceLimitExceeded, match="for spot training job usage' is 1"):
            emulated.start("true", **SPOT)
        with pytest.raises(emulated.client.exceptions.ResourceLimitExceeded, match=r"'ml\.m5\.large for training"):
            emulated.start("true", ResourceConfig={"InstanceType": "ml.m5.large"})
        emulated.start("true", ResourceConfig={"InstanceType": "ml.m5.2xlarge", "InstanceCount": 3})
        emulated.client.stop_training_job(TrainingJobName=first)
        emulated.end(first, "Stopped")
        emulated.end(emulated.start("true", ResourceConfig={"InstanceCount": 2}))


@pytest.mark.slow
def test_the_list_is_cut_before_it_is_sifted(aws: str, tmp_path: Path) -> None:
    with opened(tmp_path, aws) as emulated:
        for name, command in (("c-1", "true"), ("a-2", "false"), ("b-3", "true")):
            emulated.start(command, TrainingJobName=name)
            emulated.until(name, lambda job: job["TrainingJobStatus"] in ENDED)

        def names(**how: Any) -> list[str]:
            listed = emulated.client.list_training_jobs(**how)
            return [job["TrainingJobName"] for job in listed["TrainingJobSummaries"]]

        assert names() == ["c-1", "a-2", "b-3"]
        assert names(SortBy="Name", SortOrder="Descending") == ["c-1", "b-3", "a-2"]
        assert names(StatusEquals="Failed") == ["a-2"]
        assert names(StatusEquals="Failed", MaxResults=1) == []
        assert names(NameContains="-3") == ["b-3"]
        for how, expected in (("After", ["a-2", "b-3"]), ("Before", ["c-1", "a-2"])):
            # boto3 would send whole seconds
            body = json.dumps({f"CreationTime{how}": emulated.described("a-2")["CreationTime"].timestamp()})
            _, response = post(emulated.emulator, body, **{"X-Amz-Target": "SageMaker.ListTrainingJobs"})
            assert [job["TrainingJobName"] for job in response["TrainingJobSummaries"]] == expected
        pages = emulated.client.get_paginator("list_training_jobs").paginate(PaginationConfig={"PageSize": 2})
        assert [[job["TrainingJobName"] for job in page["TrainingJobSummaries"]] for page in pages] == [
            ["c-1", "a-2"],
            ["b-3"],
        ]
        with pytest.raises(ClientError, match="Invalid NextToken"):
            names(NextToken="page 2")


def test_what_is_no_request_is_refused(emulated: Account) -> None:
    target = {"X-Amz-Target": "SageMaker.DescribeTrainingJob"}
    for body, headers, code in (
        ("{", target, "SerializationException"),
        ("[]", target, "SerializationException"),
        ('{"TrainingJobName": 1}', target, "SerializationException"),
        ("{}", target, "ValidationException"),
        ('{"TrainingJobName": "a", "Tagz": []}', target, "ValidationException"),
        ('{"MaxResults": true}', {"X-Amz-Target": "SageMaker.ListTrainingJobs"}, "SerializationException"),
        ("{}", {}, "UnknownOperationException"),
        ("{}", {"X-Amz-Target": "SageMaker.DeleteTrainingJob"}, "UnknownOperationException"),
        ("{}", {**target, "Host": "of-a-web-page.example:9101"}, "AccessDeniedException"),
    ):
        status, response = post(emulated.emulator, body, **headers)
        assert status in (400, 403)
        assert response["__type"] == code


@pytest.mark.slow
def test_people_who_have_an_account_are_left_alone(aws: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The emulator is in the process of whoever starts it; their profile leads elsewhere, or nowhere."""
    # moto, in this very process, looks up once what an error of S3's is made of, and not without a session of boto3's
    assert [*Cloud.at(aws).keys("s3://of-nobody/")] == []
    for variable, value in {"AWS_PROFILE": "of-mine", "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1"}.items():
        monkeypatch.setenv(variable, value)
    with Emulator(tmp_path, aws) as emulator:
        assert post(emulator, "{}", **{"X-Amz-Target": "SageMaker.ListTrainingJobs"}) == (
            200,
            {"TrainingJobSummaries": []},
        )
        assert [*emulator.context.cloud.keys("s3://of-nobody/")] == []


@pytest.mark.slow
def test_where_the_other_services_are_silent_so_is_the_emulator(tmp_path: Path) -> None:
    with Emulator(tmp_path, "http://127.0.0.1:1") as emulator:
        body = json.dumps(asked("true", TrainingJobName="a"))
        status, response = post(emulator, body, **{"X-Amz-Target": "SageMaker.CreateTrainingJob"})
    assert (status, response["__type"]) == (500, "InternalFailure")


def test_a_port_that_is_taken_is_named(aws: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(UserError, match="cannot be had"):
        Emulator(tmp_path, aws, port=taken.getsockname()[1])


# ---- the validator


def shapes() -> Iterator[Any]:
    waiting, seen = [MODEL.operation_model(name).input_shape for name in OPERATIONS], set()
    while waiting:
        shape = waiting.pop()
        if shape.name in seen:
            continue
        seen.add(shape.name)
        yield shape
        waiting += [*getattr(shape, "members", {}).values()]
        waiting += [getattr(shape, name) for name in ("member", "key", "value") if hasattr(shape, name)]


def test_every_word_of_the_model_is_understood() -> None:
    patterns = [shape for shape in shapes() if "pattern" in shape.metadata]
    assert len(patterns) > 30
    for shape in patterns:
        for _, holds in constraints(shape):
            holds("anything")
    (name,) = [shape for shape in shapes() if shape.name == "DescribeTrainingJobRequest"]
    says = "Value '[]' at 'tagz' failed to satisfy constraint: Member must be one that the service knows"
    assert [*violations(name, {"TrainingJobName": "a", "Tagz": []})] == [says]
    (tag,) = [shape for shape in patterns if shape.name == "TagKey"]
    assert [*violations(tag, "Größe 1 @a/b")] == []
    assert [*violations(tag, "no;semicolon")]


PATHS = [
    "TrainingJobName", "AlgorithmSpecification", "AlgorithmSpecification.TrainingImage", "ResourceConfig.InstanceCount",
    "AlgorithmSpecification.ContainerEntrypoint", "HyperParameters", "Environment", "InputDataConfig", "Tags",
    "StoppingCondition", "EnableManagedSpotTraining", "CheckpointConfig", "SomethingElse", "OutputDataConfig",
]  # fmt: skip
ANYTHING = st.recursive(
    st.booleans() | st.integers(-5, 5) | st.text(max_size=5) | st.floats(allow_nan=False),
    lambda deeper: (
        st.lists(deeper, max_size=3)
        | st.dictionaries(st.sampled_from(["Key", "Value", "S3Uri", "ChannelName", "x"]), deeper, max_size=3)
    ),
    max_leaves=6,
)


@given(st.sampled_from(PATHS), ANYTHING)
def test_what_botocore_refuses_is_refused(path: str, value: Any) -> None:
    """Ours sees at least what theirs sees, and never breaks."""
    shape, request = MODEL.operation_model("CreateTrainingJob").input_shape, changed(path, value)
    theirs = ParamValidator().validate(request, shape).has_errors()
    try:
        ours = bool([*violations(shape, request)])
    except WrongType:
        ours = True
    assert ours or not theirs


@given(st.text(st.sampled_from("aZ9-_. \n\u0660"), max_size=70))
def test_a_name_is_what_the_pattern_says(name: str) -> None:
    """In words of our own: letters and digits, inner hyphens, 63 at most that are neither led nor ended by one."""
    plain = name.isascii() and name.replace("-", "").isalnum()
    fits = plain and not name.startswith("-") and not name.endswith("-") and 1 <= len(name) <= 63
    shape = MODEL.operation_model("DescribeTrainingJob").input_shape
    assert fits == ([*violations(shape, {"TrainingJobName": name})] == [])


# ---- docker

DOCKER = """\
#!/bin/sh
case $1 in
image) test "$3" = "$HELD"; exit ;;
kill)
    test "$2" != --signal=TERM || kill -TERM $(cat "$SAID.pid") ;;
run)
    echo $$ > "$SAID.pid"
    for word; do
        echo "$word" >> "$SAID"
        case $word in --volume=*) volume=${word#--volume=} ;; esac
    done
    echo ran > "${volume%:/opt/ml}/model/mark"
    trap 'echo told to end; exit 0' TERM
    test -z "$STAYS" || { echo up; sleep 60 & wait; }
    ;;
esac
"""


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A command of that name that holds one image, and writes down what it is told."""
    command = tmp_path / "bin/docker"
    command.parent.mkdir()
    command.write_text(DOCKER)
    command.chmod(0o755)
    written = tmp_path / "said"
    for name, value in {"HELD": IMAGE, "SAID": str(written), "STAYS": ""}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PATH", f"{command.parent}{os.pathsep}{os.environ['PATH']}")
    return written


@pytest.mark.slow
def test_docker_runs_the_images_that_it_has(aws: str, tmp_path: Path, docker: Path) -> None:
    response: list[str] = []
    with opened(tmp_path / "jobs", aws, runner="auto", say=response.append) as emulated:
        name = emulated.start("sh", "-c", "true", Environment={"A": "b c"})
        emulated.end(name)
        assert emulated.archive(name) == {"mark": b"ran\n"}
        words = docker.read_text().splitlines()
        assert words[:2] == ["run", "--rm"]
        assert "--network=host" in words
        assert words[words.index("--entrypoint") :] == ["--entrypoint", "sh", IMAGE, "-c", "true"]
        assert {"A=b c", f"TRAINING_JOB_NAME={name}", f"AWS_ENDPOINT_URL={aws}"} <= {*words}
        assert not [word for word in words if word.startswith(("PATH=", "HOME=", "OPT_ML="))]

        docker.unlink()
        emulated.end(emulated.start())
        assert docker.read_text().splitlines()[-2:] == [IMAGE, "train"]

        docker.unlink()
        emulated.end(emulated.start("true", image=IMAGE.removesuffix(":latest")))
        assert not docker.exists()
    assert [line.split(";")[0] for line in response] == [
        f"{name} runs in docker, from {IMAGE}",
        f"job-{int(name[4:]) + 1} runs in docker, from {IMAGE}",
        f"job-{int(name[4:]) + 2} runs as a subprocess",
    ]


@pytest.mark.slow
def test_docker_hands_a_stop_on(aws: str, tmp_path: Path, docker: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAYS", "1")
    with opened(tmp_path / "jobs", aws, runner="docker") as emulated:
        name = emulated.start("sh", "-c", "true", image=IMAGE.removesuffix(":latest"))
        emulated.says(name, "up")
        emulated.client.stop_training_job(TrainingJobName=name)
        emulated.end(name, "Stopped")
        assert emulated.lines(name) == ["up", "told to end"]


def test_the_latest_image_is_meant_where_none_is_named() -> None:
    listed = limits.IMAGE.fullmatch(f"{IMAGE.removesuffix(':latest')}@sha256:{'a' * 64}")
    assert listed is not None
    assert listed.groups() == (ACCOUNT, REGION, REPOSITORY, None, f"sha256:{'a' * 64}")
