"""models/calibration.json with all that can be wrong with it."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support.outcomes import outcomes
from support.predictors import LEARNED_FROM
from warehouse_classifier.evaluation import calibration, temperature
from warehouse_classifier.evaluation.calibration import OperatingPoint, calibrate
from warehouse_classifier.evaluation.counters import AVERAGE, COUNTERS
from warehouse_classifier.evaluation.mismatches.expectations import balanced_weights, right_mask, wrong_mask
from warehouse_classifier.evaluation.thresholds import judge
from warehouse_classifier.models.folder import BELONGS
from warehouse_classifier.models.registry import NETWORKS
from warehouse_classifier.runtime.errors import UserError

QUANTITIES = [1, 2, 3, 4, 5]
PROMISE = OperatingPoint(
    quantities=QUANTITIES, side=32, quality=90, precision="fp32", mirror=False, false_alarms=0.1, misses=0.1
)


def folders(root: Path) -> dict[str, Path]:
    for network in NETWORKS:
        (root / network).mkdir(parents=True)
        for name in BELONGS:
            (root / network / name).write_text(f"{network} {name}")
    return {network: root / network for network in NETWORKS}


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A models folder as evaluate leaves it, with networks that are no networks: nobody loads them here."""
    logits, label = outcomes(1)
    calibrated = calibrate(
        dict.fromkeys(NETWORKS, logits), label + 1, PROMISE, LEARNED_FROM, folders(tmp_path / "models")
    )
    calibrated.write(tmp_path / "models" / calibration.FILE)
    return tmp_path / "models"


# ---- thresholds


def test_thresholds_keep_their_promise_on_what_they_were_chosen_on(tmp_path: Path) -> None:
    logits, label = outcomes(7)
    calibrated = calibrate(
        {"resnet34": logits, "vit": logits[:, ::-1]}, label + 1, PROMISE, LEARNED_FROM, folders(tmp_path)
    )
    assert calibrated.counters.keys() == COUNTERS.keys()
    probabilities = temperature.probabilities(
        {"resnet34": logits, "vit": logits[:, ::-1]},
        {counter: values.temperature for counter, values in calibrated.counters.items()},
    )
    for counter, values in calibrated.counters.items():
        verdicts = judge(1 - probabilities[counter], values.match, values.mismatch)
        right, wrong = right_mask(QUANTITIES, label + 1), wrong_mask(QUANTITIES, label + 1, "one_off")
        assert np.mean(verdicts[right] == "mismatch") == pytest.approx(0.1, abs=0.002)
        weights = balanced_weights(right, wrong, np.ones(len(label)))[1]
        assert 0.09 < weights[verdicts == "match"].sum() / weights.sum() <= 0.1
        assert values.match <= values.mismatch


def test_the_average_has_the_temperature_that_is_best_for_it(tmp_path: Path) -> None:
    logits, label = outcomes(9, temperature=0.5)
    by_network = {"resnet34": logits, "vit": logits + np.random.default_rng(1).normal(0, 2, logits.shape)}
    calibrated = calibrate(by_network, label + 1, PROMISE, LEARNED_FROM, folders(tmp_path))
    temperatures = {counter: values.temperature for counter, values in calibrated.counters.items()}
    best = temperatures[AVERAGE]
    losses = [
        temperature.nll(temperature.probabilities(by_network, temperatures | {AVERAGE: factor * best})[AVERAGE], label)
        for factor in (0.95, 1, 1.05)
    ]
    assert losses[1] == min(losses)
    assert best != pytest.approx(1, abs=0.1)


# ---- the file


def test_what_is_written_is_read(models: Path) -> None:
    calibrated = calibration.load(models)
    assert calibrated.model_dump(include={*OperatingPoint.model_fields}) == PROMISE.model_dump()
    first = (models / calibration.FILE).read_bytes()
    calibrated.write(models / calibration.FILE)
    assert (models / calibration.FILE).read_bytes() == first
    for network in NETWORKS:
        calibration.verify(calibrated, network, models / network)


def change(models: Path, **values: Any) -> None:
    path = models / calibration.FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"version": 1}, "is of version 1, this program reads 3; `dvc repro evaluate` makes it anew"),
        ({"version": None}, "is of version None, this program reads 3"),
        ({"side": "64"}, "side: input should be a valid integer"),
        ({"side": 0}, "side: input should be greater than 0"),
        ({"more": 1}, "more: extra inputs are not permitted"),
        (
            {"counters": {"vit": {"temperature": 1e-320, "match": 0, "mismatch": 1}}},
            "counters.vit.temperature: input sho",
        ),
        (
            {"counters": {"vit": {"temperature": 1.0, "match": 0.9, "mismatch": 0.1}}},
            "match must not be above mismatch",
        ),
        ({"counters": {}}, "counters must be resnet34, vit, average"),
        ({"sha256": {"resnet34": {}, "vit": {}}}, "sha256 must name config.json and model.safetensors of each network"),
        ({"sha256": {}}, "sha256 must name"),
        ({"quantities": [5, 4, 3, 2, 1]}, "quantities must ascend"),
        ({"quantities": [1, 1, 1, 1, 1]}, "quantities must ascend"),
        ({"false_alarms": 7.0}, "false_alarms: input should be less than 1"),
        (
            {"counters": {"vit": {"temperature": 0.0, "match": 0, "mismatch": 1}}},
            "counters.vit.temperature: input should",
        ),
    ],
)
def test_a_file_of_another_version_or_shape_is_told(models: Path, values: dict[str, Any], message: str) -> None:
    change(models, **values)
    with pytest.raises(UserError, match=message.replace("(", r"\(")) as caught:
        calibration.load(models)
    assert calibration.FILE in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("body", ["", "{", "[1]", "7"])
def test_what_is_no_calibration_is_told(models: Path, body: str) -> None:
    (models / calibration.FILE).write_text(body)
    with pytest.raises(UserError, match=r"is not JSON|is of version None"):
        calibration.load(models)


def test_a_missing_folder_is_told_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"calibration\.json cannot be read .*`dvc pull` brings trained models"):
        calibration.load(tmp_path / "none")


@pytest.mark.parametrize("name", BELONGS)
def test_a_network_that_was_tampered_with_is_told(models: Path, name: str) -> None:
    calibrated = calibration.load(models)
    (models / "vit" / name).write_text("another")
    with pytest.raises(UserError, match=rf"{name} is not the one that calibration\.json belongs to"):
        calibration.verify(calibrated, "vit", models / "vit")
    calibration.verify(calibrated, "resnet34", models / "resnet34")


def test_a_network_that_is_missing_is_told(models: Path) -> None:
    calibrated = calibration.load(models)
    shutil.rmtree(models / "vit")
    with pytest.raises(UserError, match=r"holds no trained ViT .*`dvc pull` brings it, `dvc repro train_vit` makes it"):
        calibration.verify(calibrated, "vit", models / "vit")
