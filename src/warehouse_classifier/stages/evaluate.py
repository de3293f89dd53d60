"""Evaluate the networks and their average on the test split, once: how well they count, and how well they find mismatches.

images/, metadata.parquet, published.csv, models/ ->
calibration.json in models/; metrics.json, evaluation.json, predictions.csv, plots/ and report.html in reports/
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from warehouse_classifier.runtime.files import replacing, sha256
from warehouse_classifier.runtime.params import Batch, Params, Precision, Quality, Quantities, Seed, Side, Threads
from warehouse_classifier.runtime.progress import Progress

if TYPE_CHECKING:  # what takes seconds to import is imported where it is used: a bad parameter fails at once
    import pandas as pd

    from warehouse_classifier.dataset.shards import Shards
    from warehouse_classifier.evaluation.answers import Answers
    from warehouse_classifier.evaluation.arrays import Floats
    from warehouse_classifier.evaluation.calibration import Calibration
    from warehouse_classifier.evaluation.mismatches.exchanged import ListAlone
    from warehouse_classifier.evaluation.predictions import Predictions
    from warehouse_classifier.evaluation.results import Evaluation
    from warehouse_classifier.report.chart import Chart
    from warehouse_classifier.report.page import ReportData

LISTS = 20_000  # that are learned from by who sees no photo
Share = Annotated[float, Field(gt=0, lt=1)]


class Evaluate(Params):
    """Of the evaluation: how networks are run, and what is asked of their answers."""

    seed: Seed  # of the bootstrap and of the gallery's choice
    bucket: str  # named in the report: synthetic bins are not real ones
    side: Side
    quality: Quality  # of the JPEGs in the shards
    quantities: Quantities
    batch: Batch  # images; sums differ between sizes in their last digit
    workers: Threads  # that decode
    threads: Threads  # of torch
    precision: Precision
    mirror: bool  # whether each image is also seen in a mirror, and the mean of both answers taken
    resamples: int = Field(ge=1000, le=1_000_000)  # of the bootstrap
    false_alarms: Share  # of right expectations that may be called a mismatch
    misses: Share  # of expectations wrong by one that may be called a match
    prevalence: Share  # of the bins that do not hold what is expected
    recalls: list[Share] = Field(min_length=1)  # at which precision is told
    budgets: list[Share] = Field(min_length=1)  # of all bins that somebody can look at
    gallery: int = Field(ge=0, le=100)  # bins with their photo in the report; a sixth as many visits found, and missed


def evaluate(
    params: Evaluate, images: Path, metadata: Path, published: Path, models: Path, reports: Path, *, progress: Progress
) -> None:
    """`models` holds a folder for each network of the registry, and the verifier's. Raises UserError for what is missing or does not fit."""
    from warehouse_classifier.bins import contents
    from warehouse_classifier.bins.split_names import OUTSIDE
    from warehouse_classifier.dataset.shards import Shards
    from warehouse_classifier.evaluation.by_number import by_number
    from warehouse_classifier.evaluation.counters import VERIFIER
    from warehouse_classifier.evaluation.mismatches.verification import Task
    from warehouse_classifier.evaluation.predictions import of_split
    from warehouse_classifier.evaluation.results import EvaluationSettings, evaluation
    from warehouse_classifier.models.registry import NETWORKS
    from warehouse_classifier.report import inputs
    from warehouse_classifier.report.drawings import drawings
    from warehouse_classifier.report.page import page
    from warehouse_classifier.report.provenance import provenance
    from warehouse_classifier.verifier import folder, outliers
    from warehouse_classifier.verifier.split import SplitVerifier

    folders = {key: models / key for key in NETWORKS}
    literature, histories, shards = inputs.published(published), inputs.histories(folders), Shards(images)
    shards.verify(params.workers)
    verifier = folder.load(models / VERIFIER, folders, mirror=params.mirror)
    detector = folder.load_outliers(models / VERIFIER)

    counted = shards.rows("test", OUTSIDE)
    held = contents.read(metadata, shards.index["id"].iloc[counted].tolist())
    facts, answers = answered(params, shards, folders, progress)
    logits = answers.logits
    calibration = calibrated(params, shards, facts, logits, folders)
    test, outside = (of_split(split, facts, logits, calibration.temperatures) for split in ("test", OUTSIDE))
    settings = EvaluationSettings(
        params.seed, params.resamples, Task(params.prevalence, params.recalls, params.budgets)
    )
    learned = shards.index.iloc[shards.rows("train")]["quantity"].to_numpy()
    tested = (facts["split"] == "test").to_numpy()
    inside = held[shards.index["split"].iloc[counted].to_numpy() == "test"].reset_index(drop=True)
    verified = SplitVerifier.of(verifier, answers.features[tested], inside)
    any_number = (facts["split"] != "validation").to_numpy()
    parts = by_number(
        SplitVerifier.of(verifier, answers.features[any_number], held), facts[any_number], held, params.quantities,
        settings.task, seed=settings.seed, resamples=settings.resamples,
    )  # fmt: skip
    alone = list_alone(params, shards, metadata)
    unlike = outliers.measured(detector, map(shards.pixels, shards.rows("test")), params.seed)
    results = evaluation(settings, learned, test, outside, calibration, inside, verified, unlike, parts, alone)

    charts = drawings(results, histories)
    origins = provenance(params.model_dump(), images, metadata, folders)
    data = report_data(params, results, test, inside, shards, charts, literature, origins)
    write(models, reports, calibration, results, test, charts, page(results, data), progress)


def answered(
    params: Evaluate, shards: "Shards", folders: Mapping[str, Path], progress: Progress
) -> "tuple[pd.DataFrame, Answers]":
    """Facts of the images of all splits that nothing was learned from but a best epoch, and what the networks say and see of each."""
    from warehouse_classifier.bins.split_names import OUTSIDE
    from warehouse_classifier.evaluation.answers import InferenceSettings, answers

    rows = shards.rows("test", "validation", OUTSIDE)
    settings = InferenceSettings(params.batch, params.workers, params.threads, params.precision, params.mirror)
    return shards.index.iloc[rows], answers(
        "evaluate", shards, rows, folders, len(params.quantities), settings, progress
    )


def list_alone(params: Evaluate, shards: "Shards", metadata: Path) -> "ListAlone | None":
    """Who tells lists with an item exchanged by themselves, from those of the training split."""
    import numpy as np

    from warehouse_classifier.bins import contents
    from warehouse_classifier.evaluation.mismatches.exchanged import ListAlone
    from warehouse_classifier.evaluation.mismatches.swaps import swaps

    rows = np.random.default_rng(params.seed).permutation(shards.rows("train"))[:LISTS]
    facts = shards.index.iloc[rows]
    inside = contents.read(metadata, facts["id"].tolist())
    quantity, groups = facts["quantity"].to_numpy(dtype=np.int64), facts["group"].to_numpy(dtype=str)
    lists = np.nan_to_num(contents.attributes(inside))
    pairs = swaps("alike", quantity, lists, groups, params.quantities, seed=params.seed)
    return ListAlone.of(inside["items"].tolist(), pairs, seed=params.seed)


def calibrated(
    params: Evaluate,
    shards: "Shards",
    facts: "pd.DataFrame",
    logits: "Mapping[str, Floats]",
    folders: Mapping[str, Path],
) -> "Calibration":
    """Temperatures and thresholds by the validation split alone."""
    from warehouse_classifier.bins.split_names import OTHERS
    from warehouse_classifier.dataset.shards import INDEX
    from warehouse_classifier.evaluation.calibration import OperatingPoint, calibrate
    from warehouse_classifier.evaluation.learned_from import LearnedFrom
    from warehouse_classifier.report.formatting import named

    held_out = (facts["split"] == "validation").to_numpy()
    operating_point = OperatingPoint(
        quantities=params.quantities, side=params.side, quality=params.quality, precision=params.precision,
        mirror=params.mirror, false_alarms=params.false_alarms, misses=params.misses,
    )  # fmt: skip
    quantity = facts.loc[held_out, "quantity"].to_numpy()
    learned_from = LearnedFrom(
        bucket=named(params.bucket),
        images=shards.rows("train", OTHERS["train"]).size,
        sha256=sha256(shards.folder / INDEX),
    )
    its = {key: values[held_out] for key, values in logits.items()}
    return calibrate(its, quantity, operating_point, learned_from, folders)


def report_data(
    params: Evaluate, evaluation: "Evaluation", test: "Predictions", inside: "pd.DataFrame", shards: "Shards",
    charts: "list[Chart]", published: "pd.DataFrame", provenance: Mapping[str, str],
) -> "ReportData":  # fmt: skip
    """What the page shows beside the evaluation."""
    from warehouse_classifier.bins.split_names import OUTSIDE
    from warehouse_classifier.report.formatting import origin, separation
    from warehouse_classifier.report.gallery import gallery, wrong_lists
    from warehouse_classifier.report.page import ReportData
    from warehouse_classifier.report.provenance import parameters

    others = shards.index[~shards.index["split"].isin(("test", OUTSIDE))]
    return ReportData(
        images={split: shards.rows(split).size for split in ("train", "validation", "test")},
        bins=origin(params.bucket),
        split=separation(test.groups.tolist(), others["group"].tolist()),
        drawings={chart.name: chart.svg for chart in charts},
        published=published.to_dict("records"),
        gallery=gallery(evaluation, test, shards, bins=params.gallery, seed=params.seed),
        wrong_lists=wrong_lists(evaluation, test, shards, inside, bins=params.gallery // 6),
        provenance=provenance,
        params=parameters(params.model_dump(mode="json"), "evaluate"),
    )


def write(
    models: Path, reports: Path, calibration: "Calibration", evaluation: "Evaluation", test: "Predictions",
    charts: "list[Chart]", page: str, progress: Progress,
) -> None:  # fmt: skip
    """Write everything, and nothing before all of it is there."""
    from warehouse_classifier.evaluation import outputs
    from warehouse_classifier.evaluation.calibration import FILE
    from warehouse_classifier.report import drawings
    from warehouse_classifier.report.page import PAGE

    with replacing(models / FILE) as half:
        calibration.write(half)
    texts = {
        outputs.METRICS: outputs.metrics(evaluation),
        outputs.EVALUATION: outputs.details(evaluation),
        outputs.PREDICTIONS: outputs.predictions(evaluation, test),
        PAGE: page,
    }
    for name, text in texts.items():
        with replacing(reports / name) as half:
            half.write_text(text, encoding="utf-8")
    with replacing(reports / drawings.PLOTS) as half:
        drawings.write(charts, half)
    progress.measure(None, **outputs.named(evaluation))
