"""The tables behind the charts, on a few images whose answers are known."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from support.predictors import LEARNED_FROM
from warehouse_classifier.dataset.labels import QuantityEncoder
from warehouse_classifier.evaluation import tables as evidence
from warehouse_classifier.evaluation.calibration import Calibrated, Calibration
from warehouse_classifier.evaluation.counters import COUNTERS
from warehouse_classifier.evaluation.predictions import Predictions
from warehouse_classifier.evaluation.tables import FEWEST_GROUPS
from warehouse_classifier.evaluation.temperature import nll, probabilities
from warehouse_classifier.models.folder import BELONGS
from warehouse_classifier.models.registry import NETWORKS

LABELS = QuantityEncoder([1, 2, 3])
TEMPERATURES = {"resnet34": 2.0, "vit": 0.5, "average": 1.5}


def predictions_of(logits: dict[str, list[list[float]]], quantity: list[int]) -> Predictions:
    facts = pd.DataFrame(
        {"id": map(str, range(len(quantity))), "quantity": quantity, "group": map(str, range(len(quantity)))}
    )
    own = {net: np.array(logits[net]) for net in NETWORKS}
    return Predictions(facts, own, probabilities(own, TEMPERATURES))


@pytest.fixture
def test() -> Predictions:
    """Of four images the ResNet34 is right on all but the last, and the ViT on the last alone."""
    right = [[4.0, 0, 0], [0, 4.0, 0], [0, 0, 4.0], [4.0, 0, 0]]
    return predictions_of({"resnet34": right, "vit": [*right[1:], [0, 4.0, 0]]}, [1, 2, 3, 2])


@pytest.mark.slow
def test_reliability_before_and_after_is_of_the_counter_itself(test: Predictions) -> None:
    tables, errors = evidence.reliabilities(test, LABELS, 1)
    for counter in COUNTERS:
        stages = tables[counter].groupby("stage", sort=False)
        assert [*stages.groups] == ["before", "after"]
        assert stages["images"].sum().tolist() == [4, 4]
    label = LABELS.encode(test.quantity)
    assert errors["resnet34"]["nll_after"] == nll(test.probabilities["resnet34"], label)
    assert errors["resnet34"]["nll_before"] != errors["resnet34"]["nll_after"]
    sure = tables["resnet34"].set_index("stage")["confidence"]
    assert sure["before"].max() == pytest.approx(np.exp(4) / (np.exp(4) + 2))
    assert sure["after"].max() == pytest.approx(np.exp(2) / (np.exp(2) + 2))
    assert sure.groupby("stage").count().tolist() == [1, 1]
    plain = evidence.uncalibrated(test)
    calibrated = test.probabilities
    assert plain["average"] == pytest.approx(
        (calibrated["resnet34"] + calibrated["vit"]) / 2
    )  # without a temperature of its own
    assert 0 < errors["vit"]["ece_chance"] < 0.5


def test_verdicts_by_case(test: Predictions) -> None:
    # 4, 5, 6 items, all of which the ViT takes for 1
    outside = predictions_of({"resnet34": [[0, 0, 9.0]] * 3, "vit": [[9.0, 0, 0]] * 3}, [4, 5, 6])
    calibrated = Calibrated(temperature=0.5, match=0.25, mismatch=0.85)
    cases = evidence.cases("vit", calibrated, test, outside, LABELS).set_index("case")
    assert cases["images"].to_dict() == {
        "as expected": 4, "wrong by one": 4, "wrong by any number": 4, "holds 4": 1, "holds 5": 1, "holds 6 or more": 1,
    }  # fmt: skip
    right = cases.loc["as expected"]
    assert (right["match"], right["look"], right["mismatch"]) == (0.25, 0, 0.75)
    # of those disguised, a match where 1 is expected, as a quarter of the test split is
    assert cases.loc["holds 5", ["match", "look", "mismatch"]].tolist() == [0.25, 0, 0.75]
    other = evidence.cases("resnet34", calibrated, test, outside, LABELS).set_index("case")
    assert other.loc["holds 5", ["match", "look", "mismatch"]].tolist() == [0.25, 0, 0.75]  # where 3 is
    assert other.loc["as expected", "mismatch"] == 0.25


def test_quantities_between_and_below_have_words_too() -> None:
    kinds = evidence.outside_cases(np.array([0, 2, 6, 7, 8, 111]), (1, 3, 5))
    assert {words: int(which.sum()) for words, which in kinds.items()} == {
        "holds 0": 1, "holds 2": 1, "holds 6": 1, "holds 7": 1, "holds 8 or more": 2,
    }  # fmt: skip
    assert evidence.outside_cases(np.array([], dtype=np.int64), (1, 3, 5)) == {}


def test_accuracy_by_group_is_of_each_counter(test: Predictions) -> None:
    answers = pd.DataFrame(
        {counter: LABELS.decode(shares.argmax(axis=1)) for counter, shares in test.probabilities.items()}
    )
    group = pd.Series(pd.Categorical(["b", "b", "a", "a"], categories=["b", "a", "none"], ordered=True))
    table = evidence.by_contents(group, test, answers, seed=1, resamples=1000).set_index("group")
    assert table["images"].to_dict() == {"b": 2, "a": 2}
    assert table["resnet34"].tolist() == [1.0, 0.5]
    assert table["vit"].tolist() == [0.0, 0.5]
    assert table[["resnet34_low", "vit_high"]].isna().all(axis=None)  # of two bins nobody can tell
    many = pd.Series(pd.Categorical(["b"] * 4 * FEWEST_GROUPS, ordered=True))
    facts = pd.concat([test.facts] * FEWEST_GROUPS).assign(group=list(map(str, range(4 * FEWEST_GROUPS))))
    more = replace(test, facts=facts)
    (row,) = evidence.by_contents(many, more, pd.concat([answers] * FEWEST_GROUPS), seed=1, resamples=1000).to_dict(
        "records"
    )
    assert 0.5 < row["resnet34_low"] < row["resnet34"] == 0.75 < row["resnet34_high"] < 1


@pytest.mark.slow
def test_promises_stand_beside_what_was_met(test: Predictions) -> None:
    calibrated = Calibration(
        version=3, learned_from=LEARNED_FROM, quantities=[1, 2, 3], side=32, quality=90, precision="fp32", mirror=False, false_alarms=0.2, misses=0.1,
        sha256={net: dict.fromkeys(BELONGS, "") for net in NETWORKS},
        counters={counter: Calibrated(temperature=value, match=0.1, mismatch=0.9) for counter, value in TEMPERATURES.items()},
    )  # fmt: skip
    _, errors = evidence.reliabilities(test, LABELS, 1)
    nobody = predictions_of({"resnet34": [[0, 0, 0]], "vit": [[0, 0, 0]]}, [9])
    judged = {
        counter: evidence.cases(counter, calibrated.counters[counter], test, nobody, LABELS) for counter in COUNTERS
    }
    summary = evidence.calibration_summary(calibrated, errors, judged)["vit"]
    assert summary["temperature"] == 0.5
    assert (summary["false_alarms_wanted"], summary["misses_wanted"]) == (0.2, 0.1)
    assert summary["false_alarms_met"] == 0.75
    assert summary["look"] == 0
    assert summary["ece_after"] == errors["vit"]["ece_after"]
