"""Train the verifier: do a photo and the list of items that is expected belong together?

images/, metadata.parquet, models/resnet34/, models/vit/ -> models/verifier/
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from warehouse_classifier.runtime.errors import UserError
from warehouse_classifier.runtime.files import replacing
from warehouse_classifier.runtime.params import Batch, Params, Precision, Quantities, Seed, Threads
from warehouse_classifier.runtime.progress import Progress

if TYPE_CHECKING:  # what takes seconds to import is imported where it is used: a bad parameter fails at once
    import pandas as pd

    from warehouse_classifier.evaluation.answers import Answers
    from warehouse_classifier.evaluation.arrays import Masks
    from warehouse_classifier.verifier.learning import Bins

Share = Annotated[float, Field(gt=0, lt=1)]
Penalty = Annotated[float, Field(gt=0, le=1e9)]


class TrainVerifier(Params):
    """How the networks are run, and how the verifier is learned from what they see."""

    LIBRARIES: ClassVar = ("torch", "torchvision", "transformers")  # which answer what is kept when the stage is killed

    seed: Seed  # of the wrong lists
    quantities: Quantities  # that the networks tell apart
    batch: Batch  # images; sums differ between sizes in their last digit
    workers: Threads  # that decode
    threads: Threads  # of torch
    precision: Precision
    mirror: bool  # whether each image is also seen in a mirror, and the mean of both views taken
    folds: int = Field(ge=2, le=100)  # of the heads, by groups
    ridge: Penalty  # of the heads' weights
    penalty: Penalty  # of what weighs heads against lists
    change_penalty: Penalty  # of what weighs two photos against each other
    draws: int = Field(ge=1, le=100)  # of wrong lists, for each bin and kind
    false_alarms: Share  # of right lists that may be called a mismatch
    misses: Share  # of the lists of another visit that may be called a match
    outliers: Share  # of photos like those that are learned from that may be called unlike them


def train_verifier(
    params: TrainVerifier, images: Path, metadata: Path, verifier: Path, *networks: Path, work: Path, progress: Progress
) -> None:
    """`networks`: the folder of each, named as the registry has it. Raises UserError for what is missing or does not fit."""
    import numpy as np
    from threadpoolctl import threadpool_limits

    from warehouse_classifier.bins import contents
    from warehouse_classifier.bins.split_names import OTHERS
    from warehouse_classifier.dataset.shards import Shards
    from warehouse_classifier.evaluation.answers import InferenceSettings, answers
    from warehouse_classifier.models.registry import NETWORKS
    from warehouse_classifier.verifier import folder, outliers
    from warehouse_classifier.verifier.learning import VerifierRecipe, learn

    folders, shards = {path.name: path for path in networks}, Shards(images)
    if list(folders) != list(NETWORKS):
        raise UserError(f"dvc.yaml: train_verifier is given {', '.join(folders)}, and there are {', '.join(NETWORKS)}")
    learned_from, held_out = (shards.rows(split, beside) for split, beside in OTHERS.items())
    rows = np.sort(np.concatenate([learned_from, held_out]))
    facts = shards.index.iloc[rows]
    inside = contents.read(metadata, facts["id"].tolist())
    shards.verify(params.workers)
    settings = InferenceSettings(params.batch, params.workers, params.threads, params.precision, params.mirror)
    seen = answers("train_verifier", shards, rows, folders, len(params.quantities), settings, progress, keep=work)

    train, validation = (bins_of(np.isin(rows, its), facts, inside, seen) for its in (learned_from, held_out))
    del seen  # some gigabytes at full scale
    with threadpool_limits(params.threads):  # sums in another order end in other digits
        recipe = VerifierRecipe(
            seed=params.seed, folds=params.folds, ridge=params.ridge, penalty=params.penalty,
            change_penalty=params.change_penalty, draws=params.draws,
            false_alarms=params.false_alarms, misses=params.misses,
        )  # fmt: skip
        result = learn(train, validation, params.quantities, recipe)
        photos = map(shards.pixels, outliers.sample(learned_from, params.seed)), map(shards.pixels, held_out)
        detector = outliers.learn(*photos, params.outliers, params.seed)
    with replacing(verifier) as half:
        half.mkdir()
        folder.save(result, detector, folders, half, mirror=params.mirror)
    progress.measure(train_images=learned_from.size, validation_images=held_out.size, visits=len(train.visits))
    progress.say(f"{learned_from.size} photos and their lists, {len(train.visits)} visits learned from")


def bins_of(which: "Masks", facts: "pd.DataFrame", inside: "pd.DataFrame", answers: "Answers") -> "Bins":
    """Some of the bins. `which`, `facts`, `inside` (as contents.read has it) and `answers` have a row for each image."""
    import numpy as np

    from warehouse_classifier.bins import contents, groups
    from warehouse_classifier.evaluation.mismatches.visits import rows_of
    from warehouse_classifier.verifier.learning import Bins

    own = np.flatnonzero(which)
    its, items = facts.iloc[own], inside.iloc[own]
    visits = rows_of(groups.visits(contents.articles(its["id"].tolist(), items)), its, contents.listed(items))
    return Bins(
        features=answers.features[own],
        lists=contents.attributes(items),
        quantity=its["quantity"].to_numpy(dtype=np.int64),
        groups=its["group"].to_numpy(dtype=str),
        visits=visits,
    )
