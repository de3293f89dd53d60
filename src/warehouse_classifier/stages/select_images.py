"""Choose the bins to learn from and to test on, and keep near-duplicates on one side.

metadata.parquet -> selection.csv
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import pandas as pd
import pyarrow.parquet as pq
from pydantic import Field

from warehouse_classifier.bins import selection as selections
from warehouse_classifier.bins.groups import articles_of, siblings
from warehouse_classifier.bins.split import drawn, share_out
from warehouse_classifier.bins.split_names import OTHERS, OUTSIDE, SPLITS
from warehouse_classifier.runtime.errors import UserError
from warehouse_classifier.runtime.params import Count, CountOrZero, Params, Quantities, Seed
from warehouse_classifier.runtime.progress import Progress


class SelectImages(Params):
    """Which bins are used, how many, and how they are split."""

    seed: Seed
    quantities: Quantities
    max_images: Count | None  # train, validation and test together; null takes all
    test_images: Count
    validation_share: float = Field(gt=0, lt=1)  # of what is not test
    split: Literal["grouped", "random"]
    verifier_images: CountOrZero | None  # bins of other quantities whose sizes are learned, at most; null takes all
    outside_images: CountOrZero  # bins of other quantities of which nothing is learned, at most


def select_images(params: SelectImages, metadata: Path, selection: Path, *, progress: Progress) -> None:
    """Write selection.csv. Raises UserError where there are too few bins for all splits."""
    if not metadata.exists():
        raise UserError(f"{metadata} is missing; `dvc repro fetch_metadata` makes it")
    with pq.ParquetFile(metadata) as file:
        table = file.read(["id", "quantity", "image_bytes", "image_etag", "items.list.element.asin"])
    pairs, articles = table.drop_columns("items").to_pandas(), articles_of(table)
    group = siblings(articles)
    fitting = pairs[pairs["quantity"].isin(params.quantities)]
    sizes = sizes_of(len(fitting), params)
    together = group if params.split == "grouped" else {id: id for id in group}
    split = share_out(dict(zip(fitting["id"], fitting["quantity"], strict=True)), together, sizes, params.seed)
    # a random split tears groups apart, and the report has to know which
    split |= dict.fromkeys(outside(pairs, group, split, params), OUTSIDE)
    split |= others(pairs, group, split, params)
    chosen = pairs.assign(split=pairs["id"].map(split), group=pairs["id"].map(group)).dropna(subset="split")
    check(chosen, params)
    selections.write(chosen, selection)
    progress.measure(
        **{f"{name}_images": int((chosen["split"] == name).sum()) for name in (*SPLITS, *OTHERS.values(), OUTSIDE)}
    )


def sizes_of(available: int, params: SelectImages) -> dict[str, int]:
    """How many images each split is to hold. Raises UserError if there are too few for all three."""
    total = min(available, params.max_images or available)
    rest = total - params.test_images
    sizes = {"test": params.test_images, "validation": round(params.validation_share * rest)}
    sizes["train"] = rest - sizes["validation"]
    for name in SPLITS:
        if sizes[name] < 1:
            raise UserError(
                f"select_images: {total} images of quantity {_listed(params.quantities)} are too few, {name} gets"
                f" {max(sizes[name], 0)} of them; lower test_images ({params.test_images}), set validation_share so that"
                " it gives at least one, or fetch more pairs"
            )
    return sizes


def outside(pairs: pd.DataFrame, group: Mapping[str, str], split: Mapping[str, str], params: SelectImages) -> list[str]:
    """Bins of other quantities, group by group in an order that only the seed decides, of groups from which no network learns."""
    learned = {group[id] for id, name in split.items() if name != "test"}
    members = {name: ids for name, ids in foreign(pairs, group, params).items() if name not in learned}
    return [id for ids in members.values() for id in ids][: params.outside_images]


def others(
    pairs: pd.DataFrame, group: Mapping[str, str], split: Mapping[str, str], params: SelectImages
) -> dict[str, str]:
    """The split of each bin of another quantity whose sizes are learned: that of its group, of which nothing is tested; groups that
    are in none are dealt out. Whole groups, in an order that only the seed decides."""
    sides: dict[str, set[str]] = {}
    for id, name in split.items():
        sides.setdefault(group[id], set()).add(name)
    chosen: dict[str, str] = {}
    for name, ids in foreign(pairs, group, params).items():
        room = params.verifier_images is None or len(chosen) + len(ids) <= params.verifier_images
        if not room or sides.get(name, set()) & {"test", OUTSIDE}:
            continue
        held_out = "validation" in sides[name] if name in sides else _share(params.seed, name) < params.validation_share
        chosen |= dict.fromkeys(ids, OTHERS["validation" if held_out else "train"])
    return chosen


def foreign(pairs: pd.DataFrame, group: Mapping[str, str], params: SelectImages) -> dict[str, list[str]]:
    """Bins of other quantities by group; groups in an order that is drawn from the seed and their names alone."""
    members: dict[str, list[str]] = {}
    for id in sorted(pairs.loc[~pairs["quantity"].isin(params.quantities), "id"]):
        members.setdefault(group[id], []).append(id)
    return dict(sorted(members.items(), key=lambda its: drawn(params.seed, its[0])))


def _share(seed: int, group: str) -> float:
    """A number from 0 to 1 that has nothing to do with the place of the group in the order of `foreign`."""
    return int.from_bytes(drawn(seed, f"side of {group}")[:8]) / 2**64


def check(chosen: pd.DataFrame, params: SelectImages) -> None:
    """Raises UserError if a quantity cannot be learned or a split is empty."""
    for name in SPLITS:
        present = set(chosen.loc[chosen["split"] == name, "quantity"])
        if not present:
            raise UserError(
                f"select_images: no group is small enough for {name}; raise test_images or validation_share"
            )
        missing = sorted(set(params.quantities) - present)
        if missing and name == "train":
            raise UserError(
                f"select_images: train holds no image of quantity {_listed(missing)}; drop it from data.quantities"
            )


def _listed(quantities: list[int]) -> str:
    return ", ".join(map(str, quantities))
