"""Which bins are shown with their photos, and what stands beside each."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from warehouse_classifier.dataset.shards import Shards
from warehouse_classifier.evaluation.arrays import Floats
from warehouse_classifier.evaluation.counters import VERIFIER
from warehouse_classifier.evaluation.metrics import Quantities
from warehouse_classifier.evaluation.mismatches import visits
from warehouse_classifier.evaluation.predictions import Predictions
from warehouse_classifier.evaluation.results import Evaluation

LONGEST, MOST = 48, 5  # letters of an item's name, and items of a list, that are shown


@dataclass(frozen=True)
class Photo:
    """The photo of one bin, a JPEG."""

    id: str
    photo: bytes

    @property
    def source(self) -> str:
        """The photo as a data URL."""
        return "data:image/jpeg;base64," + base64.b64encode(self.photo).decode("ascii")


@dataclass(frozen=True)
class Bin(Photo):
    """One bin of the gallery: its photo, the inventory's quantity, and the networks' predictions."""

    quantity: int
    predicted: Mapping[str, int]  # by the network's title
    probability: Mapping[str, float]  # of the predicted quantity, by the network's title

    @property
    def mistaken(self) -> bool:
        """Whether no network is right."""
        return self.quantity not in self.predicted.values()


@dataclass(frozen=True)
class ItemList:
    """What a bin holds, or should: how many items, and which."""

    quantity: int
    items: tuple[str, ...]  # in words


@dataclass(frozen=True)
class WrongList(Photo):
    """A bin with the list of another moment: of before a visit, or of after it."""

    expected: ItemList
    holds: ItemList
    doubt: float  # the verifier's, that the bin holds what is expected
    found: bool


def wrong_lists(
    evaluation: Evaluation, test: Predictions, shards: Shards, inside: pd.DataFrame, *, bins: int
) -> list[WrongList]:
    """Photos with the other photo's list, as far as the verifier finds them and as it misses them: `bins` of each at most,
    no two of one group. `inside`: what is in the bins, as contents.read has it."""
    if not len(evaluation.visits):
        return []
    table = visits.wrong_lists(evaluation.questions[VERIFIER]["natural"], evaluation.visits, evaluation.task)
    ids, rows = test.facts["id"].tolist(), shards.rows("test")

    def its_list(row: int) -> ItemList:
        return ItemList(int(test.quantity[row]), in_words(inside["items"].iloc[row]))

    shown: list[WrongList] = []
    for found in (True, False):  # the most doubted of the one, the least doubted of the other
        part = table[table["found"] == found].iloc[:: 1 if found else -1]
        groups: set[str] = set()
        for photo, other, doubt in zip(
            part["photo"].tolist(), part["other"].tolist(), part["doubt"].tolist(), strict=True
        ):
            if len(groups) < bins and test.groups[photo] not in groups:
                groups.add(test.groups[photo])
                jpeg = shards.jpeg(int(rows[photo]))
                shown.append(WrongList(ids[photo], jpeg, its_list(other), its_list(photo), doubt, found))
    return shown


def in_words(items: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """`2 × name` of each item, shortened: names are sentences, and some bins hold dozens."""
    names = [" ".join((item["name"] or "").split()) or item["asin"] for item in items]
    short = [name if len(name) <= LONGEST else name[: LONGEST - 1].rstrip() + "…" for name in names]
    words = [f"{item['quantity']} × {name}" for item, name in zip(items, short, strict=True)]
    return tuple(words[:MOST] + [f"{len(words) - MOST} more"] * (len(words) > MOST))


def gallery(evaluation: Evaluation, test: Predictions, shards: Shards, *, bins: int, seed: int) -> list[Bin]:
    """The bins to show, with their JPEGs as they lie in the shards."""
    networks, ids, rows = evaluation.networks, test.facts["id"].tolist(), shards.rows("test")
    predicted = np.stack([evaluation.answers[key].to_numpy() for key in networks])
    confidence = np.stack([test.probabilities[key].max(axis=1) for key in networks])
    titles = [evaluation.titles[key] for key in networks]
    return [
        Bin(
            ids[i],
            shards.jpeg(int(rows[i])),
            int(test.quantity[i]),
            dict(zip(titles, predicted[:, i].tolist(), strict=True)),
            dict(zip(titles, confidence[:, i].tolist(), strict=True)),
        )
        for i in choose(test.quantity, predicted, confidence, test.groups.tolist(), bins=bins, seed=seed)
    ]


def choose(
    quantity: Quantities, predicted: Quantities, confidence: Floats, groups: Sequence[str], *, bins: int, seed: int
) -> list[int]:
    """Positions of the bins to show: a third all networks get right, a third some get right, the rest misses by most.

    `predicted` and `confidence`, [networks, images], are the quantities that the networks predict and their probabilities. The
    right ones are drawn by `seed`, every quantity in turn. Mistakes are ordered by how many items the networks
    together are off, and then by how sure they were. No two bins are of one group, as they look alike.
    """
    off = np.abs(predicted - quantity)
    right = (off == 0).sum(axis=0)
    shuffled = np.random.default_rng(seed).permutation(quantity.size)
    turn = np.empty(quantity.size, dtype=np.int64)  # the place of each image among those of its quantity
    for value in np.unique(quantity):
        own = shuffled[quantity[shuffled] == value]
        turn[own] = np.arange(own.size)
    drawn = np.lexsort((quantity, turn))
    worst = np.lexsort((-confidence.sum(axis=0).round(6), -off.sum(axis=0)))
    kinds = (
        drawn[right[drawn] == len(predicted)],
        drawn[(right[drawn] > 0) & (right[drawn] < len(predicted))],
        worst[right[worst] == 0],
    )

    chosen: list[int] = []
    shown: set[str] = set()
    for kind, upto in zip(kinds, (bins // 3, 2 * bins // 3, bins), strict=True):
        for position in kind.tolist():
            if len(chosen) < upto and groups[position] not in shown:
                chosen.append(position)
                shown.add(groups[position])
    return chosen
