"""Choose the bins to learn from and to test on, and keep near-duplicates on one side.

metadata.parquet -> selection.csv
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Hashable, Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import Field

from warehouse_classifier.bins import selection as selections
from warehouse_classifier.bins.selection import OUTSIDE, SPLITS
from warehouse_classifier.runtime.errors import Fault
from warehouse_classifier.runtime.params import Count, CountOrZero, Params, Quantities, Seed
from warehouse_classifier.runtime.progress import Watch


class SelectImages(Params):
    seed: Seed
    quantities: Quantities
    max_images: Count | None  # train, validation and test together; null takes all
    test_images: Count
    validation_share: float = Field(gt=0, lt=1)  # of what is not test
    split: Literal["grouped", "random"]
    outside_images: CountOrZero  # bins of other quantities, at most


def select_images(params: SelectImages, metadata: Path, selection: Path, *, watch: Watch) -> None:
    if not metadata.exists():
        raise Fault(f"{metadata} is missing; `dvc repro fetch_metadata` makes it")
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
    chosen = pairs.assign(split=pairs["id"].map(split), group=pairs["id"].map(group)).dropna(subset="split")
    check(chosen, params)
    selections.write(chosen, selection)
    watch.measure(**{f"{name}_images": int((chosen["split"] == name).sum()) for name in (*SPLITS, OUTSIDE)})


def articles_of(table: pa.Table) -> dict[str, tuple[int, ...]]:
    """What is in each bin, by id: a number for every asin, since half a million bins hold a million of texts."""
    items = table["items"].combine_chunks()
    asins = pc.struct_field(items.flatten(), "asin").dictionary_encode().indices.to_pylist()
    ends = np.cumsum(items.value_lengths().to_numpy()).tolist()
    ids = table["id"].to_pylist()
    return {id: tuple(asins[start:end]) for id, start, end in zip(ids, [0, *ends], ends, strict=False)}


def siblings(articles: Mapping[str, Collection[Hashable]]) -> dict[str, str]:
    """The group of each bin, named after the group's first id.

    `articles`: what is in every bin, by id. Bins whose ids are one or two apart and share an item are photos of one bin
    before and after a robot's visit: of consecutive ids 45 % share one, at distance two 4 %, further away none. Only ids
    of five digits or more are a sequence; "1" is another bin than "00001" and has no neighbours.
    """
    leader = {id: id for id in articles}

    def find(id: str) -> str:
        while leader[id] != id:
            leader[id] = leader[leader[id]]
            id = leader[id]
        return id

    for id in sorted(articles):
        if not _in_sequence(id):
            continue
        for distance in (1, 2):
            neighbour = str(int(id) + distance).zfill(5)
            if not set(articles[id]).isdisjoint(articles.get(neighbour, ())):
                first, second = sorted((find(id), find(neighbour)))
                leader[second] = first
    return {id: find(id) for id in articles}


def _in_sequence(id: str) -> bool:
    return id.isascii() and id.isdigit() and (len(id) == 5 or (len(id) > 5 and id[0] != "0"))


def sizes_of(available: int, params: SelectImages) -> dict[str, int]:
    """How many images each split is to hold. Raises Fault if there are too few for all three."""
    total = min(available, params.max_images or available)
    rest = total - params.test_images
    sizes = {"test": params.test_images, "validation": round(params.validation_share * rest)}
    sizes["train"] = rest - sizes["validation"]
    for name in SPLITS:
        if sizes[name] < 1:
            raise Fault(
                f"select_images: {total} images of quantity {_said(params.quantities)} are too few, {name} gets"
                f" {max(sizes[name], 0)} of them; lower test_images ({params.test_images}), set validation_share so that"
                " it gives at least one, or fetch more pairs"
            )
    return sizes


def share_out(quantity: dict[str, int], group: dict[str, str], sizes: dict[str, int], seed: int) -> dict[str, str]:
    """The split of each bin that gets one: whole groups, stratified by quantity, never more than `sizes`.

    `quantity`, `group`: by id. Groups are dealt out largest first, then in an order drawn from the seed and the group's name
    alone, each to the split that still lacks the largest share of such bins. What is not asked for is dealt out in the same
    way, so it takes a fair share of every quantity too, and what no split has room for goes there.
    """
    members: dict[str, list[str]] = defaultdict(list)
    for id in sorted(quantity):
        members[group[id]].append(id)
    left = {**sizes, "unused": len(quantity) - sum(sizes.values())}
    per_quantity = Counter(quantity.values())
    # what each split still lacks of each quantity, and what it was to get
    target = {name: {q: size * n / len(quantity) for q, n in per_quantity.items()} for name, size in left.items()}
    lacks = {name: dict(of) for name, of in target.items()}
    split = {}
    for name in sorted(members, key=lambda name: (-len(members[name]), _drawn(seed, name))):
        counts = Counter(quantity[id] for id in members[name])
        room = [to for to in left if left[to] >= len(members[name])]
        to = max(
            room, key=lambda to: sum(n * lacks[to][q] / target[to][q] for q, n in counts.items()), default="unused"
        )
        left[to] -= len(members[name])
        for q, n in counts.items():
            lacks[to][q] -= n
        split.update(dict.fromkeys(members[name], to))
    return {id: to for id, to in split.items() if to != "unused"}


def outside(pairs: pd.DataFrame, group: Mapping[str, str], split: Mapping[str, str], params: SelectImages) -> list[str]:
    """Bins of other quantities, drawn from the seed and the id alone, of groups from which no network learns.

    One bin of a group: the quantities inside it lie close together.
    """
    learned = {group[id] for id, name in split.items() if name != "test"}
    foreign = pairs.loc[~pairs["quantity"].isin(params.quantities), "id"]
    drawn: dict[str, str] = {}  # by group
    for id in sorted(foreign, key=lambda name: _drawn(params.seed, name)):
        if group[id] not in learned:
            drawn.setdefault(group[id], id)
    return list(drawn.values())[: params.outside_images]


def check(chosen: pd.DataFrame, params: SelectImages) -> None:
    """Raises Fault if a quantity cannot be learned or a split is empty."""
    for name in SPLITS:
        present = set(chosen.loc[chosen["split"] == name, "quantity"])
        if not present:
            raise Fault(f"select_images: no group is small enough for {name}; raise test_images or validation_share")
        missing = sorted(set(params.quantities) - present)
        if missing and name == "train":
            raise Fault(
                f"select_images: train holds no image of quantity {_said(missing)}; drop it from data.quantities"
            )


def _drawn(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed} {name}".encode()).digest()


def _said(quantities: list[int]) -> str:
    return ", ".join(map(str, quantities))
