"""Which bins are shown with their photos, and what stands beside each."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from warehouse_classifier.dataset.shards import Shards
from warehouse_classifier.evaluation.metrics import Quantities
from warehouse_classifier.evaluation.predictions import Predictions
from warehouse_classifier.evaluation.results import Evaluation

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Bin:
    """One bin of the gallery: its photo as a JPEG, what the inventory says, and what each network says."""

    id: str
    photo: bytes
    quantity: int
    predicted: Mapping[str, int]  # by the network's title
    probability: Mapping[str, float]  # of what it says, by the network's title

    @property
    def source(self) -> str:
        return "data:image/jpeg;base64," + base64.b64encode(self.photo).decode("ascii")

    @property
    def mistaken(self) -> bool:
        """Whether nobody is right."""
        return self.quantity not in self.predicted.values()


def gallery(evaluation: Evaluation, test: Predictions, shards: Shards, *, bins: int, seed: int) -> list[Bin]:
    """The bins to show, with their JPEGs as they lie in the shards."""
    predicted = np.stack([evaluation.answers[key].to_numpy() for key in evaluation.networks])
    sure = np.stack([test.probabilities[key].max(axis=1) for key in evaluation.networks])
    ids, rows = test.facts["id"].tolist(), shards.rows("test")
    titles = [evaluation.titles[key] for key in evaluation.networks]
    return [
        Bin(
            ids[i],
            shards.jpeg(int(rows[i])),
            int(test.quantity[i]),
            dict(zip(titles, predicted[:, i].tolist(), strict=True)),
            dict(zip(titles, sure[:, i].tolist(), strict=True)),
        )
        for i in choose(test.quantity, predicted, sure, test.groups.tolist(), bins=bins, seed=seed)
    ]


def choose(
    quantity: Quantities,
    said: npt.NDArray[np.integer[Any]],
    sure: Floats,
    groups: Sequence[str],
    *,
    bins: int,
    seed: int,
) -> list[int]:
    """Positions of the bins to show: a third all networks get right, a third some get right, the rest misses by most.

    `said` and `sure`, [networks, images], are the quantities that the networks predict and their probabilities. The
    right ones are drawn by `seed`, every quantity in turn. Mistakes are ordered by how many items the networks
    together are off, and then by how sure they were. No two bins are of one group, as they look alike.
    """
    off = np.abs(said - quantity)
    right = (off == 0).sum(axis=0)
    shuffled = np.random.default_rng(seed).permutation(quantity.size)
    turn = np.empty(quantity.size, dtype=np.int64)  # the how-manieth of its quantity each image is
    for value in np.unique(quantity):
        mine = shuffled[quantity[shuffled] == value]
        turn[mine] = np.arange(mine.size)
    drawn = np.lexsort((quantity, turn))
    worst = np.lexsort((-sure.sum(axis=0).round(6), -off.sum(axis=0)))
    everyone = len(said)
    kinds = (
        drawn[right[drawn] == everyone],
        drawn[(right[drawn] > 0) & (right[drawn] < everyone)],
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
