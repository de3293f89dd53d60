"""The photo of the same bin at the visit before: what changed between both is held against what is said to have changed."""

import json
import re
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support.bins import bins, jpeg, metadata, mirror
from support.predictors import tiny, verified
from warehouse_classifier.cli.__main__ import answer
from warehouse_classifier.cli.check.expectations import SameForAll
from warehouse_classifier.cli.check.photos import Seen
from warehouse_classifier.cli.check.sources import listed, photos_of

Row = dict[str, Any]
Run = Callable[..., tuple[int, list[Row], str]]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Whose verifier believes that a photo with brighter features shows more."""
    models = tiny(tmp_path_factory.mktemp("trained") / "models")
    return verified(models, brighter=0.05)


@pytest.fixture
def check(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Exit status, rows and standard error, in a folder with three bins, now and at the visit before."""
    monkeypatch.chdir(tmp_path)
    for folder, shades in (("now", (1, 2, 3)), ("then", (4, 5, 6))):
        Path(folder).mkdir()
        for n, shade in enumerate(shades, 1):
            Path(folder, f"{n}.jpg").write_bytes(jpeg(shade))

    def run(*argv: str, model: str = "average") -> tuple[int, list[Row], str]:
        capsys.readouterr()
        status = answer(["check", "--models", str(models), "--format", "jsonl", "--model", model, *argv])
        out, err = capsys.readouterr()
        return status, [json.loads(line) for line in out.splitlines()], err

    return run


def test_a_folder_of_photos_before_turns_doubt_about_with_the_record(check: Run) -> None:
    _, alone, _ = check("now", "--expected", "3")
    doubts = {}
    for before in (2, 3, 4):
        _, rows, _ = check("now", "--expected", "3", "--before", "then", "--expected-before", str(before))
        doubts[before] = np.array([row["doubt"] for row in rows])
        reasons = [row["reason"] for row in rows if row["reason"]]
        assert all(reason.startswith(f"{before} before and 3 now") for reason in reasons) or before == 3
        assert reasons
    assert doubts[3].tolist() == [row["doubt"] for row in alone]  # nothing is said to have changed
    assert doubts[2] + doubts[4] == pytest.approx(1, abs=3e-6)  # by numbers alone it is one or the other
    assert np.ptp(doubts[2]) > 0.01


def test_a_csv_names_the_photo_before_and_what_was_in_it(check: Run) -> None:
    _, rows, _ = check("now", "--expected", "3", "--before", "then", "--expected-before", "2")
    Path("v.csv").write_text(
        "photo,quantity,before\nnow/1.jpg,3,then/1.jpg\nnow/2.jpg,3,\nthen/1.jpg,2,\nnow/3.jpg,3,then/3.jpg\nthen/3.jpg,2,\n"
    )
    _, by_csv, err = check("now", "--expected", "v.csv")
    assert [by_csv[n]["doubt"] for n in (0, 2)] == [rows[n]["doubt"] for n in (0, 2)]
    assert by_csv[1]["doubt"] != rows[1]["doubt"]
    assert "name no photo here" not in err


def test_a_list_that_is_a_mismatch_by_itself_leaves_no_match(check: Run) -> None:
    """However the photos changed: doubt is the record's, and the reason names both."""
    head, rows = "photo,quantity,length,width,height,unit,before\n", {}
    for edge in (3.2, 40.0):
        Path("v.csv").write_text(f"{head}now/1.jpg,3,{edge},{edge},{edge},in,then/1.jpg\nthen/1.jpg,2,3,3,3,in,\n")
        _, (rows[edge],), _ = check("now/1.jpg", "--expected", "v.csv")
    assert rows[3.2]["doubt"] == rows[40.0]["doubt"]
    worse = {"match": "look", "look": "mismatch", "mismatch": "mismatch"}
    assert rows[40.0]["verdict"] == worse[rows[3.2]["verdict"]]
    assert re.fullmatch(
        r"2 before and 3 now, (yet|and) the photos .* like (it|the opposite); 3 items of about 190,000 cubic inches expected;"
        " this looks like 50 to 200",
        rows[40.0]["reason"],
    )


@pytest.mark.parametrize(
    ("argv", "fault"),
    [
        (["now", "--expected", "3", "--before", "then"], "add --expected-before N|FILE"),
        (["now", "--expected", "3", "--expected-before", "2"], "add --before FOLDER"),
        (["now", "--before", "then", "--expected-before", "2"], "add --expected N|FILE"),
        (["now", "--expected", "3", "--before", "nowhere", "--expected-before", "2"], "--before nowhere is no folder"),
        (["now", "--expected", "3", "--before", "empty", "--expected-before", "2"], "--before empty holds none of the photos by its name, such as 1.jpg"),
        (["now", "--expected", "3", "--before", "then", "--expected-before", "x"], "--expected-before is 'x', not a whole number"),
        (["now", "--expected", "self.csv"], "now/1.jpg: the photo before is said to be the photo itself"),
        (["now", "--expected", "gone.csv"], "now/1.jpg: the photo before, then/9.jpg, does not exist"),
        (["now", "--expected", "silent.csv"], "then/1.jpg, nobody says what was in it then; give it a row of its own"),
        (["bucket", "--before", "then", "--expected", "3", "--expected-before", "2"], "--before then: of a bucket the photos before are known where its metadata tells what is expected; leave --before, --expected-before and --expected out"),
        (["bucket", "--expected", "named.csv"], "a column before: of a bucket the photos before are known where its metadata tells what is expected; leave --expected out"),
        (["now", "--expected", "named.csv", "--before", "then", "--expected-before", "2"], "--before then: what is expected names the photos before as well; keep one of them"),
        (["now", "--expected", "3", "--before", "now", "--expected-before", "2"], "--before now holds the photos that are checked; name another folder"),
        (["now", "--expected", "3", "--before", "same", "--expected-before", "2"], "--before same holds the photos that are checked"),
        (["now", "--expected", "mutual.csv"], "now/1.jpg and now/2.jpg are each said to be the photo before the other"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_one_line(check: Run, argv: list[str], fault: str) -> None:
    Path("empty").mkdir()
    mirror(bins(2), Path("bucket"))
    for name, before in (("self", "now/1.jpg"), ("gone", "then/9.jpg"), ("silent", "then/1.jpg")):
        Path(f"{name}.csv").write_text(f"photo,quantity,before\nnow/1.jpg,3,{before}\n")
    Path("named.csv").write_text("photo,quantity,before\nnow/1.jpg,3,then/1.jpg\nthen/1.jpg,2,\n")
    Path("mutual.csv").write_text("photo,quantity,before\nnow/1.jpg,3,now/2.jpg\nnow/2.jpg,2,./now/1.jpg\n")
    Path("same").symlink_to("now")
    status, rows, err = check(*argv)
    assert (status, rows, len(err.splitlines())) == (2, [], 1)
    assert fault in err


def test_without_a_verifier_it_is_refused(check: Run, tmp_path: Path) -> None:
    argv = ["now", "--expected", "3", "--before", "then", "--expected-before", "2"]
    assert "leave --model vit out" in check(*argv, model="vit")[2]
    assert "bare holds no verifier" in check(*argv, "--models", str(tiny(tmp_path / "bare")))[2]


def test_a_photo_before_that_is_none_leaves_no_match(check: Run) -> None:
    """What was asked for and could not be done is never all well."""
    Path("then/1.jpg").write_bytes(b"no photo")
    Path("then/2.jpg").unlink()
    _, rows, err = check("now", "--expected", "3", "--before", "then", "--expected-before", "2")
    assert "--before then holds no photo by the name of 1 of 3, such as 2.jpg; these are judged by themselves" in err
    _, alone, _ = check("now", "--expected", "3")
    for row, other in zip(rows[:2], alone[:2], strict=True):
        assert row["doubt"] == other["doubt"]
    assert rows[0]["verdict"] != "match"
    assert rows[0]["reason"].startswith("the photo before is no JPEG")  # whatever the verdict


@pytest.mark.parametrize("expected", [0, 2, 4])
def test_why_the_photo_before_tells_nothing_is_said_beside_every_verdict(check: Run, expected: int) -> None:
    Path("then/1.jpg").write_bytes(Path("now/1.jpg").read_bytes())  # no visit leaves the very same photo
    _, (row, *_), _ = check("now", "--expected", str(expected), "--before", "then", "--expected-before", "9")
    _, (alone, *_), _ = check("now", "--expected", str(expected))
    assert row["doubt"] == alone["doubt"]
    assert row["verdict"] == ("look" if alone["verdict"] == "match" else alone["verdict"])
    assert row["reason"].endswith("the photo before is the very photo that is checked")


def test_names_are_below_the_folder_that_was_named(check: Run) -> None:
    """Whichever of its folders hold photos today."""
    for path, shade in (("day2/shelf/1.jpg", 1), ("day1/shelf/1.jpg", 5), ("day1/1.jpg", 9)):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_bytes(jpeg(shade))
    doubts = []
    for named, before in (("day2", "day1"), ("day2/**/*.jpg", "day1"), ("day2/shelf", "day1/shelf")):
        _, (row,), _ = check(named, "--expected", "3", "--before", before, "--expected-before", "2")
        doubts.append(row["doubt"])
    assert doubts == [doubts[0]] * 3
    _, (other,), _ = check("day2/shelf/1.jpg", "--expected", "3", "--before", "day1", "--expected-before", "2")
    assert other["doubt"] != doubts[0]  # a file goes by its own name


def test_rows_of_the_visit_before_that_name_nothing_are_told(check: Run) -> None:
    Path("b.csv").write_text("photo,quantity\n1.jpg,2\n2.jpg,2\n3.jpg,2\nzzz.jpg,2\n")
    err = check("now", "--expected", "3", "--before", "then", "--expected-before", "b.csv")[2]
    assert "b.csv: 1 of 4 rows name no photo here (line 5: zzz.jpg)" in err


def test_as_many_before_without_sizes_is_said_to_tell_nothing(check: Run) -> None:
    _, rows, _ = check("now", "--expected", "3", "--before", "then", "--expected-before", "3")
    assert {row["reason"] for row in rows} == {"as many before, so that the photo before tells nothing of a number"}


# ---- buckets


def sharing(*shared: int, count: int = 6) -> dict[str, bytes]:
    """Bins of which those in `shared` hold something of the bin before."""
    bodies = {}
    for n in range(1, count + 1):
        asins = [f"A{n}", *([f"A{n - 1}"] if n in shared else [])]
        bodies[f"metadata/{n:05}.json"] = metadata(len(asins), *asins)
        bodies[f"bin-images/{n:05}.jpg"] = jpeg(n)
    return bodies


def befores(url: str, *, skip: int = 0) -> dict[str, Seen | None]:
    with closing(photos_of([url], SameForAll(None), 4)) as photos:
        every = list(listed(photos))[skip:]
        return {seen.photo.name: seen.before for seen in photos.read(every)}


@pytest.mark.parametrize("skip", [0, 2, 3])
def test_a_buckets_neighbour_is_the_photo_before_if_they_share_an_item(tmp_path: Path, skip: int) -> None:
    """However far an earlier run had come."""
    found = befores(mirror(sharing(3, 4, 6), tmp_path), skip=skip)
    names = {name: seen and seen.photo.name for name, seen in found.items()}
    every = {"00001": None, "00002": None, "00003": "00002", "00004": "00003", "00005": None, "00006": "00005"}
    assert names == dict(list(every.items())[skip:])
    assert all(seen is None or seen.body == jpeg(int(seen.photo.name)) for seen in found.values())


def test_ids_of_six_digits_lie_between_those_of_five_and_have_neighbours_of_their_own(tmp_path: Path) -> None:
    bodies = {}
    for id in ("09999", "10000", *(f"10000{n}" for n in range(10)), "10001", "100010", "99999", "1"):
        bodies[f"metadata/{id}.json"], bodies[f"bin-images/{id}.jpg"] = metadata(1, "A"), jpeg(1)
    names = {name: seen and seen.photo.name for name, seen in befores(mirror(bodies, tmp_path)).items()}
    assert names["10000"] == "09999"
    assert names["10001"] == "10000"
    assert names["100010"] == "100009"
    assert names["100000"] is None  # 99999 comes last of all
    assert names["1"] is None
    assert names["09999"] is None
