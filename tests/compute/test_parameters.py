"""Every door checks the whole params.yaml for the scale in use, by one rule for each parameter."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from support.launching import error_line
from support.projects import STAGES, TOP
from warehouse_classifier.compute import parameters, stage_code
from warehouse_classifier.runtime.errors import UserError
from warehouse_classifier.runtime.params import DATA
from warehouse_classifier.runtime.params import TOP as SHARED

FIRST = ("fetch_metadata", "small", "table.parquet", "unreadable.parquet")
HUGE = (2**63, 2**64, 10**400, -(2**64))


def change(project: Path, dotted: str, value: Any) -> None:
    yaml = YAML()
    tree = yaml.load(project / "params.yaml")
    *sections, key = dotted.split(".")
    section = tree
    for name in sections:
        section = section[name]
    section[key] = value
    yaml.dump(tree, project / "params.yaml")


def numbers(schema: dict[str, Any], part: dict[str, Any], name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every number in a part of a JSON schema, by its dotted name; of a list, what it holds."""
    if "$ref" in part:
        part = schema["$defs"][part["$ref"].rpartition("/")[2]]
    for choice in part.get("anyOf", []):
        yield from numbers(schema, choice, name)
    for key, inner in part.get("properties", {}).items():
        yield from numbers(schema, inner, f"{name}.{key}".strip("."))
    if part.get("type") == "array":
        yield from numbers(schema, part["items"], name)
    if part.get("type") in ("integer", "number"):
        yield name, part


LEFT_OUT = {  # what is null in the file
    "augmentation": {"shrink": 0.1, "turn": 5.0, "light": 0.1, "colour": 0.1},
    "pretrain": {"pairs": 100, "seed": 1, "epochs": 1},
}


def fields() -> list[tuple[str, str, dict[str, Any]]]:
    listed = []
    for stage in STAGES:
        schema = stage_code.params_of(stage).model_json_schema()
        listed += [(stage, name, part) for name, part in numbers(schema, schema, "")]
    return listed


def test_every_whole_number_has_an_upper_bound() -> None:
    whole = [(stage, name, part) for stage, name, part in fields() if part["type"] == "integer"]
    assert len(whole) > 40
    assert [(stage, name) for stage, name, part in whole if "maximum" not in part] == []


@pytest.mark.parametrize("value", [*HUGE, float("inf"), float("nan")], ids=lambda value: f"{value}"[:20])
@pytest.mark.parametrize("stage", STAGES)
def test_a_number_out_of_reach_is_one_line(project: Path, stage: str, value: float) -> None:
    tree = parameters.read()
    cls = stage_code.params_of(stage)
    whole = isinstance(value, int) and abs(value) < 10**38  # which a float may well be
    for name in [name for owner, name, part in fields() if owner == stage and not (whole and part["type"] == "number")]:
        top = name.partition(".")[0]
        broken = json.loads(json.dumps(tree))
        section = broken if top in SHARED else broken["data"]["small"] if top in DATA else broken[stage]["small"]
        *deeper, last = name.split(".")
        for key in deeper:
            section[key] = section[key] or dict(LEFT_OUT[key])
            section = section[key]
        section[last] = [value, value] if isinstance(section[last], list) else value
        with pytest.raises(UserError) as fault:
            parameters.load(cls, stage, "small", broken)
        assert name in str(fault.value), str(fault.value)
        assert "\n" not in str(fault.value)
        assert len(str(fault.value)) < 500


@pytest.mark.parametrize(
    ("dotted", "value", "message"),
    [
        ("evaluate.small.batch", 0, "evaluate.small.batch is 0, it must be at least 1"),
        ("seed", "banana", 'seed is "banana", it must be a whole number'),
        ("seed", 2**64, f"seed is {2**64}, it must be at most {2**63 - 1}"),
        ("lr", -1, "lr is -1, it must be above 0"),
        ("data.small.quantities", [3, 2, 1], "data.small.quantities is [3, 2, 1], it must be two or more quantities"),
        ("data.small.side", 8, "data.small.side is 8, it must be at least 16"),
        ("train_vit.small.warmup", 1.5, "train_vit.small.warmup is 1.5, it must be below 1"),
        ("train_resnet34.small.micro_batch", 3, "train_resnet34.small.micro_batch is 3, it must divide the batch of 8"),
        ("resize_images.small.wrokers", 1, "resize_images.small.wrokers is unknown, did you mean workers?"),
    ],
)
def test_a_wrong_value_of_any_stage_is_told_at_the_first_door(
    project: Path, capfd: pytest.CaptureFixture[str], dotted: str, value: Any, message: str
) -> None:
    change(project, dotted, value)
    assert message in error_line(capfd, *FIRST)
    assert sorted(path.name for path in project.iterdir()) == ["params.yaml"]


def test_another_scale_may_be_wrong_or_unfinished(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Only what is in use is checked: somebody may be at work on a scale of their own."""
    change(project, "fetch_metadata.other.part", 0)
    assert "there is no folder" in error_line(capfd, *FIRST)


def test_a_command_with_too_few_paths_is_told_which(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert error_line(capfd, *FIRST[:3]) == (
        "fetch_metadata takes 2 paths (table, unreadable), and its command has 1; see dvc.yaml"
    )


@pytest.mark.parametrize("scale", ["sample", "real", "full"])
def test_the_committed_file_is_right_for_every_scale(scale: str) -> None:
    parameters.check(scale, parameters.read(TOP / "params.yaml"))
