"""params.yaml stands in the form in which DVC writes it back: `dvc exp run -S` changes what it is told to, and no other line."""

import difflib
from pathlib import Path
from typing import Any

import pytest
from dvc.utils.hydra import apply_overrides
from ruamel.yaml import YAML

from support.projects import TOP

FILE = TOP / "params.yaml"


def overridden(folder: Path, override: str) -> tuple[list[str], list[str], Any]:
    """The lines that go and those that come, and the values, after what `dvc exp run -S` does to the file."""
    copy = folder / FILE.name
    copy.write_bytes(FILE.read_bytes())
    apply_overrides(copy, [override])
    changes = list(difflib.ndiff(FILE.read_text().splitlines(), copy.read_text().splitlines()))
    gone, come = ([line[2:] for line in changes if line.startswith(sign)] for sign in "-+")
    return gone, come, YAML(typ="safe", pure=True).load(copy)


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("lr=1e-4", 1e-4),
        ("lr=1e-5", 1e-5),
        ("seed=123", 123),
        ("scale=full", "full"),
        ("data.sample.bucket=s3://mine/bins", "s3://mine/bins"),
        ("fetch_metadata.sample.max_pairs=1000", 1000),
        ("train_resnet34.sample.weights=models/from-elsewhere/weights.safetensors", "models/from-elsewhere/weights.safetensors"),
        ("train_vit.sample.own_size.patch_size=16", 16),
        ("train_vit.sample.compile=true", True),
        ("train_vit.full.learning_rate=1e-05", 1e-5),
        ("train_vit.full.revision=null", None),
        ("evaluate.sample.batch=8", 8),
        ("evaluate.full.gallery=12", 12),  # the last before a comment on the next section
        ("sagemaker.role=arn:aws:iam::1:role/bins", "arn:aws:iam::1:role/bins"),
    ],
)  # fmt: skip
def test_one_override_is_one_line(override: str, value: Any, tmp_path: Path) -> None:
    gone, come, values = overridden(tmp_path, override)
    assert (len(gone), len(come)) == (1, 1), come
    assert gone[0].partition("#")[2] == come[0].partition("#")[2]  # what the line says of its value
    for name in override.partition("=")[0].split("."):
        values = values[name]
    assert values == value
    assert type(values) is type(value)


def test_a_list_changes_in_its_own_lines(tmp_path: Path) -> None:
    gone, come, values = overridden(tmp_path, "evaluate.sample.recalls=[0.5,0.9,0.99]")
    assert gone == ["    - 0.8"]
    assert come == ["    - 0.9", "    - 0.99"]
    assert values["evaluate"]["sample"]["recalls"] == [0.5, 0.9, 0.99]
