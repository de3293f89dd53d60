"""The IAM policies of the README: what a job's start and end need, and no more."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from support.cloud import BUCKET, STAGE, Account
from support.projects import STAGES, TOP
from warehouse_classifier.compute.__main__ import launch
from warehouse_classifier.compute.sagemaker import aws
from warehouse_classifier.compute.sagemaker.aws import Unreachable
from warehouse_classifier.compute.sagemaker.follow import Follower
from warehouse_classifier.compute.sagemaker.status_line import StatusLine

WITHOUT_RESOURCE = {"ecr:GetAuthorizationToken", "cloudwatch:PutMetricData"}  # AWS knows none for them
ACTIONS = {
    "ListObjectsV2": {"s3:ListBucket"},
    "DeleteObjects": {"s3:DeleteObject"},
    "CreateTrainingJob": {"sagemaker:CreateTrainingJob", "iam:PassRole"},
    "GetCallerIdentity": set[str](),  # which everybody may
}
# of `make sagemaker-image`, and of whoever leaves a job and then stops it; DVC itself gets, puts and lists
BESIDE = {
    "sagemaker:StopTrainingJob", "ecr:DescribeRepositories", "ecr:CreateRepository", "ecr:BatchCheckLayerAvailability",
    "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "ecr:InitiateLayerUpload", "ecr:UploadLayerPart",
    "ecr:CompleteLayerUpload", "ecr:PutImage", "ecr:GetAuthorizationToken",
}  # fmt: skip


def policies() -> list[list[dict[str, Any]]]:
    blocks = re.findall(r"```json\n(.*?)```", (TOP / "README.md").read_text(), re.DOTALL)
    return [json.loads(text)["Statement"] for text in blocks]


def several(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def actions(policy: list[dict[str, Any]]) -> set[str]:
    return {action for statement in policy for action in several(statement["Action"])}


def test_no_right_is_for_everything() -> None:
    user, role = policies()
    for statement in [*user, *role]:
        assert not any("*" in action for action in several(statement["Action"]))
        if "*" in several(statement["Resource"]):
            assert {*several(statement["Action"])} <= WITHOUT_RESOURCE
            assert statement["Condition"]
        for resource in several(statement["Resource"]):
            assert resource == "*" or re.fullmatch(r"arn:aws:[a-z0-9]+:[^*]+\*?", resource)
    jobs = several(user[0]["Resource"])
    assert [job.split("/")[1] for job in jobs] == [f"{stage.replace('_', '-')}-*" for stage in STAGES]


def test_the_user_may_what_a_launcher_asks_for_and_an_aws_that_does_not_answer_is_asked_again(
    tree: Path, account: Account, aws: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """While a job runs AWS may be out of reach: it costs money, and may take all night."""
    asked, look, looks = record(aws), Follower.look, []

    def shaky(self: Follower, status: StatusLine) -> None:
        looks.append(1)
        if len(looks) in (2, 3):
            raise Unreachable("the job's log: AWS cannot be reached (a cable)")
        look(self, status)

    aws.setattr(Follower, "look", shaky)
    (tree / ".dvc/config").write_text((tree / ".dvc/config").read_text().replace(f"{BUCKET}/door", f"{BUCKET}/policy"))
    status, errors = launch(*STAGE[:1], list(STAGE[1:])), capfd.readouterr().err
    assert status == 0, errors
    assert errors.count("the job's log: AWS cannot be reached (a cable); trying again\n") == 1
    assert "Completed" in errors
    needed = {action for service, operation in asked for action in ACTIONS.get(operation, {f"{service}:{operation}"})}
    user, _ = policies()
    assert needed | BESIDE == actions(user)
    assert {"sagemaker:DescribeTrainingJob", "logs:GetLogEvents", "s3:PutObject", "ecr:DescribeImages"} <= needed


def record(patch: pytest.MonkeyPatch) -> set[tuple[str, str]]:
    """Service and operation of all that this process asks AWS for from now on."""
    asked: set[tuple[str, str]] = set()
    make = aws.client

    def client(service: str, *what: Any, **how: Any) -> Any:
        made = make(service, *what, **how)
        made.meta.events.register("before-call", lambda model, **_: asked.add((service, model.name)))
        return made

    patch.setattr(aws, "client", client)
    return asked
