"""The drawings: the same bytes every time, readable on any ground, and fit to stand together in one page."""

import re
import xml.etree.ElementTree as ET

import matplotlib as mpl
import numpy as np
import pytest

from warehouse_classifier import charts
from warehouse_classifier.charts import Chart

MATRIX = np.array([[8, 2, 0], [1, 5, 4], [0, 0, 0]])


def every_chart() -> list[Chart]:
    epochs = [1, 2, 3]
    return [
        charts.confusion("confusion_vit", "ViT", MATRIX, (1, 2, 3)),
        charts.recall("recall", {"ResNet34": {1: 0.9, 2: None, 3: 0.0}, "ViT": {1: 0.8, 2: None, 3: 1.0}}),
        charts.accuracies(
            "accuracy", {"ResNet34": (0.6, 0.5, 0.7), "ViT": (1.0, 1.0, 1.0), "always 3": (0.2, 0.1, 0.3)}
        ),
        charts.learning(
            "loss", "loss", {f"{net}, {of}": (epochs, [3, 2, 1]) for net in "ab" for of in ("train", "test")}
        ),
    ]


@pytest.fixture(scope="module")
def drawn() -> list[Chart]:
    return every_chart()


def test_the_same_bytes_every_time(drawn: list[Chart]) -> None:
    with mpl.rc_context({"font.size": 31, "savefig.facecolor": "red"}):  # someone's matplotlibrc
        others = every_chart()
    for one, other in zip(drawn, others, strict=True):
        assert one.svg() == other.svg() == one.svg()
        assert one.png() == other.png() == one.png()


def test_an_svg_stands_alone_and_says_what_it_shows(drawn: list[Chart]) -> None:
    for chart in drawn:
        root = ET.fromstring(chart.svg())  # noqa: S314 -- our own
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert root.get("role") == "img"
        assert root.get("aria-label") == chart.words
        assert "metadata" not in chart.svg()


def test_text_takes_the_colour_of_the_page(drawn: list[Chart]) -> None:
    for chart in drawn:
        svg = chart.svg()
        assert "fill: currentColor" in svg
        assert charts.INK not in svg
        assert "DejaVu" not in svg


def test_no_id_stands_twice_in_one_page(drawn: list[Chart]) -> None:
    page = "".join(chart.svg() for chart in drawn)
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', page)) <= set(ids)


def test_a_confusion_matrix_shows_counts_and_shares(drawn: list[Chart]) -> None:
    svg = drawn[0].svg()
    texts = re.findall(r">([^<>]+)</(?:text|tspan)>", svg)
    assert {"8", "80 %", "4", "40 %"} <= set(texts)
    assert "nan" not in svg.lower()
    assert "1: 80 %, 2: 50 %, 3: 0 %" in drawn[0].words


def test_a_quantity_that_is_absent_has_a_dash_and_no_bar(drawn: list[Chart]) -> None:
    assert drawn[1].svg().count(">–</text>") == 2


def test_nothing_is_left_in_matplotlib(drawn: list[Chart]) -> None:
    assert drawn
    assert mpl.rcParams["svg.fonttype"] == mpl.rcParamsDefault["svg.fonttype"]
    assert mpl.rcParams["text.color"] == mpl.rcParamsDefault["text.color"]
