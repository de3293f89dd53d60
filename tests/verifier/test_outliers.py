"""Which photos are unlike those that were learned from."""

from collections.abc import Iterator

import numpy as np
import pytest

from warehouse_classifier.bucket.objects import PHOTOS, ObjectInfo, key_of
from warehouse_classifier.bucket.synthetic import SyntheticBucket
from warehouse_classifier.dataset.photo import Pixels, decode, square
from warehouse_classifier.verifier import outliers
from warehouse_classifier.verifier.outliers import KINDS, USUAL, OutlierDetector, learn, measured, sample, spoil
from warehouse_classifier.verifier.photo_statistics import SIDE, statistics

SHARE = 0.04


@pytest.fixture(scope="module")
def photos() -> Pixels:
    """Drawn bins, as networks see them."""
    bucket = SyntheticBucket("synthetic://?pairs=360&seed=3", 2)
    try:
        entries = [ObjectInfo(key_of(PHOTOS, id), None, None) for id in bucket.bins.ids()]
        bodies = [body for _, body in bucket.get_many(entries)]
    finally:
        bucket.close()
    return np.stack([square(decode(body, 10**7), SIDE) for body in bodies if isinstance(body, bytes)])


@pytest.fixture(scope="module")
def detector(photos: Pixels) -> OutlierDetector:
    return learn(iter(photos[:200]), iter(photos[200:280]), SHARE, seed=1)


def found(detector: OutlierDetector, photos: Iterator[Pixels]) -> float:
    return float(np.mean(detector.unlike(np.stack(list(photos)))))


def test_photos_like_those_that_were_learned_from_are_left_alone(detector: OutlierDetector, photos: Pixels) -> None:
    assert found(detector, iter(photos[200:280])) <= SHARE
    assert found(detector, iter(photos[280:])) <= 3 * SHARE


@pytest.mark.parametrize("kind", range(len(KINDS)), ids=KINDS)
def test_what_was_spoilt_in_a_way_that_was_learned_is_found(
    detector: OutlierDetector, photos: Pixels, kind: int
) -> None:
    random = np.random.default_rng(5)
    assert found(detector, (spoil(photo, kind, random) for photo in photos[280:])) > 0.75


def test_shares_are_measured_as_they_are_and_for_each_way(detector: OutlierDetector, photos: Pixels) -> None:
    shares = measured(detector, iter(photos[280:]), seed=2)
    assert list(shares) == [USUAL, *KINDS]
    assert shares[USUAL] == found(detector, iter(photos[280:]))
    assert all(shares[kind] > 0.75 for kind in KINDS)


STRANGE = {  # in ways that were not
    "a frame without light": lambda photo: photo // 60,
    "grey": lambda photo: np.repeat(photo.mean(2, keepdims=True).astype(np.uint8), 3, 2),
    "noise": lambda photo: np.random.default_rng(photo[0, 0, 0]).integers(0, 256, photo.shape, dtype=np.uint8),
    "a page with lines of text": lambda photo: (
        np.where(np.arange(SIDE)[:, None, None] % 5 < 2, 20, 245) * np.ones_like(photo)
    ),
}


@pytest.mark.parametrize("way", STRANGE)
def test_what_is_strange_in_another_way_is_found(detector: OutlierDetector, photos: Pixels, way: str) -> None:
    assert found(detector, (STRANGE[way](photo).astype(np.uint8) for photo in photos[280:])) > 0.75


@pytest.mark.parametrize("side", [32, 100, 224])
def test_images_of_any_side_are_looked_at_alike(photos: Pixels, side: int) -> None:
    one = statistics(photos[:20])
    other = statistics(np.stack([square(photo, side) for photo in photos[:20]]))
    assert one.shape == other.shape == (20, 225)
    assert np.isfinite(other).all()
    spread = statistics(photos).std(axis=0)
    places = slice(0, 16)  # of light
    assert (np.abs(one - other) / spread)[:, places].max() < 0.5


def test_it_is_the_same_twice_and_asks_for_each_photo_once(photos: Pixels) -> None:
    one, other = (learn(iter(photos[:120]), iter(photos[120:160]), SHARE, seed=1) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(vars(one).values(), vars(other).values(), strict=True))


def test_what_never_varies_is_no_fault_and_one_photo_held_out_is_enough() -> None:
    black = np.zeros((1, SIDE, SIDE, 3), np.uint8)
    detector = learn(iter(black.repeat(3, axis=0)), iter(black), SHARE, seed=1)
    assert not detector.unlike(black).any()
    assert detector.unlike(black + 255).all()


def test_no_more_photos_are_learned_from_than_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outliers, "MOST", 10)
    rows = np.arange(5, 100)
    chosen = sample(rows, 3)
    assert len(chosen) == 10
    assert np.array_equal(chosen, np.unique(chosen))
    assert np.isin(chosen, rows).all()
    assert np.array_equal(chosen, sample(rows, 3))
    assert not np.array_equal(chosen, sample(rows, 4))
    assert np.array_equal(sample(rows[:7], 3), rows[:7])
