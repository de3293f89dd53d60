"""The page of the report, read by a program and by a real browser."""

import base64
import os
import re
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from support.evaluations import QUANTITIES, THREE, TITLES, measured, verdicts
from support.projects import TOP
from warehouse_classifier.cli.report.runs import Runs, added
from warehouse_classifier.evaluation.metrics import McNemar
from warehouse_classifier.evaluation.mismatches.expectations import MISMATCHES
from warehouse_classifier.evaluation.mismatches.lists import PAIRED
from warehouse_classifier.evaluation.mismatches.verification import Estimate
from warehouse_classifier.evaluation.results import Evaluation
from warehouse_classifier.report import accuracy_charts, calibration_charts, learning_charts, verification_charts
from warehouse_classifier.report.chart import Chart
from warehouse_classifier.report.formatting import between, chance, comparisons, origin, percent, separation, share
from warehouse_classifier.report.gallery import Bin, ItemList, WrongList, choose, in_words
from warehouse_classifier.report.page import LINK, PLACE, ReportData, page
from warehouse_classifier.runtime.errors import UserError

PUBLISHED = TOP / "data" / "published.csv"
WIDTHS = (1280, 390)  # pixels, of a desk and of a phone
HOSTILE = "<script>alert('bin')</script>"
BASELINE = {**TITLES, "baseline": "always saying 3"}
PRIOR = {**TITLES, "prior": "the expectation alone"}
WORDS = {"one_off": "wrong by one", "any_size": "wrong by any number"}


def photo(seed: int, side: int = 224) -> bytes:
    """A JPEG of a shelf with boxes, as many bytes as a real photo of this size has."""
    rng = np.random.default_rng(seed)
    pixels = np.full((side, side, 3), 96.0) + np.linspace(-30, 30, side)[:, None, None]
    for _ in range(1 + seed % 5):
        top, left = rng.integers(side // 8, side // 2, 2)
        pixels[top : top + side // 3, left : left + side // 3] = rng.integers(60, 230, 3)
    noisy = np.clip(pixels + rng.normal(0, 9, pixels.shape), 0, 255).astype(np.uint8)
    out = BytesIO()
    Image.fromarray(noisy).save(out, "JPEG", quality=90)
    return out.getvalue()


# ---- a page at full scale ------------------------------------------------------------------------------------------


def curve(along: str, most: float, points: int, kind: str) -> pd.DataFrame:
    at, harder = np.linspace(0, most, points), 1.0 if kind == "any_size" else 1.8
    powers = dict(zip(TITLES, (0.6, 0.7, 0.5), strict=True))
    if along == "looked_at":
        return pd.DataFrame(
            {along: at, **{key: np.minimum(1, (3 * at) ** (harder * p)) for key, p in powers.items()}, "prior": at}
        )
    return pd.DataFrame({along: at, **{key: at ** (0.6 * harder * p) for key, p in powers.items()}, "prior": at})


def reliability() -> pd.DataFrame:
    sure = (np.arange(4, 15) + 0.5) / 15
    images = np.arange(40, 2240, 200)
    stages = {"before": sure**2, "after": sure * 0.97}
    rows = [
        pd.DataFrame({"confidence": sure, "accuracy": accuracy, "images": images}).assign(stage=at)
        for at, accuracy in stages.items()
    ]
    return pd.concat(rows)


def groups(names: list[str]) -> pd.DataFrame:
    rows: dict[str, object] = {"group": names, "images": [5500 - 700 * i for i in range(len(names))]}
    for i, key in enumerate(TITLES):
        at = np.linspace(0.85, 0.4, len(names)) + 0.03 * i
        rows |= {key: at, f"{key}_low": at - 0.03, f"{key}_high": at + 0.03}
    return pd.DataFrame(rows)


def drawings(evaluation: Evaluation) -> list[Chart]:
    scores = evaluation.metrics
    epochs = np.arange(1, 41)
    fall = pd.Series(2 / epochs**0.5, epochs)
    scales = {
        ("resnet34", "train"): 0.8,
        ("resnet34", "validation"): 1.1,
        ("vit", "train"): 1.0,
        ("vit", "validation"): 1.25,
    }
    losses = {line: fall * scale for line, scale in scales.items()}
    rates = {(network, ""): 1 - scale * fall / 3 for network, scale in (("resnet34", 1.0), ("vit", 1.2))}
    intervals = {
        key: (metrics.accuracy, metrics.accuracy_low, metrics.accuracy_high) for key, metrics in scores.items()
    }
    return [
        accuracy_charts.accuracies("accuracy", intervals, BASELINE),
        *(accuracy_charts.confusion(f"confusion_{key}", title, evaluation.confusion(key), QUANTITIES) for key, title in TITLES.items()),
        accuracy_charts.recall("recall", {key: scores[key].recall for key in TITLES}, TITLES),
        learning_charts.learning("loss", "loss", losses, TITLES),
        learning_charts.learning("validation_accuracy", "validation accuracy", rates, TITLES),
        accuracy_charts.shares("fullness", "volume of the items", groups(["up to 0.94 l", "0.94 to 2.1 l", "2.1 to 4.3 l", "above 4.3 l", "not known"]), TITLES),
        accuracy_charts.shares("clutter", "different items in the bin", groups(["1", "2", "3", "4", "5"]), TITLES),
        *(calibration_charts.reliability(f"reliability_{key}", title, reliability(), {"before": 0.123, "after": 0.021}) for key, title in TITLES.items()),
        *(verification_charts.verdicts(f"verdicts_{key}", title, verdicts(0.01 * i)) for i, (key, title) in enumerate(TITLES.items())),
        *(verification_charts.gains(f"found_{kind}", WORDS[kind], curve("looked_at", 0.3, 151, kind), PRIOR, prevalence=0.05) for kind in MISMATCHES),
        *(verification_charts.roc(f"roc_{kind}", WORDS[kind], curve("false_alarms", 1, 201, kind), PRIOR) for kind in MISMATCHES),
    ]  # fmt: skip


def wrong_list(number: int, *, found: bool) -> WrongList:
    lists = ItemList(2, ("1 × A pair of socks", "1 × Glue")), ItemList(1, ("1 × Glue",))
    return WrongList(f"{number:05}", photo(number), *lists, doubt=0.97 if found else 0.02, found=found)


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    return measured(TITLES)


@pytest.fixture(scope="module")
def data(evaluation: Evaluation) -> ReportData:
    drawn = drawings(evaluation)
    return ReportData(
        images={"train": 1200, "validation": 100, "test": 400},
        bins=origin("synthetic://"),
        split=separation(["a"], ["b"]),
        drawings={chart.name: chart.svg for chart in drawn},
        published=pd.read_csv(PUBLISHED).to_dict("records"),
        gallery=[
            Bin(f"{i:05}", photo(i), 3, {"ResNet34": 3 if i < 8 else 1 + i % 2, "ViT": 3 if i < 16 else 5}, {"ResNet34": 0.91, "ViT": 0.5})
            for i in range(24)
        ],
        wrong_lists=[wrong_list(i, found=i < 30) for i in range(28, 32)],
        provenance={"Images": "64 pixels a side", "SHA-256 of the image index": "a" * 64},
        params={f"parameter_{i}": "0.05" for i in range(20)},
    )  # fmt: skip


@pytest.fixture(scope="module")
def facts() -> Runs:
    row = {"stage": "train_resnet34", "commit": "7dfdec1", "begun": "2026-11-22 21:29", "took": "1 h 12 min", "place": "ml.g5.2xlarge", "cost": "$ 1.82", "speed": "812 images a second", "memory": "9.1 GB"}  # fmt: skip
    return Runs(
        [row, {**row, "stage": "evaluate", "cost": ""}],
        {"ResNet34": (812.0, 0.6, 0.55, 0.65), "ViT": (640.0, 0.62, 0.57, 0.67), "their average": (357.0, 0.67, 0.62, 0.72)},
        {"train_resnet34.lr": "0.001"},
    )  # fmt: skip


@pytest.fixture(scope="module")
def html(evaluation: Evaluation, data: ReportData) -> str:
    return page(evaluation, data)


@pytest.fixture(scope="module")
def whole(html: str, facts: Runs) -> str:
    """With the facts of its runs."""
    return added(html, facts)


class Read(HTMLParser):
    """Elements that load something, where links lead, and whether every table has a caption and every picture its words."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.unsaid: list[object] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        values = dict(attrs)
        self.sources += [
            values[key] or "" for key in ("src", "href", "xlink:href", "srcset", "poster") if key in values
        ]
        self.ids += [values["id"] or ""] if "id" in values else []
        if (tag == "img" and not values.get("alt")) or (tag == "svg" and not values.get("aria-label")):
            self.unsaid.append(values)


def plain(text: str) -> str:
    """What a reader reads."""
    return " ".join(re.sub(r"<[^>]+>", " ", text).replace("\u00a0", " ").split())


# ---- what it says --------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_two_renders_are_the_same_bytes(evaluation: Evaluation, data: ReportData, html: str) -> None:
    assert page(evaluation, data) == html


@pytest.mark.slow
def test_the_page_asks_the_network_for_nothing(data: ReportData, whole: str) -> None:
    read = Read(whole)
    assert all(source.startswith(("data:", "#")) for source in read.sources)
    assert not re.search(r"@import|url\((?!#)", whole)
    assert not {"script", "iframe", "object", "embed"} & set(read.tags)
    assert read.tags.count("link") == 1  # an empty icon, or a browser asks for /favicon.ico


def test_at_full_scale_it_stays_small(data: ReportData, html: str) -> None:
    assert min(len(bin.photo) for bin in data.gallery) > 15_000
    assert len(html.encode()) < 3_000_000  # of the 5 MB that are allowed


def test_every_picture_has_words_and_every_table_a_caption(data: ReportData, whole: str) -> None:
    read = Read(whole)
    assert not read.unsaid
    assert read.tags.count("table") == read.tags.count("caption") == 17
    assert read.tags.count("svg") == len(data.drawings) + 1
    assert read.tags.count("img") == 24 + 4


def test_every_link_leads_to_a_section_and_every_section_has_one(html: str, whole: str) -> None:
    for text in (html, whole):
        read = Read(text)
        assert len(read.ids) == len(set(read.ids))
        links = re.findall(r'<li><a href="#(\w+)"', text)
        assert links == re.findall(r'<section id="(\w+)"', text)


def test_the_answer_stands_first(evaluation: Evaluation, html: str) -> None:
    first = plain(html[html.index("<h1>") : html.index("<h2>")])
    for scores in evaluation.metrics.values():
        assert percent(scores.accuracy).replace("\u00a0", " ") in first
    assert "Looking at 5 % of its bins, a warehouse finds 20 % of the mismatches" in first  # of their average
    assert "That is where 5 % of the bins hold another number of items than expected" in first
    assert "Of the mismatches by one item, the hardest, it finds 16 % (13 to 18)" in first
    assert "Whoever goes by the expectation alone finds 5 %" in first
    assert "ViT is better than ResNet34" in first
    assert re.search(
        r"Beside always saying 3: ResNet34 \+\d+\.\d points, ViT \+\d+\.\d, their average \+\d+\.\d\.", first
    )


def test_the_page_begins_with_visits_that_nobody_recorded(html: str) -> None:
    first = plain(html[html.index("<h1>") : html.index("<dl")])
    assert (
        "Of the bins whose list misses a visit, or has one that was not made, a warehouse finds 14 % by looking at 5 % of all bins."
        in first
    )
    assert "Of the records that say the opposite of what happened, it finds 23 % by checking 5 % of them" in first
    assert "somebody looks where the verifier doubts most" in first


def test_lists_that_do_not_fit_stand_by_kind_with_what_was_found_and_missed(html: str) -> None:
    section = html[html.index('<section id="lists">') : html.index('<section id="scores">')]
    words = plain(section)
    assert "200 times the test split holds two photos of one bin" in words
    assert "ResNet34 66.0 % 63.9 to 68.3 66.0 % 63.9 to 68.3 4.2 % 2.1 to 6.5 11.0 % 8.9 to 13.3" in words
    assert "the verifier 74.0 % 71.9 to 76.3 74.0 % 71.9 to 76.3" in words
    assert "the expectation alone 50.0 %" in words
    assert "The verifier against their average, on the same questions: +3.4 points (1.3 to 5.7) of AUROC." in words
    assert "the bin’s own 400 10.0 % 86.0 % 4.0 % the other photo’s list 400 3.0 % 83.0 % 14.0 %" in words
    assert [words.count(f"{kind.capitalize()}: with") for kind in PAIRED.values()] == [1, 1, 1, 1, 1]
    found, missed = section[section.index("Found</h3>") :].split("Missed</h3>")
    assert [re.findall(r'alt="Bin (\d+)"', part) for part in (found, missed)] == [
        ["00028", "00029"],
        ["00030", "00031"],
    ]
    assert "2 expected, holds 1 Expected: 1 × A pair of socks; 1 × Glue In the bin: 1 × Glue doubt 97 %" in plain(found)


def test_verification_stands_beside_the_prior_with_intervals(html: str) -> None:
    section = plain(html[html.index('<section id="verification">') : html.index('<section id="calibration">')])
    assert "Wrong by any number ResNet34 82.0 % 79.9 to 84.3" in section
    assert "the expectation alone 50.0 % 47.9 to 52.3" in section
    assert "the most there is 100.0 % 100.0 % 100.0 % 100.0 % 20.0 % 100.0 % 100.0 %" in section
    assert "Precision when so many mismatches are found Mismatches found when so many bins are looked at" in section
    assert "50 % 80 % 95 % 1 % 5 % 10 %" in section


def test_bins_that_come_disguised_are_told_in_a_sentence(evaluation: Evaluation, data: ReportData, html: str) -> None:
    text = plain(html)
    assert (
        "hold nothing, or another number of items that the networks have never seen, while the inventory expects 1 to 5"
        in text
    )
    assert (
        "Of these bins ResNet34 calls 20 % a match and 45 % a mismatch (of bins that hold what is expected: 71 % and 4 %); ViT 21 % and 44 %; their average 22 % and 43 %."
        in text
    )
    inside = {key: table[~table["case"].str.startswith("holds")] for key, table in evaluation.verdicts.items()}
    assert "have never seen" not in page(replace(evaluation, verdicts=inside), data)


def test_calibration_stands_before_and_after(html: str) -> None:
    assert "ViT 1.471 12.3 % 2.1 % 1.1 % 1.142 1.013" in plain(html)
    assert "ViT 5 % 5.2 % 5 % 4.8 % 41.0 %" in plain(html)


def test_published_results_carry_their_caveat(data: ReportData, html: str) -> None:
    assert "random splits" in html
    assert "not comparable" in html
    for row in data.published:
        assert row["result"].replace('"', "&#34;") in html


def test_the_worst_mistakes_stand_apart_from_the_mix(html: str) -> None:
    worst = html[html.index('<section id="worst">') : html.index('<section id="bins">')]
    mixed = html[html.index('<section id="bins">') : html.index('<section id="provenance">')]
    assert re.findall(r'alt="Bin (\d+)"', worst) == [f"{i:05}" for i in range(16, 24)]
    assert re.findall(r'alt="Bin (\d+)"', mixed) == [f"{i:05}" for i in range(16)]
    # told apart without colour, and each with how sure it is
    assert "✗ ResNet34: 1 91 % ✗ ViT: 5 50 %" in plain(worst)
    assert "✓ ResNet34: 3 91 % ✓ ViT: 3 50 %" in plain(mixed)


def test_a_photo_is_the_very_jpeg(data: ReportData, html: str) -> None:
    sources = [source for source in Read(html).sources if source.startswith("data:image")]
    shown = {base64.b64decode(source.partition(",")[2]) for source in sources}
    assert shown == {bin.photo for bin in (*data.gallery, *data.wrong_lists)}


def test_a_hostile_id_or_text_stays_text(evaluation: Evaluation, data: ReportData, facts: Runs) -> None:
    bin = Bin(HOSTILE, photo(1), 1, {"ResNet34": 1, "ViT": 2}, {"ResNet34": 1.0, "ViT": 0.5})
    row = dict.fromkeys(("quantities", "model", "trained_on", "result"), HOSTILE)
    words = {HOSTILE: HOSTILE, "a place": PLACE}
    hostile = replace(wrong_list(1, found=True), id=HOSTILE, expected=ItemList(1, (HOSTILE,)))
    shown = replace(
        data, gallery=[bin], wrong_lists=[hostile], published=[row], bins=HOSTILE, provenance=words, params=words
    )
    text = page(evaluation, shown)
    text = added(text, replace(facts, rows=[words], params=words))
    assert "<script" not in text
    assert "&lt;script&gt;alert(&#39;bin&#39;)" in text


def test_what_has_no_data_has_no_heading(evaluation: Evaluation, data: ReportData) -> None:
    bare = replace(data, gallery=[], wrong_lists=[], params={}, drawings={})
    unvisited = replace(evaluation, visits=evaluation.visits[:0], paired={key: {} for key in evaluation.paired})
    text = page(replace(unvisited, verification={}, calibration={}, verdicts={}), bare)
    assert re.findall(r'<section id="(\w+)"', text) == ["scores", "published", "provenance"]
    assert re.findall(r'<li><a href="#(\w+)"', text) == ["scores", "published", "provenance"]
    assert "a warehouse finds" not in text
    assert "misses a visit" not in text
    words = plain(page(unvisited, bare))
    assert "so that mismatches as they happen are not measured here" in words
    assert not {"img", "figure", "details"} & set(Read(text).tags)
    drawn = {key: {kind: its[kind] for kind in ("alike", "one_more")} for key, its in evaluation.paired.items()}
    words = plain(page(replace(unvisited, paired=drawn), bare))
    assert "Another bin’s list of as many items" in words
    assert "before and after a visit that changed" not in words
    assert "so that mismatches as they happen are not measured here" in words
    alike = page(evaluation, replace(data, gallery=data.gallery[:8]))
    assert re.findall(r'<li><a href="#(\w+)"', alike) == re.findall(r'<section id="(\w+)"', alike)
    assert 'id="worst"' not in alike
    assert 'id="bins"' in alike


def test_three_networks_have_their_place_everywhere(data: ReportData) -> None:
    bins = [replace(bin, predicted={**bin.predicted, "ConvNeXt": 5}, probability={**bin.probability, "ConvNeXt": 0.7}) for bin in data.gallery]  # fmt: skip
    three = measured(THREE)
    text = page(three, replace(data, gallery=bins))
    words = plain(text)
    assert "Counting the items in a bin: ResNet34, ViT and ConvNeXt" in words
    assert "ResNet34, ViT and ConvNeXt count the items that one photo of a bin shows." in words
    for pair in (
        "ResNet34 alone is right on 12, ViT",
        "ResNet34 alone is right on 12, ConvNeXt",
        "ViT alone is right on 12, ConvNeXt",
    ):
        assert words.count(pair) == 1
    assert re.search(
        r"Beside always saying 3: ResNet34 \+\S+ points, ViT \+\S+, ConvNeXt \+\S+, their average \+\S+\.", words
    )
    assert "somebody looks at those that their average doubts most" in words
    assert "Score ResNet34 ViT ConvNeXt their average always saying 3 Accuracy" in words
    assert "✗ ConvNeXt: 5 70 %" in words
    assert "ConvNeXt 1.471" in words
    assert "; ConvNeXt 22 % and 43 %; their average 23 % and 42 %." in words


def test_one_network_is_no_pair_and_has_no_average(data: ReportData) -> None:
    alone = measured({"vit": "ViT", "average": "their average"})
    scores = {key: values for key, values in alone.metrics.items() if key != "average"}
    words = plain(page(replace(alone, metrics=scores), replace(data, gallery=[])))
    assert "ViT counts the items that one photo of a bin shows." in words
    assert "somebody looks at those that ViT doubts most" in words
    assert "McNemar’s exact test" not in words


def test_a_drawing_that_no_section_shows_is_an_error(evaluation: Evaluation, data: ReportData) -> None:
    with pytest.raises(ValueError, match="no section of the report shows the drawing weather"):
        page(evaluation, replace(data, drawings={"weather": "<svg></svg>"}))


# ---- with the facts of its runs ------------------------------------------------------------------------------------


def test_facts_of_the_runs_are_added_and_nothing_else_changes(facts: Runs, html: str, whole: str) -> None:
    assert whole == added(html, facts)
    section = whole[whole.index('<section id="runs">') : whole.rindex("</main>")]
    assert whole.replace(section, PLACE + "\n").replace('<li><a href="#runs">How it was run</a></li>', LINK) == html
    words = plain(section)
    assert "Stage Commit Begun Took Place Cost Speed Memory" in words
    assert "evaluate 7dfdec1 2026-11-22 21:29 1 h 12 min ml.g5.2xlarge – 812 images a second" in words
    assert "812 a second, 60.0 %" in words
    assert "train_resnet34.lr 0.001" in words


def test_facts_that_are_not_there_leave_nothing_behind(html: str) -> None:
    rows = [{"stage": "evaluate", "took": "3 min", "cost": ""}]
    section = added(html, Runs(rows, {}, {})).partition('<section id="runs">')[2]
    assert "Speed against accuracy" not in section
    assert "<svg" not in section
    assert "<details" not in section
    assert "Cost" not in section


def test_a_page_of_another_version_has_no_place_for_facts(facts: Runs, html: str) -> None:
    for broken in ("<html></html>", html.replace(PLACE, ""), html.replace(LINK, ""), added(html, facts)):
        with pytest.raises(UserError, match=r"no place for the facts of its runs.*`dvc checkout`"):
            added(broken, facts)


# ---- words ---------------------------------------------------------------------------------------------------------


def test_the_verdict_in_words() -> None:
    def sentence(test: McNemar) -> str:
        (words,) = comparisons({"a": "ResNet34", "b": "ViT"}, {("a", "b"): test})
        return words

    assert sentence(McNemar(30, 12, 0.0079)).startswith("ResNet34 is better than ViT by more than chance explains")
    assert sentence(McNemar(12, 30, 0.0079)).startswith("ViT is better than ResNet34")
    assert sentence(McNemar(5, 5, 1.0)).startswith("The test does not tell the two networks apart")


def test_verdicts_of_three_networks_name_them() -> None:
    tests = {("a", "b"): McNemar(5, 5, 1.0), ("a", "c"): McNemar(30, 12, 0.0079), ("b", "c"): McNemar(4, 5, 1.0)}
    first, second, third = comparisons({"a": "ResNet34", "b": "ViT", "c": "ConvNeXt"}, tests)
    assert first.startswith(
        "The test does not tell ResNet34 and ViT apart (ResNet34 alone is right on 5, ViT alone on 5;"
    )
    assert second.startswith(
        "ResNet34 is better than ConvNeXt by more than chance explains (ResNet34 alone is right on 30,"
    )
    assert third.startswith("The test does not tell ViT and ConvNeXt apart")


@pytest.mark.parametrize(
    ("p", "words"), [(1.0, "p = 1.00"), (0.0123, "p = 0.012"), (0.049, "p = 0.049"), (1e-9, "p < 0.0001")]
)
def test_chance_in_words(p: float, words: str) -> None:
    assert chance(p) == words


def test_figures_in_words() -> None:
    assert [percent(0.6134), percent(0.6, 0), percent(None), percent(float("nan"))] == [
        "61.3\u00a0%",
        "60\u00a0%",
        "–",
        "–",
    ]
    assert [share(0.05), share(0.005), share(0.1)] == ["5\u00a0%", "0.5\u00a0%", "10\u00a0%"]
    assert between(Estimate(0.5, 0.411, 0.6)) == "41.1\u00a0to\u00a060.0"
    assert between(Estimate(0.5, float("nan"), float("nan"))) == "–"


def test_where_bins_are_from() -> None:
    assert "synthetic" in origin("synthetic://?pairs=4000&seed=7")
    assert "CC BY" not in origin("synthetic://?pairs=4000&seed=7")
    assert "s3://aft-vbi-pds" in origin("s3://aft-vbi-pds")
    for bucket in ("s3://aft-vbi-pds", "/home/someone/abid-sample"):
        assert "CC BY-NC-SA 3.0 US" in origin(bucket)
    assert "/home" not in origin("/home/someone/abid-sample")


def test_leaks_are_counted_not_believed() -> None:
    assert separation(["a", "b"], ["c"]) == "No test image has a near-duplicate in train or validation."
    assert separation(["a", "b", "b"], ["b"]).startswith("2 of 3 test images")


def test_items_in_words() -> None:
    names = ["A pair of socks", None, "  ", "x" * 60, "Glue", "Tape", "String"]
    items = [{"asin": f"B{i}", "quantity": 1 + i, "name": name} for i, name in enumerate(names)]
    assert in_words(items) == ("1 × A pair of socks", "2 × B1", "3 × B2", f"4 × {'x' * 47}…", "5 × Glue", "2 more")
    assert in_words([]) == ()


def test_the_gallery_is_a_mix_without_twins() -> None:
    quantity = np.array([1, 1, 2, 2, 5, 5, 3, 4, 1])
    predicted = np.array([[1, 1, 2, 2, 5, 1, 2, 3, 5], [1, 1, 2, 3, 4, 1, 2, 3, 4]])
    sure = np.full((2, 9), 0.5)
    sure[0, 7] = 0.9  # as far off as image 6, and surer
    groups = ["twin", "twin", *"cdefghi"]
    chosen = choose(quantity, predicted, sure, groups, bins=9, seed=3)
    assert len({0, 1} & set(chosen)) == 1
    assert chosen[:2] in ([0, 2], [1, 2])
    assert set(chosen[2:4]) == {3, 4}
    assert chosen[4:] == [5, 8, 7, 6]
    assert chosen == choose(quantity, predicted, sure, groups, bins=9, seed=3)
    assert choose(quantity, predicted, sure, groups, bins=0, seed=3) == []


# ---- in a browser --------------------------------------------------------------------------------------------------


def browse(chromium: str, html: Path, profile: Path, *flags: str) -> str:
    """What chromium prints, with a profile of its own and nothing asked of the network."""
    quiet = [
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
        "--disable-background-networking", "--disable-component-update", "--disable-sync", f"--user-data-dir={profile}",
    ]  # fmt: skip
    done = subprocess.run(
        [chromium, *quiet, *flags, html.as_uri()], capture_output=True, text=True, timeout=120, check=True
    )
    return done.stdout


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_shows_it_without_sideways_scrolling(whole: str, chromium: str, tmp_path: Path, scheme: str) -> None:
    """The page in two frames, as chromium makes no window below 500 pixels, with a probe that tells the frames' owner.

    Each whole page is kept as a picture, in the folder that ARTEFACTS names too.
    """
    probe = """<script>onload = () => parent.postMessage([innerWidth, document.documentElement.scrollWidth,
      document.documentElement.scrollHeight,
      getComputedStyle(document.body).backgroundColor, getComputedStyle(document.querySelector("svg text")).fill,
      [...document.images].every(image => image.complete && image.naturalWidth > 0)].join("|"), "*")</script></body>"""
    text = whole.replace('loading="lazy"', "")  # none of them waits to be scrolled to
    (tmp_path / "probed.html").write_text(text.replace("</body>", probe), encoding="utf-8")

    def framed(height: int, *further: str) -> str:
        frames = [
            f'<iframe src="probed.html" style="width: {width}px; height: {height}px"></iframe>' for width in WIDTHS
        ]
        frame = f"""<!DOCTYPE html><meta name="color-scheme" content="light dark"><title></title>
          <style>body {{ margin: 0; display: flex }} iframe {{ display: block; border: 0 }}</style>
          <script>onmessage = event => document.title += event.data + ";"</script>{"".join(frames)}"""
        (tmp_path / "frame.html").write_text(frame, encoding="utf-8")
        size = f"--window-size={sum(WIDTHS)},{height}"
        colours = f"--blink-settings=preferredColorScheme={0 if scheme == 'dark' else 1}"
        return browse(chromium, tmp_path / "frame.html", tmp_path / "profile", size, colours, *further)

    title = re.search(r"<title>(.+?);</title>", framed(900, "--virtual-time-budget=5000", "--dump-dom"), re.DOTALL)
    assert title
    facts = {int(inner): rest for inner, *rest in (frame.split("|") for frame in title[1].split(";"))}
    assert facts.keys() == {*WIDTHS}
    dark = "rgb(21, 23, 26)", "rgb(232, 232, 232)"
    for width, (scroll, _, ground, ink, pictures) in facts.items():
        assert int(scroll) <= width
        assert (ground, ink) == (dark if scheme == "dark" else ("rgb(255, 255, 255)", "rgb(27, 27, 27)"))
        assert pictures == "true"

    shot, left = tmp_path / "report.png", 0
    framed(max(int(height) for _, height, *_ in facts.values()), f"--screenshot={shot}")
    with Image.open(shot) as image:
        assert image.width == sum(WIDTHS)
        for width in WIDTHS:
            own = image.convert("RGB").crop((left, 0, left + width, int(facts[width][1])))
            left += width
            assert len(own.getcolors(1 << 24) or []) > 1000  # photos among them
            if folder := os.environ.get("ARTEFACTS"):
                Path(folder).mkdir(parents=True, exist_ok=True)
                own.save(Path(folder, f"report-{width}-{scheme}.png"))
