"""Lists of items that are judged: by sizes where they are known, else by their number, and in words."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support.bins import jpeg
from support.predictors import tiny, verified, verifier
from warehouse_classifier.bins.expectation import Expectation
from warehouse_classifier.bins.sizes import attributes
from warehouse_classifier.evaluation.counters import AVERAGE
from warehouse_classifier.runtime.errors import UserError
from warehouse_classifier.serving.list_predictor import ListPredictor, in_words, opened
from warehouse_classifier.serving.questions import Answer, Question

Items = list[dict[str, Any]]


def items(volume: float | None, quantity: int = 3) -> Items:
    """So many alike, of this volume together."""
    edge = None if volume is None else (volume / quantity) ** (1 / 3)
    return [
        {
            "asin": "A",
            "name": None,
            "quantity": quantity,
            "weight": None,
            **dict.fromkeys(("height", "length", "width"), edge),
        }
    ]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return verified(tiny(tmp_path_factory.mktemp("its") / "models"))


@pytest.fixture(scope="module")
def judge(models: Path) -> Iterator[ListPredictor]:
    with opened(models, AVERAGE, threads=1) as counter:
        assert isinstance(counter, ListPredictor)
        yield counter


def asked(judge: ListPredictor, expected: int | None, its: Items | None) -> tuple[Answer, Answer]:
    """What is said with the list, and by the number alone."""
    pixels = judge.pixels(jpeg(1))[None]
    (answer,), (counted,) = (
        judge.inspect(pixels, [Question(None if expected is None else Expectation(expected, its))]),
        judge.answers(judge.probabilities(pixels), [expected]),
    )
    assert (answer.predicted, answer.probability) == (counted.predicted, pytest.approx(counted.probability, abs=1e-6))
    return answer, counted


def test_a_list_that_fits_is_a_match_and_one_that_is_far_off_is_not(judge: ListPredictor) -> None:
    verdicts = {volume: asked(judge, 3, items(volume))[0] for volume in (100, 250, 900)}
    assert {volume: answer.verdict for volume, answer in verdicts.items()} == {
        100: "match", 250: "look", 900: "mismatch"
    }  # fmt: skip
    doubts = [verdicts[volume].doubt for volume in (100, 250, 900)]
    alone = verifier().doubts(
        np.zeros((3, len(verifier().direction))), np.array([attributes(items(v)) for v in (100, 250, 900)])
    )
    assert doubts == pytest.approx(alone.tolist(), abs=1e-9)


def test_what_speaks_against_a_list_is_said_in_words(judge: ListPredictor) -> None:
    assert (
        asked(judge, 3, items(900))[0].reason == "3 items of about 900 cubic inches expected; this looks like 50 to 200"
    )
    assert asked(judge, 3, items(100))[0].reason is None
    assert in_words(2, 90.0, 50.0, 200.0).endswith(
        "this looks like 50 to 200, yet their number or single sizes fit less"
    )
    assert in_words(1, 1234.0, 0.456, 98.7) == "1 item of about 1,200 cubic inches expected; this looks like 0.5 to 99"


@pytest.mark.parametrize("its", [None, items(None), items(100, 2) + items(None, 1)])
def test_without_sizes_the_number_alone_is_judged(judge: ListPredictor, its: Items | None) -> None:
    answer, counted = asked(judge, 3, its)
    assert answer.verdict == counted.verdict
    assert answer.reason == (its and "of an item no size is known, so that the number alone is judged")
    assert answer.doubt == pytest.approx(counted.doubt, abs=1e-6)


@pytest.mark.parametrize(("its", "held"), [(items(100, 4), 4), ([], 0), (items(100, 10_000), 10_000)])
def test_a_list_that_does_not_add_up_wants_a_look(judge: ListPredictor, its: Items, held: int) -> None:
    answer, _ = asked(judge, 3, its)
    assert (answer.doubt, answer.verdict, answer.reason) == (None, "look", f"3 expected, its items add up to {held}")


@pytest.mark.parametrize(("expected", "its"), [(None, None), (6, None), (6, items(None, 6)), (21, None)])
def test_without_a_list_the_verifier_says_what_the_counter_says(
    judge: ListPredictor, expected: int | None, its: Items | None
) -> None:
    answer, counted = asked(judge, expected, its)
    assert (answer.doubt, answer.verdict) == (counted.doubt, counted.verdict)
    why = "6 expected, the model knows 1 to 5; of an item no size is known, so that the number alone is judged"
    assert answer.reason == (why if its else counted.reason)


def test_lists_of_any_number_that_was_learned_from_are_judged(judge: ListPredictor) -> None:
    """The counter knows 1 to 5, and the verifier's lists held up to 20."""
    assert asked(judge, 20, items(100, 20))[0].verdict == "match"
    answer, _ = asked(judge, 20, items(900, 20))
    assert answer.verdict == "mismatch"
    assert answer.reason == "20 items of about 900 cubic inches expected; this looks like 50 to 200"
    answer, _ = asked(judge, 21, items(100, 21))
    assert (answer.doubt, answer.verdict) == (None, "look")
    assert answer.reason == "21 expected, lists of up to 20 items can be judged"


@pytest.mark.parametrize("its", [None, []])
def test_a_bin_that_is_to_be_empty_has_a_list(judge: ListPredictor, its: Items | None) -> None:
    answer, counted = asked(judge, 0, its)
    assert counted.doubt is None
    assert answer.doubt is not None
    assert in_words(0, 0.0, 50.0, 200.0) == "0 items expected; this looks like 50 to 200 cubic inches"


def test_a_single_network_and_a_folder_without_a_verifier_count(models: Path, tmp_path: Path) -> None:
    for folder, name in ((models, "vit"), (tiny(tmp_path / "models"), AVERAGE)):
        with opened(folder, name, threads=1) as counter:
            assert not counter.by_lists


def test_a_verifier_of_other_networks_is_one_line(models: Path, tmp_path: Path) -> None:
    other = tiny(tmp_path / "models")
    (other / "verifier").mkdir()
    for file in (models / "verifier").iterdir():
        text = file.read_bytes().replace(
            b'"resnet34": {\n      "config.json": "', b'"resnet34": {\n      "config.json": "0'
        )
        (other / "verifier" / file.name).write_bytes(text)
    with pytest.raises(UserError, match="was trained with another ResNet34"), opened(other):
        pass
