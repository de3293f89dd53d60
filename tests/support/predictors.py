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


def tiny(models: Path) -> Path:
    for name in NETWORKS:
        (models / name).mkdir(parents=True)
    torch.manual_seed(0)
    resnet34.save(resnet34.build(len(QUANTITIES), "none", None), tuple(QUANTITIES), models / "resnet34")
    vit.save(vit.build("own", None, SIZE, SIDE, tuple(QUANTITIES)), models / "vit")
    counted = Calibrated(temperature=0.02, match=0.6, mismatch=0.85)
    Calibration(
        version=1, quantities=QUANTITIES, side=SIDE, quality=95, precision="fp32", false_alarms=0.05, misses=0.05,
        counters=dict.fromkeys(COUNTERS, counted),
        sha256={name: folder.hashes(models / name) for name in NETWORKS},
    ).write(models / calibration.FILE)  # fmt: skip
    return models
