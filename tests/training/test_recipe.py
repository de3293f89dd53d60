"""How a batch may be cut, said at the door."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from support.images import RECIPE
from warehouse_classifier.training.recipe import Recipe


def recipe(**changed: Any) -> Recipe:
    return Recipe(**{**RECIPE, **changed})


@given(st.integers(1, 8), st.integers(1, 8), st.integers(1, 64))
def test_what_multiplies_to_the_batch_is_taken(processes: int, accumulated: int, micro_batch: int) -> None:
    batch = processes * accumulated * micro_batch
    taken = recipe(batch=batch, micro_batch=micro_batch, processes=processes)
    assert (taken.batch, taken.micro_batch, taken.processes) == (batch, micro_batch, processes)


@pytest.mark.parametrize(
    ("changed", "wanted"),
    [
        ({"micro_batch": 3}, "it must divide the batch of 8"),
        ({"micro_batch": 16}, "it must divide the batch of 8"),
        ({"micro_batch": 4, "processes": 3}, "it must divide the number of micro-batches in a batch, 2"),
        ({"processes": 2}, "it must divide the number of micro-batches in a batch, 1"),
        ({"micro_batch": 0}, "greater than or equal to 1"),
        ({"patience": 0}, "greater than or equal to 1"),
        ({"precision": "fp16"}, "fp32"),
        ({"compile": 1}, "boolean"),
        ({"warmup": 1.0}, "less than 1"),
        ({"neighbours": -0.1}, "greater than or equal to 0"),
        ({"average": 0.5, "patience": 2}, "it must be 0 where patience may end the training early"),
        ({"augmentation": {"shrink": 0.1}}, "turn"),
        ({"augmentation": {"shrink": 1.0, "turn": 0.0, "light": 0.0, "colour": 0.0}}, "less than 1"),
        ({"pretrain": {"pairs": 0, "seed": 1, "epochs": 1}}, "greater than or equal to 1"),
    ],
)
def test_what_does_not_is_refused(changed: dict[str, Any], wanted: str) -> None:
    with pytest.raises(ValidationError, match=wanted):
        recipe(**changed)


def test_the_rate_rises_and_falls_in_lines() -> None:
    assert [recipe(learning_rate=0.5).rate(done) for done in (0.0, 0.25, 1.0)] == [0.5, 0.5, 0.5]
    assert [recipe(lr=2.0, decay=True).rate(done) for done in (0.0, 0.25, 1.0)] == [2.0, 1.5, 0.0]
    rates = [recipe(lr=1.0, warmup=0.2, decay=True).rate(done) for done in (0.0, 0.1, 0.2, 0.6, 1.0)]
    assert rates == pytest.approx([0.0, 0.5, 1.0, 0.5, 0.0])
    assert recipe(lr=1.0, warmup=0.2).rate(0.9) == 1.0
