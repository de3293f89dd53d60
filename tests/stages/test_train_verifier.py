"""The sixth stage, whole, on bins whose photo is the brighter the larger their items are."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from support.images import SIDE, Diary
from support.launching import act, loaded
from support.predictors import tiny
from warehouse_classifier.bins import contents
from warehouse_classifier.bins.metadata import PAIRS
from warehouse_classifier.dataset import shards
from warehouse_classifier.dataset.shards import Shards
from warehouse_classifier.evaluation import answers as asking
from warehouse_classifier.evaluation.answers import InferenceSettings, answers
from warehouse_classifier.models.registry import NETWORKS
from warehouse_classifier.runtime.errors import UserError
from warehouse_classifier.stages.train_verifier import TrainVerifier
from warehouse_classifier.verifier import folder
from warehouse_classifier.verifier.split import SplitVerifier

QUANTITIES = [1, 2, 3, 4, 5]
PARAMS: dict[str, Any] = {
    "seed": 1, "quantities": QUANTITIES, "batch": 8, "workers": 1, "threads": 1, "precision": "fp32", "mirror": False,
    "folds": 3, "ridge": 10.0, "penalty": 10.0, "change_penalty": 1000.0, "draws": 2, "false_alarms": 0.1, "misses": 0.1, "outliers": 0.02,
}  # fmt: skip
BINS = 160


class Watcher(Diary):
    """One that counts images, and keeps what is said."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    @contextmanager
    def bar(self, title: str, total: int | None, unit: str, done: int = 0) -> Iterator["Watcher"]:
        self.titles.append(title)
        yield self

    def say(self, line: str) -> None:
        self.said.append(line)


def photo(brightness: float, seed: int) -> bytes:
    pixels = np.random.default_rng(seed).normal(brightness, 12, (SIDE, SIDE, 3)).clip(0, 255)
    out = BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(out, "JPEG", quality=95)
    return out.getvalue()


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """images/, metadata.parquet, models/: every second bin is the one before after a visit that changed its number."""
    root, random = tmp_path_factory.mktemp("inputs"), np.random.default_rng(5)
    rows, facts, jpegs = [], [], []
    for place in range(BINS):
        pair, second = divmod(place, 2)
        quantity = 1 + (pair + 2 * second) % 5 + 5 * (pair % 8 == 7)  # more than the networks tell apart
        edge = float(np.exp(random.uniform(0, 2)))  # inches
        items = [{"asin": f"A{pair}", "quantity": quantity, "name": None, "weight": None}]
        items[0] |= {"height": edge, "length": edge, "width": edge}
        id = f"{10000 + 3 * pair + second}"
        rows.append({"id": id, "items": items})
        split = (
            "validation" if pair % 4 == 0 else "test" if pair % 4 == 1 else "train_other" if pair % 8 == 7 else "train"
        )
        facts.append({"id": id, "quantity": quantity, "split": split, "group": f"{10000 + 3 * pair}"})
        jpegs.append(photo(30 + 12 * 3 * np.log(edge) + 50 * np.log(quantity), place))
    (root / "images").mkdir()
    shards.write(root / "images", zip(facts, jpegs, strict=True))
    pq.write_table(pa.Table.from_pylist(rows, PAIRS), root / "metadata.parquet")
    tiny(root / "models")
    return root


def paths(inputs: Path, verifier: Path) -> list[Path]:
    networks = (inputs / "models" / network for network in NETWORKS)
    return [inputs / "images", inputs / "metadata.parquet", verifier, *networks]


def train(inputs: Path, verifier: Path, **changed: Any) -> Watcher:
    diary = Watcher()
    act("train_verifier", TrainVerifier(**PARAMS | changed), *paths(inputs, verifier), progress=diary)
    return diary


@pytest.fixture(autouse=True)
def own_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))


@pytest.mark.slow
def test_it_learns_the_size_that_photos_show_and_is_the_same_bytes_twice(inputs: Path, tmp_path: Path) -> None:
    diary = train(inputs, tmp_path / "one")
    train(inputs, tmp_path / "two")
    for file in ("config.json", "model.safetensors"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    assert not list((tmp_path / ".work").glob("train_verifier-*/"))
    results = {name: value for step, values in diary.measured if step is None for name, value in values.items()}
    assert (results["train_images"], results["validation_images"], results["visits"]) == (80, 40, 40)

    packed, networks = Shards(inputs / "images"), {network: inputs / "models" / network for network in NETWORKS}
    rows = packed.rows("test")
    seen = answers("evaluate", packed, rows, networks, 5, InferenceSettings(8, 1, 1, "fp32", False), Diary())
    inside = contents.read(inputs / "metadata.parquet", packed.index["id"].iloc[rows].tolist())
    own = np.arange(len(rows))
    verifier = SplitVerifier.of(folder.load(tmp_path / "one", networks, mirror=False), seen.features, inside)
    for other in (np.roll(own, 2), own ^ 1):  # another bin's list, and the one of the other photo
        doubts = np.concatenate([verifier.doubts(own, own), verifier.doubts(own, other)])
        assert roc_auc_score(np.repeat([0, 1], len(own)), doubts) > 0.8
    before, after = own[::2], own[1::2]
    right, wrong = (verifier.doubts_of_change(*photos, before, after) for photos in ((before, after), (after, before)))
    assert roc_auc_score(np.repeat([0, 1], len(right)), np.concatenate([right, wrong])) > 0.8


PART = 40  # images
KILLED = """
import os, signal
from contextlib import contextmanager
from pathlib import Path
from support.images import Diary
from support.launching import act
from warehouse_classifier.evaluation import answers as asking
from warehouse_classifier.stages.train_verifier import TrainVerifier

asking.PART = {part}

class Watcher(Diary):
    @contextmanager
    def bar(self, *_):
        yield self

    def say(self, line):
        pass

class Kill(Watcher):
    def advance(self, count=1, **facts):
        super().advance(count, **facts)
        if len(self.advanced) == 12:
            os.kill(os.getpid(), signal.SIGKILL)

act("train_verifier", TrainVerifier(**{params!r}), *map(Path, {paths!r}), progress=Kill())
""".replace("{part}", str(PART))


@pytest.mark.slow
def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = KILLED.format(params=PARAMS, paths=[*map(str, paths(inputs, tmp_path / "model"))])
    killed = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert killed.stderr == ""  # no library's warning among our lines
    assert not (tmp_path / "model").exists()
    (work,) = (tmp_path / ".work").glob("train_verifier-*/")
    assert len([*work.glob("answers-*.safetensors")]) == 2  # of three parts
    monkeypatch.setattr(asking, "PART", PART)
    (work / "answers-1.safetensors").write_bytes(b"")  # as a power cut leaves it
    asked, batches = [], asking.batches
    monkeypatch.setattr(
        asking,
        "batches",
        lambda pixels, parts, *more: (asked.extend(map(len, parts)), batches(pixels, parts, *more))[1],
    )
    train(inputs, tmp_path / "model")
    assert sum(asked) == 120 - PART  # of three parts one is whole
    assert not work.exists()
    train(inputs, tmp_path / "whole")
    for file in ("config.json", "model.safetensors"):
        assert (tmp_path / "model" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()


def test_a_bucket_without_neighbours_is_learned_from(inputs: Path, tmp_path: Path) -> None:
    """Without a visit there are other bins' lists."""
    table = pq.read_table(inputs / "metadata.parquet").to_pylist()
    for row in table:
        row["items"][0]["asin"] = row["id"]
    pq.write_table(pa.Table.from_pylist(table, PAIRS), tmp_path / "metadata.parquet")
    diary, params = Watcher(), TrainVerifier(**PARAMS)
    images, _, *others = paths(inputs, tmp_path / "model")
    act("train_verifier", params, images, tmp_path / "metadata.parquet", *others, progress=diary)
    assert diary.said[-1] == "80 photos and their lists, 0 visits learned from"
    assert json.loads((tmp_path / "model/config.json").read_text())["of_list"]["mismatch"] > 0


@pytest.mark.parametrize(
    ("missing", "fault"),
    [
        ("images", "index.parquet cannot be read"),
        ("metadata.parquet", "metadata.parquet is missing; `dvc repro fetch_metadata` makes it"),
        ("models", "holds no trained ResNet34"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(inputs: Path, tmp_path: Path, missing: str, fault: str) -> None:
    for name in {"images", "metadata.parquet", "models"} - {missing}:
        (tmp_path / name).symlink_to(inputs / name)
    with pytest.raises(UserError, match=fault) as caught:
        train(tmp_path, tmp_path / "model")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "model").exists()


def test_nothing_is_learned_from_images_of_another_hash(inputs: Path, tmp_path: Path) -> None:
    """Which decode all the same."""
    shutil.copytree(inputs / "images", tmp_path / "images")
    index = pd.read_parquet(tmp_path / "images" / shards.INDEX)
    index.loc[3, "sha256"] = index.loc[4, "sha256"]
    index.to_parquet(tmp_path / "images" / shards.INDEX, index=False)
    _, *others = paths(inputs, tmp_path / "model")
    with pytest.raises(UserError, match=f"image {index.loc[3, 'id']} is not the one in the index"):
        act("train_verifier", TrainVerifier(**PARAMS), tmp_path / "images", *others, progress=Watcher())


def test_every_network_is_seen_with_or_none_of_it_is_trained(inputs: Path, tmp_path: Path) -> None:
    *others, _ = paths(inputs, tmp_path / "model")
    with pytest.raises(UserError, match=r"dvc.yaml: train_verifier is given resnet34, and there are resnet34, vit"):
        act("train_verifier", TrainVerifier(**PARAMS), *others, progress=Watcher())


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("folds", 1, "folds is 1, it must be at least 2"),
        ("ridge", 0.0, "ridge is 0.0, it must be above 0"),
        ("outliers", 0, "outliers is 0, it must be above 0"),
        ("misses", 1.0, "misses is 1.0, it must be below 1"),
        ("draws", 0, "draws is 0, it must be at least 1"),
    ],
)
def test_a_bad_parameter_is_told_with_its_place(tmp_path: Path, name: str, value: float, fault: str) -> None:
    own = {key: values for key, values in PARAMS.items() if key not in ("seed", "quantities")} | {name: value}
    tree = {"seed": 1, "data": {"sample": {"quantities": QUANTITIES}}, "train_verifier": {"sample": own}}
    (tmp_path / "params.yaml").write_text(json.dumps(tree))
    with pytest.raises(UserError, match=rf"train_verifier\.sample\.{fault}"):
        loaded("train_verifier", "sample", tmp_path / "params.yaml")


def test_a_bad_parameter_fails_before_anything_slow_is_imported() -> None:
    slow = "{'torch', 'pandas', 'sklearn', 'scipy', 'transformers'}"
    code = (
        f"import sys, warehouse_classifier.stages.train_verifier; sys.exit(', '.join({slow} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env={**os.environ})
    assert done.returncode == 0, done.stderr
