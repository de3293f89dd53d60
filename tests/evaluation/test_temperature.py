"""Temperatures against what they are defined by."""

import numpy as np
import pytest
from scipy.special import softmax

from support.outcomes import outcomes
from warehouse_classifier.evaluation import temperature as scaling
from warehouse_classifier.evaluation.counters import AVERAGE


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_temperature_is_found_again(temperature: float) -> None:
    logits, label = outcomes(2, 20_000, temperature)
    assert scaling.fit(logits, label) == pytest.approx(temperature, rel=0.05)


def test_no_other_temperature_is_better() -> None:
    logits, label = outcomes(3, 500, 1.7)
    best = scaling.fit(logits, label)
    losses = [scaling.nll(scaling.scaled(logits, best * factor), label) for factor in (0.98, 1, 1.02)]
    assert losses[1] == min(losses)


def test_a_network_that_is_always_right_or_never_has_a_temperature_too() -> None:
    logits = np.eye(5)[np.arange(100) % 5] * 3
    assert 0 < scaling.fit(logits, np.arange(100) % 5) < 0.1
    assert scaling.fit(logits, (np.arange(100) + 1) % 5) > 50


def test_the_average_is_of_calibrated_probabilities() -> None:
    first, second = outcomes(4)[0], outcomes(5)[0]
    temperatures = {"resnet34": 2.0, "vit": 0.7, AVERAGE: 1.0}
    averaged = scaling.probabilities({"resnet34": first, "vit": second}, temperatures)
    mean = (softmax(first / 2.0, axis=1) + softmax(second / 0.7, axis=1)) / 2
    assert averaged[AVERAGE] == pytest.approx(mean)
    sharper = scaling.probabilities({"resnet34": first, "vit": second}, temperatures | {AVERAGE: 0.5})[AVERAGE]
    assert sharper == pytest.approx(mean**2 / (mean**2).sum(axis=1, keepdims=True))
    assert [*scaling.probabilities({"vit": second}, temperatures)] == ["vit"]
