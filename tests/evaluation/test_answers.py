"""What networks answer of a folder of images, and of the same in a mirror."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from support.images import SIDE, Diary, pack
from support.predictors import QUANTITIES, tiny
from warehouse_classifier.dataset.shards import Shards
from warehouse_classifier.evaluation import answers as asking
from warehouse_classifier.evaluation.answers import InferenceSettings, answers
from warehouse_classifier.models import resnet34, vit
from warehouse_classifier.models.registry import NETWORKS
from warehouse_classifier.serving import predictor


def settings(*, mirror: bool = False) -> InferenceSettings:
    return InferenceSettings(8, 1, 1, "fp32", mirror)


@pytest.mark.parametrize("mirror", [False, True])
def test_check_answers_as_evaluate_did(tmp_path: Path, *, mirror: bool) -> None:
    """Both look into a mirror, or neither does; and in a mirror the answers are others."""
    models, images = tiny(tmp_path / "models"), Shards(pack(tmp_path / "images"))
    rows = images.rows("test")
    folders = {network: models / network for network in NETWORKS}
    asked = {
        seen: answers("evaluate", images, rows, folders, len(QUANTITIES), settings(mirror=seen), Diary()).logits
        for seen in (False, True)
    }
    pixels = np.empty((len(rows), SIDE, SIDE, 3), np.uint8)
    for row, out in zip(rows, pixels, strict=True):
        images.read_into(int(row), out)
    for network in NETWORKS:
        with predictor.opened(models, network, threads=1) as counter:
            counter.calibration = counter.calibration.model_copy(update={"mirror": mirror})
            degree = counter.calibration.temperatures[network]
            shares = np.exp(asked[mirror][network] / degree)
            expected = shares / shares.sum(axis=1, keepdims=True)
            assert counter.probabilities(pixels) == pytest.approx(expected, abs=1e-4)
        assert np.abs(asked[True][network] - asked[False][network]).max() > 1e-4


def test_what_networks_see_is_what_they_answer_from(tmp_path: Path) -> None:
    """The features of both networks side by side; the last layer's make the logits."""
    models, images = tiny(tmp_path / "models"), Shards(pack(tmp_path / "images"))
    folders = {network: models / network for network in NETWORKS}
    seen = answers("evaluate", images, images.rows("test"), folders, len(QUANTITIES), settings(), Diary())
    last = resnet34.load(folders["resnet34"]).network.fc
    assert seen.features.shape[1] == 2 * (128 + 256 + 512) + 3 * vit.load(folders["vit"]).network.config.hidden_size
    pooled = seen.features[:, 2 * (128 + 256) : 2 * (128 + 256) + 512]
    by_hand = pooled @ last.weight.detach().numpy().T + last.bias.detach().numpy()
    assert seen.logits["resnet34"] == pytest.approx(by_hand, abs=1e-4)


def test_parts_that_are_done_are_not_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models, images = tiny(tmp_path / "models"), Shards(pack(tmp_path / "images"))
    folders, rows, keep = {network: models / network for network in NETWORKS}, images.rows("train"), tmp_path / "keep"
    keep.mkdir()
    monkeypatch.setattr(asking, "PART", len(rows) // 3)
    asked: list[int] = []
    batches = asking.batches

    def noted(pixels: Shards, parts: list[np.ndarray], *more: object) -> Iterator[torch.Tensor]:
        asked.append(sum(map(len, parts)))
        if len(asked) == 2:
            raise KeyboardInterrupt
        return batches(pixels, parts, *more)

    monkeypatch.setattr(asking, "batches", noted)
    with pytest.raises(KeyboardInterrupt):
        answers("evaluate", images, rows, folders, len(QUANTITIES), settings(), Diary(), keep)
    again = answers("evaluate", images, rows, folders, len(QUANTITIES), settings(), Diary(), keep)
    assert sum(asked[2:]) == len(rows) - asked[0]
    monkeypatch.setattr(asking, "batches", batches)
    for file in keep.iterdir():
        file.unlink()
    whole = answers("evaluate", images, rows, folders, len(QUANTITIES), settings(), Diary(), keep)
    assert again.features.tobytes() == whole.features.tobytes()
    assert all(again.logits[network].tobytes() == whole.logits[network].tobytes() for network in NETWORKS)
