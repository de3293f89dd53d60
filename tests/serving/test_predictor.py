"""What a counter says of a photo, and what it refuses to be made of."""

from pathlib import Path

import numpy as np
import pytest

from support.bins import jpeg
from support.predictors import QUANTITIES, SIDE, tiny
from warehouse_classifier.dataset import shards
from warehouse_classifier.evaluation import calibration, temperature
from warehouse_classifier.evaluation.counters import AVERAGE, COUNTERS
from warehouse_classifier.models.registry import NETWORKS
from warehouse_classifier.runtime.errors import UserError
from warehouse_classifier.serving import predictor
from warehouse_classifier.serving.questions import Answer
from warehouse_classifier.stages.resize_images import ResizeImages, shrink


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny(tmp_path_factory.mktemp("counter") / "models")


@pytest.mark.slow
def test_the_networks_get_the_very_pixels_that_they_were_evaluated_on(models: Path, tmp_path: Path) -> None:
    """Those of resize_images, by way of its shards."""
    body = jpeg(7, (90, 70))
    params = ResizeImages(bucket="", side=SIDE, quality=95, max_pixels=10**6, max_rejected=0, concurrency=1, workers=1)
    (tmp_path / "images").mkdir()
    facts = {"id": "00001", "quantity": 1, "split": "test", "group": "00001"}
    shards.write(tmp_path / "images", [(facts, shrink(body, params))])
    packed = np.empty((SIDE, SIDE, 3), np.uint8)
    shards.Shards(tmp_path / "images").read_into(0, packed)
    with predictor.opened(models) as counted:
        assert np.array_equal(counted.pixels(body), packed)


@pytest.mark.parametrize("body", [b"", b"no photo", jpeg(1)[:400]])
def test_what_is_no_photo_has_a_reason(models: Path, body: bytes) -> None:
    with (
        predictor.opened(models, "vit") as counted,
        pytest.raises(ValueError, match=r"is empty|is no JPEG|is a damaged"),
    ):
        counted.pixels(body)


@pytest.mark.slow
def test_a_photo_says_the_same_alone_and_in_company(models: Path) -> None:
    for name in COUNTERS:
        with predictor.opened(models, name, threads=1) as counted:
            photos = np.stack([counted.pixels(jpeg(shade)) for shade in range(5)])
            together = counted.probabilities(photos)
            assert together.sum(axis=1) == pytest.approx(1)
            for i in range(5):
                assert counted.probabilities(photos[i : i + 1])[0] == pytest.approx(together[i], abs=1e-4)


def test_a_counter_that_looks_into_a_mirror_says_the_same_of_both_views(models: Path) -> None:
    """As evaluate did, by what calibration.json says; without, each view has an answer of its own."""
    photos = np.zeros((1, SIDE, SIDE, 3), np.uint8)
    photos[:, :, : SIDE // 3] = 90
    for mirror in (False, True):
        with predictor.opened(models, "resnet34", threads=1) as counted:
            counted.calibration = counted.calibration.model_copy(update={"mirror": mirror})
            views = [counted.probabilities(view)[0] for view in (photos, photos[:, :, ::-1].copy())]
        assert (np.abs(views[0] - views[1]).max() < 1e-9) == mirror


def test_what_is_answered(models: Path) -> None:
    with predictor.opened(models) as counted:
        limits = counted.calibration.counters[AVERAGE]
        shares = np.array([0.1, 0.5, 0.25, 0.1, 0.05])
        answers = {quantity: counted.answers(shares[None], [quantity])[0] for quantity in [*QUANTITIES, None, 0, 6]}
    assert answers[None] == Answer(2, 0.5, None, None, None)
    assert answers[2] == Answer(2, 0.5, 0.5, "match", None)
    assert answers[3] == Answer(2, 0.5, 0.75, "look", None)
    assert answers[1] == Answer(2, 0.5, 0.9, "mismatch", None)
    assert (limits.match, limits.mismatch) == (0.6, 0.85)
    for strange in (0, 6):
        assert answers[strange] == Answer(2, 0.5, None, "look", f"{strange} expected, the model knows 1 to 5")


@pytest.mark.slow
def test_the_average_is_made_of_both(models: Path) -> None:
    photos = {}
    for name in COUNTERS:
        with predictor.opened(models, name) as counted:
            pixels = np.stack([counted.pixels(jpeg(shade)) for shade in range(3)])
            photos[name] = counted.probabilities(pixels)
            assert [*counted.networks] == ([name] if name != AVERAGE else ["resnet34", "vit"])
    mean = {name: photos[name] for name in NETWORKS}
    wanted = temperature.scaled(temperature.averaged(mean), calibration.load(models).counters[AVERAGE].temperature)
    assert photos[AVERAGE] == pytest.approx(wanted, abs=1e-6)


def test_a_model_that_is_none_is_told(models: Path) -> None:
    with (
        pytest.raises(UserError, match="there is no model resnet; there are: resnet34, vit, average"),
        predictor.opened(models, "resnet"),
    ):
        pass


def test_a_calibration_for_other_quantities_is_told(models: Path, tmp_path: Path) -> None:
    other = tiny(tmp_path / "models")
    calibrated = calibration.load(other)
    calibrated.model_copy(update={"quantities": [1, 2, 3, 4]}).write(other / calibration.FILE)
    message = r"vit tells 5 quantities apart and calibration\.json names 4"
    with pytest.raises(UserError, match=message), predictor.opened(other, "vit"):
        pass


@pytest.mark.slow
def test_nothing_is_loaded_that_was_not_calibrated(models: Path, tmp_path: Path) -> None:
    other = tiny(tmp_path / "models")
    weights = other / "vit" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    with predictor.opened(other, "resnet34"):  # which has nothing to do with it
        pass
    for name in ("vit", AVERAGE):
        with pytest.raises(UserError, match="is not the one that"), predictor.opened(other, name):
            pass
