"""params.yaml at the door: one clear line for whatever is wrong, before any work starts."""

from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import Field, ValidationError, field_validator

from support.launching import error_line
from support.projects import TOP
from warehouse_classifier.compute.parameters import load, read
from warehouse_classifier.runtime.errors import UserError
from warehouse_classifier.runtime.params import Params
from warehouse_classifier.stages.fetch_metadata import FetchMetadata
from warehouse_classifier.stages.resize_images import ResizeImages
from warehouse_classifier.stages.select_images import SelectImages

GOOD = {
    "rate": "1e-3", "share": "0.5", "most": "null", "count": "3", "on": "true", "kind": "fast", "title": "bins",
    "list": "[1, 2]", "size": "{wide: 1}",
}  # fmt: skip


class Count(Params):
    seed: int
    bucket: str
    rate: float = Field(gt=0)
    share: float = Field(gt=0, lt=1)
    most: int | None = Field(ge=1)
    count: int = Field(ge=1, le=9)
    on: bool
    kind: Literal["fast", "slow"]
    title: str
    list: list[int]
    size: dict[str, int]

    @field_validator("list")
    @classmethod
    def _filled(cls, value: Any) -> Any:
        if not value:
            raise ValueError("it must hold a number")
        return value


def written(folder: Path, text: str | bytes | None = None, top: str = "", **values: str | None) -> Path:
    file = folder / "params.yaml"
    lines = "".join(f"    {name}: {value}\n" for name, value in {**GOOD, **values}.items() if value is not None)
    whole = f"lr: null\nseed: 7\n{top}data:\n  a: {{bucket: b}}\n  b: {{bucket: c}}\ncount:\n  b: {{}}\n  a:\n{lines}"
    body = whole if text is None else text
    file.write_bytes(body if isinstance(body, bytes) else body.encode())
    return file


def fault(file: Path, scale: str = "a") -> str:
    with pytest.raises(UserError) as caught:
        load(Count, "count", scale, read(file))
    message = str(caught.value)
    assert "\n" not in message
    where = f"{file}" if message.startswith(f"{file}") else "params.yaml"
    assert message.startswith(where)
    return message.removeprefix(where).removeprefix(": ")


def test_a_good_file_gives_what_it_says(tmp_path: Path) -> None:
    params = load(Count, "count", "a", read(written(tmp_path)))
    assert params.model_dump() == {
        "seed": 7, "bucket": "b", "rate": 0.001, "share": 0.5, "most": None, "count": 3, "on": True, "kind": "fast",
        "title": "bins", "list": [1, 2], "size": {"wide": 1},
    }  # fmt: skip
    with pytest.raises(ValidationError, match="frozen"):
        params.count = 4  # type: ignore[misc]


@pytest.mark.parametrize("rate", ["1e-4", "1e-05", "0.0001", "1E-4"])
def test_numbers_are_those_of_yaml_1_2(tmp_path: Path, rate: str) -> None:
    assert load(Count, "count", "a", read(written(tmp_path, rate=rate))).rate == float(rate)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"cuont": "3"}, "count.a.cuont is unknown, did you mean count?"),
        (
            {"zzzzzz": "3"},
            "count.a.zzzzzz is unknown; known are: rate, share, most, count, on, kind, title, list, size",
        ),
        ({"bucket": "x"}, "count.a.bucket is unknown, set data.a.bucket instead"),
        ({"seed": "1"}, "count.a.seed is unknown, set seed instead"),
        ({"count": None}, "count.a.count is missing"),
        ({"most": None}, "count.a.most is missing"),
        ({"count": "0"}, "count.a.count is 0, it must be at least 1"),
        ({"count": "10"}, "count.a.count is 10, it must be at most 9"),
        ({"rate": "-1"}, "count.a.rate is -1, it must be above 0"),
        ({"share": "1"}, "count.a.share is 1, it must be below 1"),
        ({"share": ".nan"}, "count.a.share is NaN, it must be a finite number"),
        ({"rate": "'0.1'"}, 'count.a.rate is "0.1", it must be a number'),
        ({"rate": "fast"}, 'count.a.rate is "fast", it must be a number'),
        ({"count": "three"}, 'count.a.count is "three", it must be a whole number'),
        ({"count": "1.5"}, "count.a.count is 1.5, it must be a whole number"),
        ({"count": "true"}, "count.a.count is true, it must be a whole number"),
        ({"on": "yes"}, 'count.a.on is "yes", it must be true or false'),
        ({"on": "1"}, "count.a.on is 1, it must be true or false"),
        ({"kind": "quick"}, "count.a.kind is \"quick\", it must be 'fast' or 'slow'"),
        ({"title": "3"}, "count.a.title is 3, it must be a text"),
        ({"title": '"a\\nb"', "on": "2"}, "count.a.on is 2, it must be true or false"),
        ({"list": "3"}, "count.a.list is 3, it must be a list"),
        ({"list": "[1, two]"}, 'count.a.list.1 is "two", it must be a whole number'),
        ({"list": "[]"}, "count.a.list is [], it must hold a number"),
        ({"size": "{wide: x}"}, 'count.a.size.wide is "x", it must be a whole number'),
        ({"title": "2026-11-22"}, "count.a: title must be a plain text, number, list or mapping"),
        ({"list": "&loop [*loop]"}, "count.a: list must be a plain text, number, list or mapping"),
        ({"cuont": "3", "count": None}, "count.a.count is missing; count.a.cuont is unknown, did you mean count?"),
    ],
)
def test_a_wrong_value_is_named_with_the_way_out(tmp_path: Path, values: dict[str, Any], message: str) -> None:
    assert fault(written(tmp_path, **values)) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("count: {a: {}}\n", "the section data.a is missing"),
        ("data: {a: {}}\n", "the section count is missing"),
        ("data: {a: {}}\nseed: 1\ncount: {a: {}}\n", "data.a.bucket is missing"),
        ("data: {a: {bucket: x}}\ncount: {a: {}}\n", "seed is missing"),
        ("data: {a: {}}\ncount: {a: 3}\n", "the section count.a is missing"),
        ("", " holds no mapping of sections"),
        ("[1, 2]", " holds no mapping of sections"),
    ],
)
def test_a_missing_section_is_named(tmp_path: Path, text: str, message: str) -> None:
    assert fault(written(tmp_path, text)) == message


def test_an_unknown_scale_is_told_the_known_ones(tmp_path: Path) -> None:
    assert fault(written(tmp_path), "c") == "scale is c, it must be one of: b, a"
    assert fault(written(tmp_path, "data: {}\ncount: {1: {}, a: {}}"), "c") == "scale is c, it must be one of: 1, a"


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    [
        "count: [1, 2",
        "a: b: c",
        "count: !python/object 3",
        b"\xff\xfe\xfa",
        b"a: \xff",
        "a: *b",
        "[" * 5000,
        "9" * 5000,
        "a\0b",
    ],
)
def test_what_is_not_yaml_is_said_in_one_line(tmp_path: Path, text: str | bytes) -> None:
    assert fault(written(tmp_path, text)).startswith(" is not YAML: ")


def test_a_key_that_stands_twice_is_named(tmp_path: Path) -> None:
    message = fault(written(tmp_path, top="seed: 8\n"))
    assert message.startswith(" is not YAML: ")
    assert 'duplicate key "seed"' in message
    assert "line 3" in message
    assert "suppress" not in message


def test_a_missing_file_says_where_to_run(tmp_path: Path) -> None:
    assert fault(tmp_path / "params.yaml") == " is missing; run from the top of the project"
    assert fault(tmp_path).startswith(" cannot be read")


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(text=st.one_of(st.binary(max_size=60), st.text(alphabet="abc:-{}[]'\"&*!|>%@?,# \n\t01.", max_size=60)))
def test_whatever_the_file_holds_it_is_read_or_refused_in_one_line(tmp_path: Path, text: str | bytes) -> None:
    try:
        assert isinstance(read(written(tmp_path, text)), dict)
    except UserError as refused:
        message = str(refused)
    else:
        message = ""
    assert "\n" not in message


@pytest.mark.parametrize(
    ("cls", "stage", "keys"),
    [
        (FetchMetadata, "fetch_metadata", ["data.full.bucket", "fetch_metadata.full"]),
        (SelectImages, "select_images", ["data.full.quantities", "seed", "select_images.full"]),
        (
            ResizeImages,
            "resize_images",
            ["data.full.bucket", "data.full.quality", "data.full.side", "resize_images.full"],
        ),
    ],
)
def test_keys_are_what_dvc_has_to_track(cls: type[Params], stage: str, keys: list[str]) -> None:
    assert cls.keys(stage, "full") == keys
    for scale in ("sample", "real", "full"):
        assert load(cls, stage, scale, read(TOP / "params.yaml"))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "max_pairs",
            "max_pair",
            "fetch_metadata.small.max_pairs is missing; fetch_metadata.small.max_pair is unknown",
        ),
        ("concurrency: 4", "concurrency: 0", "fetch_metadata.small.concurrency is 0, it must be at least 1"),
        ("bucket: bins", "bucket: 3", "data.small.bucket is 3, it must be a text"),
        ("scale: small", "scale: [", " is not YAML"),
    ],
)
def test_a_stage_with_a_wrong_parameter_ends_with_one_line(
    project: Path, capfd: pytest.CaptureFixture[str], old: str, new: str, message: str
) -> None:
    file = project / "params.yaml"
    file.write_text(file.read_text().replace(old, new, 1))
    assert message in error_line(capfd, "fetch_metadata", "small", "table.parquet", "unreadable.parquet")
    assert sorted(path.name for path in project.iterdir()) == ["params.yaml"]
