"""A models folder whose networks are tiny and learned nothing, calibrated so that every verdict occurs."""

from pathlib import Path

import torch

from warehouse_classifier.evaluation import calibration
from warehouse_classifier.evaluation.calibration import Calibrated, Calibration
from warehouse_classifier.evaluation.counters import COUNTERS
from warehouse_classifier.models import folder, resnet34, vit
from warehouse_classifier.models.registry import NETWORKS

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


def tiny(models: Path) -> Path:
    """Of the networks that this process has; a calibration is of no fewer and no more."""
    torch.manual_seed(0)
    for name in NETWORKS:
        (models / name).mkdir(parents=True)
        TINY[name](models / name)
    calibrated = Calibrated(temperature=0.02, match=0.6, mismatch=0.85)
    Calibration(
        version=2, quantities=QUANTITIES, side=SIDE, quality=95, precision="fp32", mirror=False, false_alarms=0.05, misses=0.05,
        counters=dict.fromkeys(COUNTERS, calibrated),
        sha256={name: folder.hashes(models / name) for name in NETWORKS},
    ).write(models / calibration.FILE)  # fmt: skip
    return models
