"""What travels to a rented machine, and the hash that tells one work from another."""

import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from support.projects import STAGES, TOP
from warehouse_classifier.compute import metrics_log, stage_spec
from warehouse_classifier.compute.sagemaker import code_archive
from warehouse_classifier.compute.sagemaker.dvc_remote import Remote
from warehouse_classifier.runtime.errors import UserError

MAP = """\
stages:
  count:
    cmd: python -m x count ${scale} data/in.csv out
    deps: [src/warehouse_classifier/stages/count.py, data/in.csv, data/fixed.csv, src/warehouse_classifier/report]
    params: [lr, "count.${scale}"]
    outs: [out]
    metrics: [out.json]
"""
LOCK = "stages: {before: {outs: [{path: data/in.csv, md5: '0123'}]}}"
PACKAGE = "src/warehouse_classifier"
FILES = {
    "dvc.yaml": MAP,
    "dvc.lock": LOCK,
    "params.yaml": "lr: 1\nother: 2\ncount: {small: {a: 1}, large: {a: 2}}\n",
    "pyproject.toml": "",
    ".dvcignore": "__pycache__/\n",
    "data/fixed.csv": "y",
    f"{PACKAGE}/__init__.py": '"""."""',
    f"{PACKAGE}/stages/__init__.py": '"""."""',
    f"{PACKAGE}/stages/count.py": "import os\nfrom warehouse_classifier.bins import selection",
    f"{PACKAGE}/report/__init__.py": '"""."""',
    f"{PACKAGE}/report/page.py": "",
    f"{PACKAGE}/report/page.html.j2": "",
    f"{PACKAGE}/report/charts/of_the_day.py": "",
    f"{PACKAGE}/report/not-in-git.txt": "DVC hashes it all the same",
    f"{PACKAGE}/compute/__init__.py": '"""."""',
    f"{PACKAGE}/compute/__main__.py": "from warehouse_classifier.runtime import errors",
    f"{PACKAGE}/compute/sagemaker/container.py": "",
    f"{PACKAGE}/runtime/errors.py": "",
    f"{PACKAGE}/tracking/console.py": "",
    f"{PACKAGE}/training/distributed.py": "",
    f"{PACKAGE}/work/resume.py": "",
}
STAYS = {
    ".env": "SECRET=1",
    ".dvc/config": "secret_access_key = s",
    ".dvc/config.local": "secret_access_key = s",
    "data/in.csv": "x",
    "data/stray.csv": "z",
    f"{PACKAGE}/.env": "SECRET=1",
    f"{PACKAGE}/notes.py": "",
    f"{PACKAGE}/stages/other.py": "",
    f"{PACKAGE}/stages/.env": "SECRET=1",
    f"{PACKAGE}/bins/__init__.py": '"""."""',
    f"{PACKAGE}/bins/selection.py": "",  # which the map does not tell of
    f"{PACKAGE}/compute/.env": "SECRET=1",
    f"{PACKAGE}/compute/__pycache__/local.cpython-311.pyc": "",
    f"{PACKAGE}/report/__pycache__/page.cpython-311.pyc": "",
}
ARGV = ["small", "data/in.csv", "out"]
REMOTE = Remote(
    "team", {
        "url": "s3://b/p/", "endpointurl": "https://example.com", "verify": True, "access_key_id": "me", "profile": "mine",
        "secret_access_key": "s", "session_token": "t", "credentialpath": "/home/me/.aws", "sse_customer_key": "k",
    },
)  # fmt: skip


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in {**FILES, **STAYS}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_what_a_stage_is_made_of_and_nothing_else(tree: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(code_archive.pack(stage_spec.read("count", ARGV), REMOTE))) as tar:
        names = tar.getnames()
        config = tar.extractfile(".dvc/config")
        assert config is not None
        spec = config.read().decode()
    assert names == [*sorted(FILES, key=Path), ".dvc/config"]
    assert spec == (
        "[core]\nanalytics = false\ncheck_update = false\nno_scm = true\nremote = team\n"
        "['remote \"team\"']\nurl = s3://b/p/\nendpointurl = https://example.com\nverify = True\n"
    )


# with what is installed loaded once, each archive in a process of its own
IMPORTS = """
import importlib, os, sys
from pathlib import Path
import boto3, dvc.repo, matplotlib.pyplot, pandas, sklearn.metrics, torchvision, transformers
for folder in map(Path, sys.argv[1:]):
    if not os.fork():
        sys.path.insert(0, str(folder / "src"))
        os.chdir(folder)
        from warehouse_classifier.compute import __main__, local, stage_code, stage_spec
        from warehouse_classifier.compute.sagemaker import container
        assert stage_code.names() == [folder.name]
        deps = [Path(dep) for dep in stage_spec.load(stage_spec.MAP)["stages"][folder.name]["deps"]]
        for file in [file for dep in deps for file in (dep, *dep.rglob("*.py")) if file.suffix == ".py"]:
            parts = file.with_suffix("").parts[1:]
            importlib.import_module(".".join(part for part in parts if part != "__init__"))
        own = [module.__file__ for name, module in sys.modules.items() if name.startswith("warehouse_classifier.")]
        assert len(own) > 10
        assert all(Path(file).is_relative_to(folder) for file in own), own
        os._exit(0)
    assert os.wait()[1] == 0, folder.name
"""


@pytest.mark.slow
def test_the_launcher_and_each_stage_can_be_imported_from_what_travels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real ones, and all of it: before the stage begins, the launcher imports every module of its deps."""
    monkeypatch.chdir(TOP)
    for stage, entry in stage_spec.load(stage_spec.MAP)["stages"].items():
        argv = entry["cmd"].replace("${scale}", "sample").partition(f" {stage} ")[2].split()
        with tarfile.open(fileobj=io.BytesIO(code_archive.pack(stage_spec.read(stage, argv), REMOTE))) as tar:
            tar.extractall(tmp_path / stage, filter="data")
    environment = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    ran = subprocess.run(
        [sys.executable, "-c", IMPORTS, *(str(tmp_path / stage) for stage in STAGES)],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr


def rewrite(name: str, text: str) -> Callable[[Path], None]:
    return lambda tree: (tree / name).write_text(text) and None


@pytest.mark.parametrize(
    ("change", "other"),
    [
        (rewrite("src/warehouse_classifier/stages/count.py", "pass"), True),
        (rewrite("src/warehouse_classifier/report/page.html.j2", "of a folder"), True),
        (rewrite("src/warehouse_classifier/report/more.py", ""), True),
        (rewrite("data/fixed.csv", "yy"), True),
        (rewrite("dvc.lock", LOCK.replace("0123", "0124")), True),
        (rewrite("params.yaml", FILES["params.yaml"].replace("lr: 1", "lr: 2")), True),
        (rewrite("params.yaml", FILES["params.yaml"].replace("small: {a: 1}", "small: {a: 3}")), True),
        # what DVC does not track for the stage is no other work
        (rewrite("params.yaml", FILES["params.yaml"].replace("other: 2", "other: 3")), False),
        (rewrite("params.yaml", FILES["params.yaml"].replace("large: {a: 2}", "large: {a: 3}")), False),
        (rewrite("data/stray.csv", "zz"), False),
        (rewrite("src/warehouse_classifier/report/__pycache__/page.cpython-311.pyc", "z"), False),
        (rewrite("src/warehouse_classifier/compute/__main__.py", "pass"), False),
        (rewrite("data/in.csv", "what dvc.lock says counts"), False),
    ],
)
def test_another_input_command_code_or_parameter_is_another_work(
    tree: Path, change: Callable[[Path], None], other: bool
) -> None:
    before = stage_spec.read("count", ARGV).with_params("s3://b")
    change(tree)
    assert (stage_spec.read("count", ARGV).with_params("s3://b") != before) is other


def test_another_command_or_remote_is_another_work(tree: Path) -> None:
    spec = stage_spec.read("count", ARGV)
    assert (
        len(
            {
                spec.with_params("s3://b"),
                spec.with_params("s3://c"),
                stage_spec.read("count", ["large"]).with_params("s3://b"),
            }
        )
        == 3
    )


def test_the_plan_is_what_the_map_says(tree: Path) -> None:
    spec = stage_spec.read("count", ARGV)
    assert spec.inputs == {"data/in.csv": "0123"}
    assert {*spec.files} == {
        "src/warehouse_classifier/stages/count.py", "data/fixed.csv", "src/warehouse_classifier/report",
    }  # fmt: skip
    assert spec.outs == ["out", "out.json"]
    assert spec.params == {"lr": 1, "count.small": {"a": 1}}
    with pytest.raises(UserError, match=r"dvc\.yaml has no stage counts; there are: count"):
        stage_spec.read("counts", ARGV)


def test_figures_go_through_the_log_unchanged(capsys: pytest.CaptureFixture[str]) -> None:
    lines = metrics_log.MetricsLog()
    lines.measure(3, {"train_loss": 1e-05, "accuracy": float("nan"), "images": 3})
    lines.measure(None, {"count": 2})
    lines.end("FINISHED")
    spec = [metrics_log.read(line) for line in capsys.readouterr().out.splitlines()]
    assert spec[0] is not None
    assert {*spec[0]} == {"host", "machine", "processors"}
    assert spec[1] is not None
    assert (spec[1]["step"], spec[1]["values"]["train_loss"], spec[1]["values"]["images"]) == (3, 1e-05, 3.0)
    assert spec[2:] == [{"step": None, "values": {"count": 2.0}}, {"ended": "FINISHED"}]
    for other in ("epoch 1: train_loss 3", "figures of today", 'figures {"cut', "figures [1]", ""):
        assert metrics_log.read(other) is None
