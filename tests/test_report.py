"""The page of the report, read by a program and by a real browser."""

import base64
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

from warehouse_classifier.label import Labels
from warehouse_classifier.report import Bin, Findings, chance, choose, origin, page, percent, separation, verdict
from warehouse_classifier.scores import McNemar, score
from warehouse_classifier.stages import evaluate as stage

QUANTITIES = [1, 2, 3, 4, 5]
PUBLISHED = Path(__file__).parents[1] / "data" / "published.csv"
HOSTILE = "<script>alert('bin')</script>"


def photo(shade: int) -> bytes:
    out = BytesIO()
    Image.new("RGB", (32, 32), (shade, 120, 60)).save(out, "JPEG")
    return out.getvalue()


# ---- the page ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def findings() -> Findings:
    rng = np.random.default_rng(2)
    actual = rng.choice(QUANTITIES, 120)
    near = np.clip(actual + rng.integers(-1, 2, 120), 1, 5)
    said = {"ResNet34": near, "ViT": rng.choice(QUANTITIES, 120), "always saying 3": np.full(120, 3)}
    answers = pd.DataFrame(
        {"id": range(120), "quantity": actual, "group": range(120), "resnet34": near, "vit": said["ViT"]}
    )
    answers["baseline"] = 3
    scores = {who: score(actual, of, np.arange(120), QUANTITIES, seed=1, resamples=1000) for who, of in said.items()}
    by_key = dict(zip(("resnet34", "vit", "baseline"), scores.values(), strict=True))
    columns = {
        "epoch": [1, 2, 3],
        "train_loss": [3, 2, 1],
        "validation_loss": [3, 2, 2],
        "validation_accuracy": [0.2, 0.3, 0.4],
    }
    histories = {net: pd.DataFrame(columns) for net in ("resnet34", "vit")}
    charts = stage.draw(answers, by_key, Labels(QUANTITIES), histories)
    return Findings(
        scores=scores,
        mcnemar=McNemar(30, 12, 0.0079),
        images={"train": 1200, "validation": 100, "test": 120},
        bins=origin("synthetic://"),
        split=separation(["a"], ["b"]),
        drawings={chart.name: chart.svg() for chart in charts},
        published=pd.read_csv(PUBLISHED).to_dict("records"),
        gallery=[Bin(f"{i:05}", photo(9 * i), 3, {"ResNet34": 3, "ViT": 1 + i % 5}) for i in range(24)],
        provenance={"Precision": "fp32", "SHA-256 of the image index": "a" * 64},
    )


class Read(HTMLParser):
    """Elements that load something, and whether every table has a caption and every picture its words."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.tags: list[str] = []
        self.unsaid: list[object] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        values = dict(attrs)
        self.sources += [
            values[key] or "" for key in ("src", "href", "xlink:href", "srcset", "poster") if key in values
        ]
        if (tag == "img" and not values.get("alt")) or (tag == "svg" and not values.get("aria-label")):
            self.unsaid.append(values)


def test_two_renders_are_the_same_bytes(findings: Findings) -> None:
    assert page(findings) == page(findings)


def test_the_page_asks_the_network_for_nothing(findings: Findings) -> None:
    text = page(findings)
    found = Read(text)
    assert all(source.startswith(("data:", "#")) for source in found.sources)
    assert not re.search(r"@import|url\((?!#)", text)
    assert not {"script", "iframe", "object", "embed", "link"} & (set(found.tags) - {"link"})
    assert found.tags.count("link") == 1  # an empty icon, or a browser asks for /favicon.ico
    assert len(text.encode()) < 5_000_000


def test_every_picture_has_words_and_every_table_a_caption(findings: Findings) -> None:
    found = Read(page(findings))
    assert not found.unsaid
    assert found.tags.count("table") == found.tags.count("caption") == 3
    assert found.tags.count("svg") == 6
    assert found.tags.count("img") == 24


def test_the_answer_stands_first(findings: Findings) -> None:
    text = page(findings)
    first = text[text.index("<h1>") : text.index("<h2>")]
    for scores in findings.scores.values():
        assert percent(scores.accuracy) in first
    assert "ResNet34 is better than ViT" in first
    assert "points above always saying 3" in " ".join(first.split())


def test_published_results_carry_their_caveat(findings: Findings) -> None:
    text = page(findings)
    assert "random splits" in text
    assert "not comparable" in text
    for row in findings.published:
        assert row["result"].replace('"', "&#34;") in text


def test_right_and_wrong_are_told_apart_without_colour(findings: Findings) -> None:
    text = page(findings)
    assert "✓ ResNet34: 3" in text
    assert "✗ ViT: 1" in text


def test_a_photo_is_the_very_jpeg(findings: Findings) -> None:
    sources = [source for source in Read(page(findings)).sources if source.startswith("data:image")]
    assert [base64.b64decode(source.partition(",")[2]) for source in sources] == [bin.photo for bin in findings.gallery]


def test_a_hostile_id_or_text_stays_text(findings: Findings) -> None:
    bin = Bin(HOSTILE, photo(1), 1, {"ResNet34": 1, "ViT": 2})
    row = dict.fromkeys(stage.PUBLISHED, HOSTILE)
    text = page(replace(findings, gallery=[bin], published=[row], bins=HOSTILE, provenance={HOSTILE: HOSTILE}))
    assert "<script" not in text
    assert "&lt;script&gt;alert(&#39;bin&#39;)" in text


def test_a_page_without_a_gallery_has_no_empty_heading(findings: Findings) -> None:
    assert "<img" not in page(replace(findings, gallery=[]))
    assert "what they should hold" not in page(replace(findings, gallery=[]))


def test_the_verdict_in_words() -> None:
    nets = ["ResNet34", "ViT"]
    assert verdict(nets, McNemar(30, 12, 0.0079)).startswith("ResNet34 is better than ViT by more than chance explains")
    assert verdict(nets, McNemar(12, 30, 0.0079)).startswith("ViT is better than ResNet34")
    assert verdict(nets, McNemar(5, 5, 1.0)).startswith("The test does not tell the two networks apart")


@pytest.mark.parametrize(
    ("p", "words"), [(1.0, "p = 1.00"), (0.0123, "p = 0.012"), (0.049, "p = 0.049"), (1e-9, "p < 0.0001")]
)
def test_chance_in_words(p: float, words: str) -> None:
    assert chance(p) == words


def test_where_bins_are_from() -> None:
    assert "synthetic" in origin("synthetic://?pairs=4000&seed=7")
    assert "s3://aft-vbi-pds" in origin("s3://aft-vbi-pds")
    assert "/home" not in origin("/home/someone/abid-sample")


def test_leaks_are_counted_not_believed() -> None:
    assert separation(["a", "b"], ["c"]) == "No test image has a near-duplicate in train or validation."
    assert separation(["a", "b", "b"], ["b"]).startswith("2 of 3 test images")


def test_the_gallery_is_a_mix_without_twins() -> None:
    quantity = np.array([1, 1, 2, 2, 5, 5, 3, 4, 1])
    said = np.array([[1, 1, 2, 2, 5, 1, 2, 3, 5], [1, 1, 2, 3, 4, 1, 2, 3, 4]])
    sure = np.full((2, 9), 0.5)
    sure[0, 7] = 0.9  # as far off as image 6, and surer
    groups = ["twin", "twin", *"cdefghi"]
    chosen = choose(quantity, said, sure, groups, bins=9, seed=3)
    assert len({0, 1} & set(chosen)) == 1
    assert chosen[:2] in ([0, 2], [1, 2])
    assert set(chosen[2:4]) == {3, 4}
    assert chosen[4:] == [5, 8, 7, 6]
    assert chosen == choose(quantity, said, sure, groups, bins=9, seed=3)
    assert choose(quantity, said, sure, groups, bins=0, seed=3) == []


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


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_shows_it_without_sideways_scrolling(
    findings: Findings, chromium: str, tmp_path: Path, width: int, scheme: str
) -> None:
    """The page in a frame, as chromium makes no window below 500 pixels, with a probe that tells the frame's owner."""
    probe = """<script>onload = () => parent.postMessage([innerWidth, document.documentElement.scrollWidth,
      getComputedStyle(document.body).backgroundColor, getComputedStyle(document.querySelector("svg text")).fill,
      [...document.images].every(image => image.complete && image.naturalWidth > 0)].join("|"), "*")</script></body>"""
    frame = f"""<!DOCTYPE html><meta name="color-scheme" content="light dark"><title></title>
      <script>onmessage = event => document.title = event.data</script>
      <iframe src="probed.html" style="width:{width}px;height:900px;border:0"></iframe>"""
    text = page(findings)
    (tmp_path / "probed.html").write_text(text.replace("</body>", probe), encoding="utf-8")
    (tmp_path / "frame.html").write_text(frame, encoding="utf-8")
    html = tmp_path / "report.html"
    html.write_text(text, encoding="utf-8")
    flags = [f"--window-size={width},900", f"--blink-settings=preferredColorScheme={0 if scheme == 'dark' else 1}"]
    dom = browse(
        chromium, tmp_path / "frame.html", tmp_path / "profile", *flags, "--virtual-time-budget=5000", "--dump-dom"
    )
    title = re.search(r"<title>(.+?)</title>", dom, re.DOTALL)
    assert title
    inner, scroll, ground, ink, pictures = title[1].split("|")
    assert int(inner) == width
    assert int(scroll) <= width
    dark = "rgb(21, 23, 26)", "rgb(232, 232, 232)"
    assert (ground, ink) == (dark if scheme == "dark" else ("rgb(255, 255, 255)", "rgb(27, 27, 27)"))
    assert pictures == "true"

    shot = tmp_path / "report.png"
    browse(chromium, html, tmp_path / "other", *flags, f"--screenshot={shot}")
    with Image.open(shot) as image:
        assert image.width == width
        shades = len(image.convert("RGB").getcolors(1 << 24) or [])
    assert shades > 50  # something is drawn
