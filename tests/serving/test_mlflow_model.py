"""Models as MLflow keeps them, and what they say when they are loaded again."""

import base64
import json
import math
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

import screenshot
from support import predictors
from support.bins import jpeg, png_header
from warehouse_classifier.bins import metadata
from warehouse_classifier.bins.expectation import Expectation, item
from warehouse_classifier.compute import model_registry, stage_spec
from warehouse_classifier.compute.sagemaker import outputs
from warehouse_classifier.compute.sagemaker import run as sagemaker
from warehouse_classifier.evaluation.counters import COUNTERS
from warehouse_classifier.models.registry import NETWORKS
from warehouse_classifier.serving import list_predictor, mlflow_model, request
from warehouse_classifier.serving.predictor import opened
from warehouse_classifier.serving.questions import Question
from warehouse_classifier.serving.request import BadRequest
from warehouse_classifier.synthetic.bins import SyntheticBins
from warehouse_classifier.tracking.mlflow_run import MlflowRun

pytestmark = pytest.mark.slow

COLUMNS = ["predicted", "probability", "doubt", "verdict", "reason", "p1", "p2", "p3", "p4", "p5"]
# what the pipeline takes and a model does not
FOREIGN = ["accelerate", "boto3", "botocore", "dvc", "obstore", "sklearn", "matplotlib", "jinja2", "typer"]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With nothing in it; MLflow takes seconds to make one."""
    file = tmp_path_factory.mktemp("database") / "mlflow.db"
    MlflowClient(tracking_uri=f"sqlite:///{file}").search_experiments(max_results=1)
    return file


@pytest.fixture
def other(project: Path, database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Another folder with the same networks, where the test runs."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    monkeypatch.chdir(tmp_path)
    shutil.copy(database, tmp_path)
    Path("models").mkdir()
    for network in NETWORKS:
        Path("models", network).mkdir()
        for name in ("config.json", "model.safetensors"):
            Path("models", network, name).symlink_to(project / "models" / network / name)  # as some caches of DVC do
    shutil.copy(project / "models/calibration.json", "models")
    return tmp_path


@pytest.fixture(scope="module")
def project(every_network: None, database: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with trained networks, registered by two runs of the same."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("pyfunc")
        patch.chdir(folder)
        patch.setenv("DVC_ROOT", str(folder))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        shutil.copy(database, folder)
        predictors.tiny(folder / "models")
        for inputs in ("first", "second"):
            keep(inputs)
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        yield folder


def keep(inputs: str) -> None:
    run = MlflowRun("evaluate", {}, inputs)
    run.measure(None, {"accuracy": 0.5})
    model_registry.models(run, "evaluate", ["small", "data", "models", "reports"])
    run.end("FINISHED")


def client(folder: Path) -> MlflowClient:
    return MlflowClient(tracking_uri=f"sqlite:///{folder}/mlflow.db")


def versions(folder: Path, name: str) -> list[Any]:
    return list(client(folder).search_model_versions(f"name = 'warehouse-classifier-{name}'"))


def kept_in(folder: Path, name: str) -> Path:
    (version,) = versions(folder, name)
    return Path(mlflow.artifacts.download_artifacts(f"models:/{version.name}/{version.version}"))


@pytest.fixture(scope="module")
def model(project: Path) -> Any:
    return mlflow.pyfunc.load_model("models:/warehouse-classifier-average/1")


def test_what_has_not_changed_is_not_kept_again(project: Path) -> None:
    """Tens of megabytes each: the second run leads to what the first one has made."""
    runs = client(project).search_runs(["1"], order_by=["start_time"])
    assert [run.data.tags["inputs"] for run in runs] == ["first", "second"]
    assert [len(versions(project, name)) for name in COUNTERS] == [1] * len(COUNTERS)
    first, second = ([output.model_id for output in run.outputs.model_outputs] for run in runs)
    assert first == second
    assert len(set(first)) == len(COUNTERS)
    assert len(list((project / "mlartifacts").glob("models/*"))) == len(COUNTERS)
    again = ", ".join(f"warehouse-classifier-{name} 1 (as before)" for name in COUNTERS)
    assert runs[1].data.tags["models"] == again
    assert not (project / "mlruns").exists()


def test_another_calibration_is_another_version(other: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (other / "curves").mkdir()
    (other / "mlflow.db").rename(other / "curves/mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{other}/curves/mlflow.db")
    for match in (0.3, 0.2, 0.3):
        file = json.loads(Path("models/calibration.json").read_text())
        file["counters"]["vit"]["match"] = match
        Path("models/calibration.json").write_text(json.dumps(file))
        keep("")
    listed = versions(other / "curves", "vit")
    assert sorted(int(version.version) for version in listed) == [1, 2]
    assert len({version.tags["calibration"] for version in listed}) == 2
    assert len(list((other / "curves/mlartifacts").glob("models/*"))) == 2 * len(COUNTERS)  # beside the database
    weights = [file.stat() for file in (other / "curves/mlartifacts").rglob("*.safetensors")]
    assert len(weights) == 4 * len(NETWORKS)  # of both versions, each network twice
    assert len({one.st_ino for one in weights}) == len(NETWORKS)  # and yet the disk has each once
    assert not (other / "mlartifacts").exists()


def test_a_version_tells_where_it_comes_from(project: Path) -> None:
    (version,) = versions(project, "average")
    hashes = json.loads((project / "models/calibration.json").read_text())["sha256"]
    assert version.tags["weights_resnet34"] == hashes["resnet34"]["model.safetensors"]
    assert version.tags["weights_vit"] == hashes["vit"]["model.safetensors"]
    assert len(version.tags["calibration"]) == 64
    assert version.tags["learned_from"] == "40 photos of s3://bins"
    (alone,) = versions(project, "vit")
    assert "weights_resnet34" not in alone.tags


def test_the_commit_and_the_data_are_those_of_the_project(other: Path) -> None:
    Path("images").mkdir()
    Path("images/index.parquet").touch()
    Path("dvc.yaml").write_text("stages: {evaluate: {deps: [images, models/vit]}}")
    outs = "[{path: models/vit, md5: '99.dir'}, {path: images, md5: 0123.dir}]"
    Path("dvc.lock").write_text(f"stages: {{before: {{outs: {outs}}}}}")
    Path("params.yaml").write_text("seed: 7")
    for words in (
        ["init", "-q"],
        ["-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-qm", "1", "--allow-empty"],
    ):
        subprocess.run(["git", *words], check=True)
    keep("")
    commit = subprocess.check_output(["git", "rev-parse", "HEAD"], text=True).strip()
    (version,) = versions(other, "average")
    assert version.tags["data"] == "0123.dir"
    assert version.tags["git_commit"] == commit


def test_who_fetches_what_a_rented_machine_has_left_keeps_its_models(
    other: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under the job's own run, which has ended by then, and by whoever follows it."""
    tags = {"runner": "sagemaker", "job": "evaluate-1"}
    followed = MlflowRun("evaluate", {}, "", tags)
    followed.measure(None, {"accuracy": 0.5})
    followed.end("FINISHED", seconds=5.0)
    monkeypatch.setattr(outputs, "bring", lambda *_: None)
    monkeypatch.setattr(outputs, "tidy", lambda *_: None)
    argv = ["small", "models"]
    jobs: Any = SimpleNamespace(spec=stage_spec.StageSpec("evaluate", argv, {}, {}, [], {}))
    sagemaker.bring(jobs, {}, MlflowRun("evaluate", {}, "", tags), None)
    (run,) = client(other).search_runs(["1"])
    assert (run.info.status, run.data.metrics["seconds"]) == ("FINISHED", 5.0)
    assert len(run.outputs.model_outputs) == len(COUNTERS)


@pytest.mark.soak
def test_a_server_keeps_models_where_it_likes(
    other: Path, database: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = tmp_path_factory.mktemp("server")
    shutil.copy(database, there)
    with screenshot.served(there / "mlflow.db") as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        for inputs in ("first", "second"):
            keep(inputs)
        rows = mlflow.pyfunc.load_model("models:/warehouse-classifier-vit/1").predict(
            pd.DataFrame({"photo": [jpeg(1)]})
        )
    assert rows["predicted"].tolist()[0] in predictors.QUANTITIES
    assert not (other / "mlartifacts").exists()
    assert not (other / "mlruns").exists()
    assert len(list(there.rglob("*.safetensors"))) == 2 * len(NETWORKS)  # and not twice as many


def test_nothing_is_pickled_and_nothing_of_the_training_travels(project: Path) -> None:
    folder = kept_in(project, "resnet34")
    files = sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())
    code = [Path(file) for file in files if file.startswith("code/")]
    rooms, modules = {file.parent.name for file in code}, {file.stem for file in code}
    assert {"predictor", "calibration", "photo", "registry", "resnet34", "vit"} <= modules
    assert not {"training", "bucket", "tracking", "report", "stages", "compute", "cli"} & rooms
    assert (
        not {"metadata", "loop", "client", "mlflow_run", "shards", "page", "evaluate", "results", "learning"} & modules
    )
    beside = {
        room: {file.stem for file in code if file.parent.name == room} - {"__init__"} for room in ("bins", "synthetic")
    }
    assert beside == {"bins": {"expectation", "sizes"}, "synthetic": {"mark"}}
    assert [file for file in files if file.startswith("artifacts/")] == [
        "artifacts/models/calibration.json",
        "artifacts/models/resnet34/config.json",
        "artifacts/models/resnet34/model.safetensors",
    ]
    assert {Path(file).suffix for file in files} == {"", ".json", ".py", ".safetensors", ".txt", ".yaml"}
    needed = {line.partition("==")[0] for line in (folder / "requirements.txt").read_text().split()}
    assert {"mlflow", "torch", "transformers", "simplejpeg", "safetensors"} <= needed
    assert not set(FOREIGN) & needed


LOADED = """
import sys
from importlib.machinery import PathFinder

class Without(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in {blocked} else PathFinder.find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Without
import mlflow, json
model = mlflow.pyfunc.load_model(sys.argv[1])
example = model.input_example
print(json.dumps(model.predict(example).to_dict("records")))
import warehouse_classifier.serving.predictor
assert warehouse_classifier.serving.predictor.__file__.startswith(sys.argv[1]), warehouse_classifier.serving.predictor.__file__
assert not set({blocked}) & set(sys.modules), set({blocked}) & set(sys.modules)
"""


def test_it_loads_by_itself_where_nothing_of_the_training_is_installed(project: Path, tmp_path: Path) -> None:
    """The package that is installed here is out of reach too: the model brings what it needs."""
    kept = kept_in(project, "average")
    code = LOADED.format(blocked=FOREIGN)
    ran = subprocess.run(
        [sys.executable, "-c", code, str(kept)], cwd=tmp_path, capture_output=True, text=True, check=False,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "MLFLOW_DISABLE_TELEMETRY": "true", "CUDA_VISIBLE_DEVICES": ""},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    (row,) = json.loads(ran.stdout.splitlines()[-1])
    assert list(row) == COLUMNS
    assert sum(row[f"p{quantity}"] for quantity in predictors.QUANTITIES) == pytest.approx(1)


@pytest.mark.parametrize("name", COUNTERS)
def test_the_numbers_are_those_of_the_counter(project: Path, name: str) -> None:
    photos, expected = [jpeg(shade) for shade in range(5)], [1, 2, 3, None, 0]
    asked = pd.DataFrame({"photo": photos, "expected": expected}, index=list("abcde"), dtype=object)
    rows = mlflow.pyfunc.load_model(f"models:/warehouse-classifier-{name}/1").predict(asked)
    assert list(rows) == COLUMNS
    assert list(rows.index) == list("abcde")
    with opened(project / "models", name) as counter:
        probabilities = counter.probabilities(np.stack([counter.pixels(photo) for photo in photos]))
        answers = counter.answers(probabilities, expected)
    assert rows[COLUMNS[5:]].to_numpy(float).tolist() == probabilities.tolist()
    records = rows[["predicted", "probability", "doubt", "verdict", "reason"]].to_dict("records")
    assert records == [vars(answer) for answer in answers]
    assert records[3]["verdict"] is None
    assert records[4]["reason"] == "0 expected, the model knows 1 to 5"


def test_lists_are_judged_by_the_verifier_and_drawings_are_told(tmp_path: Path) -> None:
    models = predictors.verified(predictors.tiny(tmp_path / "models"))
    served = mlflow_model.Served()
    served.load_context(SimpleNamespace(artifacts={"models": str(models)}))  # type: ignore[arg-type]
    cubes = [{"quantity": 3, "length": edge, "width": edge, "height": edge, "unit": "cm"} for edge in (8.2, 25.0)]
    drawn = SyntheticBins(3, 1).photo("00001")
    asked = pd.DataFrame(
        {
            "photo": [*[jpeg(1)] * 4, drawn],
            "expected": [3, None, 2, 3, 3],
            "expected_items": [[cubes[0]], [cubes[1]], [cubes[0]], None, None],
        },
        dtype=object,
    )
    rows = served.predict(None, asked).to_dict("records")  # type: ignore[arg-type]
    with list_predictor.opened(models) as counter:
        pixels = counter.pixels(jpeg(1))[None]
        questions = [Question(Expectation(3, [item(its)])) for its in cubes]
        answers = [counter.inspect(pixels, [question])[0] for question in questions]
    assert [vars(answer) for answer in answers] == [{name: row[name] for name in vars(answers[0])} for row in rows[:2]]
    assert "cubic inches expected" in rows[1]["reason"]
    assert rows[2]["reason"] == "2 expected, its items add up to 3"
    assert rows[3]["doubt"] not in (None, rows[0]["doubt"])
    assert (rows[4]["verdict"], rows[4]["reason"]) == (
        "look",
        "a drawing, and the networks have seen 40 photos of s3://bins",
    )


def test_a_photo_that_is_none_is_a_row_to_look_at(model: Any) -> None:
    asked = pd.DataFrame({"photo": [b"", jpeg(1), b"GIF89a..."], "expected": [1, 7, 2]})
    rows = model.predict(asked).to_dict("records")
    assert [row["verdict"] for row in rows] == ["look"] * 3
    assert rows[1]["predicted"] in predictors.QUANTITIES
    assert rows[1]["reason"] == "7 expected, the model knows 1 to 5"
    assert rows[0]["predicted"] is rows[0]["p1"] is rows[2]["doubt"] is None
    assert "is no JPEG" in rows[2]["reason"]
    assert [row["verdict"] for row in model.predict(pd.DataFrame({"photo": [b"x"]})).to_dict("records")] == ["look"]


def test_more_photos_than_the_networks_see_at_once(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    photos = [jpeg(shade % 4) if shade % 5 else b"none" for shade in range(mlflow_model.AT_ONCE + 7)]
    rows = model.predict(pd.DataFrame({"photo": photos})).to_dict("records")
    assert [row["reason"] is not None for row in rows] == [place % 5 == 0 for place in range(len(photos))]
    by_shade: dict[int, list[float]] = {}
    for place, row in enumerate(rows):
        if place % 5:
            by_shade.setdefault(place % 4, []).append(row["p1"])
    assert len(by_shade) == 4
    assert all(max(values) - min(values) < 1e-6 for values in by_shade.values())


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"photo": []}, "there are 0 rows, there must be 1 to 1000"),
        ({"photo": [b"x"] * 1001}, "there are 1001 rows, there must be 1 to 1000"),
        ({"photo": [bytes(32_000_001)] * 2}, "the photos have 64,000,002 bytes, they may have 64,000,000 together"),
        ({"picture": [b"x"]}, r"missing inputs \['photo'\]"),
        ({"photo": ["x"]}, "row 0: photo must be the bytes of a JPEG or PNG"),
        ({"photo": [base64.b64encode(jpeg())]}, "row 0: photo is still in base64; send dataframe_records or dataframe_split"),
        ({"photo": [base64.b64encode(jpeg(format="PNG"))]}, "row 0: photo is still in base64"),
        ({"photo": [b"x", None]}, "row 1: photo must be the bytes of a JPEG or PNG"),
        ({"photo": [b"x", b"x"], "expected": [1, -1]}, "row 1: expected is -1, it must be a whole number from 0 to 1,000,000"),
        ({"photo": [b"x"], "expected": [1_000_001]}, "row 0: expected is 1000001, it must be a whole number from 0 to 1,000,000"),
        ({"photo": [b"x"], "expected": [1e300]}, "row 0: expected is 1e[+]300, it must be"),
        ({"photo": [b"x"], "expected": [1.5]}, r"row 0: expected is 1\.5, it must be"),
        ({"photo": [b"x"], "expected": [math.inf]}, "row 0: expected is inf, it must be"),
        ({"photo": [b"x"], "expected": ["3"]}, "row 0: expected is '3', it must be"),
        ({"photo": [b"x"], "expected_items": [3]}, "row 0: expected_items must be an array of objects with quantity, length"),
        ({"photo": [b"x"], "expected_items": [["3"]]}, "row 0: expected_items must be an array of objects"),
        ({"photo": [b"x"], "expected_items": [[{"quantity": 1, "length": 2}]]}, "row 0: expected_items, item 0: length needs a unit: in, cm or mm"),
        ({"photo": [b"x"], "expected_items": [[{"quantity": 1}] * 10_001]}, "row 0: expected_items has 10,001 items, it may have 10,000"),
        ({"photo": [b"x"], "expected_items": [[{"quantity": 1_000_000}] * 2]}, "row 0: expected_items adds up to 2,000,000, more than 1,000,000"),
        ({"photo": [b"x"], "expected": [True]}, "row 0: expected is True, it must be"),
        ({"photo": [b"x"], "expected": [[1]]}, r"row 0: expected is \[1\], it must be"),
    ],
)  # fmt: skip
def test_a_request_that_is_wrong_as_a_whole(model: Any, asked: dict[str, list[Any]], message: str) -> None:
    with pytest.raises(MlflowException, match=message) as caught:
        model.predict(pd.DataFrame(asked, dtype=object))
    if "missing" not in message:
        assert caught.value.error_code == "INVALID_PARAMETER_VALUE"


def test_no_more_is_expected_than_an_inventory_can_say(model: Any) -> None:
    assert request.LARGEST == metadata.LARGEST
    (row,) = model.predict(pd.DataFrame({"photo": [jpeg(1)], "expected": [request.LARGEST]})).to_dict("records")
    assert row["reason"] == "1000000 expected, the model knows 1 to 5"


def test_pixels_are_counted_together_before_any_is_decoded() -> None:
    huge = png_header(7000, 7000)
    none = [b"", b"x", jpeg(1)[:10]]
    assert [request.pixels(body) for body in (huge, jpeg(1, (30, 20)), *none)] == [49_000_000, 600, 0, 0, 0]
    assert request.bodies(pd.DataFrame({"photo": [huge] * 20 + none})) == [huge] * 20 + none
    with pytest.raises(BadRequest, match="have 1,029,000,000 pixels, they may have 1,000,000,000 together"):
        request.bodies(pd.DataFrame({"photo": [huge] * 21}))


def test_nothing_expected_may_stand_beside_quantities(model: Any) -> None:
    asked = pd.DataFrame({"photo": [jpeg(1)] * 2, "expected": [2.0, math.nan]})
    rows = model.predict(asked).to_dict("records")
    assert rows[0]["doubt"] == 1 - rows[0]["p2"]
    assert rows[1]["doubt"] is None


@pytest.mark.parametrize("trouble", ["weights", "store", "calibration"])
def test_what_hinders_a_model_is_one_line_and_no_failure(
    other: Path, capfd: pytest.CaptureFixture[str], trouble: str
) -> None:
    if trouble == "weights":
        shutil.rmtree("models/vit")
        Path("models/vit").symlink_to("resnet34")
    if trouble == "calibration":
        Path("models/calibration.json").unlink()
    if trouble == "store":
        Path("mlartifacts").write_text("in the way")
    keep("")
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    assert lines[0].endswith("; the models are not kept there, `dvc repro --force evaluate` tries again")
    assert client(other).search_registered_models() == []
    (run,) = client(other).search_runs(["1"])
    assert run.info.status == "FINISHED"
