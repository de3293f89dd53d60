"""What a killed run leaves, what the next one makes of it, and what it refuses."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from warehouse_classifier.runtime.errors import UserError
from warehouse_classifier.training import checkpoint
from warehouse_classifier.training.checkpoint import TrainState

Rows = list[dict[str, Any]]


def parts(width: int = 4, seed: int = 0) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.Flatten(), nn.LazyLinear(2))
    network(torch.zeros(2, 3, 5, 5))
    return network, torch.optim.AdamW(network.parameters(), 0.01, weight_decay=0.1, fused=True)


def step(network: nn.Module, optimizer: torch.optim.Optimizer, seed: int) -> None:
    drawn = torch.Generator().manual_seed(seed)
    network(torch.randn(4, 3, 5, 5, generator=drawn)).square().sum().backward()
    optimizer.step()
    optimizer.zero_grad()


def rows(*accuracies: float) -> Rows:
    return [{"epoch": i + 1, "validation_accuracy": accuracy} for i, accuracy in enumerate(accuracies)]


def at(*accuracies: float, step: int = 0, loss: float = 0.0) -> TrainState:
    """After so many epochs and, in the next one, so many steps."""
    return TrainState(rows(*accuracies), [{"images_per_second": 9.5}] * len(accuracies), step, loss)


def same(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


def names(work: Path) -> list[str]:
    return sorted(folder.name for folder in work.iterdir())


def saved(work: Path, accuracies: tuple[float, ...] = (0.5, 0.4)) -> tuple[nn.Module, torch.optim.Optimizer]:
    network, optimizer = parts()
    for epoch in range(len(accuracies)):
        step(network, optimizer, epoch)
        checkpoint.save(work, network, optimizer, at(*accuracies[: epoch + 1]))
    return network, optimizer


def test_a_new_run_has_no_past(tmp_path: Path) -> None:
    assert checkpoint.resume(tmp_path, *parts())[0] == TrainState()


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_resumed_run_takes_the_very_same_steps(tmp_path: Path, layout: torch.memory_format) -> None:
    network, optimizer = parts()
    network.to(memory_format=layout)
    for seed in range(3):
        step(network, optimizer, seed)
    checkpoint.save(tmp_path, network, optimizer, at(0.25))
    checkpoint.save(tmp_path, network, optimizer, at(0.25, step=3, loss=1 / 3))

    again, its_optimizer = parts(seed=1)
    again.to(memory_format=layout)
    assert not same(network, again)
    assert checkpoint.resume(tmp_path, again, its_optimizer)[0] == at(0.25, step=3, loss=1 / 3)
    for seed in range(3, 6):
        step(network, optimizer, seed)
        step(again, its_optimizer, seed)
    assert same(network, again)


def test_the_best_epoch_is_kept_beside_the_last(tmp_path: Path) -> None:
    network, optimizer = parts()
    states = []
    for epoch in range(4):
        step(network, optimizer, epoch)
        states.append({name: tensor.clone() for name, tensor in network.state_dict().items()})
        checkpoint.save(tmp_path, network, optimizer, at(*(0.5, 0.75, 0.75, 0.25)[: epoch + 1]))
    checkpoint.restore_best(tmp_path, network)
    assert all(torch.equal(tensor, states[1][name]) for name, tensor in network.state_dict().items())
    assert not all(torch.equal(tensor, states[2][name]) for name, tensor in network.state_dict().items())


def test_the_first_of_equals_is_the_best() -> None:
    assert checkpoint.best(rows(0.2, 0.9, 0.9)) == 1
    assert checkpoint.best(rows(0.2)) == 0


def test_the_newest_two_are_kept_and_they_are_no_pickles(tmp_path: Path) -> None:
    saved(tmp_path, (0.3, 0.5, 0.4))
    assert names(tmp_path) == ["00002-0000000", "00003-0000000"]
    for file in (tmp_path / "00003-0000000").iterdir():
        if file.suffix == ".json":
            assert json.loads(file.read_text())["history"] == rows(0.3, 0.5, 0.4)
        else:
            assert load_file(file)


def test_a_kill_while_it_saves_leaves_the_last_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network, optimizer = saved(tmp_path, (0.5,))
    kept = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    step(network, optimizer, 9)

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint.json, "dumps", killed)
        with pytest.raises(KeyboardInterrupt):
            checkpoint.save(tmp_path, network, optimizer, at(0.5, 0.6))
    # what a kill -9 leaves beside it, with no chance to tidy up
    (tmp_path / ".00001-0000007.half").mkdir()
    (tmp_path / ".00001-0000007.half" / "weights.safetensors").write_bytes(b"half")
    assert checkpoint.resume(tmp_path, network, optimizer)[0] == at(0.5)
    assert names(tmp_path) == ["00001-0000000"]
    assert all(torch.equal(tensor, kept[name]) for name, tensor in network.state_dict().items())
    checkpoint.save(tmp_path, network, optimizer, at(0.5, 0.6))
    assert names(tmp_path) == ["00001-0000000", "00002-0000000"]


@pytest.mark.parametrize("name", ["weights.safetensors", "best.safetensors", "optimizer.safetensors", "position.json"])
def test_what_came_back_in_part_is_no_checkpoint(tmp_path: Path, name: str) -> None:
    """A rented machine that is taken away has copied some files of the newest, and not those."""
    network, optimizer = saved(tmp_path, (0.5, 0.4))
    (tmp_path / "00002-0000000" / name).unlink()
    assert checkpoint.resume(tmp_path, *parts())[0] == at(0.5)
    assert names(tmp_path) == ["00001-0000000"]
    # and another run that comes to that point writes it anew, be it one that never looked
    (tmp_path / "00002-0000000").mkdir()
    checkpoint.save(tmp_path, network, optimizer, at(0.5, 0.4))
    assert checkpoint.resume(tmp_path, *parts())[0] == at(0.5, 0.4)


def test_a_kill_before_the_older_one_is_removed_leaves_the_newer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint.shutil, "rmtree", lambda _: None)
        saved(tmp_path, (0.3, 0.5, 0.4))
    assert len(names(tmp_path)) == 3
    network, optimizer = parts()
    assert checkpoint.resume(tmp_path, network, optimizer)[0] == at(0.3, 0.5, 0.4)
    checkpoint.save(tmp_path, network, optimizer, at(0.3, 0.5, 0.4, 0.6))
    assert names(tmp_path) == ["00003-0000000", "00004-0000000"]


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    saved(tmp_path)
    with pytest.raises(
        UserError, match=r"00002-0000000 cannot be used .*size mismatch.*remove it to start anew"
    ) as fault:
        checkpoint.resume(tmp_path, *parts(width=5))
    assert "\n" not in str(fault.value)


@pytest.mark.parametrize("name", ["weights.safetensors", "best.safetensors", "optimizer.safetensors", "position.json"])
@pytest.mark.parametrize("damage", ["cut", "empty", "other"])
def test_a_damaged_checkpoint_is_refused(tmp_path: Path, name: str, damage: str) -> None:
    saved(tmp_path)
    file = tmp_path / "00002-0000000" / name
    body = file.read_bytes()
    match damage:
        case "cut":
            file.write_bytes(body[: len(body) // 2])
        case "empty":
            file.write_bytes(b"")
        case "other":
            file.write_bytes(b"[1, 2, 3]" if name.endswith("json") else b"\x08" + body[1:])
    with pytest.raises(UserError, match=r"00002-0000000 cannot be used .*remove it to start anew") as fault:
        checkpoint.resume(tmp_path, *parts())
    assert "\n" not in str(fault.value)


def test_a_checkpoint_without_its_history_is_refused(tmp_path: Path) -> None:
    saved(tmp_path)
    file = tmp_path / "00002-0000000" / "position.json"
    file.write_text(file.read_text().replace('"history"', '"story"'))
    with pytest.raises(UserError, match=r"cannot be used .*story"):
        checkpoint.resume(tmp_path, *parts())


def test_the_same_position_again_is_left_as_it_is(tmp_path: Path) -> None:
    """To replace it would be a moment without any."""
    network, optimizer = saved(tmp_path)
    folder = tmp_path / "00002-0000000"
    before = {file.name: file.stat().st_ino for file in folder.iterdir()}
    checkpoint.save(tmp_path, network, optimizer, at(0.5, 0.4))
    assert {file.name: file.stat().st_ino for file in folder.iterdir()} == before


def test_weights_of_the_best_epoch_are_not_written_anew(tmp_path: Path) -> None:
    """They are most of a checkpoint of a large network."""
    network, optimizer = saved(tmp_path, (0.5,))
    (folder,) = tmp_path.iterdir()
    best = (folder / "best.safetensors").stat().st_ino
    step(network, optimizer, 9)
    checkpoint.save(tmp_path, network, optimizer, at(0.5, step=1))
    assert (tmp_path / "00001-0000001" / "best.safetensors").stat().st_ino == best


def test_before_the_first_epoch_there_is_no_best_one(tmp_path: Path) -> None:
    network, optimizer = parts()
    step(network, optimizer, 0)
    checkpoint.save(tmp_path, network, optimizer, at(step=1, loss=0.5))
    assert checkpoint.resume(tmp_path, *parts())[0] == at(step=1, loss=0.5)
    checkpoint.save(tmp_path, network, optimizer, at(0.5))
    checkpoint.restore_best(tmp_path, other := parts(seed=3)[0])
    assert same(network, other)
