"""Stages started as the launcher starts them."""

import functools
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from warehouse_classifier import stages
from warehouse_classifier.compute import parameters, stage_code
from warehouse_classifier.compute.__main__ import launch
from warehouse_classifier.compute.local import call, work_folder
from warehouse_classifier.runtime.params import Params
from warehouse_classifier.runtime.progress import Progress

RECIPE = (
    "batch: 8, micro_batch: 8, processes: 1, learning_rate: 3e-3, decay: false, epochs: 2, patience: null,"
    " augmentation: null, neighbours: 0.0, average: 0.0, auxiliary: 0.0, pretrain: null, precision: fp32, compile: false, deterministic: true, threads: 1, workers: 1"
)
# `other` is a scale of two stages alone
PARAMS = f"""\
scale: small
lr: null
seed: 7
data:
  small: {{bucket: bins, quantities: [1, 2, 3], side: 32, quality: 90}}
  other: {{bucket: bins, quantities: [1, 2, 3], side: 32, quality: 90}}
fetch_metadata:
  small: {{max_pairs: null, max_rejected: 20, concurrency: 4, part: 10}}
  other: {{max_pairs: null, max_rejected: 20, concurrency: 4, part: 10}}
select_images:
  small: {{max_images: null, test_images: 6, validation_share: 0.2, split: grouped, verifier_images: null, outside_images: 0}}
resize_images:
  small: {{max_pixels: 1000000, max_rejected: 2, concurrency: 4, workers: 2}}
train_resnet34:
  small: {{weights: none, weights_sha256: null, warmup: 0.0, weight_decay: 0.0, {RECIPE}}}
train_vit:
  small:
    model_name: own
    revision: null
    own_size: {{hidden_size: 8, num_hidden_layers: 1, num_attention_heads: 1, intermediate_size: 8, patch_size: 16}}
    warmup: 0.1
    weight_decay: 0.05
    {RECIPE.replace(", ", chr(10) + "    ")}
train_verifier:
  small:
    {{batch: 8, workers: 1, threads: 1, precision: fp32, mirror: false, folds: 2, ridge: 10.0, penalty: 10.0, change_penalty: 10.0, draws: 2,
      false_alarms: 0.05, misses: 0.05, outliers: 0.01}}
evaluate:
  small:
    {{batch: 8, workers: 1, threads: 1, precision: fp32, mirror: false, resamples: 1000, false_alarms: 0.05, misses: 0.05, prevalence: 0.05,
      recalls: [0.5], budgets: [0.05], gallery: 4}}
"""


def act(stage: str, params: Params, *paths: Path, progress: Progress) -> None:
    """A stage's function as the launcher calls it, in the folder of its work."""
    argv = ["", *map(str, paths)]
    with work_folder(stage, params, argv, None) as work:
        call(stage, params, argv, None, work, progress)


def loaded(stage: str, scale: str, file: Path = parameters.FILE) -> Params:
    """The parameters of a stage, as its door reads them."""
    return parameters.load(stage_code.params_of(stage), stage, scale, parameters.read(file))


def stand_in(monkeypatch: pytest.MonkeyPatch, stage: str, act: Callable[[Any], None]) -> None:
    """Have the launcher call `act` with the progress, in place of a stage's function."""
    real = stage_code.function_of(stage)

    @functools.wraps(real)
    def function(*_: Any, progress: Any, **__: Any) -> None:
        act(progress)

    monkeypatch.setattr(importlib.import_module(f"{stages.__name__}.{stage}"), stage, function)


def error_line(capfd: pytest.CaptureFixture[str], stage: str, *argv: str) -> str:
    """What `launch` says of a stage that cannot go on: a failure, and one line of error that is the last one."""
    capfd.readouterr()
    assert launch(stage, list(argv)) == 1
    out, err = capfd.readouterr()
    lines = err.splitlines()
    assert "Traceback" not in out + err
    assert [line for line in lines if line.startswith("error: ")] == lines[-1:]
    return lines[-1].removeprefix("error: ")
