"""A models folder whose networks are tiny and learned nothing, calibrated so that every verdict occurs."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from warehouse_classifier.bins.sizes import ATTRIBUTES, VOLUME
from warehouse_classifier.evaluation import calibration
from warehouse_classifier.evaluation.calibration import Calibrated, Calibration
from warehouse_classifier.evaluation.counters import COUNTERS, VERIFIER
from warehouse_classifier.evaluation.learned_from import LearnedFrom
from warehouse_classifier.evaluation.thresholds import Limits
from warehouse_classifier.models import folder, resnet34, vit
from warehouse_classifier.models.registry import NETWORKS
from warehouse_classifier.verifier import folder as verifiers
from warehouse_classifier.verifier.evidence import Spread
from warehouse_classifier.verifier.heads import Heads
from warehouse_classifier.verifier.outliers import OutlierDetector
from warehouse_classifier.verifier.photo_statistics import statistics
from warehouse_classifier.verifier.verifier import Verifier

QUANTITIES = [1, 2, 3, 4, 5]
SIDE = 32
SIZE = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8, "patch_size": 16}


def _resnet34(folder: Path) -> None:
    resnet34.save(resnet34.build(len(QUANTITIES), "none", None), tuple(QUANTITIES), folder)


def _vit(folder: Path) -> None:
    vit.save(vit.build("own", None, SIZE, SIDE, tuple(QUANTITIES)), folder)


TINY = {  # for each network: fill a folder with one that learned nothing
    "resnet34": _resnet34,
    "vit": _vit,
}


LEARNED_FROM = LearnedFrom(bucket="s3://bins", images=40, sha256="0" * 64)


def tiny(models: Path, learned_from: LearnedFrom = LEARNED_FROM) -> Path:
    """Of the networks that this process has; a calibration is of no fewer and no more."""
    torch.manual_seed(0)
    for name in NETWORKS:
        (models / name).mkdir(parents=True)
        TINY[name](models / name)
    calibrated = Calibrated(temperature=0.02, match=0.6, mismatch=0.85)
    Calibration(
        version=3, learned_from=learned_from, quantities=QUANTITIES, side=SIDE, quality=95, precision="fp32", mirror=False, false_alarms=0.05, misses=0.05,
        counters=dict.fromkeys(COUNTERS, calibrated),
        sha256={name: folder.hashes(models / name) for name in NETWORKS},
    ).write(models / calibration.FILE)  # fmt: skip
    return models


FEATURES = 2 * (128 + 256 + 512) + 3 * SIZE["hidden_size"]  # of both networks


def verifier(volume: float = 100.0, brighter: float = 0.0) -> Verifier:
    """One to whom every photo looks like so many cubic inches, half as many to twice as many, and who weighs that alone; and to
    whom two photos show that items were put in by how much larger all features are in the second."""
    count = len(ATTRIBUTES)
    bias, weights, ones = np.zeros(count), np.zeros(1 + 5 * count), np.ones(count)
    bias[VOLUME] = np.log(volume)
    weights[1 + VOLUME] = 2.0  # of how far the volume is from that
    limits = Limits(0.3, 0.7)
    return Verifier(
        Heads(np.zeros((FEATURES, count)), bias), np.zeros(count), ones, Spread(np.diag(ones), np.diag(ones)),
        weights=weights, bias=-2.0, direction=np.full(FEATURES, brighter), most=20, counted=(1, 5), of_list=limits, of_record=limits,
        other_list=limits, other_record=limits,
        volume_low=-np.log(2), volume_high=np.log(2),
    )  # fmt: skip


def usual() -> OutlierDetector:
    """One to whom no photo is unlike those that were learned from."""
    count = statistics(np.zeros((1, SIDE, SIDE, 3), np.uint8)).shape[1]
    return OutlierDetector(np.zeros(count), np.ones(count), np.eye(count), np.zeros(2 * count))


def verified(models: Path, volume: float = 100.0, brighter: float = 0.0, farthest: float = np.inf) -> Path:
    """Such a verifier in a folder of tiny models."""
    (models / VERIFIER).mkdir(exist_ok=True)
    verifiers.save(
        verifier(volume, brighter),
        replace(usual(), farthest=farthest),
        {network: models / network for network in NETWORKS},
        models / VERIFIER,
        mirror=False,
    )
    return models
