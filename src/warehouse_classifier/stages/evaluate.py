"""Try both networks on the test split, once, and set them beside the baseline and the published results.

images/, models/resnet34/, models/vit/, published.csv -> metrics.json, predictions.csv, plots/, report.html
"""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from warehouse_classifier.fault import Fault
from warehouse_classifier.files import replacing, sha256
from warehouse_classifier.label import Labels
from warehouse_classifier.params import Params
from warehouse_classifier.watch import Watch

if TYPE_CHECKING:  # what takes seconds to import is imported where it is used: a bad parameter fails at once
    import pandas as pd

    from warehouse_classifier.charts import Chart
    from warehouse_classifier.report import Bin
    from warehouse_classifier.scores import McNemar, Scores
    from warehouse_classifier.shards import Shards

Floats = npt.NDArray[np.float64]

NAMES = {"resnet34": "ResNet34", "vit": "ViT"}  # as files and metrics call them, and as people do
HISTORY = ("epoch", "train_loss", "validation_loss", "validation_accuracy")
WEIGHTS = "model.safetensors"
PUBLISHED = ("quantities", "model", "trained_on", "result")


class Evaluate(Params):
    seed: int  # of the bootstrap and of the gallery's choice
    bucket: str  # said in the report: synthetic bins are not real ones
    side: int = Field(gt=0)  # pixels, said in the report
    quantities: list[int] = Field(min_length=2)
    batch: int = Field(ge=1)  # images; sums differ between sizes in their last digit
    workers: int = Field(ge=1)  # that decode
    threads: int = Field(ge=1)  # of torch
    precision: Literal["fp32", "tf32", "bf16"]
    resamples: int = Field(ge=1000, le=1_000_000)  # of the bootstrap
    gallery: int = Field(ge=0, le=100)  # bins with their photo in the report


def evaluate(
    params: Evaluate,
    images: Path,
    resnet34: Path,
    vit: Path,
    published: Path,
    metrics: Path,
    predictions: Path,
    plots: Path,
    report: Path,
    *,
    watch: Watch,
) -> None:
    from warehouse_classifier import history
    from warehouse_classifier import report as html
    from warehouse_classifier import scores as figures
    from warehouse_classifier.shards import Shards

    folders = {"resnet34": resnet34, "vit": vit}
    literature = table(published, PUBLISHED)
    histories = {net: table(folder / history.FILE, HISTORY) for net, folder in folders.items()}
    labels, shards = Labels(params.quantities), Shards(images)
    shards.verify(params.workers)

    probabilities = predict(params, shards, folders, watch)
    answers = say(probabilities, shards, labels)
    scores, test = compare(params, answers, labels)
    charts = draw(answers, scores, labels, histories)
    known = shards.index[shards.index["split"] != "test"]
    page = html.page(
        html.Findings(
            scores={title: scores[who] for who, title in titles(answers).items()},
            mcnemar=test,
            images={split: shards.rows(split).size for split in ("train", "validation", "test")},
            bins=html.origin(params.bucket),
            split=html.separation(answers["group"].tolist(), known["group"].tolist()),
            drawings={chart.name: chart.svg() for chart in charts},
            published=literature.to_dict("records"),
            gallery=photos(params, shards, answers, probabilities),
            provenance=provenance(params, answers["group"].nunique(), images, folders),
        )
    )

    with replacing(metrics) as half:
        half.write_text(figures.as_json(scores, test, len(answers)), encoding="utf-8")
    with replacing(predictions) as half:
        columns = answers.drop(columns="baseline").assign(**by_quantity(probabilities, labels))
        columns.to_csv(half, index=False, float_format="%.6f", lineterminator="\n")
    with replacing(plots) as half:
        write_plots(half, charts, answers, scores)
    with replacing(report) as half:
        half.write_text(page, encoding="utf-8")
    watch.measure(None, **figures.flat(scores, test))


def predict(params: Evaluate, shards: "Shards", folders: Mapping[str, Path], watch: Watch) -> dict[str, Floats]:
    """What each network says of each test image: probabilities [images, quantities], in the order of the index.

    Raises Fault where a network fits other quantities than these, or answers with what is no number.
    """
    import torch

    from warehouse_classifier import resnet34, vit
    from warehouse_classifier.arithmetic import arithmetic, autocast, layout
    from warehouse_classifier.batches import batches, evenly
    from warehouse_classifier.decoded import images_of

    modules = {"resnet34": resnet34.load, "vit": vit.load}
    rows, pixels = shards.rows("test"), images_of(shards, params.workers, watch)
    logits: dict[str, list[torch.Tensor]] = {net: [] for net in folders}
    with (
        arithmetic("evaluate", params.precision, params.threads, deterministic=True) as device,
        torch.inference_mode(),
        watch.bar("evaluate", rows.size, "image") as bar,
    ):
        order = layout(params.precision)
        networks = {net: modules[net](folder).to(device).to(memory_format=order) for net, folder in folders.items()}
        start = time.perf_counter()
        for images in batches(pixels, evenly(rows, params.batch), params.workers, device):
            for net, network in networks.items():
                with autocast(device, params.precision):
                    logits[net].append(network(images.to(memory_format=order)).double().cpu())
            bar.advance(len(images))
    watch.measure(images_per_second=rows.size / (time.perf_counter() - start))
    return {net: chances(net, torch.cat(parts).numpy(), len(params.quantities)) for net, parts in logits.items()}


def chances(net: str, logits: Floats, quantities: int) -> Floats:
    """Softmax of logits [images, quantities]."""
    from scipy.special import softmax

    if logits.shape[1] != quantities:
        raise Fault(
            f"{NAMES[net]} tells {logits.shape[1]} quantities apart and params.yaml names {quantities}; train it again"
        )
    if not np.isfinite(logits).all():
        raise Fault(f"{NAMES[net]} answers with what is no finite number; its weights are damaged, train it again")
    shares: Floats = softmax(logits, axis=1)
    return shares


def say(probabilities: Mapping[str, Floats], shards: "Shards", labels: Labels) -> "pd.DataFrame":
    """One row per test image: id, quantity, group, the quantity that each network says, and the baseline.

    The baseline is someone who has seen the training split's inventory and no photo.
    """
    from warehouse_classifier.scores import commonest

    said = {net: labels.quantity(shares.argmax(axis=1)) for net, shares in probabilities.items()}
    always = commonest(shards.index["quantity"].to_numpy()[shards.rows("train")])
    test = shards.index.iloc[shards.rows("test")][["id", "quantity", "group"]].reset_index(drop=True)
    return test.assign(**said, baseline=always)


def by_quantity(probabilities: Mapping[str, Floats], labels: Labels) -> dict[str, Floats]:
    """Columns resnet34_p1, resnet34_p2, ..."""
    return {
        f"{net}_p{quantity}": shares[:, label]
        for net, shares in probabilities.items()
        for label, quantity in enumerate(labels.quantities)
    }


def compare(params: Evaluate, answers: "pd.DataFrame", labels: Labels) -> "tuple[dict[str, Scores], McNemar]":
    """The figures of both networks and of the baseline, and McNemar's test between the networks."""
    from warehouse_classifier.scores import mcnemar, score

    said = {who: answers[who].to_numpy() for who in (*NAMES, "baseline")}
    actual, groups = answers["quantity"].to_numpy(), answers["group"].to_numpy(dtype=str)
    scores = {
        who: score(actual, predicted, groups, labels.quantities, seed=params.seed, resamples=params.resamples)
        for who, predicted in said.items()
    }
    return scores, mcnemar(actual, said["resnet34"], said["vit"])


def titles(answers: "pd.DataFrame") -> dict[str, str]:
    return {**NAMES, "baseline": f"always saying {answers['baseline'].iloc[0]}"}


def draw(
    answers: "pd.DataFrame", scores: "Mapping[str, Scores]", labels: Labels, histories: "Mapping[str, pd.DataFrame]"
) -> "list[Chart]":
    from warehouse_classifier import charts
    from warehouse_classifier.scores import confusion

    actual = answers["quantity"].to_numpy()
    intervals = {
        title: (scores[who].accuracy, scores[who].accuracy_low, scores[who].accuracy_high)
        for who, title in titles(answers).items()
    }
    losses, accuracies = {}, {}
    for net, history in histories.items():
        epochs = history["epoch"].tolist()
        losses[f"{NAMES[net]}, train"] = (epochs, history["train_loss"].tolist())
        losses[f"{NAMES[net]}, validation"] = (epochs, history["validation_loss"].tolist())
        accuracies[NAMES[net]] = (epochs, history["validation_accuracy"].tolist())
    matrices = {net: confusion(actual, answers[net].to_numpy(), labels.quantities) for net in NAMES}
    return [
        charts.accuracies("accuracy", intervals),
        *(charts.confusion(f"confusion_{net}", NAMES[net], matrices[net], labels.quantities) for net in NAMES),
        charts.recall("recall", {name: scores[net].recall for net, name in NAMES.items()}),
        charts.learning("loss", "loss", losses),
        charts.learning("validation_accuracy", "validation accuracy", accuracies),
    ]


def write_plots(
    folder: Path, charts: "Sequence[Chart]", answers: "pd.DataFrame", scores: "Mapping[str, Scores]"
) -> None:
    """The tables that DVC's templates draw, and every chart as SVG and PNG."""
    folder.mkdir()
    for net in NAMES:
        columns = answers[["quantity", net]].set_axis(["actual", "predicted"], axis=1)
        columns.to_csv(folder / f"confusion_{net}.csv", index=False, lineterminator="\n")
    # a column for each network, as DVC's templates tell lines apart by column
    rows = [
        [str(quantity), *(f"{scores[net].recall[quantity]:.6f}" for net in NAMES)]
        for quantity in sorted(set(answers["quantity"].tolist()))
    ]
    lines = [",".join(row) for row in (["quantity", *NAMES], *rows)]
    (folder / "recall.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for chart in charts:
        (folder / f"{chart.name}.svg").write_text(chart.svg(), encoding="utf-8")
        (folder / f"{chart.name}.png").write_bytes(chart.png())


def photos(
    params: Evaluate, shards: "Shards", answers: "pd.DataFrame", probabilities: Mapping[str, Floats]
) -> "list[Bin]":
    """The bins of the gallery, with their JPEGs as they lie in the shards."""
    from warehouse_classifier.report import Bin, choose

    quantity, ids, groups = answers["quantity"].to_numpy(), answers["id"].tolist(), answers["group"].tolist()
    said = np.stack([answers[net].to_numpy() for net in NAMES])
    sure = np.stack([probabilities[net].max(axis=1) for net in NAMES])
    rows = shards.rows("test")
    return [
        Bin(
            ids[i],
            shards.jpeg(int(rows[i])),
            int(quantity[i]),
            dict(zip(NAMES.values(), said[:, i].tolist(), strict=True)),
        )
        for i in choose(quantity, said, sure, groups, bins=params.gallery, seed=params.seed)
    ]


def provenance(params: Evaluate, groups: int, images: Path, folders: Mapping[str, Path]) -> dict[str, str]:
    """What the figures depend on, in words and hashes; nothing of when, where or how fast."""
    from warehouse_classifier.shards import INDEX

    return {
        "Images": f"{params.side} pixels a side",
        "Quantities": ", ".join(map(str, params.quantities)),
        "Precision": f"{params.precision}, batches of {params.batch}",
        "Bootstrap": f"{params.resamples:,} draws of {groups:,} groups, seed {params.seed}",
        "SHA-256 of the image index": sha256(images / INDEX),
        **{f"SHA-256 of {NAMES[net]}’s weights": sha256(folder / WEIGHTS) for net, folder in folders.items()},
    }


def table(path: Path, columns: Sequence[str]) -> "pd.DataFrame":
    """A CSV with at least these columns. Raises Fault where it is missing or something else."""
    import pandas as pd

    try:
        frame = pd.read_csv(path)
    except FileNotFoundError:
        raise Fault(f"{path} is missing; `dvc repro` makes it, or `git checkout {path}` where git tracks it") from None
    except ValueError as error:  # not CSV, empty, or not UTF-8
        raise Fault(f"{path} is not a CSV: {' '.join(str(error).split())}") from None
    if missing := [column for column in columns if column not in frame]:
        raise Fault(f"{path} lacks the column {', '.join(missing)}")
    return frame


def wire(argv: list[str], watch: Watch) -> None:
    scale, *paths = argv
    evaluate(Evaluate.load("evaluate", scale), *map(Path, paths), watch=watch)
