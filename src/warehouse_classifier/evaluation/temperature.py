"""Temperature scaling of the networks and of their average: logits become probabilities, both [images, quantities]."""

from collections.abc import Mapping

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import softmax

from warehouse_classifier.evaluation.arrays import Floats, Ints
from warehouse_classifier.evaluation.counters import AVERAGE
from warehouse_classifier.models.registry import NETWORKS

STEEPEST = 5.0  # temperatures lie between exp(-5) and exp(5)
TINY = np.finfo(np.float64).tiny  # in place of a probability of 0, which has no logarithm


def fit(logits: Floats, label: Ints) -> float:
    """The temperature with the least negative log-likelihood (Guo et al. 2017, arXiv:1706.04599).

    `label`, [images]: the 0-based class of each image. One number for all: the most probable quantity stays what it is.
    """

    def loss(logarithm: float) -> float:
        return nll(scaled(logits, float(np.exp(logarithm))), label)

    best = minimize_scalar(loss, bounds=(-STEEPEST, STEEPEST), method="bounded", options={"xatol": 1e-6})
    return float(np.exp(best.x))


def scaled(logits: Floats, temperature: float) -> Floats:
    """Probabilities of logits at a temperature."""
    return np.asarray(softmax(logits / temperature, axis=1))


def averaged(probabilities: Mapping[str, Floats]) -> Floats:
    """Logits of the average counter: the logarithm of the mean of the networks' probabilities."""
    mean = np.mean([probabilities[network] for network in NETWORKS], axis=0)
    return np.asarray(np.log(np.maximum(mean, TINY)))


def probabilities(logits: Mapping[str, Floats], temperatures: Mapping[str, float]) -> dict[str, Floats]:
    """By counter: of each network at its temperature and, where all networks are there, of their average."""
    shares = {network: scaled(values, temperatures[network]) for network, values in logits.items()}
    if shares.keys() >= NETWORKS.keys():
        shares[AVERAGE] = scaled(averaged(shares), temperatures[AVERAGE])
    return shares


def nll(probabilities: Floats, label: Ints) -> float:
    """Mean negative log-likelihood of the labels, in nats."""
    return float(-np.mean(np.log(np.maximum(probabilities[np.arange(len(label)), label], TINY))))
