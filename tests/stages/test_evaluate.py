"""The seventh stage, whole, on a handful of tiny bins."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from support.projects import TOP
from warehouse_classifier.bins.metadata import PAIRS
from warehouse_classifier.bins.split_names import OUTSIDE
from warehouse_classifier.dataset import shards
from warehouse_classifier.evaluation import answers, calibration
from warehouse_classifier.evaluation.counters import AVERAGE, COUNTERS, VERIFIER
from warehouse_classifier.models import folder, resnet34, vit
from warehouse_classifier.models.registry import NETWORKS
from warehouse_classifier.report import drawings
from warehouse_classifier.runtime.errors import UserError
from warehouse_classifier.runtime.progress import NullProgress
from warehouse_classifier.serving import predictor
from warehouse_classifier.stages import evaluate as stage
from warehouse_classifier.stages.train_verifier import TrainVerifier, train_verifier
from warehouse_classifier.verifier import outliers

QUANTITIES = [1, 2, 3, 4, 5]
PUBLISHED = TOP / "data" / "published.csv"
KINDS_OF = {f"{i:05}": (1, 2, 3, 1, 2, 4, 1)[i % 7] if i < 38 else 2 for i in range(40)}  # different items, by test bin
PARAMS = stage.Evaluate(
    seed=1, bucket="synthetic://?pairs=9", side=32, quality=95, quantities=QUANTITIES, batch=16, workers=1, threads=1,
    precision="fp32", mirror=False, resamples=1000, false_alarms=0.1, misses=0.1, prevalence=0.05, recalls=[0.5, 0.8],
    budgets=[0.01, 0.05, 0.1], gallery=6,
)  # fmt: skip


VERIFYING = TrainVerifier(
    seed=1, quantities=QUANTITIES, batch=16, workers=1, threads=1, precision="fp32", mirror=False, folds=2, ridge=10.0,
    penalty=10.0, change_penalty=10.0, draws=2, false_alarms=0.1, misses=0.1, outliers=0.02,
)  # fmt: skip


class Noted(NullProgress):
    def __init__(self) -> None:
        self.measured: dict[str, float] = {}

    def measure(self, step: int | None = None, **values: float) -> None:
        assert step is None
        self.measured |= values


def photo(shade: int) -> bytes:
    out = BytesIO()
    Image.new("RGB", (32, 32), (shade, 120, 60)).save(out, "JPEG")
    return out.getvalue()


def sizes(place: int) -> dict[str, float]:
    return dict.fromkeys(("height", "length", "width"), 3.0 + place % 3)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """images/, metadata.parquet, models/ as the stages before leave them: 40 test images, networks that learned nothing, and
    12 bins that hold 0, 6 to 9 items."""
    root = tmp_path_factory.mktemp("trained")
    for name in ("images", "models/resnet34", "models/vit"):
        (root / name).mkdir(parents=True)
    splits = ["test"] * 40 + ["train"] * 30 + ["validation"] * 10 + [OUTSIDE] * 12
    holds = {"test": [1, 2, 3, 4], "train": [2, 3, 4, 4], "validation": [1, 2, 3, 4], OUTSIDE: [0, 6, 6, 7, 8, 9]}
    facts = [
        {"id": f"{i:05}", "quantity": holds[split][i % len(holds[split])], "split": split, "group": f"g{i // 2}"}
        for i, split in enumerate(splits)
    ]
    items = [
        [
            {"asin": f"A{n}", "quantity": 0 if n else row["quantity"], "weight": None, "name": None, **sizes(place)}
            for n in range(KINDS_OF.get(row["id"], 1))
        ]
        for place, row in enumerate(facts)
    ]
    rows = [{"id": row["id"], "items": contents} for row, contents in zip(facts, items, strict=True)]
    pq.write_table(pa.Table.from_pylist(rows, PAIRS), root / "metadata.parquet")
    shards.write(root / "images", ((row, photo(3 * i)) for i, row in enumerate(facts)))
    torch.manual_seed(0)
    resnet34.save(resnet34.build(5, "none", None), tuple(QUANTITIES), root / "models/resnet34")
    size = {
        "hidden_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
        "intermediate_size": 8,
        "patch_size": 16,
    }
    vit.save(vit.build("own", None, size, 32, tuple(QUANTITIES)), root / "models/vit")
    keys = ("train_loss", "validation_loss", "validation_accuracy", "validation_rmse", "learning_rate")
    for name in ("resnet34", "vit"):
        folder.write([{"epoch": epoch, **dict.fromkeys(keys, 0.5)} for epoch in (1, 2)], root / "models" / name)
    verify(root, root / "models")
    return root


def verify(trained: Path, models: Path) -> None:
    """A verifier of the networks in `models`, there."""
    work = models.parent / "work"
    work.mkdir()
    paths = trained / "images", trained / "metadata.parquet", models / VERIFIER, *(models / key for key in NETWORKS)
    train_verifier(VERIFYING, *paths, work=work, progress=NullProgress())
    shutil.rmtree(work)


def run(trained: Path, out: Path, params: stage.Evaluate = PARAMS, **instead: Path) -> dict[str, float]:
    """The stage, with inputs in place of those of `trained` by name; a network's name, and the verifier's, stand for their folders.

    What it leaves in the folder of models is moved to that of reports, so that one folder holds all of it.
    """
    progress = Noted()
    models = out.parent / f"{out.name}-models"
    shutil.rmtree(models, ignore_errors=True)
    models.mkdir()
    for name in (*NETWORKS, VERIFIER):
        (models / name).symlink_to(instead.pop(name, trained / "models" / name))
    inputs = {"images": trained / "images", "metadata": trained / "metadata.parquet", "published": PUBLISHED} | instead
    stage.evaluate(params, **inputs, models=models, reports=out, progress=progress)
    assert {path.name for path in models.iterdir()} == {*NETWORKS, VERIFIER, calibration.FILE}
    shutil.move(models / calibration.FILE, out)
    return progress.measured


@pytest.fixture(scope="module")
def done(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, float]]:
    """What the stage leaves, to be read, and what it measured."""
    out = tmp_path_factory.mktemp("done")
    return out, run(trained, out)


@pytest.mark.slow
def test_bf16_gives_the_same_logits_twice_and_others_than_fp32(trained: Path, tmp_path: Path) -> None:
    """On a few images: a processor without bf16 takes its time. What follows from logits is the same code for both."""
    packed = shards.Shards(trained / "images")
    facts = packed.index.loc[packed.index["split"] == "test", ["id", "quantity", "split", "group"]].head(4)
    shards.write(tmp_path, ((dict(row), packed.jpeg(i)) for i, (_, row) in enumerate(facts.iterrows())))
    few, folders = shards.Shards(tmp_path), {network: trained / "models" / network for network in NETWORKS}
    params = PARAMS.model_copy(update={"precision": "bf16"})
    (_, one), (_, two), (_, fp32) = (
        stage.answered(how, few, folders, NullProgress()) for how in (params, params, PARAMS)
    )
    for network in NETWORKS:
        assert one.logits[network].tobytes() == two.logits[network].tobytes()
        assert one.logits[network].tobytes() != fp32.logits[network].tobytes()
    assert one.features.tobytes() == two.features.tobytes()


@pytest.mark.slow
def test_the_stage_leaves_everything_and_the_same_bytes_twice(
    trained: Path, done: tuple[Path, dict[str, float]], tmp_path: Path
) -> None:
    out, measured = done
    run(trained, tmp_path)
    one, two = (
        {file.relative_to(out): file.read_bytes() for file in out.rglob("*") if file.is_file()}
        for out in (out, tmp_path)
    )
    assert one == two
    kinds = ("one_off", "any_size")
    pictures = ["accuracy", "recall", "loss", "validation_accuracy", "fullness", "clutter"]
    pictures += [f"{name}_{counter}" for name in ("confusion", "reliability", "verdicts") for counter in COUNTERS]
    pictures += [f"{name}_{kind}" for name in ("roc", "found") for kind in kinds]
    wanted = {f"plots/{name}.{kind}" for name in pictures for kind in ("svg", "csv")}
    assert set(map(str, one)) == wanted | {
        "calibration.json", "metrics.json", "evaluation.json", "predictions.csv", "report.html",
    }  # fmt: skip
    assert all(measured[f"{net}_images_per_second"] > 0 for net in NETWORKS)
    named = {"resnet34_accuracy", "average_accuracy", "baseline_accuracy", "mcnemar_p_resnet34_vit", "vit_recall_1"}
    named |= {"vit_ece_before", "average_one_off_auroc", "prior_any_size_found_in_5_high", "resnet34_misses_met"}
    assert named <= set(measured)
    assert "vit_recall_5" not in measured
    assert not any(b"per_second" in body or str(out).encode() in body for body in one.values())


@pytest.mark.slow
def test_predictions_are_rows_of_the_test_split_in_the_order_of_ids(done: tuple[Path, dict[str, float]]) -> None:
    out, measured = done
    rows = pd.read_csv(out / "predictions.csv", dtype={"id": str})
    chances = [f"{net}_p{quantity}" for net in COUNTERS for quantity in QUANTITIES]
    assert list(rows) == ["id", "quantity", "group", *COUNTERS, *chances]
    assert rows["id"].tolist() == [f"{i:05}" for i in range(40)]
    assert rows["quantity"].tolist() == [1 + i % 4 for i in range(40)]
    for net in COUNTERS:
        shares = rows[[f"{net}_p{quantity}" for quantity in QUANTITIES]].to_numpy()
        assert shares.sum(axis=1) == pytest.approx(1, abs=1e-5)
        assert rows[net].tolist() == (1 + shares.argmax(axis=1)).tolist()
        assert measured[f"{net}_accuracy"] == pytest.approx((rows[net] == rows["quantity"]).mean())
    drawn = pd.read_csv(out / "plots" / "confusion_vit.csv").set_index(["actual", "predicted"])["images"]
    assert drawn.sum() == 40
    assert drawn[3, 3] == ((rows["quantity"] == 3) & (rows["vit"] == 3)).sum()
    recalls = pd.read_csv(out / "plots" / "recall.csv")
    assert list(recalls) == ["quantity", *COUNTERS]
    assert recalls["quantity"].tolist() == [1, 2, 3, 4]  # no test image holds 5
    assert recalls["vit"].mean() == pytest.approx(measured["vit_balanced_accuracy"], abs=1e-5)


def test_the_networks_see_the_images_they_are_scored_on(trained: Path, done: tuple[Path, dict[str, float]]) -> None:
    """The stage's probabilities against each network asked about one image by hand."""
    out, _ = done
    rows = pd.read_csv(out / "predictions.csv")
    packed, calibrated = shards.Shards(trained / "images"), calibration.load(out)
    for net, module in (("resnet34", resnet34), ("vit", vit)):
        network = module.load(trained / "models" / net)
        for position in (0, 17, 39):
            pixels = np.asarray(Image.open(BytesIO(packed.jpeg(position))).convert("RGB"))
            with torch.inference_mode():
                logits = network(torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None])
            temperature = calibrated.counters[net].temperature
            expected = torch.softmax(logits.double() / temperature, dim=1)[0].numpy()
            row = rows.loc[position, [f"{net}_p{quantity}" for quantity in QUANTITIES]].to_numpy(dtype=float)
            assert row == pytest.approx(expected, abs=1e-4)


@pytest.mark.slow
def test_a_counter_says_of_a_photo_what_the_stage_said_of_it(
    trained: Path, done: tuple[Path, dict[str, float]], tmp_path: Path
) -> None:
    """Of its bytes as they were in the bucket, before resize_images made them small."""
    rows = pd.read_csv(done[0] / "predictions.csv")
    shutil.copy(done[0] / "calibration.json", tmp_path)
    for net in ("resnet34", "vit"):
        shutil.copytree(trained / "models" / net, tmp_path / net)
    packed = shards.Shards(trained / "images")
    body = packed.jpeg(7)
    for counter in COUNTERS:
        with predictor.opened(tmp_path, counter, threads=1) as counted:
            # a JPEG of this very size and quality is near what it becomes when it is encoded again
            shares = counted.probabilities(counted.pixels(body)[None])[0]
            (answer,) = counted.answers(shares[None], [2])
        row = rows.loc[7, [f"{counter}_p{quantity}" for quantity in QUANTITIES]].to_numpy(dtype=float)
        assert shares == pytest.approx(row, abs=1e-3)
        assert answer.predicted == rows.loc[7, counter]
        assert answer.doubt == pytest.approx(1 - shares[1])


def test_the_calibration_says_what_was_learned_from(trained: Path, done: tuple[Path, dict[str, float]]) -> None:
    learned_from = calibration.load(done[0]).learned_from
    index = shards.Shards(trained / "images").index
    assert learned_from.bucket == "synthetic://?pairs=9"
    assert learned_from.drawn
    assert learned_from.images == (index["split"] == "train").sum()
    assert learned_from.sha256 == hashlib.sha256((trained / "images/index.parquet").read_bytes()).hexdigest()


def test_what_is_unlike_is_measured_on_the_test_split(done: tuple[Path, dict[str, float]]) -> None:
    unlike = json.loads((done[0] / "evaluation.json").read_text())["unlike"]
    assert set(unlike) == {outliers.USUAL, *outliers.KINDS}
    assert all(0 <= share <= 1 for share in unlike.values())
    page = (done[0] / "report.html").read_text()
    assert "upside down" in page


def test_what_the_thresholds_promise_and_what_they_met(done: tuple[Path, dict[str, float]]) -> None:
    out, measured = done
    calibrated = calibration.load(out)
    metrics = json.loads((out / "evaluation.json").read_text())
    rows = pd.read_csv(out / "predictions.csv")
    for counter in COUNTERS:
        doubt = 1 - np.array([row[f"{counter}_p{row['quantity']}"] for _, row in rows.iterrows()])
        assert measured[f"{counter}_false_alarms_met"] == pytest.approx(
            np.mean(doubt > calibrated.counters[counter].mismatch + 1e-6)
        )
        cases = pd.read_csv(out / "plots" / f"verdicts_{counter}.csv")
        holds = ["holds 0", "holds 6", "holds 7", "holds 8 or more"]
        assert cases["case"].tolist() == ["as expected", "wrong by one", "wrong by any number", *holds]
        assert cases["images"].tolist()[-4:] == [2, 4, 2, 4]
        assert cases[["match", "look", "mismatch"]].sum(axis=1).tolist() == pytest.approx([1] * 7, abs=1e-5)
        assert metrics["calibration"][counter]["temperature"] == pytest.approx(
            calibrated.counters[counter].temperature, abs=1e-6
        )
    # who sees no photo says what most bins hold that the networks learned from, and not what most test bins do
    assert "always saying 4" in (out / "report.html").read_text()
    assert measured["baseline_recall_4"] == 1
    text = (out / "evaluation.json").read_text()
    assert text == json.dumps(metrics, indent=2, sort_keys=True) + "\n"
    assert metrics["test_images"] == 40
    right = {net: rows[net] == rows["quantity"] for net in NETWORKS}
    only = [int((right[one] & ~right[other]).sum()) for one, other in (("resnet34", "vit"), ("vit", "resnet34"))]
    (test,) = metrics["mcnemar"]
    assert (test["first"], test["second"], test["first_only"], test["second_only"]) == ("resnet34", "vit", *only)
    assert test["p"] == pytest.approx(measured["mcnemar_p_resnet34_vit"], abs=1e-6)
    assert metrics["vit"]["recall"]["5"] is None
    # what the metadata says of a bin stands beside what is said of that very bin
    clutter = pd.read_csv(out / "plots" / "clutter.csv").set_index("group")
    assert clutter["images"].to_dict() == {1: 16, 2: 13, 3: 6, 4: 5}
    kinds = rows["id"].map(lambda number: KINDS_OF[f"{number:05}"])
    for counter in COUNTERS:
        right = (rows[counter] == rows["quantity"]).groupby(kinds).mean()
        assert clutter[counter].to_dict() == pytest.approx(right.to_dict(), abs=1e-6)
    for kind in ("one_off", "any_size"):
        prior = metrics["verification"]["prior"][kind]
        assert prior["auroc"] == prior["auroc_low"] == prior["auroc_high"] == 0.5
        assert prior["found_in_5"] == 0.05


def test_metrics_are_few_flat_and_those_of_the_average(done: tuple[Path, dict[str, float]]) -> None:
    out, measured = done
    figures = json.loads((out / "metrics.json").read_text())
    wanted = {
        "acc": "average_accuracy", "acc_resnet34": "resnet34_accuracy", "acc_vit": "vit_accuracy",
        "macro_f1": "average_macro_f1", "mae": "average_mae", "auroc": "average_one_off_auroc",
        "found": "average_any_size_found_in_5", "look": "average_look", "auroc_natural": "average_natural_auroc",
        "found_natural_in_5": "average_natural_found_in_5", "auroc_change": "average_change_auroc",
        "auroc_natural_verifier": "verifier_natural_auroc",
        "found_natural_in_5_verifier": "verifier_natural_found_in_5", "auroc_change_verifier": "verifier_change_auroc",
    }  # fmt: skip
    assert list(figures) == [*wanted, "look_verifier"]
    right = json.loads((out / "evaluation.json").read_text())["list_verdicts"][0]
    assert (right["case"], right["judged"]) == ("right", 40)
    assert figures.pop("look_verifier") == round(right["look"], 3)
    assert figures == {key: round(measured[name], 3) for key, name in wanted.items()}


@pytest.mark.slow
def test_a_third_network_takes_a_line_in_the_registry(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no edit of the evaluation, the report or its templates. Its key has an underscore, as many have."""
    third = replace(NETWORKS["resnet34"], title="ConvNeXt", explanation=None)
    monkeypatch.setitem(NETWORKS, "convnext_tiny", third)
    titles = {**{key: network.title for key, network in NETWORKS.items()}, AVERAGE: COUNTERS[AVERAGE]}
    monkeypatch.delitem(COUNTERS, AVERAGE)
    for key, title in titles.items():
        monkeypatch.setitem(COUNTERS, key, title)
    shutil.copytree(trained / "models", tmp_path / "models")
    shutil.copytree(trained / "models/resnet34", tmp_path / "models/convnext_tiny")
    with pytest.raises(UserError, match="verifier holds no trained verifier"):  # of three networks
        run(trained, tmp_path / "out", convnext_tiny=tmp_path / "models/convnext_tiny")
    verify(trained, tmp_path / "models")
    its = {name: tmp_path / "models" / name for name in ("convnext_tiny", VERIFIER)}
    measured = run(trained, tmp_path / "out", **its)
    figures = json.loads((tmp_path / "out/evaluation.json").read_text())
    pairs = [("resnet34", "vit"), ("resnet34", "convnext_tiny"), ("vit", "convnext_tiny")]
    assert [(test["first"], test["second"]) for test in figures["mcnemar"]] == pairs
    assert {f"mcnemar_p_{first}_{second}" for first, second in pairs} <= measured.keys()
    assert figures["convnext_tiny"] == figures["resnet34"]
    assert "acc_convnext_tiny" in json.loads((tmp_path / "out/metrics.json").read_text())
    rows = pd.read_csv(tmp_path / "out/predictions.csv")
    assert [column.removesuffix("_p3") for column in rows if column.endswith("_p3")] == [*NETWORKS, AVERAGE]
    assert calibration.load(tmp_path / "out").counters.keys() == {*NETWORKS, AVERAGE}
    loss = pd.read_csv(tmp_path / "out/plots/loss.csv")
    assert "convnext_tiny_validation" in loss
    assert "ConvNeXt, validation 0.500" in (tmp_path / "out/plots/loss.svg").read_text()
    page = (tmp_path / "out/report.html").read_text()
    assert "ResNet34, ViT and ConvNeXt count the items" in page
    assert page.count("The test does not tell ") == 3
    assert "SHA-256 of ConvNeXt’s weights" in page


@pytest.mark.slow
def test_without_bins_outside_the_report_says_nothing_of_them(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = shards.Shards(trained / "images")
    facts = packed.index.loc[packed.index["split"] != OUTSIDE, ["id", "quantity", "split", "group"]]
    (tmp_path / "images").mkdir()
    shards.write(tmp_path / "images", ((dict(row), packed.jpeg(i)) for i, row in facts.iterrows()))
    for other in ("counting", "learning", "grouped"):  # drawings of cases alone
        monkeypatch.setattr(drawings, other, lambda *_: [])
    run(trained, tmp_path / "out", images=tmp_path / "images")
    assert "Verdicts of ResNet34. as expected" in (tmp_path / "out" / "report.html").read_text()
    assert "holds 6" not in (tmp_path / "out" / "report.html").read_text()
    assert "Bins of every number of items" not in (tmp_path / "out" / "report.html").read_text()


def test_lists_with_an_item_exchanged_are_told_beside_who_sees_the_list_alone(
    done: tuple[Path, dict[str, float]],
) -> None:
    out, measured = done
    lists = json.loads((out / "evaluation.json").read_text())["lists"]
    for counter in ("resnet34", "vit", "average"):
        assert lists[counter]["exchanged"]["auroc"] == 0.5  # as many items
    for key in ("verifier", "prior"):
        assert lists[key]["exchanged"]["auroc"] == round(measured[f"{key}_exchanged_auroc"], 6)
    section = (out / "report.html").read_text().partition("Its list with one item exchanged")[2]
    assert "Such a list betrays itself" in section


def test_bins_of_every_number_have_figures_of_their_own(done: tuple[Path, dict[str, float]]) -> None:
    out, _ = done
    rows = {row["holds"]: row for row in json.loads((out / "evaluation.json").read_text())["by_number"]}
    assert {holds: row["bins"] for holds, row in rows.items()} == {"0": 2, "1 to 5": 40, "6 or more": 10}
    assert rows["1 to 5"]["natural_pairs"] == 39
    assert rows["0"]["alike"] is None
    section = (out / "report.html").read_text().partition('aria-label="Bins of every number of items"')[2]
    assert '<th scope="row">6 or more</th><td>10</td>' in section


@pytest.mark.slow
def test_visits_are_shown_with_the_other_photos_list(trained: Path, done: tuple[Path, dict[str, float]]) -> None:
    """The bins' ids follow each other and all hold the item A0, so each is before and after a visit; two make a group."""
    out, _ = done
    quantity = pd.read_parquet(trained / "images/index.parquet").set_index("id")["quantity"]
    assert json.loads((out / "evaluation.json").read_text())["visits"] == 39
    section = (out / "report.html").read_text().partition('<section id="lists">')[2].partition("</section>")[0]
    shown = re.findall(r'alt="Bin (\d+)".*?<b>(\d) expected, holds (\d)</b>', section, re.DOTALL)
    assert 1 <= len(shown) <= 2 * (PARAMS.gallery // 6)  # found and missed, where there are any
    for id, expected, holds in shown:
        assert int(holds) == quantity[id]
        assert int(expected) in {quantity.get(f"{int(id) + step:05}") for step in (-1, 1)}


@pytest.mark.slow
def test_without_a_visit_the_report_says_so(trained: Path, tmp_path: Path) -> None:
    table = pq.read_table(trained / "metadata.parquet").to_pylist()
    for row in table:
        for item in row["items"]:
            item["asin"] += row["id"]  # no two bins share an item
    pq.write_table(pa.Table.from_pylist(table, PAIRS), tmp_path / "metadata.parquet")
    run(trained, tmp_path / "out", metadata=tmp_path / "metadata.parquet")
    report = (tmp_path / "out/report.html").read_text()
    assert "so that mismatches as they happen are not measured here" in report
    section = report.partition('<section id="lists">')[2].partition("</section>")[0]
    assert "Another bin’s list of one item more or fewer" in section
    assert "The other photo’s list" not in section
    assert "auroc_natural" not in json.loads((tmp_path / "out/metrics.json").read_text())


@pytest.fixture
def bad(trained: Path, tmp_path: Path) -> Path:
    """A folder of things that are not what the stage needs."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "short.csv").write_text("quantities,model\n1-5,x\n")
    (tmp_path / "void.csv").write_text("")
    shutil.copytree(trained / "models/resnet34", tmp_path / "damaged")
    (tmp_path / "damaged" / "model.safetensors").write_bytes(b"cut")
    return tmp_path


@pytest.mark.parametrize(
    ("what", "name", "fault"),
    [
        ("vit", "empty", "history.csv is missing"),
        ("images", "empty", "index.parquet cannot be read"),
        ("published", "short.csv", "short.csv lacks the column trained_on, result"),
        ("published", "void.csv", "void.csv is not a CSV"),
        ("published", "nowhere.csv", "nowhere.csv is missing"),
        ("metadata", "nowhere.parquet", "nowhere.parquet is missing"),
        ("resnet34", "damaged", "was trained with another ResNet34 than the one in"),
        ("verifier", "empty", "verifier holds no trained verifier"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(trained: Path, bad: Path, what: str, name: str, fault: str) -> None:
    with pytest.raises(UserError, match=re.escape(fault)) as caught:
        run(trained, bad / "out", PARAMS, **{what: bad / name})
    assert "\n" not in str(caught.value)
    assert not (bad / "out").exists()


@pytest.mark.slow
def test_a_random_split_is_said_to_leak(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twins on both sides of the split, as `split: random` leaves them."""
    monkeypatch.setattr(drawings, "drawings", lambda *_: [])  # in words alone
    shutil.copytree(trained / "images", tmp_path / "images")
    index = pd.read_parquet(tmp_path / "images" / shards.INDEX)
    index.loc[index["id"] == "00045", "group"] = "g3"  # the group of test images 6 and 7
    index.to_parquet(tmp_path / "images" / shards.INDEX, index=False)
    run(trained, tmp_path / "out", images=tmp_path / "images")
    assert (
        "2 of 40 test images have a near-duplicate in train or validation" in (tmp_path / "out/report.html").read_text()
    )


def test_networks_for_other_quantities_are_a_fault(trained: Path, tmp_path: Path) -> None:
    fewer = PARAMS.model_copy(update={"quantities": [1, 2, 3, 4]})
    with pytest.raises(UserError, match=r"tells 5 quantities apart and params\.yaml names 4"):
        run(trained, tmp_path / "out", fewer)
    assert not (tmp_path / "out").exists()


def test_a_bad_parameter_fails_before_anything_slow_is_imported() -> None:
    slow = "{'torch', 'pandas', 'matplotlib', 'sklearn', 'scipy', 'transformers'}"
    code = f"import sys, warehouse_classifier.stages.evaluate; sys.exit(', '.join({slow} & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_network_that_answers_with_nan_is_a_fault() -> None:
    with pytest.raises(UserError, match="ViT answers with what is no finite number"):
        answers.checked("vit", np.array([[0.0, np.nan]]), 2)
