"""images/: what is packed comes out as it was, and a folder that is not whole is never read."""

import hashlib
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.images import RECIPE, SIDE, Diary, pack
from warehouse_classifier.bins.metadata import PAIRS
from warehouse_classifier.dataset.labels import QuantityEncoder
from warehouse_classifier.dataset.shards import COLUMNS, INDEX, Shards, shard_of, write
from warehouse_classifier.models.registry import NETWORKS
from warehouse_classifier.report.inputs import HISTORY, PUBLISHED
from warehouse_classifier.runtime.errors import UserError
from warehouse_classifier.stages.evaluate import Evaluate, evaluate
from warehouse_classifier.training.loop import train
from warehouse_classifier.training.recipe import Recipe

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
    with pytest.raises(UserError) as caught:
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
    with pytest.raises(UserError, match="holds no validation image"):
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


@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
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


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("wrong", [["00001"], ["1", "99999"], ["10000"]])
def test_an_image_that_is_not_the_one_in_the_index_is_named(tmp_path: Path, wrong: list[str], workers: int) -> None:
    folder = packed(tmp_path / "images")
    Shards(folder).verify(workers)
    index = pd.read_parquet(folder / INDEX).set_index("id")
    for id in wrong:
        body = bytearray((folder / index.shard[id]).read_bytes())
        body[index.offset[id] + index.length[id] - 1] ^= 1  # one bit
        (folder / index.shard[id]).write_bytes(body)
    with pytest.raises(UserError) as caught:
        Shards(folder).verify(workers)
    shard = folder / shard_of(min(wrong))
    assert str(caught.value).startswith(f"{shard}: image {min(wrong)} is not the one in the index (another SHA-256)")
    assert f"`dvc checkout {folder}`" in str(caught.value)


def test_images_are_verified_to_the_last(tmp_path: Path) -> None:
    """More of them than one thread is given at once."""
    ids = [f"{n:05}" for n in range(700)]
    folder = packed(tmp_path / "images", ids)
    index = pd.read_parquet(folder / INDEX)
    for row in (699, 256, 255):
        index.loc[row, "sha256"] = "0" * 64
        index.to_parquet(folder / INDEX)
        with pytest.raises(UserError, match=f"image {ids[row]} is not the one"):
            Shards(folder).verify(2)


@pytest.mark.parametrize(
    ("offset", "length"),
    [(-1, 10), (0, 0), (0, -5), (1 << 62, 10), ((1 << 63) - 1, (1 << 63) - 1), (5, 1 << 62), (-(1 << 63), 1)],
)
def test_an_index_that_points_elsewhere_is_a_fault(tmp_path: Path, offset: int, length: int) -> None:
    folder = packed(tmp_path / "images")
    index = pd.read_parquet(folder / INDEX)
    index.loc[4, ["offset", "length"]] = offset, length
    index.to_parquet(folder / INDEX)
    message = fault(folder)
    assert message.startswith(str(folder))
    assert message.endswith(f"run `dvc checkout {folder}`")


def test_no_step_is_taken_from_images_of_another_hash(tmp_path: Path) -> None:
    folder, network, diary = pack(tmp_path / "images"), torch.nn.Linear(1, 1), Diary()
    flip_a_bit(folder)
    recipe, labels = Recipe(**RECIPE), QuantityEncoder([1, 2, 3])
    with pytest.raises(UserError, match="image 10059 is not the one in the index"):
        train("small", network, Shards(folder), labels, recipe, tmp_path / "work", diary)
    assert diary.titles == []
    assert not (tmp_path / "work").exists()


def test_nothing_is_predicted_from_images_of_another_hash(tmp_path: Path) -> None:
    """Seen before a network is loaded: there is none here."""
    folder, diary = pack(tmp_path / "images"), Diary()
    flip_a_bit(folder)
    published, models = tmp_path / "published.csv", tmp_path / "models"
    published.write_text(",".join(PUBLISHED) + "\n")
    for network in NETWORKS:
        (models / network).mkdir(parents=True)
        (models / network / "history.csv").write_text(",".join(HISTORY) + "\n")
    params = Evaluate(
        seed=1, bucket="bins", side=SIDE, quality=90, quantities=[1, 2, 3], batch=8, workers=2, threads=1,
        precision="fp32", mirror=False, resamples=1000, false_alarms=0.05, misses=0.05, prevalence=0.05, recalls=[0.5], budgets=[0.1],
        gallery=0,
    )  # fmt: skip
    pairs = [{"id": id, "items": []} for id in Shards(folder).index["id"]]
    pq.write_table(pa.Table.from_pylist(pairs, PAIRS), tmp_path / "metadata.parquet")
    inputs = [folder, tmp_path / "metadata.parquet", published, models, tmp_path / "reports"]
    with pytest.raises(UserError, match="image 10059 is not the one in the index"):
        evaluate(params, *inputs, progress=diary)
    assert diary.titles == []
    assert not (tmp_path / "reports").exists()


def flip_a_bit(folder: Path) -> None:
    """In the last image of the last shard."""
    shard = max(folder.glob("*.bin"))
    body = bytearray(shard.read_bytes())
    body[-1] ^= 1
    shard.write_bytes(body)
