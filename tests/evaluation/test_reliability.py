"""Reliability against counting by hand."""

import numpy as np
import pytest
from scipy.special import softmax

from support.outcomes import outcomes
from warehouse_classifier.evaluation import reliability


@pytest.mark.slow
def test_who_is_right_as_often_as_said_has_no_error() -> None:
    logits, label = outcomes(6, 50_000)
    shares = softmax(logits, axis=1)
    assert reliability.error(reliability.table(shares, label)) < 0.01
    assert reliability.error(reliability.table(softmax(3 * logits, axis=1), label)) > 0.1
    # on few images chance alone makes an error, about that of one who is right as often as said
    chance = reliability.chance(shares[:200], 1)
    parts = [slice(i, i + 200) for i in range(0, 20_000, 200)]
    errors = [reliability.error(reliability.table(shares[part], label[part])) for part in parts]
    assert chance == pytest.approx(np.mean(errors), rel=0.15)
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
