"""What `check` is told: which photos there are, and what is expected of each."""

import csv
import io
import json
import os
import re
from contextlib import closing, suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from support.bins import bins, jpeg, metadata, mirror
from support.s3 import S3
from warehouse_classifier.bins.expectation import Expectation
from warehouse_classifier.bucket.objects import Unreadable
from warehouse_classifier.cli.check.expectation_csv import from_csv
from warehouse_classifier.cli.check.expectations import Expected, Listed, SameForAll, Unknown, expectations
from warehouse_classifier.cli.check.finding import Finding
from warehouse_classifier.cli.check.inspection import body_of
from warehouse_classifier.cli.check.photos import Seen
from warehouse_classifier.cli.check.records import Csv, JsonLines, read_back
from warehouse_classifier.cli.check.sources import listed, photos_of
from warehouse_classifier.cli.check.table import Table
from warehouse_classifier.runtime.errors import UserError

NOTHING = SameForAll(None)


def names(*sources: str) -> list[str]:
    with closing(photos_of(sources, NOTHING, 4)) as photos:
        return [photo.name for photo in listed(photos)]


def listing(path: Path, *lines: str) -> Listed:
    path.write_text("\n".join(lines), encoding="utf-8")
    return from_csv(path)


def quantity(expected: Expected) -> int | None:
    """The number alone; None where it is not known."""
    return expected.quantity if isinstance(expected, Expectation) else None


def read(url: str, expected: str | None = None) -> list[Seen]:
    with closing(photos_of([url], expectations(expected), 4)) as photos:
        return list(photos.read(listed(photos)))


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in (
        "b.JPG",
        "a.jpeg",
        "deep/er/c.png",
        "deep/a.jpeg",
        "notes.txt",
        ".hidden.jpg",
        ".git/d.jpg",
        "e[1].jpg",
    ):
        (tmp_path / "shelf" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "shelf" / name).write_bytes(jpeg())
    monkeypatch.chdir(tmp_path)
    return tmp_path / "shelf"


# ---- which photos


def test_folders_files_and_patterns_stand_for_photos_each_once(shelf: Path) -> None:
    every = [f"shelf/{name}" for name in ("a.jpeg", "b.JPG", "deep/a.jpeg", "deep/er/c.png", "e[1].jpg")]
    assert names("shelf") == every
    assert names("shelf/**") == every
    assert names("./shelf/") == [f"./{name}" for name in every]
    assert names("shelf/*.jpeg", "shelf/b.JPG", "shelf") == [every[0], every[1], *every[2:]]
    assert names("shelf/**/*.png", str(shelf / "deep/er/c.png")) == ["shelf/deep/er/c.png"]
    assert names("shelf/e[1].jpg", "shelf/notes.txt") == ["shelf/e[1].jpg", "shelf/notes.txt"]  # as they are called


@pytest.mark.parametrize(
    ("sources", "fault"),
    [
        (["nowhere.jpg"], "nowhere.jpg does not exist"),
        (["shelf/*.gif"], r"shelf/\*.gif matches no .jpg, .jpeg, .png"),
        (["empty"], "empty holds no .jpg, .jpeg, .png"),
        (["shelf", "synthetic://?pairs=5&seed=7"], "a bucket is checked alone"),
        (["bucket", "shelf"], "bucket: a bucket is checked alone"),
        (["bucket"], "holds no photo bin-images/<id>.jpg"),
        (["gs://elsewhere"], "is of no known kind"),
        (["synthetic://?pairs=many"], "must look like"),
    ],
)
def test_what_is_no_photo_to_be_found_is_a_fault(shelf: Path, sources: list[str], fault: str) -> None:
    for folder in ("empty", "bucket/bin-images", "bucket/metadata"):
        (shelf.parent / folder).mkdir(parents=True)
    with pytest.raises(UserError, match=fault):
        names(*sources)


def test_pictures_of_an_explanation_are_no_photos_and_have_names_of_their_own(shelf: Path) -> None:
    (shelf / "why").mkdir()
    (shelf / "why" / "a.jpeg.png").write_bytes(jpeg())
    with closing(photos_of(["."], NOTHING, 1, shelf / "why")) as photos:
        assert not any("why" in photo.name for photo in photos.listing())
    (shelf / "why" / "a.jpeg.png").unlink()
    with closing(photos_of([".", "shelf/../shelf/a.jpeg"], NOTHING, 1)) as photos:
        places = [photo.place for photo in photos.listing()]
        assert len(set(places)) == len(places) == 5
        assert all(not place.startswith((".", "/")) for place in places)


@pytest.mark.parametrize("ours", ["shelf", ".", "shelf/deep"])
def test_no_pictures_are_put_among_photos(shelf: Path, ours: str) -> None:
    with pytest.raises(
        UserError, match=rf"^--explain {ours} holds photos \(shelf/.*\); name a folder for the pictures alone"
    ):
        photos_of(["shelf"], NOTHING, 1, Path(ours))
    mirror(bins(2), shelf / "bucket")
    with pytest.raises(UserError, match=r"^--explain shelf/bucket/bin-images holds the bucket's photos"):
        photos_of(["shelf/bucket"], NOTHING, 1, Path("shelf/bucket/bin-images"))


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(ValueError, match="is no file"):
        body_of(tmp_path / "pipe.jpg")
    with (tmp_path / "large.jpg").open("wb") as file:
        file.truncate((64 << 20) + 1)
    with pytest.raises(ValueError, match="more than the 67108864"):
        body_of(tmp_path / "large.jpg")


# ---- a bucket


def strange() -> dict[str, bytes]:
    """Eight bins, with what a bucket can have beside them."""
    bodies = bins(8)
    del bodies["metadata/00002.json"]
    bodies["metadata/00003.json"] = b"{"
    bodies["metadata/00004.json"] = metadata(-1)
    bodies["metadata/1.json"], bodies["bin-images/1.jpg"] = metadata(9), jpeg(99)
    del bodies["bin-images/00005.jpg"]
    bodies["bin-images/of a shelf.jpg"], bodies["bin-images/thumbs.db"] = jpeg(98), b"x"
    return bodies


@pytest.mark.parametrize("where", ["s3", "folder"])
def test_a_bucket_tells_what_is_expected_or_why_not(s3: S3, tmp_path: Path, where: str) -> None:
    bodies = strange()
    seen = read(s3.bucket(bodies, "a/prefix") if where == "s3" else mirror(bodies, tmp_path))
    expected = {item.photo.name: item.photo.expected for item in seen}
    assert list(expected) == [
        "00001",
        "00002",
        "00003",
        "00004",
        "00006",
        "00007",
        "00008",
        "1",
        "bin-images/of a shelf.jpg",
    ]
    assert [quantity(expected[id]) for id in ("00001", "00006", "00007", "00008", "1")] == [2, 1, 2, 3, 9]
    reasons = [str(getattr(expected[id], "reason", None)) for id in ("00002", "00003", "00004")]
    assert reasons[0] == "it has no metadata"
    assert reasons[1].startswith("its metadata is not JSON")
    assert reasons[2] == "its metadata EXPECTED_QUANTITY is -1, not 0 to 1000000"
    for item in seen[:-1]:
        assert item.body == bodies[f"bin-images/{item.photo.name}.jpg"]
    assert isinstance(seen[-1].body, Unreadable)


def test_expectations_that_are_told_replace_those_of_a_bucket(tmp_path: Path) -> None:
    url = mirror(strange(), tmp_path / "bins")
    assert {quantity(item.photo.expected) for item in read(url, "7")} == {7}
    table = tmp_path / "q.csv"
    table.write_text("id,quantity\n1,4\n00001,3\n")
    expected = {item.photo.name: item.photo.expected for item in read(url, str(table))}
    assert (quantity(expected["1"]), quantity(expected["00001"])) == (4, 3)
    assert expected["00006"] == Unknown(f"{table} does not name it")
    table.write_text("photo,quantity\n00001.jpg,4\nbin-images/00006.jpg,5\n00007,1\n")
    expected = {item.photo.name: item.photo.expected for item in read(url, str(table))}
    assert [quantity(expected[id]) for id in ("00001", "00006", "00007")] == [4, 5, 1]


def test_marks_change_with_the_photo_or_its_metadata(tmp_path: Path, s3: S3) -> None:
    def marks(url: str) -> list[object]:
        with closing(photos_of([url], NOTHING, 1)) as photos:
            return [photos.mark(photo) for photo in listed(photos)]

    mirror(bodies := bins(3), tmp_path)
    before = marks(str(tmp_path))
    assert marks(str(tmp_path)) == before
    (tmp_path / "metadata" / "00002.json").write_bytes(metadata(5))
    after = marks(str(tmp_path))
    # of 3 it may be the photo before
    assert [one == other for one, other in zip(before, after, strict=True)] == [True, False, False]
    one, other = s3.bucket(bodies), s3.bucket(bodies | {"bin-images/00003.jpg": jpeg(77)})
    assert [a == b for a, b in zip(marks(one), marks(other), strict=True)] == [True, True, False]
    folder = marks(str(tmp_path / "bin-images"))
    (tmp_path / "bin-images" / "00001.jpg").write_bytes(jpeg(5))
    assert [a == b for a, b in zip(folder, marks(str(tmp_path / "bin-images")), strict=True)] == [False, True, True]


# ---- what is expected


@pytest.mark.parametrize(
    "expected", ["-1", "2.5", "1,5", "three", "", "1e3", "1000001", "9" * 5000, "nowhere", "\u0663", "."]
)
def test_an_expectation_that_is_no_quantity_is_a_fault(expected: str) -> None:
    with pytest.raises(UserError, match=r"^--expected is '") as caught:
        expectations(expected)
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        (
            ["photo,count", "a.jpg,1"],
            r"q.csv must have the columns photo \(or id\) and quantity; its first line is 'photo,count'",
        ),
        (["photo;quantity", "a.jpg;1"], "its first line is 'photo;quantity'"),
        (["photo;quantity"], "put commas between the names"),
        (["photo\tquantity"], "put commas between the names"),
        (["photo,quantity,Quantity", "a.jpg,1,2"], "q.csv has the column quantity 2 times; keep one of them"),
        (["id,id,quantity", "1,2,3"], "q.csv has the column id 2 times; keep one of them"),
        ([""], "q.csv is empty; it must have the columns"),
        (["photo,quantity", "a.jpg,1", "b.jpg,-2"], "q.csv, line 3: the quantity of b.jpg is '-2', not 0 to 1000000"),
        (["photo,quantity", "a.jpg,2.0"], "q.csv, line 2: the quantity of a.jpg is '2.0', not a whole number"),
        (["photo,quantity", "a.jpg"], "q.csv, line 2: the quantity of a.jpg is '', not a whole number"),
        (["photo,quantity", ",3"], "q.csv, line 2: names no photo"),
        (["id,quantity", "7,1", "07,2", "7,3"], "q.csv, line 4: 3 are expected of 7, and 1 in line 2"),
        (["photo,quantity", '"a.jpg,1'], "q.csv is not a CSV"),
    ],
)
def test_a_csv_that_says_no_quantities_is_a_fault(tmp_path: Path, lines: list[str], fault: str) -> None:
    with pytest.raises(UserError, match=fault) as caught:
        listing(tmp_path / "q.csv", *lines)
    assert "\n" not in str(caught.value)


def test_a_csv_that_is_not_there_or_not_text_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere.csv cannot be read"):
        expectations(str(tmp_path / "nowhere.csv"))
    (tmp_path / "photo.csv").write_bytes(jpeg())
    with pytest.raises(UserError, match="is not UTF-8"):
        expectations(str(tmp_path / "photo.csv"))


def test_rows_name_photos_by_path_by_file_or_by_id(shelf: Path) -> None:
    by_photo = listing(
        shelf / "q.csv", "\ufeffquantity, Photo ,note", "1,shelf/deep/a.jpeg,x", f'2, "{shelf}/a.jpeg"', "", "3,b.JPG,"
    )
    with closing(photos_of(["shelf"], by_photo, 1)) as photos:
        assert [photo.expected for photo in photos.listing()] == [
            Expectation(2), Expectation(3), Expectation(1), *[Unknown(f"{shelf / 'q.csv'} does not name it")] * 2
        ]  # fmt: skip
    assert by_photo.unused() is None
    by_id = listing(shelf / "ids.csv", "id,quantity", "b,4", "B,5", "c,0")
    with closing(photos_of(["shelf"], by_id, 1)) as photos:
        assert [quantity(photo.expected) for photo in photos.listing()][1:4:2] == [4, 0]
    assert by_id.unused() == f"{shelf / 'ids.csv'}: 1 of 3 rows name no photo here (line 3: B)"


def test_a_name_that_two_photos_have_is_ambiguous(shelf: Path) -> None:
    table = listing(shelf / "q.csv", "photo,quantity", "b.JPG,1", "a.jpeg,2")
    with pytest.raises(
        UserError,
        match=r"q.csv, line 3: a.jpeg may be .*shelf/a.jpeg or .*shelf/deep/a.jpeg; give each a row of its own, by its whole path",
    ):
        photos_of(["shelf"], table, 1)
    twice = listing(shelf / "r.csv", "photo,quantity", "shelf/b.JPG,1", "b.JPG,2")
    with pytest.raises(
        UserError, match=r"r.csv, line 2 and line 3: shelf/b.JPG and b.JPG are one photo, of which 1 and 2"
    ):
        photos_of(["shelf"], twice, 1)
    (shelf / "b.png").write_bytes(jpeg())
    by_id = listing(shelf / "s.csv", "id,quantity", "b,1")
    with pytest.raises(UserError, match=r"s.csv, line 2: b may be .*b.JPG or .*b.png"):
        photos_of(["shelf"], by_id, 1)


texts = (
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20).map(str.strip).filter(bool)
)


@given(
    st.dictionaries(texts, st.integers(0, 1_000_000), min_size=1, max_size=8),
    st.booleans(),
    st.sampled_from(["photo", "id"]),
)
def test_what_a_csv_says_is_what_is_expected(
    tmp_path_factory: pytest.TempPathFactory, expected: dict[str, int], bom: bool, column: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "drawn.csv"
    out = io.StringIO()
    csv.writer(out).writerows([(column, "quantity"), *expected.items()])
    path.write_bytes(out.getvalue().encode("utf-8-sig" if bom else "utf-8"))
    table = from_csv(path)
    assert {name: quantity(table.of([name])) for name in expected} == expected
    assert isinstance(table.of(["of no row " * 3]), Unknown)


@given(
    st.binary(max_size=80) | st.text(max_size=60).map(lambda text: f"photo,quantity\n{text}".encode("utf-8", "replace"))
)
def test_any_file_is_a_csv_of_quantities_or_a_fault_in_one_line(tmp_path_factory, body: bytes) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(body)
    with suppress(UserError):
        assert all(0 <= entry.expected.quantity <= 1_000_000 for entry in from_csv(path).entries.values())


# ---- how it is written

shares = st.floats(0, 1)
findings = st.builds(
    Finding, texts, st.none() | st.integers(0, 200), st.none() | st.integers(1, 5), st.none() | shares, st.none() | shares,
    st.sampled_from([None, "match", "look", "mismatch"]), st.none() | texts,
)  # fmt: skip


@given(st.lists(findings, max_size=4), st.integers(75, 200), st.integers(0, 90))
def test_a_table_stays_within_the_terminal_and_its_columns_below_their_names(
    rows: list[Finding], width: int, longest: int
) -> None:
    table = Table(longest, width, colour=False)
    text = table.head() + table.rows(rows)
    assert all(cell_len(line) <= width for line in text.split("\n"))
    assert "\x1b" not in text
    if rows and rows[0].verdict:
        where = table.head().index("verdict")
        line = text.split("\n")[1]
        cells = [i for i in range(len(line)) if cell_len(line[:i]) == where]
        assert any(line[i:].startswith(rows[0].verdict) for i in cells)


def test_names_that_are_no_text_are_written_as_what_they_are() -> None:
    row = Finding(os.fsdecode(b"bin-\xff.jpg"), None, 2, 0.5, None, None, None)
    assert Csv().rows([row]) == "bin-\\xff.jpg,,2,0.5,,,\n"
    assert json.loads(JsonLines().rows([row])) == {
        "photo": "bin-\\xff.jpg", "expected": None, "predicted": 2, "probability": 0.5, "doubt": None, "verdict": None,
        "reason": None,
    }  # fmt: skip
    assert Table(12, None, colour=False).rows([row]).startswith("bin-\\xff.jpg ")


@given(st.lists(findings, max_size=4), st.sampled_from([Csv(), JsonLines()]))
def test_what_is_written_for_machines_reads_back(tmp_path_factory, rows: list[Finding], form: Csv | JsonLines) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    path = tmp_path_factory.getbasetemp() / f"drawn{form.suffix}"
    path.write_text(form.head() + form.rows(rows), encoding="utf-8", newline="")
    assert read_back(path) == [
        (row.photo.replace("\r", "\\r"), row.verdict or "", row.predicted is not None) for row in rows
    ]


def test_colour_only_repeats_what_the_words_say_and_long_names_keep_their_end() -> None:
    rows = [
        Finding("shelf/" + "x" * 60 + f"/{n}.jpg", 3, 2, 0.5, 0.9, verdict, "\x1b[2Jwhy\n")
        for n, verdict in enumerate(("match", "look", "mismatch"))
    ]
    plain, coloured = (Table(70, 120, colour=colour).rows(rows) for colour in (False, True))
    assert "\x1b[2J" not in coloured
    assert "\x1b[32m" in coloured
    assert re.sub(r"\x1b\[\d+m", "", coloured) == plain
    assert plain.split("\n")[1].startswith("…")
    assert "/1.jpg  " in plain.split("\n")[1]
