"""What the recipe of `scale: real` is worth on real bins, in folds by groups.

    python benchmarks/real.py BUCKET [--folds 5] [--only 0,1] [--keep FOLDER] [key=value ...]
    python benchmarks/real.py BUCKET ... --against key=value [key=value ...]

BUCKET is the real one or a folder that mirrors it. Its bins are cut into folds, whole groups and stratified, and each fold is
tested on once, by networks that learned from the others (a tenth of these is validation). `key=value` changes a parameter as
`dvc exp run -S` does, without the scale: `train_resnet34.pretrain=null`. What networks answered is kept in the folder of --keep
(.work/real) under everything that it depends on: a run that was stopped goes on, and two recipes are compared on the same folds.

Prints for each network and their average, over all tested bins, with 95 % intervals that draw groups: the share of 1 to 5 counted
right, RMSE of the most probable quantity and of the mean one, NLL; AUROC of natural mismatches (photos of one bin at two visits,
each with its own list and with the other's) and the share of them found when 5 % are wrong and 5 % are looked at; and the same of
changes (the two photos in their order and in the other, by the difference of their mean quantities). Then for the verifier that was
trained with these networks R2 of the total volume that it reads, the same, and of other bins' lists of as many items and of one more or fewer, exchanged. With --against
the differences to that recipe, paired.
"""

import argparse
import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow.parquet as pq
from ruamel.yaml import YAML
from sklearn.metrics import roc_curve

from warehouse_classifier.bins import contents
from warehouse_classifier.bins import selection as selections
from warehouse_classifier.bins.groups import articles_of, siblings, visits
from warehouse_classifier.bins.sizes import VOLUME
from warehouse_classifier.bins.split import share_out
from warehouse_classifier.bins.split_names import OTHERS, OUTSIDE
from warehouse_classifier.compute import parameters, stage_code
from warehouse_classifier.dataset.shards import INDEX, Shards
from warehouse_classifier.evaluation.counters import COUNTERS
from warehouse_classifier.evaluation.mismatches import lists as list_kinds
from warehouse_classifier.evaluation.mismatches.roc import Curve
from warehouse_classifier.evaluation.mismatches.visits import rows_of
from warehouse_classifier.evaluation.predictions import of_split
from warehouse_classifier.models.registry import NETWORKS
from warehouse_classifier.stages import evaluate
from warehouse_classifier.stages.evaluate import Evaluate
from warehouse_classifier.tracking.console import Screen
from warehouse_classifier.verifier import folder as folders
from warehouse_classifier.verifier.split import SplitVerifier

TOP = Path(__file__).resolve().parent.parent
SCALE = "real"
BUDGET = PREVALENCE = 0.05
RESAMPLES = 300
Floats = npt.NDArray[np.float64]


# ---- the bins, and what networks answer


def recipe(bucket: str, changes: list[str]) -> dict[str, Any]:
    """params.yaml with the changes."""
    tree = parameters.read(TOP / "params.yaml")
    tree["data"][SCALE]["bucket"] = bucket if "://" in bucket else str(Path(bucket).resolve())
    for change in changes:
        dotted, _, text = change.partition("=")
        section, *names = dotted.split(".")
        place = tree[section][SCALE] if names else tree
        for name in names[:-1]:
            place = place[name]
        place[names[-1] if names else section] = YAML(typ="safe").load(text)
    return tree


def stage(name: str, tree: dict[str, Any], *paths: Path, work: Path | None = None) -> None:
    params = parameters.load(stage_code.params_of(name), name, SCALE, tree)
    own = {} if work is None else {"work": work}
    if work is not None:
        work.mkdir(parents=True, exist_ok=True)
    stage_code.function_of(name)(params, *paths, progress=Screen(), **own)
    if work is not None:
        shutil.rmtree(work, ignore_errors=True)


def prepared(tree: dict[str, Any], keep: Path) -> Path:
    """A folder with metadata.parquet and images/, of every bin whatever it holds."""
    folder = keep / digest({"data": tree["data"][SCALE], "fetch": tree["fetch_metadata"][SCALE]})
    folder.mkdir(parents=True, exist_ok=True)
    metadata, selection, images = folder / "metadata.parquet", folder / "selection.csv", folder / "images"
    if not metadata.exists():
        stage("fetch_metadata", tree, metadata, folder / "unreadable.parquet", work=folder / "work")
    if not images.exists():
        table = pq.read_table(metadata, columns=["id", "quantity", "image_bytes", "image_etag"]).to_pandas()
        group = siblings(articles(metadata))
        selections.write(table.assign(split=OUTSIDE, group=table["id"].map(group)), selection)
        stage("resize_images", tree, selection, images, work=folder / "work")
    return folder


def articles(metadata: Path) -> dict[str, tuple[int, ...]]:
    with pq.ParquetFile(metadata) as file:
        return articles_of(file.read(["id", "items.list.element.asin"]))


def fold_of(index: pd.DataFrame, folds: int, seed: int) -> dict[str, int]:
    """The fold of each bin, by its group."""
    quantity = dict(zip(index["id"], index["quantity"], strict=True))
    sizes = {str(fold): len(part) for fold, part in enumerate(np.array_split(np.arange(len(index)), folds))}
    return {
        id: int(name)
        for id, name in share_out(quantity, dict(zip(index["id"], index["group"], strict=True)), sizes, seed).items()
    }


Fold = tuple[pd.DataFrame, pd.DataFrame]


def answered(tree: dict[str, Any], folder: Path, folds: int, fold: int, keep: Path) -> Fold:
    """Of every bin of the fold id, quantity, group and, by network, the calibrated probabilities; and of every pair of a right
    and a wrong question its kind, group, and the verifier's doubts of the right and of the wrong one."""
    made_of = {
        "bins": folder.name,
        "folds": folds,
        "fold": fold,
        "lr": tree["lr"],
        "seed": tree["seed"],
        "others": tree["select_images"][SCALE]["verifier_images"],
        "code": code("training", "models", "synthetic", "dataset", "bins"),
        **{name: tree[name][SCALE] for name in ("train_resnet34", "train_vit")},
    }
    work = keep / "folds" / digest(made_of)
    sections = {name: tree[name][SCALE] for name in ("train_verifier", "evaluate")}
    key = digest({**made_of, **sections, "verifier": code("verifier", "evaluation", "evaluation/mismatches", "bins")})
    files = [keep / "answers" / f"{key}{ending}.parquet" for ending in ("", "-lists")]
    if not all(file.exists() for file in files):
        networks = trained(tree, folder, folds, fold, work)
        shutil.rmtree(work / "verifier", ignore_errors=True)
        paths = work / "images", folder / "metadata.parquet", work / "verifier", *networks.values()
        stage("train_verifier", tree, *paths, work=work / "work-verifier")
        files[0].parent.mkdir(parents=True, exist_ok=True)
        for table, file in zip(asked(tree, folder, work, networks, fold), files, strict=True):
            table.to_parquet(file, index=False)
    facts, lists = map(pd.read_parquet, files)
    return facts, lists


def trained(tree: dict[str, Any], folder: Path, folds: int, fold: int, work: Path) -> dict[str, Path]:
    """The networks that learned from all folds but one, in `work` beside their images, by name."""
    shards = Shards(folder / "images")
    its = pd.Series(fold_of(shards.index, folds, tree["seed"])).reindex(shards.index["id"]).to_numpy()
    inside = shards.index["quantity"].isin(tree["data"][SCALE]["quantities"]).to_numpy()
    rest = shards.index[its != fold]
    sizes = {"validation": len(rest) // 10, "train": len(rest) - len(rest) // 10}
    quantity, group = (dict(zip(rest["id"], rest[column], strict=True)) for column in ("quantity", "group"))
    shared = share_out(quantity, group, sizes, tree["seed"])
    sides = shards.index["id"].map(shared).fillna(OUTSIDE)
    if tree["select_images"][SCALE]["verifier_images"] == 0:
        sides[~inside] = OUTSIDE
    split = np.where(its == fold, "test", np.where(inside, sides, sides.replace(OTHERS)))
    (work / "images").mkdir(parents=True, exist_ok=True)
    for part in (folder / "images").glob("*.bin"):
        (work / "images" / part.name).unlink(missing_ok=True)
        os.link(part, work / "images" / part.name)
    shards.index.assign(split=split).to_parquet(work / "images" / INDEX, index=False)
    for network in NETWORKS:
        if not (work / network).exists():
            began = time.monotonic()
            paths = work / "images", folder / "metadata.parquet", work / network
            stage(f"train_{network}", tree, *paths, work=work / f"work-{network}")
            print(f"fold {fold}: {network} in {time.monotonic() - began:.0f} s", file=sys.stderr)
    return {network: work / network for network in NETWORKS}


def asked(tree: dict[str, Any], folder: Path, work: Path, networks: dict[str, Path], fold: int) -> Fold:
    """What networks and verifier say of the fold."""
    params = parameters.load(Evaluate, "evaluate", SCALE, tree)
    shards = Shards(work / "images")
    everything, answers = evaluate.answered(params, shards, networks, Screen())
    temperatures = evaluate.calibrated(params, shards, everything, answers.logits, networks).temperatures
    test = of_split("test", everything, answers.logits, temperatures)
    facts = test.facts.reset_index(drop=True).assign(fold=fold)
    for counter in COUNTERS:
        facts[counter] = list(test.probabilities[counter])
    inside = contents.read(folder / "metadata.parquet", facts["id"].tolist())
    facts["listed"] = contents.listed(inside)
    every = rows_of(visits(contents.articles(facts["id"].tolist(), inside)), facts, facts["listed"].to_numpy())
    small = every[np.isin(test.quantity, params.quantities)[every].all(1)]
    seen = answers.features[(everything["split"] == "test").to_numpy()]
    verifier = SplitVerifier.of(folders.load(work / "verifier", networks, mirror=params.mirror), seen, inside)
    facts["volume"], facts["volume read"] = verifier.lists[:, VOLUME], verifier.verifier.volumes_read(seen)
    pairs = list_kinds.pairs(test.quantity, verifier.lists, test.groups, small, params.quantities, seed=tree["seed"])
    kinds = list_kinds.verified(verifier, test.quantity, pairs)
    kinds |= {
        f"{kind}, all": its for kind, its in list_kinds.verified(verifier, test.quantity, {"natural": every}).items()
    }
    lists = [
        pd.DataFrame({"kind": kind, "group": test.groups[its.photo], "right": its.right, "wrong": its.wrong})
        for kind, its in kinds.items()
    ]
    return facts, pd.concat(lists, ignore_index=True)


def code(*rooms: str) -> str:
    """The code of some rooms: another one is another recipe."""
    files = sorted(path for room in rooms for path in (TOP / "src/warehouse_classifier" / room).glob("*.py"))
    return digest([file.read_text() for file in files])


def digest(of: Any) -> str:
    return hashlib.sha256(json.dumps(of, sort_keys=True, default=str).encode()).hexdigest()[:16]


# ---- figures, each of weights [bins] by which it can be drawn again


class Figures:
    """Every figure of one counter's answers for weights of the groups."""

    def __init__(self, facts: pd.DataFrame, counter: str, quantities: list[int], articles: dict[str, Any]) -> None:
        self.names, group = np.unique(facts["group"], return_inverse=True)
        shares = np.stack(facts[counter].to_list())
        quantity, numbers = facts["quantity"].to_numpy(), np.array(quantities)
        self.mean = shares @ numbers
        inside = np.isin(quantity, quantities)
        self.inside, self.group = np.flatnonzero(inside), group
        label = np.searchsorted(numbers, quantity[inside])
        counted = numbers[shares[inside].argmax(1)]
        self.per_bin = {
            "accuracy": (counted == quantity[inside]).astype(float),
            "RMSE": (counted - quantity[inside]) ** 2.0,
            "RMSE of the mean": (self.mean[inside] - quantity[inside]) ** 2.0,
            "NLL": -np.log(np.maximum(shares[inside][np.arange(len(label)), label], 1e-12)),
        }
        every = rows_of(visits(articles), facts, facts["listed"].to_numpy())
        small = inside[every].all(1)
        both = every[small]
        label = np.searchsorted(numbers, quantity[both].clip(*numbers[[0, -1]]))
        own, other = (1 - shares[both, label], 1 - shares[both, label[:, ::-1]])
        self.natural = (np.repeat(group[both[:, 0]], 2), own.ravel(), other.ravel())
        sign = np.sign(quantity[every[:, 1]] - quantity[every[:, 0]])
        change = sign * (self.mean[every[:, 1]] - self.mean[every[:, 0]])
        self.change = (group[every[small, 0]], -change[small], change[small])
        self.change_all = (group[every[:, 0]], -change, change)

    def all(self, weights: Floats) -> dict[str, float]:
        """`weights`: of each group."""
        own = weights[self.group[self.inside]]
        figures = {name: float(np.average(values, weights=own)) for name, values in self.per_bin.items()}
        figures |= {name: value**0.5 for name, value in figures.items() if name.startswith("RMSE")}
        for name, (group, right, wrong) in (
            ("natural", self.natural),
            ("change", self.change),
            ("change, all", self.change_all),
        ):
            its = curve(right, wrong, weights[group])
            figures[f"{name} AUROC"] = float(its.auroc()[0])
            figures[f"{name} in 5 %"] = float(its.recall_at(BUDGET, PREVALENCE)[0])
        return figures


class VerifierFigures:
    """Every figure of the verifier's doubts for weights of the groups of `facts`."""

    def __init__(self, facts: pd.DataFrame, lists: pd.DataFrame) -> None:
        self.names = np.unique(facts["group"])
        self.kinds = {
            str(kind): (np.searchsorted(self.names, its["group"]), its["right"].to_numpy(), its["wrong"].to_numpy())
            for kind, its in lists.groupby("kind", sort=False)
        }
        known = facts.dropna(subset="volume")
        self.volume = (np.searchsorted(self.names, known["group"]), *known[["volume", "volume read"]].to_numpy().T)

    def all(self, weights: Floats) -> dict[str, float]:
        """`weights`: of each group."""
        group, volume, read = self.volume
        own = weights[group]
        spread = np.average((volume - np.average(volume, weights=own)) ** 2, weights=own)
        figures = {"R2 of the log of the volume": float(1 - np.average((volume - read) ** 2, weights=own) / spread)}
        for kind, (group, right, wrong) in self.kinds.items():
            its = curve(right, wrong, weights[group])
            figures[f"{kind}: AUROC"] = float(its.auroc()[0])
            figures[f"{kind}: in 5 %"] = float(its.recall_at(BUDGET, PREVALENCE)[0])
        return figures


def curve(right: Floats, wrong: Floats, weights: Floats) -> Curve:
    """Of the doubts of right and of wrong expectations [pairs]; `weights` [pairs] are of both."""
    doubts, labels = np.concatenate([right, wrong]), np.repeat([0, 1], len(right))
    fpr, tpr, _ = roc_curve(labels, doubts, sample_weight=np.tile(weights, 2), drop_intermediate=False)
    return Curve(fpr[None], tpr[None])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bucket")
    parser.add_argument("changes", nargs="*")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--only", type=lambda text: [int(word) for word in text.split(",")])
    parser.add_argument("--keep", type=Path, default=TOP / ".work" / "real")
    parser.add_argument("--against", nargs="+")
    arguments = parser.parse_intermixed_args()
    tables = {}
    for name, changes in {
        "": arguments.changes,
        **({"against": arguments.against} if arguments.against else {}),
    }.items():
        tree = recipe(arguments.bucket, changes)
        folder = prepared(tree, arguments.keep)
        parts = [
            answered(tree, folder, arguments.folds, fold, arguments.keep)
            for fold in arguments.only or range(arguments.folds)
        ]
        tables[name] = tuple(pd.concat(its, ignore_index=True) for its in zip(*parts, strict=True))
    contained = articles(folder / "metadata.parquet")
    quantities = tree["data"][SCALE]["quantities"]
    for who in (*COUNTERS, "verifier"):
        its = {
            name: VerifierFigures(facts, lists) if who == "verifier" else Figures(facts, who, quantities, contained)
            for name, (facts, lists) in tables.items()
        }
        first = its[""]
        facts = tables[""][0]
        tested, groups = facts["quantity"].isin(quantities).sum(), facts["group"].nunique()
        print(f"\n{who}: {tested} bins of {quantities[0]} to {quantities[-1]} tested")
        show(first.all, groups, "8.3f")
        if arguments.against:
            show(partial(difference, first, its["against"]), groups, "+8.3f")


def difference(one: Any, other: Any, weights: Floats) -> dict[str, float]:
    second = other.all(weights)
    return {name: figure - second[name] for name, figure in one.all(weights).items()}


def show(figures: Callable[[Floats], dict[str, float]], groups: int, form: str) -> None:
    """Each figure, with the interval that draws groups."""
    drawn = np.random.default_rng(1)
    every = np.full(groups, 1 / groups)
    tries = pd.DataFrame([figures(drawn.multinomial(groups, every).astype(float)) for _ in range(RESAMPLES)])
    for name, figure in figures(np.ones(groups)).items():
        low, high = np.quantile(tries[name], [0.025, 0.975])
        print(f"  {name:<20}{figure:{form}}   {low:.3f} to {high:.3f}", flush=True)


if __name__ == "__main__":
    main()
