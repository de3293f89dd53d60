"""Following a job: its log from CloudWatch, its state and price, and its figures on their way to MLflow."""

import contextlib
import datetime as dt
import json
import time
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from support.cloud import Account
from support.projects import TOP
from support.s3 import S3
from warehouse_classifier.compute.sagemaker.logs import GROUP, Line, Log
from warehouse_classifier.compute.sagemaker.relay import Relay
from warehouse_classifier.compute.sagemaker.settings import Settings
from warehouse_classifier.compute.sagemaker.state import State
from warehouse_classifier.compute.sagemaker.status_line import StatusLine, duration
from warehouse_classifier.runtime.errors import UserError
from warehouse_classifier.tracking.mlflow_run import MlflowRun

TAGS = {"runner": "sagemaker", "job": "train-vit-0-1"}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('store')}/mlflow.db"


def run(store: str, job: str) -> MlflowRun:
    return MlflowRun("train_vit", {"lr": None}, "abc", {**TAGS, "job": job}, store)


def metrics(at: float, **what: Any) -> Line:
    return Line(at, "algo-1", f"figures {json.dumps(what)}")


def points(store: str, job: str) -> list[tuple[int, float, int]]:
    """Step, value and time of each point of the loss."""
    client = MlflowClient(store)
    experiment = client.get_experiment_by_name("warehouse-classifier")
    (tracked,) = client.search_runs([experiment.experiment_id], f"tags.job = '{job}'")
    return [(p.step, p.value, p.timestamp) for p in client.get_metric_history(tracked.info.run_id, "loss")]


@pytest.mark.slow
def test_of_two_followers_one_passes_each_figure_on(store: str, tmp_path: Path) -> None:
    """And the other one takes over when the first is gone."""
    lock = tmp_path / "job.lock"
    first, second = (Relay(run(store, "two"), lock) for _ in range(2))
    for step in (1, 2):
        for relay in (first, second):
            assert relay.took(metrics(1000.5 + step, step=step, values={"loss": step / 2}))
            relay.pass_on()
    assert points(store, "two") == [(1, 0.5, 1001500), (2, 1.0, 1002500)]
    assert [len(relay.waiting) for relay in (first, second)] == [0, 2]
    first.lock.release()  # as the end of its process does it
    second.took(metrics(1003.5, step=3, values={"loss": 1.5}))
    second.pass_on()
    assert points(store, "two") == [(1, 0.5, 1001500), (2, 1.0, 1002500), (3, 1.5, 1003500)]
    second.close()
    assert not lock.exists()


@pytest.mark.slow
def test_figures_that_were_passed_on_before_are_not_again(store: str, tmp_path: Path) -> None:
    for steps in ((1, 2), (1, 2, 3)):  # the log is read from its beginning
        relay = Relay(run(store, "again"), tmp_path / "job.lock")
        for step in steps:
            relay.took(metrics(1000.0 + step, step=step, values={"loss": 0.5}))
        relay.pass_on()
        relay.run.end("FINISHED", dollars=1.5)
        relay.close()
    assert [step for step, _, _ in points(store, "again")] == [1, 2, 3]


def test_figures_wait_for_an_mlflow_that_does_not_answer(store: str, tmp_path: Path) -> None:
    relay = Relay(run(store, "late"), tmp_path / "job.lock")
    there, relay.run.measure = relay.run.measure, fails  # type: ignore[method-assign]
    relay.took(metrics(1001.0, step=1, values={"loss": 0.5}))
    relay.took(metrics(1002.0, ended="FINISHED"))
    assert relay.pass_on() == "no such host; its figures wait"
    assert not relay.is_whole("Completed")
    relay.run.measure = there  # type: ignore[method-assign]
    assert relay.pass_on() == ""
    assert relay.is_whole("Completed")
    assert points(store, "late") == [(1, 0.5, 1001000)]
    relay.close()


def fails(*_: object) -> None:
    raise UserError("no such host")


def test_a_job_is_whole_when_its_last_life_has_ended(store: str, tmp_path: Path) -> None:
    relay = Relay(run(store, "lives"), tmp_path / "job.lock")
    whole = []
    for what in ({"host": "a"}, {"ended": "KILLED"}, {"host": "b"}, {"step": 1, "values": {}}, {"ended": "FINISHED"}):
        relay.took(metrics(1.0, **what))
        whole.append((relay.is_whole("Completed"), relay.is_whole("Stopped")))
    assert whole == [(False, False), (False, True), (False, False), (False, False), (True, True)]
    assert not relay.took(Line(1.0, "algo-1", "epoch 1: train_loss 3"))
    relay.close()


def test_the_log_is_read_stream_after_stream_and_each_line_once(account: Account, s3: S3) -> None:
    """A spot machine's second life has a stream of its own."""
    job = "log-of-a-test-1"
    log = Log(job, "us-east-1")
    assert [*log.new()] == []
    for stream, lines in {"algo-1-1000": ["a"], "algo-2-1001": ["b"], "algo-1-2000": ["c"]}.items():
        name = f"{job}/{stream}"
        put(account, create(account, name), *lines)
    put(account, create(account, "log-of-a-test-11/algo-1-1000"), "of another job")
    assert [(line.machine, line.text) for line in log.new()] == [("algo-1", "a"), ("algo-2", "b"), ("algo-1", "c")]
    assert [*log.new()] == []
    put(account, f"{job}/algo-1-2000", "d", "e")
    assert [line.text for line in log.new()] == ["d", "e"]


def test_a_token_that_is_too_old_costs_no_line(account: Account, s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a weekend in which the laptop slept."""
    log = Log("log-of-a-sleeper-1", "us-east-1")
    name = create(account, "log-of-a-sleeper-1/algo-1-1000")
    put(account, name, "a")
    assert [line.text for line in log.new()] == ["a"]
    log.tokens[name] = "f/00000000000000000000000000000000000000000000000000000000-expired"
    time.sleep(0.002)
    put(account, name, "b")
    assert [line.text for line in log.new()] == ["b"]


def create(account: Account, name: str) -> str:
    with contextlib.suppress(account.logs.exceptions.ResourceAlreadyExistsException):
        account.logs.create_log_group(logGroupName=GROUP)
    account.logs.create_log_stream(logGroupName=GROUP, logStreamName=name)
    return name


def put(account: Account, stream: str, *lines: str) -> None:
    now = int(dt.datetime.now(dt.UTC).timestamp() * 1000)
    account.logs.put_log_events(
        logGroupName=GROUP, logStreamName=stream, logEvents=[{"timestamp": now, "message": line} for line in lines]
    )


def at(seconds: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(seconds, dt.UTC)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({}, "about $0.00 so far"),
        ({"TrainingStartTime": at(4600)}, "about $0.50 so far"),
        ({"TrainingStartTime": at(4600), "EnableManagedSpotTraining": True}, "about $0.50 at most so far"),
        # the bill is of the service: a spot machine was cheaper
        (
            {
                "TrainingStartTime": at(4600), "TrainingEndTime": at(6400), "TrainingJobStatus": "Completed",
                "BillableTimeInSeconds": 720, "EnableManagedSpotTraining": True,
            },
            "about $0.40",
        ),
    ],
)  # fmt: skip
def test_the_price_is_of_what_has_run(more: dict[str, Any], message: str) -> None:
    machines = {"ResourceConfig": {"InstanceType": "ml.g5.xlarge", "InstanceCount": 2}}
    state = State(
        {"TrainingJobStatus": "InProgress", "SecondaryStatus": "Training", "CreationTime": at(1000), **machines, **more}
    )
    settings = Settings.load(TOP / "params.yaml")
    priced = settings.model_copy(update={"price_per_hour": {"ml.g5.xlarge": 1.0}})
    assert StatusLine("job", priced).cost(state, 5500) == message
    unknown = settings.model_copy(update={"price_per_hour": {}})
    assert StatusLine("job", unknown).cost(state, 5500) == "at a price that sagemaker.price_per_hour does not tell"


def test_time_is_told_as_people_tell_it() -> None:
    assert [duration(s) for s in (0, 61, 3599.9, 3600, 90061)] == [
        "0:00 min",
        "1:01 min",
        "59:59 min",
        "1:00:00 h",
        "25:01:01 h",
    ]
