"""Which photos are unlike those that were learned from: another camera or light, turned, no bin at all.

Two scores of a photo's statistics, each with the threshold that hardly any held-out photo is above: how far it is from the photos
that were learned from (Mahalanobis), and how like it is to copies of them that were spoilt on purpose (Hendrycks et al. 2019, "Deep
anomaly detection with outlier exposure"). By pixels and not by what networks see: those are trained to look past light and colour, and
of photos turned by a quarter the distance in their features found one in six.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from warehouse_classifier.dataset.photo import Pixels, square
from warehouse_classifier.evaluation.arrays import Floats, Ints, Masks
from warehouse_classifier.verifier.photo_statistics import statistics

MOST = 20_000  # photos that are learned from
FIRM = 0.01  # added to the eigenvalues of the correlations, of which the smallest are chance
FAR = 6.0  # spreads: beyond it all is far
PENALTY, STEPS = 1000.0, 500  # of the logistic regression
BLOCK = 256  # photos at once
KINDS = (
    "turned left", "upside down", "turned right", "dark", "other colours and contrast", "far away before a plain ground"
)  # fmt: skip
USUAL = "as they are"


@dataclass(frozen=True)
class OutlierDetector:
    """What usual photos look like."""

    middle: Floats  # of the statistics, [statistics]
    spread: Floats
    precision: Floats  # inverse of their correlations, [statistics, statistics]
    weights: Floats  # of scaled statistics and their squares, [2 * statistics]: larger for spoilt copies
    farthest: float = np.inf  # a larger distance is unlike
    likest: float = np.inf  # a larger likeness to spoilt copies is unlike

    def unlike(self, pixels: Pixels) -> Masks:
        """Which of photos [B, side, side, 3] are unlike those that were learned from, [B]."""
        far, like = self.scores(statistics(pixels))
        return np.asarray((far > self.farthest) | (like > self.likest))

    def scores(self, of: Floats) -> tuple[Floats, Floats]:
        """Distance and likeness to spoilt copies, from statistics [B, statistics]."""
        scaled = (of - self.middle) / self.spread
        return np.einsum("ij,jk,ik->i", scaled, self.precision, scaled), _squared(scaled) @ self.weights


def sample(rows: Ints, seed: int) -> Ints:
    """As many of the rows as are learned from, in their order."""
    chosen = np.random.default_rng(seed).permutation(rows)[:MOST]
    return np.sort(chosen)


def learn(train: Iterator[Pixels], held_out: Iterator[Pixels], share: float, seed: int) -> OutlierDetector:
    """From photos one by one, [side, side, 3]. At most about `share` of photos like the held-out ones will be called unlike."""
    from sklearn.linear_model import LogisticRegression  # a second to import, and who only asks needs none of it

    random = np.random.default_rng(seed)
    usual, spoilt = _both(train, random)
    middle, spread = usual.mean(axis=0), usual.std(axis=0) + 1e-6
    scaled = (usual - middle) / spread
    values, axes = np.linalg.eigh(scaled.T @ scaled / len(scaled))
    precision = (axes / (values + FIRM)) @ axes.T
    inputs = _squared(np.concatenate([scaled, (spoilt - middle) / spread]))
    wrong = np.repeat([0, 1], [len(usual), len(spoilt)])
    weights = LogisticRegression(C=1 / PENALTY, max_iter=STEPS).fit(inputs, wrong).coef_[0]
    raw = OutlierDetector(middle, spread, precision, weights)
    far, like = raw.scores(np.concatenate(list(map(statistics, _in_blocks(held_out)))))
    rank = min(len(far), int(np.ceil((len(far) + 1) * (1 - share / 2)))) - 1  # each score has half of the share
    return replace(raw, farthest=float(np.sort(far)[rank]), likest=float(np.sort(like)[rank]))


def spoil(photo: Pixels, kind: int, random: np.random.Generator) -> Pixels:
    """A copy as no camera of the warehouse takes it, [side, side, 3]; `kind`: the place in KINDS."""
    if kind < 3:
        return np.rot90(photo, kind + 1)
    values = photo.astype(np.float64)
    if kind == 3:
        values *= random.uniform(0.1, 0.35)
    elif kind == 4:
        values = values * random.uniform(0.6, 1.4, 3) + random.uniform(-20, 20, 3)
        values = (values - 128) * random.uniform(0.6, 1.6) + 128
    else:
        side = len(photo)
        small = int(side * random.uniform(0.3, 0.7))
        top, left = random.integers(0, side - small, 2)
        values[:] = random.uniform(0, 255, 3)
        values[top : top + small, left : left + small] = square(photo, small)
    return values.clip(0, 255).astype(np.uint8)


def measured(detector: OutlierDetector, photos: Iterator[Pixels], seed: int) -> dict[str, float]:
    """The share of photos, one by one, [side, side, 3], that are called unlike: as they are, and of copies spoilt in each way."""
    random, found = np.random.default_rng(seed), []
    for block in _in_blocks(photos):
        spoilt = [np.stack([spoil(photo, kind, random) for photo in block]) for kind in range(len(KINDS))]
        found.append(np.stack([detector.unlike(some) for some in (block, *spoilt)]))
    shares = np.concatenate(found, axis=1).mean(axis=1)
    return dict(zip((USUAL, *KINDS), shares.tolist(), strict=True))


def _both(photos: Iterator[Pixels], random: np.random.Generator) -> tuple[Floats, Floats]:
    """Statistics of photos, and of a spoilt copy of each."""
    usual, spoilt, number = [], [], 0
    for block in _in_blocks(photos):
        copies = [spoil(photo, (number + place) % len(KINDS), random) for place, photo in enumerate(block)]
        number += len(block)
        usual.append(statistics(block))
        spoilt.append(statistics(np.stack(copies)))
    return np.concatenate(usual), np.concatenate(spoilt)


def _in_blocks(photos: Iterator[Pixels]) -> Iterator[Pixels]:
    """Some at a time, [photos, side, side, 3]."""
    while block := list(islice(photos, BLOCK)):
        yield np.stack(block)


def _squared(scaled: Floats) -> Floats:
    near = scaled.clip(-FAR, FAR)
    return np.concatenate([near, near**2], axis=1)
