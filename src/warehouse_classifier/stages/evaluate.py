"""Try both networks and their average on the test split, once: as counters, and as those that find what is not as expected.

images/, metadata.parquet, models/resnet34/, models/vit/, published.csv ->
calibration.json, metrics.json, predictions.csv, plots/, report.html
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field

from warehouse_classifier.dataset.labels import Labels
from warehouse_classifier.runtime.errors import Fault
from warehouse_classifier.runtime.files import replacing, sha256
from warehouse_classifier.runtime.params import DATA, TOP, Params
from warehouse_classifier.runtime.progress import Watch

if TYPE_CHECKING:  # what takes seconds to import is imported where it is used: a bad parameter fails at once
    import pandas as pd

    from warehouse_classifier.dataset.shards import Shards
    from warehouse_classifier.evaluation.results import Results
    from warehouse_classifier.evaluation.tables import Said
    from warehouse_classifier.report.gallery import Bin
    from warehouse_classifier.report.page import Findings

Share = Annotated[float, Field(gt=0, lt=1)]

HISTORY = ("epoch", "train_loss", "validation_loss", "validation_accuracy")
PUBLISHED = ("quantities", "model", "trained_on", "result")


class Evaluate(Params):
    seed: int  # of the bootstrap and of the gallery's choice
    bucket: str  # said in the report: synthetic bins are not real ones
    side: int = Field(gt=0)  # pixels
    quality: int = Field(ge=1, le=95)  # of the JPEGs in the shards
    quantities: list[int] = Field(min_length=2)
    batch: int = Field(ge=1)  # images; sums differ between sizes in their last digit
    workers: int = Field(ge=1)  # that decode
    threads: int = Field(ge=1)  # of torch
    precision: Literal["fp32", "tf32", "bf16"]
    resamples: int = Field(ge=1000, le=1_000_000)  # of the bootstrap
    false_alarms: Share  # of right expectations that may be called a mismatch
    misses: Share  # of expectations wrong by one that may be called a match
    prevalence: Share  # of the bins that do not hold what is expected
    recalls: list[Share] = Field(min_length=1)  # at which precision is told
    budgets: list[Share] = Field(min_length=1)  # of all bins that somebody can look at
    gallery: int = Field(ge=0, le=100)  # bins with their photo in the report


def evaluate(
    params: Evaluate,
    images: Path,
    metadata: Path,
    resnet34: Path,
    vit: Path,
    published: Path,
    calibration: Path,
    metrics: Path,
    predictions: Path,
    plots: Path,
    report: Path,
    *,
    watch: Watch,
) -> None:
    from warehouse_classifier.bins import contents
    from warehouse_classifier.bins.selection import OUTSIDE
    from warehouse_classifier.dataset.shards import Shards
    from warehouse_classifier.evaluation import predictions as prediction
    from warehouse_classifier.evaluation import results
    from warehouse_classifier.evaluation.calibration import Promise, calibrate, probabilities
    from warehouse_classifier.evaluation.tables import Said
    from warehouse_classifier.evaluation.verification import Task
    from warehouse_classifier.models import folder as history
    from warehouse_classifier.report.page import page

    folders = {"resnet34": resnet34, "vit": vit}
    literature = table(published, PUBLISHED)
    histories = {net: table(folder / history.HISTORY, HISTORY) for net, folder in folders.items()}
    labels, shards = Labels(params.quantities), Shards(images)
    inside = contents.read(metadata, shards.index["id"].iloc[shards.rows("test")].tolist())
    shards.verify(params.workers)

    rows = np.flatnonzero((shards.index["split"] != "train").to_numpy())
    how = prediction.How(params.batch, params.workers, params.threads, params.precision)
    logits = prediction.logits(shards, rows, folders, len(labels), how, watch)
    facts = shards.index.iloc[rows]
    held_out = (facts["split"] == "validation").to_numpy()
    known = calibrate(
        {net: of[held_out] for net, of in logits.items()},
        facts.loc[held_out, "quantity"].to_numpy(),
        Promise(
            quantities=params.quantities, side=params.side, quality=params.quality, precision=params.precision,
            false_alarms=params.false_alarms, misses=params.misses,
        ),
        folders,
    )  # fmt: skip
    temperatures = {who: counted.temperature for who, counted in known.counters.items()}

    def said(split: str) -> Said:
        mine = (facts["split"] == split).to_numpy()
        own = {net: of[mine] for net, of in logits.items()}
        return Said(facts.loc[mine, ["id", "quantity", "group"]], own, probabilities(own, temperatures))

    test = said("test")
    method = results.Method(params.seed, params.resamples, Task(params.prevalence, params.recalls, params.budgets))
    learned = shards.index.iloc[shards.rows("train")]["quantity"].to_numpy()
    found = results.results(method, learned, test, said(OUTSIDE), known, inside, histories)
    text = page(findings(params, found, test, shards, literature, provenance(params, images, metadata, folders)))

    with replacing(calibration) as half:
        known.write(half)
    with replacing(metrics) as half:
        half.write_text(results.as_json(found), encoding="utf-8")
    with replacing(predictions) as half:
        columns = results.columns(found, test, labels)
        columns.to_csv(half, index=False, float_format="%.6f", lineterminator="\n")
    with replacing(plots) as half:
        half.mkdir()
        for chart in found.charts:
            (half / f"{chart.name}.svg").write_text(chart.svg(), encoding="utf-8")
            (half / f"{chart.name}.csv").write_text(chart.csv(), encoding="utf-8")
    with replacing(report) as half:
        half.write_text(text, encoding="utf-8")
    watch.measure(None, **results.named(found))


def findings(
    params: Evaluate,
    found: "Results",
    test: "Said",
    shards: "Shards",
    published: "pd.DataFrame",
    provenance: Mapping[str, str],
) -> "Findings":
    """What the page shows, by title."""
    from warehouse_classifier.evaluation import tables
    from warehouse_classifier.evaluation.counters import COUNTERS, PRIOR, PRIOR_TITLE
    from warehouse_classifier.evaluation.verification import Task
    from warehouse_classifier.report import formatting
    from warehouse_classifier.report.page import Findings

    titles = {**found.titles, PRIOR: PRIOR_TITLE}
    known = shards.index[shards.index["split"].isin(("train", "validation"))]
    return Findings(
        scores={titles[who]: of for who, of in found.scores.items()},
        mcnemar=found.mcnemar,
        images={split: shards.rows(split).size for split in ("train", "validation", "test")},
        bins=formatting.origin(params.bucket),
        split=formatting.separation(test.groups.tolist(), known["group"].tolist()),
        calibration=[{"title": COUNTERS[who], **of} for who, of in found.promises.items()],
        verification={titles[who]: of for who, of in found.verification.items()},
        task=Task(params.prevalence, params.recalls, params.budgets),
        drawings={chart.name: chart.svg() for chart in found.charts},
        published=published.to_dict("records"),
        gallery=photos(params, shards, test),
        provenance=provenance,
        params={
            dotted(name): json.dumps(value)
            for name, value in params.model_dump(mode="json").items()
            if name != "bucket"
        },
        verdicts={COUNTERS[who]: tables.rows(of) for who, of in found.judged.items()},
    )


def dotted(name: str) -> str:
    """Of one of the parameters, where people change it, but for the scale."""
    return name if name in TOP else f"data.{name}" if name in DATA else f"evaluate.{name}"


def photos(params: Evaluate, shards: "Shards", test: "Said") -> "list[Bin]":
    """The bins of the gallery, with their JPEGs as they lie in the shards."""
    from warehouse_classifier.models.registry import NETWORKS
    from warehouse_classifier.report.gallery import Bin, choose

    labels = Labels(params.quantities)
    said = np.stack([labels.quantity(test.probabilities[net].argmax(axis=1)) for net in NETWORKS])
    sure = np.stack([test.probabilities[net].max(axis=1) for net in NETWORKS])
    ids, rows, titles = test.facts["id"].tolist(), shards.rows("test"), [network.title for network in NETWORKS.values()]
    return [
        Bin(
            ids[i],
            shards.jpeg(int(rows[i])),
            int(test.quantity[i]),
            dict(zip(titles, said[:, i].tolist(), strict=True)),
            dict(zip(titles, sure[:, i].tolist(), strict=True)),
        )
        for i in choose(test.quantity, said, sure, test.groups.tolist(), bins=params.gallery, seed=params.seed)
    ]


def provenance(params: Evaluate, images: Path, metadata: Path, folders: Mapping[str, Path]) -> dict[str, str]:
    """What the figures depend on, in words and hashes; nothing of when, where or how fast."""
    from warehouse_classifier.dataset.shards import INDEX
    from warehouse_classifier.models.folder import WEIGHTS
    from warehouse_classifier.models.registry import NETWORKS

    return {
        "Images": f"{params.side} pixels a side, JPEGs of quality {params.quality}",
        "Bootstrap": f"{params.resamples:,} draws of whole groups, seed {params.seed}",
        "SHA-256 of the metadata": sha256(metadata),
        "SHA-256 of the image index": sha256(images / INDEX),
        **{f"SHA-256 of {NETWORKS[net].title}’s weights": sha256(folder / WEIGHTS) for net, folder in folders.items()},
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
