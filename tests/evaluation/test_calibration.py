"""Temperatures, reliability, and models/calibration.json with all that can be wrong with it."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import softmax

from warehouse_classifier.evaluation import calibration, reliability
from warehouse_classifier.evaluation.calibration import Promise, calibrate
from warehouse_classifier.evaluation.counters import AVERAGE, COUNTERS
from warehouse_classifier.evaluation.verification import judge, match_expected, right_of, wrong_of
from warehouse_classifier.models.folder import BELONGS
from warehouse_classifier.models.registry import NETWORKS
from warehouse_classifier.runtime.errors import Fault

QUANTITIES = [1, 2, 3, 4, 5]
PROMISE = Promise(quantities=QUANTITIES, side=32, quality=90, precision="fp32", false_alarms=0.1, misses=0.1)


def outcomes(seed: int, images: int = 4000, temperature: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Logits of someone who is right as often as softmax(logits / temperature) says, and what came true."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (images, 5))
    shares = softmax(logits / temperature, axis=1)
    return logits, (shares.cumsum(axis=1) < rng.random((images, 1))).sum(axis=1)


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
    known = calibrate(dict.fromkeys(NETWORKS, logits), label + 1, PROMISE, folders(tmp_path / "models"))
    known.write(tmp_path / "models" / calibration.FILE)
    return tmp_path / "models"


# ---- temperatures


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_temperature_is_found_again(temperature: float) -> None:
    logits, label = outcomes(2, 20_000, temperature)
    assert calibration.fit(logits, label) == pytest.approx(temperature, rel=0.05)


def test_no_other_temperature_is_better() -> None:
    logits, label = outcomes(3, 500, 1.7)
    best = calibration.fit(logits, label)
    losses = [calibration.nll(calibration.scaled(logits, best * factor), label) for factor in (0.98, 1, 1.02)]
    assert losses[1] == min(losses)


def test_a_network_that_is_always_right_or_never_has_a_temperature_too() -> None:
    logits = np.eye(5)[np.arange(100) % 5] * 3
    assert 0 < calibration.fit(logits, np.arange(100) % 5) < 0.1
    assert calibration.fit(logits, (np.arange(100) + 1) % 5) > 50


def test_the_average_is_of_calibrated_probabilities() -> None:
    first, second = outcomes(4)[0], outcomes(5)[0]
    temperatures = {"resnet34": 2.0, "vit": 0.7, AVERAGE: 1.0}
    said = calibration.probabilities({"resnet34": first, "vit": second}, temperatures)
    mean = (softmax(first / 2.0, axis=1) + softmax(second / 0.7, axis=1)) / 2
    assert said[AVERAGE] == pytest.approx(mean)
    sharper = calibration.probabilities({"resnet34": first, "vit": second}, temperatures | {AVERAGE: 0.5})[AVERAGE]
    assert sharper == pytest.approx(mean**2 / (mean**2).sum(axis=1, keepdims=True))
    assert [*calibration.probabilities({"vit": second}, temperatures)] == ["vit"]


# ---- reliability


def test_who_is_right_as_often_as_said_has_no_error() -> None:
    logits, label = outcomes(6, 50_000)
    shares = softmax(logits, axis=1)
    assert reliability.error(reliability.table(shares, label)) < 0.01
    assert reliability.error(reliability.table(softmax(3 * logits, axis=1), label)) > 0.1
    # on few images chance alone makes an error, about that of one who is right as often as said
    chance = reliability.chance(shares[:200], 1)
    parts = [slice(i, i + 200) for i in range(0, 20_000, 200)]
    found = [reliability.error(reliability.table(shares[part], label[part])) for part in parts]
    assert chance == pytest.approx(np.mean(found), rel=0.15)
    assert reliability.chance(shares, 1) < chance / 5


def test_reliability_by_hand() -> None:
    shares = np.array([[0.95, 0.05], [0.95, 0.05], [0.6, 0.4], [0.0, 1.0]])
    table = reliability.table(shares, np.array([0, 1, 0, 1]))
    assert table.to_dict("list") == {
        "confidence": pytest.approx([0.6, (2 * 0.95 + 1) / 3]),
        "accuracy": pytest.approx([1.0, 2 / 3]),
        "images": [1, 3],
    }
    wanted = (0.4 + 3 * abs((2 * 0.95 + 1) / 3 - 2 / 3)) / 4
    assert reliability.error(table) == pytest.approx(wanted)


# ---- thresholds


def test_thresholds_keep_their_promise_on_what_they_were_chosen_on(tmp_path: Path) -> None:
    logits, label = outcomes(7)
    known = calibrate({"resnet34": logits, "vit": logits[:, ::-1]}, label + 1, PROMISE, folders(tmp_path))
    assert known.counters.keys() == COUNTERS.keys()
    said = calibration.probabilities(
        {"resnet34": logits, "vit": logits[:, ::-1]}, {who: of.temperature for who, of in known.counters.items()}
    )
    for who, of in known.counters.items():
        verdicts = judge(1 - said[who], of.match, of.mismatch)
        right, wrong = right_of(QUANTITIES, label + 1), wrong_of(QUANTITIES, label + 1, "one_off")
        assert np.mean(verdicts[right] == "mismatch") == pytest.approx(0.1, abs=0.002)
        weights = match_expected(right, wrong, np.ones(len(label)))[1]
        assert 0.09 < weights[verdicts == "match"].sum() / weights.sum() <= 0.1
        assert of.match <= of.mismatch


def test_the_average_has_the_temperature_that_is_best_for_it(tmp_path: Path) -> None:
    logits, label = outcomes(9, temperature=0.5)
    said = {"resnet34": logits, "vit": logits + np.random.default_rng(1).normal(0, 2, logits.shape)}
    known = calibrate(said, label + 1, PROMISE, folders(tmp_path))
    temperatures = {who: of.temperature for who, of in known.counters.items()}
    best = temperatures[AVERAGE]
    losses = [
        calibration.nll(calibration.probabilities(said, temperatures | {AVERAGE: factor * best})[AVERAGE], label)
        for factor in (0.95, 1, 1.05)
    ]
    assert losses[1] == min(losses)
    assert best != pytest.approx(1, abs=0.1)


# ---- the file


def test_what_is_written_is_read(models: Path) -> None:
    known = calibration.load(models)
    assert known.model_dump(include={*Promise.model_fields}) == PROMISE.model_dump()
    first = (models / calibration.FILE).read_bytes()
    known.write(models / calibration.FILE)
    assert (models / calibration.FILE).read_bytes() == first
    for network in NETWORKS:
        calibration.verify(known, network, models / network)


def change(models: Path, **values: Any) -> None:
    path = models / calibration.FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"version": 2}, "is of version 2, this program reads 1; `dvc repro evaluate` makes it anew"),
        ({"version": None}, "is of version None, this program reads 1"),
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
def test_a_file_of_another_version_or_shape_is_told(models: Path, values: dict[str, Any], said: str) -> None:
    change(models, **values)
    with pytest.raises(Fault, match=said.replace("(", r"\(")) as caught:
        calibration.load(models)
    assert calibration.FILE in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("body", ["", "{", "[1]", "7"])
def test_what_is_no_calibration_is_told(models: Path, body: str) -> None:
    (models / calibration.FILE).write_text(body)
    with pytest.raises(Fault, match=r"is not JSON|is of version None"):
        calibration.load(models)


def test_a_missing_folder_is_told_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(Fault, match=r"calibration\.json cannot be read .*`dvc pull` brings trained models"):
        calibration.load(tmp_path / "none")


@pytest.mark.parametrize("name", BELONGS)
def test_a_network_that_was_tampered_with_is_told(models: Path, name: str) -> None:
    known = calibration.load(models)
    (models / "vit" / name).write_text("another")
    with pytest.raises(Fault, match=rf"{name} is not the one that calibration\.json belongs to"):
        calibration.verify(known, "vit", models / "vit")
    calibration.verify(known, "resnet34", models / "resnet34")


def test_a_network_that_is_missing_is_told(models: Path) -> None:
    known = calibration.load(models)
    shutil.rmtree(models / "vit")
    with pytest.raises(Fault, match=r"holds no trained ViT .*`dvc pull` brings it, `dvc repro train_vit` makes it"):
        calibration.verify(known, "vit", models / "vit")
