"""A training's checkpoints, as safetensors and JSON and never a pickle: weights, optimizer, state, best weights.

A checkpoint is one folder that is renamed into place when it is whole and on the disk, so a kill leaves the last one or
the next one. The one before stays too: a rented machine copies them away file by file, and what comes back may be a part of
the newest.
"""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from warehouse_classifier.runtime.errors import UserError
from warehouse_classifier.runtime.files import replacing, same

BEST, WEIGHTS, OPTIMIZER, STATE = "best.safetensors", "weights.safetensors", "optimizer.safetensors", "position.json"
AVERAGE = "average"  # what the names of the mean weights begin with, beside the optimizer's own


@dataclass
class TrainState:
    """How far a training is: `history` and `speeds` have a row for each epoch that is whole, and `step` steps of the next one
    are done, over which the losses of the images add up to `loss`. `pretrained` has the rows of the epochs on drawn bins once
    all of these are done; until then they stand in `history`. `averaged`: weights that the mean is taken over."""

    history: list[dict[str, Any]] = field(default_factory=list)
    speeds: list[dict[str, float]] = field(default_factory=list)
    step: int = 0
    loss: float = 0.0
    pretrained: list[dict[str, Any]] = field(default_factory=list)
    averaged: int = 0


def save(
    work: Path, network: nn.Module, optimizer: torch.optim.Optimizer, state: TrainState,
    average: Mapping[str, torch.Tensor] | None = None,
) -> None:  # fmt: skip
    """A checkpoint in `work`. At the end of an epoch (`state.step` is 0) the best weights are kept by validation_accuracy,
    or `average`, the mean of `state.averaged` weights, as soon as there is one."""
    older = _folders(work)
    new = work / f"{len(state.pretrained) + len(state.history):05}-{state.step:07}"
    if new in older:  # of the same work, so the same bytes, and replacing it would be a moment without any
        return
    with replacing(new) as half:
        half.mkdir()
        save_file(_contiguous(network.state_dict()), half / WEIGHTS)
        if state.step == 0 and average:
            save_file(_contiguous(average), half / BEST)
        elif state.step == 0 and state.history and best(state.history) == len(state.history) - 1:
            same(half / WEIGHTS, half / BEST)
        elif state.history or state.pretrained:
            same(older[-1] / BEST, half / BEST)
        own = optimizer.state_dict()
        moments = {f"{i}.{key}": value for i, slots in own["state"].items() for key, value in slots.items()}
        means = {f"{AVERAGE}.{name}": tensor for name, tensor in (average or {}).items()}
        save_file(_contiguous(moments | means), half / OPTIMIZER)
        (half / STATE).write_text(json.dumps({**asdict(state), "param_groups": own["param_groups"]}))
        for file in half.iterdir():
            _flush(file)
        _flush(half)
    _flush(work)
    for folder in older[:-1]:
        shutil.rmtree(folder)


def resume(
    work: Path, network: nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[TrainState, dict[str, torch.Tensor]]:
    """Put the newest state of `work` into network and optimizer; returns how far it is, TrainState() for a new run, and the
    mean of the weights, if it has begun.

    Raises UserError for a checkpoint that is damaged or of another network.
    """
    folders = _folders(work)
    # what a run left that was killed as it saved
    for rest in {*work.glob(".*.half"), *work.glob("[0-9]*-[0-9]*")}.difference(folders):
        shutil.rmtree(rest)
    if not folders:
        return TrainState(), {}
    newest = folders[-1]
    try:
        saved = json.loads((newest / STATE).read_text())
        groups = saved.pop("param_groups")
        state = TrainState(**saved)
        if state.history or state.pretrained:
            network.load_state_dict(load_file(newest / BEST))  # proves that it can be had in the end
        network.load_state_dict(load_file(newest / WEIGHTS))
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        slots: dict[int, dict[str, torch.Tensor]] = {}
        average = {}
        for name, tensor in load_file(newest / OPTIMIZER).items():
            index, _, key = name.partition(".")
            if index == AVERAGE:
                average[key] = tensor
                continue
            slots.setdefault(int(index), {})[key] = _laid_out_as(tensor, parameters[int(index)])
        optimizer.load_state_dict({"state": slots, "param_groups": groups})
    except (OSError, ValueError, LookupError, TypeError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"the checkpoint {newest} cannot be used ({reason}); remove it to start anew") from None
    return state, average


def restore_best(work: Path, network: nn.Module) -> None:
    """Put the weights of the best epoch in `work`, of which one must be whole, into `network`."""
    network.load_state_dict(load_file(_folders(work)[-1] / BEST))


def best(history: list[dict[str, Any]]) -> int:
    """Index of the best epoch: the highest validation accuracy, the first of equals."""
    return max(range(len(history)), key=lambda i: (history[i]["validation_accuracy"], -i))


def _contiguous(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor.contiguous() for name, tensor in tensors.items()}


def _laid_out_as(moment: torch.Tensor, parameter: torch.Tensor) -> torch.Tensor:
    """`moment` with its parameter's strides: a fused optimizer goes through the memory of both and ignores strides."""
    return torch.empty_like(parameter).copy_(moment) if moment.shape == parameter.shape else moment


def _folders(work: Path) -> list[Path]:
    """The checkpoints that are whole, the newest one last."""
    return sorted(folder for folder in work.glob("[0-9]*-[0-9]*") if _whole(folder))


def _whole(folder: Path) -> bool:
    """Whether all its files are there. The name tells how many epochs are done, and so whether one is the best."""
    needed = {WEIGHTS, OPTIMIZER, STATE} | ({BEST} if int(folder.name.partition("-")[0]) else set())
    return all((folder / name).exists() for name in needed)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
