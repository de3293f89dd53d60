"""What is told before a job is asked for, in one line, with nothing sent where that can be known before."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from sagemaker_emulator.account import IMAGE, ROLE
from support.cloud import BUCKET, REMOTE, STAGE, Account
from support.launching import error_line


def params(tree: Path, section: str, **values: Any) -> None:
    yaml = YAML()
    tree_params = yaml.load(tree / "params.yaml")
    tree_params[section]["sample"].update(values)
    yaml.dump(tree_params, tree / "params.yaml")


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("SAGEMAKER_ROLE", "", "params.yaml: sagemaker.role is null; set it or SAGEMAKER_ROLE to the ARN of the role"),
        ("SAGEMAKER_IMAGE", "", "params.yaml: sagemaker.image is null; set it or SAGEMAKER_IMAGE to what `make sagem"),
        ("SAGEMAKER_IMAGE", f"{IMAGE}s", f"there is no image {IMAGE}s in ECR; `make sagemaker-image` brings it there"),
        ("SAGEMAKER_IMAGE", IMAGE.replace("/", "/not-"), "there is no image"),
        ("SAGEMAKER_IMAGE", f"{IMAGE.partition(':')[0]}@sha256:{'0' * 64}", "there is no image"),
        (
            "SAGEMAKER_REGION",
            "eu-west-1",
            f"the image {IMAGE} is not in eu-west-1, where sagemaker.region has the jobs",
        ),
        ("SAGEMAKER_REMOTE", "nope", "sagemaker.remote is nope, and DVC has no such remote; `dvc remote list` lists"),
        ("SAGEMAKER_SPOT", "maybe", 'SAGEMAKER_SPOT is "maybe", it must be true or false'),
        (
            "SAGEMAKER_INSTANCES",
            "{fetch_metadata: {count: 2}}",
            "params.yaml: sagemaker.instances.fetch_metadata.count is 2",
        ),
        (
            "STAGE_RUNNER",
            "sagemake",
            "STAGE_RUNNER is sagemake, it must be one of: local, sagemaker; unset it to run here",
        ),
        (
            "STAGE_RUNNER",
            "train:sagemaker",
            "STAGE_RUNNER is train:sagemaker, and there is no stage train; there are: eva",
        ),
        (
            "AWS_PROFILE",
            "of-nobody",
            "your AWS account: there are no AWS credentials (The config profile (of-nobody) could",
        ),
        (
            "AWS_ENDPOINT_URL_STS",
            "http://127.0.0.1:1",
            "your AWS account: AWS cannot be reached (Could not connect to the",
        ),
    ],
)
def test_a_mistake_costs_one_line_and_sends_nothing(
    tree: Path, account: Account, aws: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
    variable: str, value: str, message: str,
) -> None:  # fmt: skip
    aws.setenv(variable, value)
    assert error_line(capfd, *STAGE).startswith(message)
    assert not account.written("door")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            "",
            "DVC has no default remote; point it at a bucket of yours: `dvc remote modify --local storage url s3://...`",
        ),
        (
            REMOTE.replace(f"s3://{BUCKET}/door", "/mnt/share"),
            "the DVC remote storage is /mnt/share, and SageMaker reaches",
        ),
        (
            REMOTE.replace(f"s3://{BUCKET}/door", "gs://b/c"),
            "the DVC remote storage is gs://b/c, and SageMaker reaches S3",
        ),
        (
            REMOTE.replace(BUCKET, "<your-bucket>"),
            "the DVC remote storage is still s3://<your-bucket>/door; point it at",
        ),
        (
            f"{REMOTE}endpointurl = http://me@example.com\n",
            "the endpointurl of the DVC remote storage holds a name",
        ),
        ("[core\n", "DVC cannot read its configuration: "),
    ],
)
def test_a_remote_that_no_job_could_use_is_told(
    tree: Path, capfd: pytest.CaptureFixture[str], config: str, message: str
) -> None:
    (tree / ".dvc/config").write_text(config)
    assert error_line(capfd, *STAGE).startswith(message)


def test_missing_credentials_are_told(tree: Path, aws: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        aws.delenv(name)
    assert error_line(capfd, *STAGE) == (
        "your AWS account: there are no AWS credentials (Unable to locate credentials); log in, or set AWS_PROFILE"
    )


def test_expired_credentials_are_told(
    tree: Path, account: Account, answering: Callable[..., list[str]], capfd: pytest.CaptureFixture[str]
) -> None:
    code = "<Code>ExpiredToken</Code><Message>The security token included in the request is expired</Message>"
    answering(403, f"<ErrorResponse><Error><Type>Sender</Type>{code}</Error></ErrorResponse>", "STS")
    assert error_line(capfd, *STAGE) == (
        "your AWS account: the AWS credentials are refused (ExpiredToken: The security token included in the request is"
        " expired); log in again"
    )
    assert not account.written("door")


def test_a_right_that_is_missing_is_named(
    tree: Path, answering: Callable[..., list[str]], capfd: pytest.CaptureFixture[str]
) -> None:
    answering(400, '{"__type": "AccessDeniedException", "Message": "User x is not authorized"}', "SAGEMAKER")
    assert error_line(capfd, *STAGE) == (
        "SageMaker: DescribeTrainingJob is not allowed (User x is not authorized); README has the rights it takes, On rented machines"
    )


def test_an_image_that_may_not_be_looked_for_is_left_to_sagemaker(
    tree: Path,
    answering: Callable[..., list[str]],
    aws: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    answering(400, '{"__type": "AccessDeniedException", "Message": "no"}', "ECR")
    aws.setenv("SAGEMAKER_ROLE", ROLE.replace("role/", "role/not-"))
    assert error_line(capfd, *STAGE).startswith("fetch_metadata: SageMaker cannot take the role")


def test_a_role_that_nobody_may_take_is_named(
    tree: Path, account: Account, aws: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    other = ROLE.replace("role/", "role/not-")
    aws.setenv("SAGEMAKER_ROLE", other)
    before = account.jobs()
    assert error_line(capfd, *STAGE).startswith(f"fetch_metadata: SageMaker cannot take the role {other} (")
    assert account.jobs() == before


def test_a_quota_that_is_missing_is_named_with_the_way_out(
    tree: Path, account: Account, aws: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    aws.setenv("SAGEMAKER_INSTANCES", "{fetch_metadata: {type: ml.p4d.24xlarge}}")
    before = account.jobs()
    message = error_line(capfd, *STAGE)
    assert message.startswith("fetch_metadata: the account has no quota for 1 ml.p4d.24xlarge spot (")
    assert message.endswith(
        "ask for it in Service Quotas, or set another sagemaker.instances.fetch_metadata.type, or sagemaker.spot"
    )
    assert account.jobs() == before


def test_what_lies_on_this_machine_alone_is_told(tree: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tree / "bins").mkdir()
    params(tree, "data", bucket="bins")
    assert error_line(capfd, *STAGE) == (
        "params.yaml: data.sample.bucket is bins, which is on this machine alone; fetch_metadata cannot run on SageMaker"
    )
    params(tree, "data", bucket="synthetic://?pairs=10&seed=1")
    (tree / "own.pth").touch()
    params(tree, "train_resnet34", weights="own.pth", weights_sha256="0" * 64)
    message = error_line(capfd, "train_resnet34", "sample", "data/images", "data/metadata.parquet", "models/resnet34")
    assert message.startswith("params.yaml: train_resnet34.sample.weights is own.pth, which is on this machine alone")


def test_machines_that_no_processes_fall_to_are_told(
    tree: Path, aws: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    aws.setenv("SAGEMAKER_INSTANCES", "{train_vit: {count: 2}}")
    message = error_line(capfd, "train_vit", "sample", "data/images", "data/metadata.parquet", "models/vit")
    assert message == (
        "params.yaml: sagemaker.instances.train_vit.count is 2, and train_vit has 1 processes to share out;"
        " set train_vit.sample.processes to a multiple, or the count to 1"
    )


def test_a_parameter_is_checked_here_and_not_for_money(tree: Path, capfd: pytest.CaptureFixture[str]) -> None:
    params(tree, "fetch_metadata", part=0)
    assert error_line(capfd, *STAGE) == "params.yaml: fetch_metadata.sample.part is 0, it must be at least 1"


def test_a_dep_that_is_missing_is_told(tree: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tree / "src/warehouse_classifier/bins/metadata.py").unlink()
    message = error_line(capfd, *STAGE)
    assert message == (
        "fetch_metadata depends on src/warehouse_classifier/bins/metadata.py, which is neither here nor an output that dvc.lock knows"
    )


def test_a_folder_without_dvc_yaml_is_told(tree: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tree / "dvc.yaml").unlink()
    assert error_line(capfd, *STAGE) == (
        "dvc.yaml cannot be read (No such file or directory); run from the top of the project"
    )
