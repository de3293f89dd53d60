"""The section `sagemaker` of params.yaml, and what overrides it."""

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from support.projects import STAGES, TOP, TRAININGS
from warehouse_classifier.compute.sagemaker.settings import Settings
from warehouse_classifier.runtime.errors import UserError

SECTION = YAML(typ="safe", pure=True).load(TOP / "params.yaml")["sagemaker"]
ROLE = "arn:aws:iam::123456789012:role/warehouse-classifier"


@pytest.fixture
def section(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A params.yaml of this project's own section, and an environment that overrides nothing."""
    for name in list(os.environ):
        if name.startswith("SAGEMAKER_"):
            monkeypatch.delenv(name)
    file = tmp_path / "params.yaml"
    YAML().dump({"sagemaker": SECTION}, file)
    return file


def change(file: Path, **values: Any) -> None:
    tree = YAML(typ="safe", pure=True).load(file)
    tree["sagemaker"].update(values)
    YAML().dump(tree, file)


def test_every_stage_has_a_machine_with_a_price(section: Path) -> None:
    settings = Settings.load(section)
    assert {*settings.instances} == {*STAGES}
    for stage in STAGES:
        instance = settings.instance(stage)
        on_gpu = instance.type.startswith("ml.g")
        assert on_gpu == (stage in (*TRAININGS, "evaluate"))
        assert settings.price(instance.type, 1) == settings.price_per_hour[instance.type]


def test_the_price_is_that_of_all_machines(section: Path) -> None:
    change(section, price_per_hour={"ml.g5.xlarge": 1.5})
    assert Settings.load(section).price("ml.g5.xlarge", 3) == 4.5
    assert Settings.load(section).price("ml.g5.2xlarge", 1) is None


def test_the_environment_overrides(section: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = Settings.load(section)
    for name, value in {
        "ROLE": ROLE, "SPOT": "false", "MAX_HOURS": "1.5", "INSTANCES": "{train_vit: {type: ml.p4d.24xlarge}}",
        "REGION": "", "MLFLOW": "http://127.0.0.1:5000", "PRICE_PER_HOUR": "{ml.x.large: 2}",
    }.items():  # fmt: skip
        monkeypatch.setenv(f"SAGEMAKER_{name}", value)
    settings = Settings.load(section)
    assert (settings.role, settings.spot, settings.max_hours) == (ROLE, False, 1.5)
    assert settings.region == before.region  # an empty one says nothing
    assert settings.mlflow == "http://127.0.0.1:5000"
    instance = settings.instance("train_vit")
    assert (instance.type, instance.count) == ("ml.p4d.24xlarge", before.instance("train_vit").count)
    assert settings.instance("train_resnet34") == before.instance("train_resnet34")
    assert settings.price_per_hour == {**before.price_per_hour, "ml.x.large": 2}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"spot": "no"}, 'params.yaml: sagemaker.spot is "no", it must be true or false'),
        ({"volume_gb": 0}, "params.yaml: sagemaker.volume_gb is 0, it must be at least 1"),
        ({"max_hours": 700}, "params.yaml: sagemaker.max_hours is 700, it must be at most 672"),
        ({"keep_warm_minutes": 5}, "params.yaml: sagemaker.keep_warm_minutes is 5, it must be 0 with spot, for which"),
        ({"volume": 5}, "params.yaml: sagemaker.volume is unknown, did you mean volume_gb?"),
        ({"role": "mine"}, 'params.yaml: sagemaker.role is "mine", it must match'),
        ({"image": "ubuntu:24.04"}, 'params.yaml: sagemaker.image is "ubuntu:24.04", it must match'),
        ({"mlflow": "http://me:secret@host"}, "it must not hold a password, which would travel"),
        ({"instances": ["ml.m5.large"]}, 'params.yaml: sagemaker.instances is ["ml.m5.large"], it must be a mapping'),
        ({"instances": {"evaluate": {"type": "m5.large", "count": 1}}}, "sagemaker.instances.evaluate.type is"),
        ({"instances": {"evaluate": {"type": "ml.m5.large"}}}, "sagemaker.instances.evaluate.count is missing"),
        ({"price_per_hour": {"ml.m5.large": "2 dollars"}}, "sagemaker.price_per_hour.ml.m5.large is"),
    ],
)
def test_a_mistake_names_the_key(section: Path, values: dict[str, Any], message: str) -> None:
    change(section, **values)
    with pytest.raises(UserError) as error:
        Settings.load(section)
    assert message in str(error.value).replace(str(section), "params.yaml")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("SAGEMAKER_SPOT", "perhaps", 'SAGEMAKER_SPOT is "perhaps", it must be true or false'),
        ("SAGEMAKER_ROLE", "mine", 'SAGEMAKER_ROLE is "mine", it must match'),
        ("SAGEMAKER_INSTANCES", "{", "SAGEMAKER_INSTANCES is {, which is not YAML"),
        ("SAGEMAKER_INSTANCES", "{evaluate: {typ: ml.m5.large}}", "SAGEMAKER_INSTANCES.evaluate.typ is unknown"),
        ("SAGEMAKER_MAX_HOUR", "2", "SAGEMAKER_MAX_HOUR is unknown, did you mean SAGEMAKER_MAX_HOURS?"),
    ],
)
def test_a_mistake_names_the_variable(
    section: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(UserError) as error:
        Settings.load(section)
    assert str(error.value).startswith(message)


def test_variables_of_other_programs_are_left_alone(section: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAGEMAKER_INTERNAL_IMAGE_URI", "of a notebook")
    assert Settings.load(section).image is None


def test_a_stage_without_a_machine_is_named(section: Path) -> None:
    change(section, instances={})
    with pytest.raises(UserError, match=r"params\.yaml: sagemaker\.instances\.train_vit is missing"):
        Settings.load(section).instance("train_vit")


def numbers(part: Any, name: str = "") -> list[tuple[str, dict[str, Any]]]:
    """Every number in a JSON schema, and where."""
    if isinstance(part, list):
        return [number for inner in part for number in numbers(inner, name)]
    if not isinstance(part, dict):
        return []
    inner = [number for key, value in part.items() for number in numbers(value, f"{name}.{key}")]
    return [(name, part), *inner] if part.get("type") in ("integer", "number") else inner


def test_every_number_has_an_upper_bound() -> None:
    schema = numbers(Settings.model_json_schema())
    assert len(schema) == 7
    assert [name for name, part in schema if "maximum" not in part] == []


@pytest.mark.parametrize(
    "value", [2**63, 10**400, -(2**64), float("inf"), float("nan")], ids=lambda value: f"{value}"[:9]
)
def test_a_number_out_of_reach_is_one_line(value: float) -> None:
    for name, wrong in {
        **dict.fromkeys(("volume_gb", "max_hours", "max_wait_hours", "keep_warm_minutes", "poll_seconds"), value),
        "instances": {"evaluate": {"type": "ml.m5.large", "count": value}},
        "price_per_hour": {"ml.m5.large": value},
    }.items():
        with pytest.raises(UserError) as error:
            Settings.checked({**SECTION, name: wrong}, lambda name: name)
        assert str(error.value).startswith(name)
        assert "\n" not in str(error.value)
        assert len(str(error.value)) < 500


@given(
    st.dictionaries(st.sampled_from([*Settings.model_fields]), st.none() | st.booleans() | st.integers() | st.text())
)
def test_whatever_stands_there_is_taken_or_told_in_one_line(values: dict[str, Any]) -> None:
    try:
        Settings.checked({**SECTION, **values}, lambda name: name)
    except UserError as error:
        assert "\n" not in str(error) and str(error)  # noqa: PT017, PT018
