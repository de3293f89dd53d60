"""Temperature scaling: what the networks' answers are worth.

The counters answer: each network, and the average of them all. `logits` are what a network says, `probabilities` what that is
worth once its temperature is known, both [images, quantities].
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.special import softmax

from warehouse_classifier.evaluation.counters import AVERAGE
from warehouse_classifier.models.registry import NETWORKS

Floats = npt.NDArray[np.float64]
STEEPEST = 5.0  # temperatures lie between exp(-5) and exp(5)


def fit(logits: Floats, label: npt.NDArray[np.int64]) -> float:
    """The temperature that makes the probabilities of what came true largest (Guo et al. 2017, arXiv:1706.04599).

    `label`: the 0-based class of each image. One number for all: the most probable quantity stays what it is.
    """

    def loss(logarithm: float) -> float:
        return nll(scaled(logits, float(np.exp(logarithm))), label)

    found = minimize_scalar(loss, bounds=(-STEEPEST, STEEPEST), method="bounded", options={"xatol": 1e-6})
    return float(np.exp(found.x))


def scaled(logits: Floats, temperature: float) -> Floats:
    """Probabilities of logits at a temperature."""
    shares: Floats = softmax(logits / temperature, axis=1)
    return shares


def averaged(probabilities: Mapping[str, Floats]) -> Floats:
    """Logits of the average counter: the logarithm of the mean of the networks' probabilities."""
    mean = np.mean([probabilities[network] for network in NETWORKS], axis=0)
    logarithms: Floats = np.log(np.maximum(mean, np.finfo(np.float64).tiny))
    return logarithms


def probabilities(logits: Mapping[str, Floats], temperatures: Mapping[str, float]) -> dict[str, Floats]:
    """What each network says at its temperature and, where both are there, what their average says."""
    said = {network: scaled(of, temperatures[network]) for network, of in logits.items()}
    if said.keys() >= NETWORKS.keys():
        said[AVERAGE] = scaled(averaged(said), temperatures[AVERAGE])
    return said


def nll(probabilities: Floats, label: npt.NDArray[np.int64]) -> float:
    """Mean negative log-likelihood of what came true, in nats."""
    sure = np.maximum(probabilities[np.arange(len(label)), label], np.finfo(np.float64).tiny)
    return float(-np.mean(np.log(sure)))
