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
    ],
)
def test_what_does_not_is_refused(changed: dict[str, Any], wanted: str) -> None:
    with pytest.raises(ValidationError, match=wanted):
        recipe(**changed)
