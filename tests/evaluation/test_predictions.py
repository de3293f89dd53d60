"""What networks answer of a folder of images, and of the same in a mirror."""

from pathlib import Path

import numpy as np
import pytest

from support.images import SIDE, Diary, pack
from support.predictors import QUANTITIES, tiny
from warehouse_classifier.dataset.shards import Shards
from warehouse_classifier.evaluation.predictions import InferenceSettings, logits
from warehouse_classifier.models.registry import NETWORKS
from warehouse_classifier.serving import predictor


@pytest.mark.parametrize("mirror", [False, True])
def test_check_answers_as_evaluate_did(tmp_path: Path, *, mirror: bool) -> None:
    """Both look into a mirror, or neither does; and in a mirror the answers are others."""
    models, images = tiny(tmp_path / "models"), Shards(pack(tmp_path / "images"))
    rows = images.rows("test")
    folders = {network: models / network for network in NETWORKS}
    answers = {
        seen: logits(images, rows, folders, len(QUANTITIES), InferenceSettings(8, 1, 1, "fp32", seen), Diary())
        for seen in (False, True)
    }
    pixels = np.empty((len(rows), SIDE, SIDE, 3), np.uint8)
    for row, out in zip(rows, pixels, strict=True):
        images.read_into(int(row), out)
    for network in NETWORKS:
        with predictor.opened(models, network, threads=1) as counter:
            counter.calibration = counter.calibration.model_copy(update={"mirror": mirror})
            degree = counter.calibration.temperatures[network]
            shares = np.exp(answers[mirror][network] / degree)
            expected = shares / shares.sum(axis=1, keepdims=True)
            assert counter.probabilities(pixels) == pytest.approx(expected, abs=1e-4)
        assert np.abs(answers[True][network] - answers[False][network]).max() > 1e-4
