"""The drawings: the same bytes every time, readable on any ground, and fit to stand together in one page."""

import re
import xml.etree.ElementTree as ET
from dataclasses import astuple
from io import StringIO
from itertools import pairwise

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.text import Text

from warehouse_classifier.cli.report import speed_chart
from warehouse_classifier.report import (
    accuracy_charts,
    calibration_charts,
    learning_charts,
    verification_charts,
)
from warehouse_classifier.report import style as looks
from warehouse_classifier.report.chart import Chart

MATRIX = np.array([[8, 2, 0], [1, 5, 4], [0, 0, 0]])
TITLES = {"resnet34": "ResNet34", "vit": "ViT", "average": "their average"}
BASELINE = {**TITLES, "baseline": "always saying 3"}
PRIOR = {**TITLES, "prior": "the expectation alone"}
INTERVALS = {
    "resnet34": (0.6, 0.5, 0.7), "vit": (1.0, 1.0, 1.0), "average": (0.6, 0.5, 0.7), "baseline": (0.2, 0.1, 0.3)
}  # fmt: skip
RECALLS = {
    "resnet34": {1: 0.9, 2: None, 3: 0.0},
    "vit": {1: 0.8, 2: None, 3: 1.0},
    "average": {1: 1.0, 2: None, 3: 1.0},
}


def line(along: str, most: float) -> pd.DataFrame:
    at = np.linspace(0, most, 31)
    return pd.DataFrame({along: at, "resnet34": at**0.4, "vit": at**0.5, "average": at**0.3, "prior": at})


def every_chart() -> list[Chart]:
    at = [1, 2, 3]
    loss = pd.Series([3.0, 2.0, 1.0], at)
    losses = {(network, split): loss for network in ("resnet34", "vit") for split in ("train", "validation")}
    rates = {("vit", ""): pd.Series(at, at), ("resnet34", ""): pd.Series([0.5], [1])}
    ladder = [("before", 0.4, 0.2, 3), ("before", 0.95, 0.7, 9), ("after", 0.3, 0.25, 2), ("after", 0.8, 0.75, 10)]
    cases = [("as expected", 1200, 0.9, 0.06, 0.04), ("wrong by one", 40, 0.3, 0.3, 0.4), ("holds 0", 7, 0.0, 0.1, 0.9)]
    quarters = pd.DataFrame(
        {"group": ["up to 0.94 l", "0.94 to 2.1 l", "2.1 to 4.3 l", "above 4.3 l", "not known"], "images": 12060}
    ).assign(**{f"{net}{end}": value for net in TITLES for end, value in (("", 0.6), ("_low", 0.5), ("_high", 0.7))})
    speeds = [("resnet34", 220.0, 0.6, 0.5, 0.7), ("vit", 231.0, 0.97, 0.95, 1.0), ("average", 170.0, 0.8, 0.7, 0.9)]
    return [
        accuracy_charts.confusion("confusion_vit", "ViT", MATRIX, (1, 2, 3)),
        accuracy_charts.recall("recall", RECALLS, TITLES),
        accuracy_charts.accuracies("accuracy", INTERVALS, BASELINE),
        learning_charts.learning("loss", "loss", losses, TITLES),
        learning_charts.learning("validation_accuracy", "accuracy", rates, TITLES),
        accuracy_charts.shares("fullness", "how full the bin is", quarters, TITLES),
        speed_chart.speed(
            "speed", pd.DataFrame(speeds, columns=["who", "images_per_second", "accuracy", "low", "high"]), TITLES
        ),
        calibration_charts.reliability(
            "reliability_vit", "ViT", pd.DataFrame(ladder, columns=["stage", "confidence", "accuracy", "images"]),
            {"before": 0.21, "after": 0.034},
        ),
        verification_charts.gains("found_one_off", "wrong by one", line("looked_at", 0.3), PRIOR, prevalence=0.05),
        verification_charts.roc("roc_one_off", "wrong by one", line("false_alarms", 1), PRIOR),
        verification_charts.verdicts(
            "verdicts_vit", "ViT", pd.DataFrame(cases, columns=["case", "images", "match", "look", "mismatch"])
        ),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def drawn() -> dict[str, Chart]:
    return {one.name: one for one in every_chart()}


def texts(one: Chart) -> list[str]:
    return re.findall(r">([^<>]+)</(?:text|tspan)>", one.svg)


@pytest.mark.slow
def test_the_same_bytes_every_time(drawn: dict[str, Chart]) -> None:
    with mpl.rc_context({"font.size": 31, "savefig.facecolor": "red"}):  # someone's matplotlibrc
        others = every_chart()
    for one, other in zip(drawn.values(), others, strict=True):
        assert one.svg == other.svg == one.svg
        assert one.csv() == other.csv()


@pytest.mark.slow
def test_an_svg_stands_alone_and_says_what_it_shows(drawn: dict[str, Chart]) -> None:
    for one in drawn.values():
        root = ET.fromstring(one.svg)  # noqa: S314 -- our own
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert root.get("role") == "img"
        assert root.get("aria-label") == one.words
        assert "metadata" not in one.svg
        assert "nan" not in one.svg.lower()


def test_text_takes_the_colour_of_the_page(drawn: dict[str, Chart]) -> None:
    for one in drawn.values():
        svg = one.svg
        assert "fill: currentColor" in svg
        assert looks.INK not in svg
        assert "DejaVu" not in svg


def test_no_id_stands_twice_in_one_page(drawn: dict[str, Chart]) -> None:
    page = "".join(one.svg for one in drawn.values())
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', page)) <= set(ids)


def test_all_are_as_wide_as_each_other_so_that_their_type_is_one_size(drawn: dict[str, Chart]) -> None:
    boxes = [re.search(r'viewBox="0 0 (\S+) ', one.svg) for one in drawn.values()]
    assert {box[1] for box in boxes if box} == {"316.8"}


def test_every_name_is_there_whole_and_nothing_leaves_the_drawing(drawn: dict[str, Chart]) -> None:
    for one in drawn.values():
        width, height = one.figure.canvas.get_width_height(physical=True)
        with looks.house_style(one.name):
            box = one.figure.get_tightbbox()
        assert box.x0 >= -0.01, one.name
        assert box.y0 >= -0.01, one.name
        assert box.x1 <= width / one.figure.dpi + 0.01, one.name
        assert box.y1 <= height / one.figure.dpi + 0.01, one.name


def outside(one: Chart) -> list[Text]:
    """Labels of ticks that are not drawn, as they lie beyond the end of their axis."""
    ticks = [
        (tick, axis.get_view_interval())
        for axes in one.figure.axes
        for axis in (axes.xaxis, axes.yaxis)
        for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks())
    ]
    return [tick.label1 for tick, ends in ticks if not min(ends) <= tick.get_loc() <= max(ends)]


@pytest.mark.slow
def test_no_two_texts_of_a_drawing_overlap() -> None:
    for one in every_chart():
        one.figure.draw_without_rendering()  # or a legend lies where it was before the layout
        renderer = FigureCanvasAgg(one.figure).get_renderer()
        pairs = [
            text for text in one.figure.findobj(Text)
            if text.get_visible() and text.get_text().strip() and not text.get_rotation() % 90 and text not in outside(one)
        ]  # fmt: skip
        boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in pairs]
        for i, (label, box) in enumerate(boxes):
            for other, further in boxes[i + 1 :]:
                inner = box.padded(-0.6)
                assert not inner.overlaps(further), f"{one.name}: {label!r} lies on {other!r}"


def test_the_tables_are_keyed_as_dvc_reads_them(drawn: dict[str, Chart]) -> None:
    columns = {name: ",".join(pd.read_csv(StringIO(one.csv())).columns) for name, one in drawn.items()}
    assert columns == {
        "confusion_vit": "actual,predicted,images",
        "recall": "quantity,resnet34,vit,average",
        "accuracy": "who,accuracy,low,high",
        "loss": "epoch,resnet34_train,resnet34_validation,vit_train,vit_validation",
        "validation_accuracy": "epoch,vit,resnet34",
        "fullness": "group,images," + ",".join(f"{key}{end}" for key in TITLES for end in ("", "_low", "_high")),
        "speed": "who,images_per_second,accuracy,low,high",
        "reliability_vit": "stage,confidence,accuracy,images",
        "found_one_off": "looked_at,resnet34,vit,average,prior",
        "roc_one_off": "false_alarms,resnet34,vit,average,prior",
        "verdicts_vit": "case,images,match,look,mismatch",
    }


def test_a_table_holds_what_was_drawn(drawn: dict[str, Chart]) -> None:
    assert drawn["confusion_vit"].csv().splitlines()[:3] == ["actual,predicted,images", "1,1,8", "1,2,2"]
    assert drawn["accuracy"].csv().splitlines()[1] == "resnet34,0.600000,0.500000,0.700000"
    assert drawn["recall"].csv().splitlines()[1:] == [
        "1,0.900000,0.800000,1.000000",
        "3,0.000000,1.000000,1.000000",  # and none of 2, which no bin holds
    ]
    assert drawn["validation_accuracy"].csv() == "epoch,vit,resnet34\n1,1,0.500000\n2,2,\n3,3,\n"  # of unlike lengths


def test_people_read_titles_and_no_keys(drawn: dict[str, Chart]) -> None:
    for one in drawn.values():
        words = " ".join([*texts(one), one.words])
        assert not re.search(r"resnet34|\bvit\b|\baverage\b(?<!their average)|baseline|\bprior\b", words), one.name
    for name in ("recall", "fullness", "found_one_off", "roc_one_off", "accuracy"):
        assert {"ResNet34", "ViT", "their average"} <= set(texts(drawn[name]))
    assert "always saying 3" in texts(drawn["accuracy"])
    assert "the expectation alone" in texts(drawn["found_one_off"])


def test_a_confusion_matrix_shows_counts_and_shares(drawn: dict[str, Chart]) -> None:
    assert {"8", "80 %", "4", "40 %"} <= set(texts(drawn["confusion_vit"]))
    assert "1: 80 %, 2: 50 %, 3: 0 %" in drawn["confusion_vit"].words


def test_a_quantity_that_is_absent_has_a_dash_and_no_bar(drawn: dict[str, Chart]) -> None:
    assert texts(drawn["recall"]).count("–") == 3


def test_a_reliability_diagram_tells_the_errors(drawn: dict[str, Chart]) -> None:
    assert {"before, ECE 21.0 %", "after, ECE 3.4 %"} <= set(texts(drawn["reliability_vit"]))
    assert "21.0 % before and 3.4 % after" in drawn["reliability_vit"].words


def test_what_can_be_found_at_best_is_drawn_where_the_prevalence_is_known(drawn: dict[str, Chart]) -> None:
    assert "at best" in texts(drawn["found_one_off"])
    assert "at best" not in texts(verification_charts.gains("found", "wrong by one", line("looked_at", 0.3), PRIOR))
    assert "when 5 % of bins are looked at" in drawn["found_one_off"].words


def test_verdicts_say_their_shares_where_there_is_room(drawn: dict[str, Chart]) -> None:
    words = texts(drawn["verdicts_vit"])
    assert {"90", "30", "40", "1,200 images"} <= set(words)
    assert "4" not in words
    assert "holds 0: match 0 %, look 10 % and mismatch 90 %" in drawn["verdicts_vit"].words


def test_speed_is_labelled_beside_its_point(drawn: dict[str, Chart]) -> None:
    assert "220 a second, 60.0 %" in texts(drawn["speed"])


def test_those_who_are_compared_differ_in_more_than_colour() -> None:
    styles = looks.styles(["resnet34", "vit", "average", "baseline", "someone", "another"])
    drawn_as = [(style.marker, style.dash, style.hatch) for style in list(styles.values())[:5]]
    assert len(set(drawn_as)) == 5
    assert styles["vit"] == looks.STYLES["vit"]
    assert astuple(styles["someone"]) == astuple(looks.STYLES["prior"])


def test_verdicts_differ_in_lightness_and_carry_black_numbers() -> None:
    def lightness(colour: str) -> float:
        """Relative luminance of WCAG 2.1."""
        parts = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in to_rgb(colour)]
        return float(np.dot(parts, [0.2126, 0.7152, 0.0722]))

    values = sorted(lightness(colour) for colour, _ in verification_charts.FILLS.values())
    assert all((more + 0.05) / (less + 0.05) > 1.2 for less, more in pairwise(values))
    assert (values[0] + 0.05) / 0.05 > 4.5


def test_nothing_is_left_in_matplotlib(drawn: dict[str, Chart]) -> None:
    assert drawn
    assert mpl.rcParams["svg.fonttype"] == mpl.rcParamsDefault["svg.fonttype"]
    assert mpl.rcParams["text.color"] == mpl.rcParamsDefault["text.color"]
