"""Which bins are shown with their photos, and what stands beside each."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from warehouse_classifier.dataset.shards import Shards
from warehouse_classifier.evaluation.arrays import Floats
from warehouse_classifier.evaluation.metrics import Quantities
from warehouse_classifier.evaluation.predictions import Predictions
from warehouse_classifier.evaluation.results import Evaluation


@dataclass(frozen=True)
class Bin:
    """One bin of the gallery: its photo as a JPEG, the inventory's quantity, and the networks' predictions."""

    id: str
    photo: bytes
    quantity: int
    predicted: Mapping[str, int]  # by the network's title
    probability: Mapping[str, float]  # of the predicted quantity, by the network's title

    @property
    def source(self) -> str:
        """The photo as a data URL."""
        return "data:image/jpeg;base64," + base64.b64encode(self.photo).decode("ascii")

    @property
    def mistaken(self) -> bool:
        """Whether no network is right."""
        return self.quantity not in self.predicted.values()


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
