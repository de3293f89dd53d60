"""A registered model behind `mlflow models serve`, asked over HTTP."""

import base64
import csv
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support import predictors
from support.bins import jpeg, png_header
from warehouse_classifier.cli import __main__ as command
from warehouse_classifier.compute import model_registry
from warehouse_classifier.serving.predictor import opened
from warehouse_classifier.tracking.mlflow_run import MlflowRun

pytestmark = pytest.mark.slow

HOST = "127.0.0.1"
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("serving")


@pytest.fixture(scope="module")
def port(every_network: None, folder: Path) -> Iterator[int]:
    """Of a server that ends with the last test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("DVC_ROOT", str(folder))
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        predictors.tiny(Path("models"))
        run = MlflowRun("evaluate", {}, "")
        model_registry.models(run, "evaluate", ["models"])
        run.end("FINISHED")
        with socket.create_server((HOST, 0)) as free:
            port = int(free.getsockname()[1])
        words = [
            "-m",
            "models:/warehouse-classifier-average/1",
            "--env-manager",
            "local",
            "--host",
            HOST,
            "--port",
            str(port),
        ]
        with Path("log").open("w") as log:
            server = subprocess.Popen(
                [sys.executable, "-m", "mlflow", "models", "serve", *words], stdout=log, stderr=log, start_new_session=True,
                env={**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"},
            )  # fmt: skip
        try:
            until = time.monotonic() + 120
            while not is_up(port):
                assert server.poll() is None, Path("log").read_text()
                assert time.monotonic() < until, Path("log").read_text()
                time.sleep(0.2)
            yield port
        finally:
            os.killpg(server.pid, signal.SIGTERM)  # it has started uvicorn
            server.wait(30)


def is_up(port: int) -> bool:
    asked = http.client.HTTPConnection(HOST, port, timeout=5)
    try:
        asked.request("GET", "/ping")
        return asked.getresponse().status == http.client.OK
    except OSError:
        return False
    finally:
        asked.close()


def ask(port: int, body: bytes, headers: dict[str, str] | None = None) -> tuple[int, Any]:
    """The status of /invocations and what it says."""
    asked = http.client.HTTPConnection(HOST, port, timeout=100)
    asked.request("POST", "/invocations", body, JSON if headers is None else headers)
    answer = asked.getresponse()
    response = answer.read()
    asked.close()
    try:
        return answer.status, json.loads(response)
    except ValueError:
        return answer.status, response.decode()


def records(*rows: dict[str, Any]) -> bytes:
    return json.dumps({"dataframe_records": rows}).encode()


def text(photo: bytes) -> str:
    return base64.b64encode(photo).decode()


def test_the_server_says_what_the_counter_says(port: int, folder: Path) -> None:
    photos, expected = [jpeg(1), jpeg(2, (300, 200), format="PNG"), jpeg(3), b"no photo"], [1, None, 7, 2]
    asked = [{"photo": text(photo), "expected": value} for photo, value in zip(photos, expected, strict=True)]
    status, response = ask(port, records(*asked))
    assert status == http.client.OK, response
    rows = response["predictions"]
    with opened(folder / "models") as counter:
        for row, photo, value in zip(rows[:3], photos, expected, strict=False):
            (probabilities,) = counter.probabilities(counter.pixels(photo)[None])
            (answer,) = counter.answers(probabilities[None], [value])
            assert [row[f"p{quantity}"] for quantity in predictors.QUANTITIES] == pytest.approx(
                probabilities.tolist(), abs=1e-6
            )
            assert (row["predicted"], row["verdict"], row["reason"]) == (
                answer.predicted,
                answer.verdict,
                answer.reason,
            )
            assert row["doubt"] == pytest.approx(answer.doubt, abs=1e-6)
    assert (rows[3]["verdict"], rows[3]["predicted"]) == ("look", None)
    assert rows[3]["reason"].startswith("is no ")


def test_the_server_says_what_check_says(
    port: int, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of the same bytes; what one photo adds up to is a last digit apart in another batch."""
    bodies = [jpeg(1), jpeg(2, (300, 200), format="PNG"), jpeg(3), jpeg(4), b"no photo"]
    expected = ["1", "5", "7", "4", "2"]
    for n, body in enumerate(bodies):
        (tmp_path / f"{n}.jpg").write_bytes(body)
    table = "".join(f"{n}.jpg,{quantity}\n" for n, quantity in enumerate(expected))
    (tmp_path / "q.csv").write_text(f"photo,quantity\n{table}")
    argv = ["check", str(tmp_path), "--expected", str(tmp_path / "q.csv"), "--models", str(folder / "models")]
    capsys.readouterr()
    assert command.answer([*argv, "--format", "csv"]) == 1
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    status, response = ask(
        port, records(*[{"photo": text(body), "expected": int(n)} for body, n in zip(bodies, expected, strict=True)])
    )
    assert status == http.client.OK, response
    for row, served in zip(rows, response["predictions"], strict=True):
        for name in ("predicted", "verdict", "reason"):
            assert row[name] == ("" if served[name] is None else str(served[name]))
        for name in ("probability", "doubt"):
            assert (row[name] == "") == (served[name] is None)
            assert float(row[name] or 0) == pytest.approx(served[name] or 0, abs=1.5e-6)
    assert [row["predicted"] != "" for row in rows] == [True] * 4 + [False]


def test_nothing_needs_to_be_expected(port: int) -> None:
    status, response = ask(
        port, json.dumps({"dataframe_split": {"columns": ["photo"], "data": [[text(jpeg(1))]]}}).encode()
    )
    assert status == http.client.OK, response
    assert response["predictions"][0]["verdict"] is None


GOOD = text(jpeg(1))
WRONG = {
    "empty": (b"", 400, "valid JSON"),
    "not JSON": (b"<html>", 400, "valid JSON"),
    "a list": (b"[1, 2]", 400, "must be a JSON dictionary"),
    "nested too deeply": (b"[" * 200_000, 400, "nested too deeply"),
    "photos in a form that MLflow does not decode": (
        json.dumps({"instances": [{"photo": GOOD}]}).encode(), 400, "row 0: photo is still in base64; send dataframe_records",
    ),
    "another key": (b'{"photo": "x"}', 400, "must be a JSON dictionary"),
    "no rows": (records(), 400, "missing inputs"),
    "no photo": (records({"picture": GOOD}), 400, "missing inputs ['photo']"),
    "a photo that is a number": (records({"photo": 7}), 400, "photo"),
    "a photo that is null": (records({"photo": GOOD}, {"photo": None}), 400, "photo"),
    "null alone": (records({"photo": None, "expected": 1}), 400, "photo"),
    "null in a split": (
        json.dumps({"dataframe_split": {"columns": ["photo"], "data": [[None], [GOOD]]}}).encode(), 400, "photo",
    ),
    "more expected than there can be": (
        records({"photo": GOOD, "expected": 1_000_001}), 400, "row 0: expected is 1000001, it must be a whole number from 0 to",
    ),
    "too many pixels": (
        records(*[{"photo": text(png_header(7000, 7000))}] * 21), 400, "the photos have 1,029,000,000 pixels",
    ),
    "no base64": (records({"photo": "a"}), 400, "photo"),
    "expected below 0": (records({"photo": GOOD, "expected": -1}), 400, "row 0: expected is -1, it must be a whole number"),
    "expected in parts": (records({"photo": GOOD, "expected": 1.5}), 400, "row 0: expected is 1.5, it must be"),
    "expected in words": (records({"photo": GOOD, "expected": "two"}), 400, "row 0: expected is 'two', it must be"),
    "too many rows": (records(*[{"photo": GOOD}] * 1001), 400, "there are 1001 rows, there must be 1 to 1000"),
    "too large": (records(*[{"photo": text(bytes(33_000_000))}] * 2), 400, "the photos have 66,000,000 bytes, they may have"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_a_bad_request_is_refused(port: int, what: str) -> None:
    body, wanted, message = WRONG[what]
    status, answer = ask(port, body)
    assert (status, answer["error_code"]) in ((wanted, "INVALID_PARAMETER_VALUE"), (wanted, "BAD_REQUEST")), answer
    assert message in answer["message"]


def test_a_huge_request_is_refused_before_it_is_parsed(port: int) -> None:
    status, response = ask(port, b"[" * 100_000_001)
    assert status == http.client.REQUEST_ENTITY_TOO_LARGE
    assert response == "the request has 100,000,001 bytes, it may have 100,000,000\n"


@pytest.mark.parametrize("body", [b"", b"{}"])
def test_a_request_that_does_not_say_what_it_is_is_refused(port: int, body: bytes) -> None:
    status, response = ask(port, body, {})
    assert status == http.client.UNSUPPORTED_MEDIA_TYPE
    assert response == "the request has no Content-Type; send application/json\n"


@pytest.mark.parametrize(
    "kind", ["text/html", "application/x-www-form-urlencoded", "application/json; charset=latin-1"]
)
def test_what_is_not_sent_as_json_is_refused(port: int, kind: str) -> None:
    status, _ = ask(port, records({"photo": GOOD}), {"Content-Type": kind})
    assert status == http.client.UNSUPPORTED_MEDIA_TYPE


def test_a_csv_has_no_photos(port: int) -> None:
    status, response = ask(port, f"photo\n{GOOD}\n".encode(), {"Content-Type": "text/csv"})
    assert status == http.client.BAD_REQUEST, response
