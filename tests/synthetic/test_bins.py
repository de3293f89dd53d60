"""The synthetic bucket is the same everywhere, has the real bucket's quirks, and its photos show what its metadata says."""

import io
import json
from collections import Counter
from itertools import islice
from typing import Any

import numpy as np
import pytest
from PIL import Image

from warehouse_classifier.synthetic.bins import SyntheticBins

ITEM_KEYS = {"asin", "height", "length", "name", "normalizedName", "quantity", "weight", "width"}
SHARES = {1: 41147, 2: 76863, 3: 90058, 4: 80550, 5: 62448}  # the real pairs per quantity
MANY = 8000


@pytest.fixture(scope="module")
def bins() -> SyntheticBins:
    return SyntheticBins(MANY, 7)


@pytest.fixture(scope="module")
def records(bins: SyntheticBins) -> dict[str, dict[str, Any]]:
    return {id: json.loads(bins.metadata(id)) for id in bins.ids()}


@pytest.fixture(scope="module")
def quantities(records: dict[str, dict[str, Any]]) -> dict[str, int]:
    return {id: record["EXPECTED_QUANTITY"] for id, record in records.items()}


def articles(records: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    return [item for record in records.values() for item in record["BIN_FCSKU_DATA"].values()]


def test_same_seed_same_bytes(bins: SyntheticBins) -> None:
    again, other = SyntheticBins(MANY, 7), SyntheticBins(MANY, 8)
    for id in ("00001", "00002", "04711", "1", "10"):
        assert again.metadata(id) == bins.metadata(id)
        assert again.photo(id) == bins.photo(id)
        assert other.photo(id) != bins.photo(id)
    assert any(other.metadata(id) != bins.metadata(id) for id in ("00001", "00002", "04711"))


def test_content_does_not_depend_on_how_many_there_are(bins: SyntheticBins) -> None:
    few, all_of_them = SyntheticBins(2000, 7), SyntheticBins(535_234, 7)
    for id in [*islice(few.ids(), 0, 2000, 97), "1", "10"]:
        assert few.metadata(id) == bins.metadata(id) == all_of_them.metadata(id)
    assert few.photo("01990") == all_of_them.photo("01990")


@pytest.mark.slow
@pytest.mark.parametrize("pairs", [0, 1, 499, 500, 4000, 9999, 100_300, 1_100_000])
def test_ids_are_as_many_as_asked_for_and_in_order(pairs: int) -> None:
    bins = SyntheticBins(pairs, 7)
    ids = list(bins.ids())
    assert len(ids) == len(set(ids)) == pairs
    assert ids == sorted(ids)
    assert all(id in bins for id in ids)
    assert sum(len(id) < 5 for id in ids) == min(pairs // 500, 1111)


def test_ids_of_the_whole_bucket() -> None:
    bins = SyntheticBins(535_234, 7)
    unpadded = {id for id in bins.ids() if len(id) < 5}
    assert {"1", "10", "100", "523"} <= unpadded
    assert 1000 <= len(unpadded) <= 1400
    assert "534164" in bins
    assert bins.metadata("534164")


def test_an_unpadded_id_is_another_bin(bins: SyntheticBins) -> None:
    assert bins.metadata("1") != bins.metadata("00001")
    assert bins.photo("10") != bins.photo("00010")


@pytest.mark.parametrize(
    "id", ["", "0", "2", "00000", "001", "0001", "99999", "000001", "-0001", "1.jpg", "٠٠٠٠١", "²", "1" * 5000]
)
def test_what_is_not_there(bins: SyntheticBins, id: str) -> None:
    assert id not in bins
    with pytest.raises(KeyError):
        bins.metadata(id)


def test_fingerprints_tell_objects_apart(bins: SyntheticBins) -> None:
    ids = ["00001", "00002", "1", "10"]
    seen = {
        SyntheticBins(MANY, seed).fingerprint(id, kind)
        for seed in (7, 8)
        for id in ids
        for kind in ("metadata", "bin-images")
    }
    assert len(seen) == 2 * len(ids) * 2
    assert bins.fingerprint("00001", "metadata") == SyntheticBins(50, 7).fingerprint("00001", "metadata")


@pytest.mark.slow
def test_metadata_has_the_real_schema(bins: SyntheticBins, records: dict[str, dict[str, Any]]) -> None:
    for id, record in records.items():
        assert set(record) == {"BIN_FCSKU_DATA", "EXPECTED_QUANTITY"}
        for asin, item in record["BIN_FCSKU_DATA"].items():
            assert asin == item["asin"]
            assert len(asin) == 10
            assert set(item) | {"normalizedName"} == ITEM_KEYS
            assert item["quantity"] >= 1
            for side, unit in (("height", "IN"), ("length", "IN"), ("width", "IN"), ("weight", "pounds")):
                assert item[side] is None or (item[side]["unit"] == unit and item[side]["value"] > 0), (id, side)
        assert bins.metadata(id).decode() == json.dumps(record, indent=4), "the real files' indentation"


@pytest.mark.slow
def test_what_metadata_lacks(records: dict[str, dict[str, Any]]) -> None:
    items = articles(records)
    share = {key: sum(item[key] is None for item in items) / len(items) for key in ITEM_KEYS - {"normalizedName"}}
    assert 0.0005 < share["height"] == share["length"] == share["width"] < 0.005
    assert 0.015 < share["weight"] < 0.035
    assert 0 < share["name"] < 0.003
    assert 0 < sum("normalizedName" not in item for item in items) < 0.003 * len(items)


def test_quantities_follow_the_real_bucket(quantities: dict[str, int]) -> None:
    counts = Counter(quantities.values())
    assert 0.012 < counts[0] / MANY < 0.028
    beyond = sum(count for quantity, count in counts.items() if quantity > 5)
    assert 0.08 < beyond / MANY < 0.13
    assert 12 <= max(counts) <= 15
    few = sum(counts[quantity] for quantity in SHARES)
    for quantity, real in SHARES.items():
        assert counts[quantity] / few == pytest.approx(real / sum(SHARES.values()), abs=0.025)


def test_item_quantities_add_up_but_for_a_few(records: dict[str, dict[str, Any]]) -> None:
    sums = {id: sum(item["quantity"] for item in record["BIN_FCSKU_DATA"].values()) for id, record in records.items()}
    wrong = sum(sums[id] != record["EXPECTED_QUANTITY"] for id, record in records.items())
    assert 0 < wrong < 0.004 * MANY
    assert all(not record["BIN_FCSKU_DATA"] for record in records.values() if record["EXPECTED_QUANTITY"] == 0)


def test_neighbours_share_items_up_to_distance_two(
    records: dict[str, dict[str, Any]], quantities: dict[str, int]
) -> None:
    padded = [id for id in records if len(id) == 5]
    asins = [set(records[id]["BIN_FCSKU_DATA"]) for id in padded]
    sharing = {
        distance: [i for i in range(len(asins) - distance) if asins[i] & asins[i + distance]]
        for distance in (1, 2, 3, 4, 5, 24)
    }
    assert 0.44 < len(sharing[1]) / len(padded) < 0.52
    assert 0.02 < len(sharing[2]) / len(padded) < 0.08
    assert not any(sharing[distance] for distance in (3, 4, 5, 24))
    steps = Counter(abs(quantities[padded[i]] - quantities[padded[i + 1]]) for i in sharing[1])
    assert steps[1] > 0.6 * len(sharing[1])
    alone = [set(record["BIN_FCSKU_DATA"]) for id, record in records.items() if len(id) < 5]
    assert not set().union(*alone) & set().union(*asins)


def test_some_photos_show_one_more_or_one_fewer(bins: SyntheticBins, quantities: dict[str, int]) -> None:
    few = [id for id, quantity in quantities.items() if 1 <= quantity <= 5]
    off = Counter(bins.shown(id) - quantities[id] for id in few)
    assert set(off) == {-1, 0, 1}
    assert 0.02 < (off[-1] + off[1]) / len(few) < 0.05
    assert all(bins.shown(id) == quantity for id, quantity in quantities.items() if not 1 <= quantity <= 5)


# Cubic inches of all items together in the real bins: a tenth, the middle and nine tenths; inches of the longest side, middle.
REAL_VOLUMES = {1: (40, 203, 761), 2: (92, 348, 1198), 3: (121, 425, 1501), 4: (130, 411, 1510), 5: (125, 396, 1560)}
REAL_LONGEST = {1: 9.0, 2: 10.0, 3: 10.3, 4: 10.0, 5: 9.7}


def _sizes(record: dict[str, Any]) -> tuple[float, float] | None:
    """Cubic inches of all items, and the longest side."""
    items = [item for item in record["BIN_FCSKU_DATA"].values() if item["height"]]
    if not items:
        return None
    sides = [[item[side]["value"] for side in ("height", "width", "length")] for item in items]
    volume = sum(item["quantity"] * float(np.prod(side)) for item, side in zip(items, sides, strict=True))
    return volume, max(map(max, sides))


@pytest.mark.slow
@pytest.mark.parametrize("quantity", REAL_VOLUMES)
def test_items_have_the_spread_of_sizes_that_real_ones_have(records: dict[str, dict[str, Any]], quantity: int) -> None:
    sizes = [_sizes(record) for record in records.values() if record["EXPECTED_QUANTITY"] == quantity]
    volumes, longest = zip(*filter(None, sizes), strict=True)
    for drawn, real in zip(np.quantile(volumes, [0.1, 0.5, 0.9]), REAL_VOLUMES[quantity], strict=True):
        assert 0.65 * real < drawn < 1.5 * real
    assert np.median(longest) == pytest.approx(REAL_LONGEST[quantity], rel=0.12)
    assert max(longest) <= 18


@pytest.mark.slow
def test_a_photo_is_as_large_as_its_cell_and_large_cells_hold_large_items(
    bins: SyntheticBins, records: dict[str, dict[str, Any]]
) -> None:
    """As among the real photos that have their original size: 0.77, where number and volume go together by 0.13."""
    pairs = []
    for id in islice(bins.ids(), 0, 4000, 20):
        volume = _sizes(records[id])
        if volume and records[id]["EXPECTED_QUANTITY"] <= 5:
            width, height = Image.open(io.BytesIO(bins.photo(id))).size
            pairs.append((np.log(width * height), np.log(volume[0]), records[id]["EXPECTED_QUANTITY"]))
    together = np.corrcoef(np.array(pairs).T)
    assert 0.5 < together[0, 1] < 0.85
    assert abs(together[0, 2]) < 0.2


@pytest.mark.slow
def test_two_visits_see_one_cell_by_another_light_and_angle(
    bins: SyntheticBins, records: dict[str, dict[str, Any]]
) -> None:
    for one, two in zip(list(records), list(records)[1:61], strict=False):
        if not set(records[one]["BIN_FCSKU_DATA"]) & set(records[two]["BIN_FCSKU_DATA"]):
            continue
        first, second = (Image.open(io.BytesIO(bins.photo(id))) for id in (one, two))
        assert first.size == second.size
        assert bins.photo(one) != bins.photo(two)


@pytest.mark.slow
def test_photos_are_small_rgb_jpegs_of_many_shapes(bins: SyntheticBins) -> None:
    aspects = []
    for id in islice(bins.ids(), 0, 2000, 40):
        photo = Image.open(io.BytesIO(bins.photo(id)), formats=["JPEG"])
        photo.load()
        assert photo.mode == "RGB"
        assert 200 <= photo.width <= 450
        assert 3_000 < len(bins.photo(id)) < 90_000
        aspects.append(photo.width / photo.height)
    assert 0.58 < min(aspects) < 0.9
    assert 1.5 < max(aspects) < 1.8


@pytest.mark.slow
def test_more_items_cover_more_of_the_cell(bins: SyntheticBins) -> None:
    by_shown: dict[int, list[float]] = {}
    for id in islice(bins.ids(), 0, 4000, 13):
        by_shown.setdefault(bins.shown(id), []).append(_yellow(bins.photo(id)))
    means = [float(np.mean(by_shown[shown])) for shown in range(6)]
    assert means == sorted(means, reverse=True)
    assert means[0] - means[5] > 0.2


def _yellow(photo: bytes) -> float:
    """The share of pixels with the hue of the fabric: red a little above green, both far above blue."""
    red, green, blue = np.asarray(Image.open(io.BytesIO(photo)).resize((64, 64))).astype(int).transpose(2, 0, 1)
    return float(((red > green) & (red - green < 34) & (green - blue > 14)).mean())


@pytest.mark.slow
def test_two_photos_of_a_bin_look_alike(bins: SyntheticBins, records: dict[str, dict[str, Any]]) -> None:
    """Same cell and same articles: nearer to each other than to the next bin."""
    apart: dict[bool, list[float]] = {True: [], False: []}
    for number in range(1, 240, 3):
        one, two = f"{number:05d}", f"{number + 1:05d}"
        same = bool(set(records[one]["BIN_FCSKU_DATA"]) & set(records[two]["BIN_FCSKU_DATA"]))
        first, second = (
            np.asarray(Image.open(io.BytesIO(bins.photo(id))).resize((32, 32))).astype(float) for id in (one, two)
        )
        apart[same].append(float(np.abs(first - second).mean()))
    assert np.mean(apart[True]) < 0.7 * np.mean(apart[False])
