"""`warehouse-classifier check`, as it is typed."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from support.bins import bins, jpeg, metadata, mirror
from support.predictors import LEARNED_FROM, tiny, verified
from support.s3 import S3
from warehouse_classifier.cli.__main__ import answer
from warehouse_classifier.cli.check.inspection import inspect
from warehouse_classifier.cli.check.photos import Photo, Seen
from warehouse_classifier.serving.predictor import opened

COMMAND = [sys.executable, "-m", "warehouse_classifier.cli", "check"]
FIELDS = ["photo", "expected", "predicted", "probability", "doubt", "verdict", "reason"]
DRAWN = LEARNED_FROM.model_copy(update={"bucket": "synthetic://?pairs=60&seed=1"})
Ran = tuple[int, str, str]
Run = Callable[..., Ran]


@pytest.fixture(scope="module")
def models(every_network: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny(tmp_path_factory.mktemp("trained") / "models")


@pytest.fixture
def shelf(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Five photos and a file that is none, in a folder beside the one where the test runs."""
    (tmp_path / "shelf").mkdir()
    for n in range(1, 6):
        (tmp_path / "shelf" / f"{n}.jpg").write_bytes(jpeg(n))
    (tmp_path / "shelf" / "9.jpg").write_bytes(b"no photo at all")
    (tmp_path / "models").symlink_to(models)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "shelf"


@pytest.fixture
def check(capsys: pytest.CaptureFixture[str], shelf: Path) -> Run:
    """Exit status, standard output and standard error, by the tiny ViT."""

    def run(*argv: str, model: str = "vit") -> Ran:
        capsys.readouterr()
        status = answer(["check", *argv, "--model", model])
        return status, *capsys.readouterr()

    return run


def message_of(err: str) -> str:
    """The one line of an error."""
    lines = err.splitlines()
    assert len(lines) == 1, err
    assert lines[0].startswith("error: ")
    return lines[0].removeprefix("error: ")


# ---- rows


@pytest.mark.slow
@pytest.mark.parametrize("model", ["vit", "resnet34", "average"])
def test_rows_say_what_the_counter_says_of_the_same_bytes(check: Run, models: Path, model: str) -> None:
    quantities = {"1.jpg": 1, "2.jpg": 4, "3.jpg": 5, "4.jpg": 0, "9.jpg": 3}
    Path("q.csv").write_text("photo,quantity\n" + "".join(f"{name},{n}\n" for name, n in quantities.items()))
    status, out, _ = check("shelf", "--expected", "q.csv", "--format", "jsonl", "--batch", "2", model=model)
    rows = [json.loads(line) for line in out.splitlines()]
    assert status == 1
    assert [row["photo"] for row in rows] == [f"shelf/{n}.jpg" for n in (1, 2, 3, 4, 5, 9)]
    assert all(list(row) == FIELDS for row in rows)
    with opened(models, model, 1) as counter:
        pixels = np.stack([counter.pixels(jpeg(n)) for n in range(1, 6)])
        expected = counter.answers(counter.probabilities(pixels), [1, 4, 5, 0, None])
    for row, one in zip(rows, expected, strict=False):
        assert row["predicted"] == one.predicted
        assert row["probability"] == pytest.approx(one.probability, abs=2e-6)
        assert row["doubt"] == (one.doubt and pytest.approx(one.doubt, abs=2e-6))
        assert len(str(row["probability"])) <= 8
        if row["photo"] != "shelf/5.jpg":
            assert (row["verdict"], row["reason"]) == (one.verdict, one.reason)
    assert rows[3]["reason"] == "0 expected, the model knows 1 to 5"
    assert (rows[4]["expected"], rows[4]["verdict"], rows[4]["reason"]) == (None, "look", "q.csv does not name it")
    assert rows[5] | {"reason": ""} == dict.fromkeys(FIELDS) | {
        "photo": "shelf/9.jpg", "expected": 3, "verdict": "look", "reason": ""
    }  # fmt: skip
    assert rows[5]["reason"].startswith("is no JPEG")


def test_every_verdict_occurs_and_the_forms_agree(check: Run) -> None:
    by_verdict = {}
    for expected in range(1, 6):
        status, out, err = check("shelf/1.jpg", "--expected", str(expected), "--format", "csv")
        (row,) = csv.DictReader(out.splitlines())
        assert status == (row["verdict"] != "match")
        assert err.splitlines()[-1].startswith(f"1 photo: 1 {row['verdict']}; ")
        by_verdict[row["verdict"]] = expected
        _, lines, _ = check("shelf/1.jpg", "--expected", str(expected), "--format", "jsonl")
        assert {name: "" if value is None else str(value) for name, value in json.loads(lines).items()} == row
        _, table, _ = check("shelf/1.jpg", "--expected", str(expected))
        cells = [row[name] for name in FIELDS[:3]] + [f"{float(row[name]):.3f}" for name in FIELDS[3:5]]
        assert table.splitlines()[0].split() == FIELDS
        assert table.splitlines()[1].split() == [*cells, row["verdict"]]
        assert re.fullmatch(rf"1 photo: 1 {row['verdict']}; [\d.]+ photos/s", table.splitlines()[2])
    assert set(by_verdict) == {"match", "look", "mismatch"}


def test_without_an_expectation_photos_are_counted_and_nothing_is_wrong(check: Run) -> None:
    status, out, _ = check("shelf/[1-5].jpg", "--format", "csv")
    rows = list(csv.DictReader(out.splitlines()))
    assert status == 0
    assert len(rows) == 5
    assert all(row["predicted"] and row["probability"] for row in rows)
    assert not any(row["expected"] or row["doubt"] or row["verdict"] or row["reason"] for row in rows)
    status, out, _ = check("shelf")
    assert status == 1
    assert "6 photos: 5 counted, 1 look;" in out


def test_what_cannot_be_read_is_a_row_and_no_end(check: Run, shelf: Path) -> None:
    (shelf / "6.jpg").symlink_to("nowhere")
    (shelf / "7.jpg").write_bytes(jpeg(7)[:-40])
    (shelf / "8.png").write_bytes(b"")
    os.mkfifo(shelf / "pipe.jpg")
    out = check("shelf", "--format", "csv", "--expected", "4")[1]
    reasons = {row["photo"]: row["reason"] for row in csv.DictReader(out.splitlines())}
    assert reasons["shelf/6.jpg"] == "cannot be read (No such file or directory)"
    assert reasons["shelf/7.jpg"].startswith("is a damaged image")
    assert reasons["shelf/8.png"] == "is empty"
    assert reasons["shelf/pipe.jpg"] == "is no file"
    assert [reasons[f"shelf/{n}.jpg"] for n in range(1, 6)] == [""] * 5


def test_the_first_so_many(check: Run) -> None:
    assert check("shelf", "--most", "2")[1].splitlines()[-1].startswith("2 photos: 2 counted")
    assert check("shelf", "--most", "1", "--format", "csv")[1].count("\n") == 2


# ---- buckets


def test_a_bucket_says_the_same_wherever_it_is(check: Run, s3: S3, tmp_path: Path) -> None:
    bodies = bins(7) | {"metadata/00003.json": metadata(12), "metadata/00004.json": b"{", "bin-images/00005.jpg": b"x"}
    url = s3.bucket(bodies, "in/a/prefix")
    mirror(bodies, tmp_path / "folder")
    status, there, _ = check(url, "--format", "csv")
    assert status == 1
    assert check("folder", "--format", "csv")[1] == there
    rows = {row["photo"]: row for row in csv.DictReader(there.splitlines())}
    assert list(rows) == [f"{n:05}" for n in range(1, 8)]
    assert [row["expected"] for row in rows.values()] == ["2", "3", "12", "", "3", "1", "2"]
    assert rows["00003"]["reason"] == "12 expected, the model knows 1 to 5"
    assert rows["00004"]["reason"].startswith("its metadata is not JSON")
    assert rows["00004"]["predicted"]
    assert rows["00005"]["reason"].startswith("is no JPEG")
    assert {rows[id]["verdict"] for id in ("00003", "00004", "00005")} == {"look"}


@pytest.mark.slow
def test_a_buckets_lists_are_judged_where_there_is_a_verifier(check: Run, tmp_path: Path) -> None:
    """Its metadata says how large each item is; without a verifier the number alone is judged, and that is said."""
    bucket = "synthetic://?pairs=12&seed=7"
    bare = str(tiny(tmp_path / "bare", DRAWN))
    status, out, err = check(bucket, "--models", bare, "--format", "jsonl", model="average")
    counted = [json.loads(line) for line in out.splitlines()]
    assert err.splitlines()[0] == f"{bare} holds no verifier, so that verdicts go by the number of items alone"
    models = tiny(tmp_path / "with", DRAWN)
    verified(models)
    status, out, err = check(bucket, "--models", str(models), "--format", "jsonl", model="average")
    rows = [json.loads(line) for line in out.splitlines()]
    assert "no verifier" not in err
    assert status == 1
    assert [row["predicted"] for row in rows] == [row["predicted"] for row in counted]
    judged = [(row, other) for row, other in zip(rows, counted, strict=True) if other["doubt"] is not None]
    assert len(judged) > 5
    assert all(row["doubt"] != other["doubt"] for row, other in judged)
    words = re.compile(
        r"\d before and \d now, (and|yet) the photos [\w ]+|(\d before and \d now, (and|yet) the photos [\w ]+; )?\d items? of about [\d,.]+ cubic inches expected; this looks like 50 to 200(, yet their number or single sizes fit less)?"
    )
    for row, _ in judged:
        assert (row["verdict"] == "match") == (row["reason"] is None)
        assert row["reason"] is None or words.fullmatch(row["reason"])
    outside = [row for row in rows if row["expected"] not in range(1, 6)]
    assert outside  # lists of any number
    assert all(row["doubt"] is not None for row in outside)
    # and no word of it where a number is given, or one network counts
    assert "no verifier" not in check(bucket, "--expected", "3", "--most", "1", model="average")[2]
    err = check(bucket, "--most", "1", model="vit")[2]
    assert err.splitlines()[0] == "--model vit counts, so that verdicts go by the number of items alone"


@pytest.mark.slow
def test_another_verifier_makes_parts_anew(check: Run, tmp_path: Path) -> None:
    argv = ["synthetic://?pairs=4&seed=7", "--models", str(verified(tiny(tmp_path / "with"))), "--output", "parts/"]
    check(*argv, model="average")
    (part,) = Path("parts").glob("part-*.csv")
    before = part.stat().st_mtime_ns
    check(*argv, model="average")
    assert part.stat().st_mtime_ns == before
    verified(tmp_path / "with", volume=5000.0)
    check(*argv, model="average")
    (other,) = Path("parts").glob("part-*.csv")
    assert other.name != part.name


def test_whoever_has_seen_drawings_alone_says_that_a_person_must_look_at_photos(check: Run, tmp_path: Path) -> None:
    """And the other way round; one line on the terminal says it once."""
    models, line = str(tiny(tmp_path / "drawn", DRAWN)), "40 drawn bins of synthetic://?pairs=60&seed=1"
    status, out, err = check("shelf/1.jpg", "shelf/2.jpg", "--expected", "3", "--models", models, "--format", "jsonl")
    rows = [json.loads(line) for line in out.splitlines()]
    assert status == 1
    assert {(row["verdict"], row["reason"]) for row in rows} == {
        ("look", f"a photo, and the networks have seen {line}")
    }
    assert all(row["predicted"] for row in rows)
    assert err.splitlines()[0] == f"{models} has learned from {line}, and from no photo: of photos it can tell nothing"
    status, out, err = check("synthetic://?pairs=3&seed=9", "--models", models, "--format", "jsonl")
    assert "the networks have seen" not in out
    assert "it can tell nothing" not in err
    assert "a drawing, and the networks have seen 40 photos of s3://bins" in check("synthetic://?pairs=3&seed=9")[1]


def test_what_is_unlike_the_photos_that_were_learned_from_wants_a_look(check: Run, tmp_path: Path) -> None:
    """Whichever network counts."""
    models = verified(tiny(tmp_path / "with"), farthest=0.0)
    for model in ("vit", "average"):
        _, out, _ = check("shelf/1.jpg", "--expected", "3", "--models", str(models), "--format", "jsonl", model=model)
        row = json.loads(out)
        assert (row["verdict"], row["reason"]) == (
            "look",
            "unlike the 40 photos of s3://bins that the networks have seen",
        )
        assert row["doubt"] is not None


def test_synthetic_bins_are_a_bucket(check: Run) -> None:
    status, out, _ = check("synthetic://?pairs=12&seed=7", "--format", "csv")
    rows = list(csv.DictReader(out.splitlines()))
    assert status == 1
    assert [row["photo"] for row in rows] == [f"{n:05}" for n in range(1, 13)]
    assert all(row["expected"] for row in rows)


# ---- outputs


def test_a_file_is_written_whole_and_its_name_tells_the_form(check: Run) -> None:
    for name, begins in (("o.csv", "photo,expected"), ("o.jsonl", '{"photo": '), ("new/o.txt", "photo  ")):
        status, out, err = check("shelf/[1-5].jpg", "--expected", "4", "--output", name)
        assert (status, out) == (0, "")
        assert err.splitlines()[-1].startswith("5 photos: 5 match; ")
        assert Path(name).read_text().startswith(begins)
    assert sorted(map(str, Path().iterdir())) == ["models", "new", "o.csv", "o.jsonl", "shelf"]
    before = Path("o.csv").read_bytes()
    check("shelf/[1-5].jpg", "--expected", "-1", "--output", "o.csv")
    assert Path("o.csv").read_bytes() == before


def test_what_is_no_file_is_written_to_and_not_replaced(check: Run) -> None:
    os.mkfifo("pipe")  # as /dev/null is none
    with subprocess.Popen(["cat", "pipe"], stdout=subprocess.PIPE, text=True) as reader:
        assert check("shelf/1.jpg", "--output", "pipe", "--format", "csv")[0] == 0
        assert reader.communicate(timeout=60)[0].startswith("photo,expected")
    assert Path("pipe").is_fifo()


def test_explanations_are_pictures_of_every_photo_that_was_counted(check: Run, shelf: Path) -> None:
    (shelf / "deep").mkdir()
    shutil.copy(shelf / "1.jpg", shelf / "deep" / "1.jpg")
    argv = ("shelf/1.jpg", "shelf/deep", "shelf/9.jpg", "--expected", "4", "--format", "csv")
    status, explained, _ = check(*argv, "--explain", "why")
    pictures = sorted(str(path.relative_to("why")) for path in Path("why").rglob("*") if path.is_file())
    assert pictures == ["1.jpg.png", "deep/1.jpg.png"]
    for name in pictures:
        with Image.open(Path("why") / name) as image:
            assert image.format == "PNG"
            image.verify()
    assert check(*argv)[:2] == (status, explained)


@pytest.mark.slow
def test_a_name_as_long_as_can_be_has_a_picture(check: Run, shelf: Path) -> None:
    """Of 255 bytes, some of them half a letter, and two that differ in the middle alone."""
    long = [f"{'ä' * 100}{n}{'x' * 50}.jpg" for n in (1, 2)]
    odd = os.fsencode("ä" * 125 + "a") + b".jpg"
    for name in (*map(os.fsencode, long), odd):
        (shelf / os.fsdecode(name)).write_bytes(jpeg(1))
    assert check("shelf", "--explain", "why", "--format", "csv")[0] == 1
    pictures = [path.name for path in Path("why").iterdir()]
    assert len(pictures) == 5 + 3
    assert all(len(os.fsencode(name)) <= 255 and name.endswith(".jpg.png") for name in pictures)
    assert check(".", "--explain", "why", "--format", "csv")[1].count("\n") == 1 + 6 + 3  # which are no photos


@pytest.mark.parametrize("output", ["shelf/1.jpg", "linked/1.jpg", "./shelf/notes", "shelf/new.PNG"])
def test_no_output_takes_the_place_of_a_photo(check: Run, shelf: Path, output: str) -> None:
    Path("linked").symlink_to("shelf")
    (shelf / "notes").write_bytes(jpeg(1))
    before = {path.name: path.read_bytes() for path in shelf.iterdir()}
    status, _, err = check("shelf", "shelf/notes", "--output", output)
    assert status == 2
    assert (
        message_of(err)
        == f"--output {output} would be in the place of a photo; name another file, such as findings.csv"
    )
    assert {path.name: path.read_bytes() for path in shelf.iterdir()} == before


@pytest.mark.parametrize("output", ["i.csv", "./shelf/../i.csv", "link.csv", "b.csv", "models/findings.csv"])
def test_no_output_takes_the_place_of_what_is_read(check: Run, shelf: Path, models: Path, output: str) -> None:
    """An inventory that was overwritten is gone."""
    for name in ("i.csv", "b.csv"):
        Path(name).write_text("photo,quantity\n1.jpg,3\n")
    Path("link.csv").symlink_to("i.csv")
    Path("then").mkdir()
    Path("then/1.jpg").write_bytes(jpeg(9))
    before = ("--before", "then", "--expected-before", "b.csv")
    status, out, err = check("shelf/1.jpg", "--expected", "i.csv", *before, "--output", output, model="average")
    assert (status, out) == (2, "")
    assert message_of(err).startswith(f"--output {output} would be in the place of what --")
    assert Path("i.csv").read_text() == Path("b.csv").read_text() == "photo,quantity\n1.jpg,3\n"
    assert not (models / "findings.csv").exists()


@pytest.mark.parametrize(
    ("output", "fault"),
    [
        ("findings.xlsx", "--output findings.xlsx: there is no format .xlsx; let its name end in .csv, .jsonl or .txt, or add --format"),
        ("i.csv/", "--output i.csv/: i.csv is a file; leave the slash out, or name another folder"),
        ("i.csv/x.csv", "--output i.csv/x.csv cannot be written (i.csv: File exists)"),
    ],
)  # fmt: skip
def test_an_output_that_cannot_be_is_one_line(check: Run, shelf: Path, output: str, fault: str) -> None:
    Path("i.csv").write_text("kept")
    status, _, err = check("shelf/1.jpg", "--output", output)
    assert (status, message_of(err)) == (2, fault)
    assert Path("i.csv").read_text() == "kept"


# ---- bad input


@pytest.mark.parametrize(
    ("argv", "fault"),
    [
        (["nowhere.jpg"], "nowhere.jpg does not exist"),
        (["shelf/*.gif"], "shelf/*.gif matches no .jpg, .jpeg, .png"),
        (["s3://"], "bucket s3:// names no bucket"),
        (["shelf", "--expected", "-1"], "--expected is '-1', not 0 to 1000000"),
        (["shelf", "--expected", "two"], "--expected is 'two', not a whole number"),
        (["shelf", "--expected", "shelf/9.jpg"], "shelf/9.jpg must have the columns photo (or id) and quantity"),
        (["shelf", "--format", "table", "--output", "parts/"], "--format table makes no parts"),
        (["shelf", "--batch", "0"], "--batch"),
        (["shelf", "--format", "xml"], "--format"),
        (["shelf", "--colour"], "--colour"),
        ([], "photos"),
        (["shelf", "--models", "elsewhere"], "elsewhere/calibration.json cannot be read"),
    ],
)
def test_bad_input_is_one_line_and_status_2(check: Run, argv: list[str], fault: str) -> None:
    status, out, err = check(*argv)
    assert (status, out) == (2, "")
    assert fault in message_of(err)


def test_a_mistyped_model_is_told_which_there_are(check: Run) -> None:
    status, out, err = check("shelf", model="vti")
    assert (status, out) == (2, "")
    assert "'vti' is not one of 'resnet34', 'vit', 'average'" in message_of(err)


@pytest.mark.parametrize(
    ("spoil", "fault"),
    [
        (shutil.rmtree, "calibration.json cannot be read"),
        (lambda models: shutil.rmtree(models / "vit"), "holds no trained ViT"),
        (lambda models: (models / "vit" / "model.safetensors").write_bytes(b"x"), "is not the one that calibration.json"),
        (lambda models: (models / "vit" / "config.json").open("a").write(" "), "is not the one that calibration.json"),
        (lambda models: (models / "calibration.json").write_text('{"version": 1}'), "is of version 1, this program reads 3"),
        (lambda models: (models / "calibration.json").write_text("{"), "is not JSON"),
        (lambda models: (models / "calibration.json").write_text('{"version": 3}'), "quantities: field required"),
    ],
)  # fmt: skip
def test_bad_models_are_one_line_and_status_2(
    check: Run, models: Path, spoil: Callable[[Path], object], fault: str
) -> None:
    own = Path("own")
    (own / "resnet34").mkdir(parents=True)
    shutil.copytree(models / "vit", own / "vit")
    shutil.copy(models / "calibration.json", own)
    assert check("shelf/1.jpg", "--models", "own")[0] == 0
    spoil(own)
    status, out, err = check("shelf/1.jpg", "--models", "own", "--output", "o.csv")
    assert (status, out) == (2, "")
    assert fault in message_of(err)
    assert not Path("o.csv").exists()


def test_a_full_disk_is_one_line(check: Run) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    Path("o.csv").symlink_to("/dev/full")
    assert message_of(check("shelf/1.jpg", "--output", "o.csv")[2].splitlines()[-1]).startswith("the disk is full")


# ---- how it flows


def test_no_more_photos_are_read_than_are_needed_soon(models: Path) -> None:
    pulled = 0

    def endless() -> "object":
        nonlocal pulled
        while True:
            pulled += 1
            yield Seen(Photo(str(pulled), str(pulled), None), jpeg(pulled % 7))

    with opened(models, "vit", 1) as counter, closing(inspect(counter, endless(), 4, 2, 2)) as groups:  # type: ignore[arg-type]
        for n in range(5):
            group = next(groups)
            assert [row.photo for row in group] == [str(4 * n + 1 + k) for k in range(4)]
            assert pulled <= 4 * (n + 1 + 2 + 1) + 2 * 4 + 1


def test_help_is_there_at_once_and_says_what_the_status_means() -> None:
    slow = "{'torch', 'numpy', 'pandas', 'mlflow', 'obstore', 'PIL'}"
    code = (
        "import sys; from warehouse_classifier.cli.__main__ import answer; status = answer(['check', '--help']);"
        f"sys.exit(', '.join({slow} & set(sys.modules)) or status)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert re.search(r"0 if everything matches.* 1 if anything .* 2 if", " ".join(done.stdout.split()))


@pytest.mark.slow
def test_a_closed_pipe_is_no_traceback(shelf: Path, models: Path) -> None:
    line = f"{' '.join(COMMAND)} synthetic://?pairs=500\\&seed=1 --model vit --batch 4 --format csv | head -1"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout == ",".join(FIELDS) + "\n"
    assert "Traceback" not in done.stderr
    assert "error" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "word"),
    [(signal.SIGINT, "interrupted"), pytest.param(signal.SIGTERM, "ended", marks=pytest.mark.soak)],
)
def test_ctrl_c_and_its_like_are_one_line(shelf: Path, how: signal.Signals, word: str) -> None:
    argv = [*COMMAND, "synthetic://?pairs=100000&seed=1", "--model", "vit", "--format", "csv"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.readline()
        process.send_signal(how)
        begun = time.monotonic()
        _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + how
    assert time.monotonic() - begun < 30
    assert err.splitlines()[-1] == f"error: {word}"
    assert "Traceback" not in err
    assert "leaked" not in err


@pytest.mark.slow
def test_a_file_that_was_not_finished_leaves_nothing(shelf: Path) -> None:
    large = shelf / "large.jpg"
    large.write_bytes(jpeg(1, (2000, 2000)))
    for n in range(500):
        os.link(large, shelf / f"large{n}.jpg")
    argv = [*COMMAND, "shelf", "--model", "vit", "--output", "o.csv"]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as process:
        while not Path(".o.csv.half").exists():
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 143
    assert err.splitlines()[-1] == "error: ended"
    assert "leaked" not in err
    assert sorted(map(str, Path().iterdir())) == ["models", "shelf"]
