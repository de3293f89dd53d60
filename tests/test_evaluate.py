"""The sixth stage, whole, on a handful of tiny bins."""

import re
import shutil
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from warehouse_classifier import history, resnet34, shards, vit
from warehouse_classifier.fault import Fault
from warehouse_classifier.stages import evaluate as stage
from warehouse_classifier.watch import Silence

QUANTITIES = [1, 2, 3, 4, 5]
PUBLISHED = Path(__file__).parents[1] / "data" / "published.csv"
PARAMS = stage.Evaluate(
    seed=1, bucket="synthetic://?pairs=9", side=32, quantities=QUANTITIES, batch=16, workers=1, threads=1, precision="fp32",
    resamples=1000, gallery=6,
)  # fmt: skip


class Noted(Silence):
    def __init__(self) -> None:
        self.measured: dict[str, float] = {}

    def measure(self, step: int | None = None, **values: float) -> None:
        assert step is None
        self.measured |= values


def photo(shade: int) -> bytes:
    out = BytesIO()
    Image.new("RGB", (32, 32), (shade, 120, 60)).save(out, "JPEG")
    return out.getvalue()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """images/, resnet34/, vit/ as the stages before leave them: 40 test images, networks that learned nothing."""
    root = tmp_path_factory.mktemp("trained")
    for name in ("images", "resnet34", "vit"):
        (root / name).mkdir()
    splits = ["test"] * 40 + ["train"] * 30 + ["validation"] * 10
    facts = [
        {"id": f"{i:05}", "quantity": 1 + i % 4, "split": split, "group": f"g{i // 2}"}
        for i, split in enumerate(splits)
    ]
    shards.write(root / "images", ((row, photo(3 * i)) for i, row in enumerate(facts)))
    torch.manual_seed(0)
    resnet34.save(resnet34.build(5, "none", None), tuple(QUANTITIES), root / "resnet34")
    size = {
        "hidden_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
        "intermediate_size": 8,
        "patch_size": 16,
    }
    vit.save(vit.build("own", None, size, 32, tuple(QUANTITIES)), root / "vit")
    keys = ("train_loss", "validation_loss", "validation_accuracy", "validation_rmse", "learning_rate")
    for name in ("resnet34", "vit"):
        history.write([{"epoch": epoch, **dict.fromkeys(keys, 0.5)} for epoch in (1, 2)], root / name)
    return root


def run(trained: Path, out: Path, params: stage.Evaluate = PARAMS, **instead: Path) -> dict[str, float]:
    watch = Noted()
    inputs = {name: trained / name for name in ("images", "resnet34", "vit")} | {"published": PUBLISHED} | instead
    names = {"metrics": "metrics.json", "predictions": "predictions.csv", "plots": "plots", "report": "report.html"}
    stage.evaluate(params, **inputs, **{key: out / name for key, name in names.items()}, watch=watch)
    return watch.measured


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_stage_leaves_everything_and_the_same_bytes_twice(trained: Path, tmp_path: Path, precision: str) -> None:
    params = PARAMS.model_copy(update={"precision": precision})
    measured = run(trained, tmp_path / "one", params)
    run(trained, tmp_path / "two", params)
    one, two = (
        {file.relative_to(out): file.read_bytes() for file in out.rglob("*") if file.is_file()}
        for out in (tmp_path / "one", tmp_path / "two")
    )
    assert one == two
    pictures = ("accuracy", "confusion_resnet34", "confusion_vit", "recall", "loss", "validation_accuracy")
    wanted = {f"plots/{name}.{kind}" for name in pictures for kind in ("svg", "png")}
    wanted |= {f"plots/{name}.csv" for name in ("confusion_resnet34", "confusion_vit", "recall")}
    assert set(map(str, one)) == wanted | {"metrics.json", "predictions.csv", "report.html"}
    assert measured["images_per_second"] > 0
    assert {"resnet34_accuracy", "vit_accuracy", "baseline_accuracy", "mcnemar_p", "vit_recall_1"} <= set(measured)
    assert "vit_recall_5" not in measured
    assert not any(b"per_second" in body or str(tmp_path).encode() in body for body in one.values())


def test_predictions_are_rows_of_the_test_split_in_the_order_of_ids(trained: Path, tmp_path: Path) -> None:
    measured = run(trained, tmp_path)
    rows = pd.read_csv(tmp_path / "predictions.csv", dtype={"id": str})
    chances = [f"{net}_p{quantity}" for net in ("resnet34", "vit") for quantity in QUANTITIES]
    assert list(rows) == ["id", "quantity", "group", "resnet34", "vit", *chances]
    assert rows["id"].tolist() == [f"{i:05}" for i in range(40)]
    assert rows["quantity"].tolist() == [1 + i % 4 for i in range(40)]
    for net in ("resnet34", "vit"):
        shares = rows[[f"{net}_p{quantity}" for quantity in QUANTITIES]].to_numpy()
        assert shares.sum(axis=1) == pytest.approx(1, abs=1e-5)
        assert rows[net].tolist() == (1 + shares.argmax(axis=1)).tolist()
        assert measured[f"{net}_accuracy"] == pytest.approx((rows[net] == rows["quantity"]).mean())
    drawn = pd.read_csv(tmp_path / "plots" / "confusion_vit.csv")
    assert drawn["actual"].tolist() == rows["quantity"].tolist()
    assert drawn["predicted"].tolist() == rows["vit"].tolist()
    recalls = pd.read_csv(tmp_path / "plots" / "recall.csv")
    assert list(recalls) == ["quantity", "resnet34", "vit"]
    assert recalls["quantity"].tolist() == [1, 2, 3, 4]  # no test image holds 5
    assert recalls["vit"].mean() == pytest.approx(measured["vit_balanced_accuracy"], abs=1e-5)


def test_the_networks_see_the_images_they_are_scored_on(trained: Path, tmp_path: Path) -> None:
    """The stage's probabilities against each network asked about one image by hand."""
    run(trained, tmp_path)
    rows = pd.read_csv(tmp_path / "predictions.csv")
    packed = shards.Shards(trained / "images")
    for net, module in (("resnet34", resnet34), ("vit", vit)):
        network = module.load(trained / net)
        for position in (0, 17, 39):
            pixels = np.asarray(Image.open(BytesIO(packed.jpeg(position))).convert("RGB"))
            with torch.inference_mode():
                logits = network(torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None])
            expected = torch.softmax(logits.double(), dim=1)[0].numpy()
            found = rows.loc[position, [f"{net}_p{quantity}" for quantity in QUANTITIES]].to_numpy(dtype=float)
            assert found == pytest.approx(expected, abs=1e-4)


@pytest.fixture
def bad(trained: Path, tmp_path: Path) -> Path:
    """A folder of things that are not what the stage needs."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "short.csv").write_text("quantities,model\n1-5,x\n")
    (tmp_path / "void.csv").write_text("")
    shutil.copytree(trained / "resnet34", tmp_path / "damaged")
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
        ("resnet34", "damaged", "damaged holds no trained ResNet34"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(trained: Path, bad: Path, what: str, name: str, fault: str) -> None:
    with pytest.raises(Fault, match=re.escape(fault)) as caught:
        run(trained, bad / "out", PARAMS, **{what: bad / name})
    assert "\n" not in str(caught.value)
    assert not (bad / "out").exists()


def test_a_random_split_is_said_to_leak(trained: Path, tmp_path: Path) -> None:
    """Twins on both sides of the split, as `split: random` leaves them."""
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
    with pytest.raises(Fault, match=r"tells 5 quantities apart and params\.yaml names 4"):
        run(trained, tmp_path / "out", fewer)
    assert not (tmp_path / "out").exists()


def test_a_bad_parameter_fails_before_anything_slow_is_imported() -> None:
    slow = "{'torch', 'pandas', 'matplotlib', 'sklearn', 'scipy', 'transformers'}"
    code = f"import sys, warehouse_classifier.stages.evaluate; sys.exit(', '.join({slow} & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_network_that_answers_with_nan_is_a_fault() -> None:
    with pytest.raises(Fault, match="ViT answers with what is no finite number"):
        stage.chances("vit", np.array([[0.0, np.nan]]), 2)
