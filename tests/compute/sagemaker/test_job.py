"""A job's name and attempts, what it is asked, and that nobody who leaves one is left without a word."""

import logging
from pathlib import Path
from typing import Any

import pytest

from support.cloud import STAGE
from support.launching import error_line
from warehouse_classifier.compute import stage_spec
from warehouse_classifier.compute.sagemaker import container, dvc_remote, run
from warehouse_classifier.compute.sagemaker.follow import Follower
from warehouse_classifier.compute.sagemaker.job import Jobs
from warehouse_classifier.compute.sagemaker.settings import Settings
from warehouse_classifier.compute.sagemaker.state import State
from warehouse_classifier.runtime.errors import UserError


@pytest.fixture
def jobs(tree: Path) -> Jobs:
    return Jobs(stage_spec.read(STAGE[0], [*STAGE[1:]]), dvc_remote.read(None), Settings.load())


def test_the_newest_attempt_is_found_though_some_were_deleted(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    for attempts, newest in (
        ([], 0),
        ([1], 1),
        ([1, 2, 3], 3),
        ([2], 2),  # somebody has deleted the first one, and its name could be had again
        ([1, 4, 7], 7),
        ([1, 6], 1),
    ):
        states = {jobs.name(attempt): State({"TrainingJobName": jobs.name(attempt)}) for attempt in attempts}
        monkeypatch.setattr(jobs, "state", states.get)
        assert jobs.newest() == (newest, states.get(jobs.name(newest))), attempts


def test_a_job_is_asked_for_as_the_settings_say(jobs: Jobs, aws: pytest.MonkeyPatch) -> None:
    spot = jobs.request("a-1")
    assert spot["EnableManagedSpotTraining"]
    assert spot["StoppingCondition"] == {"MaxRuntimeInSeconds": 86400, "MaxWaitTimeInSeconds": 172800}
    assert "KeepAlivePeriodInSeconds" not in spot["ResourceConfig"]
    assert spot["CheckpointConfig"]["S3Uri"].endswith(f"/runs/{jobs.work}/checkpoints")  # of all attempts
    aws.setenv("SAGEMAKER_SPOT", "false")
    aws.setenv("SAGEMAKER_KEEP_WARM_MINUTES", "10")
    aws.setenv("SAGEMAKER_MAX_HOURS", "0.5")
    aws.setenv("CHECKPOINT_SECONDS", "600")
    aws.setenv("HF_TOKEN", "a-secret")
    warm = Jobs(jobs.spec, jobs.remote, Settings.load()).request("a-1")
    assert warm["StoppingCondition"] == {"MaxRuntimeInSeconds": 1800}
    assert warm["ResourceConfig"]["KeepAlivePeriodInSeconds"] == 600
    assert {*warm["Environment"]} == {"AWS_ENDPOINT_URL", "CHECKPOINT_SECONDS"}


def test_whoever_leaves_while_being_asked_is_told_that_the_job_goes_on(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A second Ctrl-C, or a network that is gone when the job is to be stopped."""

    def interrupted(*_: Any) -> Any:
        raise KeyboardInterrupt

    def refused(*_: Any) -> Any:
        raise UserError("no such right")

    monkeypatch.setattr(Follower, "follow", interrupted)
    monkeypatch.setattr(run, "ask", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run.followed(jobs, "a-1")
    assert "a-1 goes on at SageMaker, and so does its price" in capfd.readouterr().err
    monkeypatch.setattr(run, "ask", lambda _: "stop")
    monkeypatch.setattr(jobs, "stop", refused)
    with pytest.raises(UserError, match="no such right"):
        run.followed(jobs, "a-1")
    assert "to stop it: python -m warehouse_classifier.compute.sagemaker.stop a-1\n" in capfd.readouterr().err


def test_a_gpu_that_cannot_be_used_is_not_paid_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container, "DEVICE", tmp_path / "nvidia0")
    container.refuse_idle_gpu()
    container.DEVICE.touch()
    with pytest.raises(UserError, match=r"cannot use this machine's GPU, whose driver may be too old"):
        container.refuse_idle_gpu()


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            UserError("`dvc pull data/images` failed: no such key"),
            "error: `dvc pull data/images` failed: no such key\n",
        ),
        (container.StageFailed("train_vit: the disk is full"), ""),  # the stage itself has said it
    ],
)
def test_a_container_says_why_it_fails_to_the_service_and_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], error: UserError, message: str
) -> None:
    def fails() -> None:
        raise error

    monkeypatch.setattr(container, "BASE", tmp_path)
    monkeypatch.setattr(container, "Container", fails)
    assert container.main() == 1
    assert capfd.readouterr().err == message
    assert (tmp_path / "output/failure").read_text() == str(error)


def test_a_job_that_is_gone_is_told(
    tree: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run, "start", lambda *_: None)
    monkeypatch.setenv("SAGEMAKER_REGION", "us-east-1")
    monkeypatch.setenv("SAGEMAKER_POLL_SECONDS", "0.01")
    (tree / "src/warehouse_classifier/stages/fetch_metadata.py").open("a").write("# another work\n")
    assert error_line(capfd, *STAGE).endswith("-1 is gone")


def test_torchrun_is_quiet_by_what_the_container_tells_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its agents log a traceback where the first one to end closes the store that the others still wait at (_exit_barrier)."""
    from torch.distributed.elastic.utils.logging import get_logger

    for name, text in container.QUIET.items():
        monkeypatch.setenv(name, text)
    assert not get_logger("of a test").isEnabledFor(logging.ERROR)
