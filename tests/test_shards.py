"""images/: what is packed comes out as it was, and a folder that is not whole is never read."""

import hashlib
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from warehouse_classifier.fault import Fault
from warehouse_classifier.shards import COLUMNS, INDEX, Shards, shard_of, write

IDS = ["1", "10", "523", "00001", "09999", "10000", "10001", "99999", "100000"]


def images(ids: list[str] = IDS, salt: str = "") -> list[tuple[dict[str, Any], bytes]]:
    """In the order that `write` wants."""
    return [
        (
            {"id": id, "quantity": n, "split": ("train", "test")[n % 2], "group": id},
            f"{salt}jpeg of {id}".encode() * len(id),
        )
        for n, id in enumerate(sorted(ids, key=lambda name: (shard_of(name), name)))
    ]


def packed(folder: Path, *args: Any) -> Path:
    folder.mkdir()
    write(folder, images(*args))
    return folder


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def fault(folder: Path) -> str:
    with pytest.raises(Fault) as caught:
        Shards(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_goes_in_comes_out(tmp_path: Path) -> None:
    shards = Shards(packed(tmp_path / "images"))
    assert list(shards.index.columns) == COLUMNS
    assert shards.index["id"].tolist() == sorted(IDS)
    wanted = {facts["id"]: (facts, jpeg) for facts, jpeg in images()}
    for row, fact in enumerate(shards.index.to_dict("records")):
        facts, jpeg = wanted[fact["id"]]
        assert shards.jpeg(row) == jpeg
        assert fact["sha256"] == hashlib.sha256(jpeg).hexdigest()
        assert {name: fact[name] for name in facts} == facts
    assert {shards.index["id"][row] for row in shards.rows("test")} == {
        facts["id"] for facts, _ in images() if facts["split"] == "test"
    }
    with pytest.raises(Fault, match="holds no validation image"):
        shards.rows("validation")


def test_a_shard_depends_on_the_id_alone(tmp_path: Path) -> None:
    assert {id: shard_of(id) for id in IDS} == {
        "1": "shard.bin", "10": "shard.bin", "523": "shard.bin", "00001": "shard-0.bin", "09999": "shard-0.bin",
        "10000": "shard-1.bin", "10001": "shard-1.bin", "99999": "shard-9.bin", "100000": "shard-10.bin",
    }  # fmt: skip
    few, more = content(packed(tmp_path / "few", IDS[:-2])), content(packed(tmp_path / "more"))
    assert {name for name in more if few.get(name) != more[name]} == {INDEX, "shard-9.bin", "shard-10.bin"}


def test_the_same_images_are_the_same_bytes(tmp_path: Path) -> None:
    assert content(packed(tmp_path / "one")) == content(packed(tmp_path / "two"))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ids=st.sets(st.from_regex(r"[0-9A-Za-z_-]{1,8}", fullmatch=True), min_size=1, max_size=12))
def test_any_ids_make_a_round_trip(ids: set[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = packed(tmp_path_factory.mktemp("round") / "images", sorted(ids))
    shards = Shards(folder)
    assert dict(zip(shards.index["id"], map(shards.jpeg, range(len(ids))), strict=True)) == {
        facts["id"]: jpeg for facts, jpeg in images(sorted(ids))
    }


def test_images_out_of_order_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileExistsError):
        write(tmp_path, [images()[n] for n in (0, -1, 1)])


def test_an_index_that_cannot_be_read_is_a_fault(tmp_path: Path) -> None:
    folder = packed(tmp_path / "images")
    index = folder / INDEX
    whole = index.read_bytes()
    broken = [b"", b"PAR1", whole[:-1], whole[: len(whole) // 2], whole[:-300] + b"\xff" * 292 + whole[-8:], b"x" * 200]
    for body in broken:
        index.write_bytes(body)
        assert fault(folder).startswith(f"{index} cannot be read; `dvc repro resize_images` makes it")
    pd.DataFrame({"id": ["1"]}).to_parquet(index)
    assert fault(folder).startswith(f"{index} cannot be read")
    index.unlink()
    assert fault(folder).startswith(f"{index} cannot be read")


@pytest.mark.parametrize("size", [None, 0, -1, 1])
def test_a_shard_that_is_not_whole_is_a_fault(tmp_path: Path, size: int | None) -> None:
    folder = packed(tmp_path / "images")
    shard = folder / "shard-1.bin"
    whole = shard.read_bytes()
    if size is None:
        shard.unlink()
    else:
        shard.write_bytes((whole + b"x" * size) if size > 0 else whole[: size or 0])
    here = 0 if not size else len(whole) + size
    assert fault(folder) == f"{shard} has {here} bytes, the index says {len(whole)}; run `dvc checkout {folder}`"
