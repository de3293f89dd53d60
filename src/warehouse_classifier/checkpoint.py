"""A run's state after an epoch, as safetensors and JSON and never a pickle: weights, optimizer, position, best weights.

A checkpoint is one folder that is renamed into place when it is whole, so a kill leaves the last one or the next one.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from warehouse_classifier.fault import Fault
from warehouse_classifier.files import replacing


def save(work: Path, network: nn.Module, optimizer: torch.optim.Optimizer, history: list[dict[str, Any]]) -> None:
    """`history` has a row for each epoch done; validation_accuracy in it decides which is the best."""
    older = sorted(work.glob("epoch-*"))
    with replacing(work / f"epoch-{len(history):05}") as half:
        half.mkdir()
        weights = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
        save_file(weights, half / "weights.safetensors")
        if best(history) == len(history) - 1:
            save_file(weights, half / "best.safetensors")
        else:
            shutil.copyfile(older[-1] / "best.safetensors", half / "best.safetensors")
        state = optimizer.state_dict()
        moments = {f"{i}.{key}": value for i, entry in state["state"].items() for key, value in entry.items()}
        save_file({name: tensor.contiguous() for name, tensor in moments.items()}, half / "optimizer.safetensors")
        position = {"history": history, "param_groups": state["param_groups"]}
        (half / "position.json").write_text(json.dumps(position))
    for folder in older:
        shutil.rmtree(folder)


def resume(work: Path, network: nn.Module, optimizer: torch.optim.Optimizer) -> list[dict[str, Any]]:
    """Put the newest state of `work` into network and optimizer; returns the history so far, empty for a new run.

    Raises Fault for a checkpoint that is damaged or of another network.
    """
    folders = sorted(work.glob("epoch-*"))
    if not folders:
        return []
    try:
        position = json.loads((folders[-1] / "position.json").read_text())
        history: list[dict[str, Any]] = position["history"]
        network.load_state_dict(load_file(folders[-1] / "best.safetensors"))  # proves that it can be had in the end
        network.load_state_dict(load_file(folders[-1] / "weights.safetensors"))
        state: dict[int, dict[str, torch.Tensor]] = {}
        for name, tensor in load_file(folders[-1] / "optimizer.safetensors").items():
            index, _, key = name.partition(".")
            state.setdefault(int(index), {})[key] = tensor
        optimizer.load_state_dict({"state": state, "param_groups": position["param_groups"]})
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:200]
        raise Fault(f"the checkpoint {folders[-1]} cannot be used ({reason}); remove it to start anew") from None
    return history


def restore_best(work: Path, network: nn.Module) -> None:
    network.load_state_dict(load_file(sorted(work.glob("epoch-*"))[-1] / "best.safetensors"))


def best(history: list[dict[str, Any]]) -> int:
    """Position of the best epoch: the highest validation accuracy, the first of equals."""
    return max(range(len(history)), key=lambda i: (history[i]["validation_accuracy"], -i))
