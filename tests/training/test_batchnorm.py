"""Running statistics against what each micro-batch alone would have made of them."""

import pytest
import torch
from torch import nn

from warehouse_classifier.training.batchnorm import RunningStats


def network() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.LazyBatchNorm1d(), nn.ReLU())


def images() -> torch.Tensor:
    return torch.rand(12, 3, 5, 5, generator=torch.Generator().manual_seed(2))


def state(module: nn.Module) -> torch.Tensor:
    return torch.cat([buffer.flatten().double() for buffer in module.buffers()])


def pushed(parts: list[torch.Tensor]) -> torch.Tensor:
    """State after a step over these micro-batches, and another one over the same."""
    one = network()
    one(images())  # so that what they begin with is not 0 and 1
    stats = RunningStats(one, len(parts))
    for _ in range(2):
        for part in parts:
            one(part)
            stats.accumulate()
        stats.synchronize(lambda tensor: tensor)
    return state(one)


def test_the_order_of_micro_batches_does_not_matter() -> None:
    parts = list(images().split(4))
    assert torch.allclose(pushed(parts), pushed(parts[::-1]), atol=1e-6)
    one = network()
    one(images())
    for part in parts:
        one(part)
    other = network()
    other(images())
    for part in parts[::-1]:
        other(part)
    assert not torch.allclose(state(one), state(other), atol=1e-4)  # as it does without


def test_what_is_left_is_the_mean_of_what_each_alone_would_leave() -> None:
    parts = list(images().split(4))
    alone = []
    for part in parts:
        one = network()
        one(images())
        one(part)
        alone.append(state(one))
    one = network()
    one(images())
    stats = RunningStats(one, 3)
    for part in parts:
        one(part)
        stats.accumulate()
    stats.synchronize(lambda tensor: tensor)
    counts = torch.tensor([not buffer.is_floating_point() for buffer in one.buffers() for _ in range(buffer.numel())])
    assert torch.allclose(state(one)[~counts], torch.stack(alone).mean(0)[~counts], atol=1e-6)
    assert state(one)[counts].tolist() == [4, 4]  # one batch before, and three


def test_two_processes_agree_with_one() -> None:
    """Each takes half of the micro-batches, and the sums are exchanged."""
    parts = list(images().split(3))
    pair = [network(), network()]
    stats = []
    for one in pair:
        one(images())
        stats.append(RunningStats(one, 4))
    for _ in range(2):
        for turn in range(2):
            for rank, one in enumerate(pair):
                one(parts[2 * turn + rank])
                stats[rank].accumulate()
        total = sum(part._sum for part in stats)  # noqa: SLF001
        for part in stats:
            part.synchronize(lambda _, total=total: total)
    for one in pair:
        assert torch.allclose(state(one), pushed(parts), atol=1e-6)


def test_one_micro_batch_is_the_usual_batchnorm() -> None:
    usual = network()
    for _ in range(3):
        usual(images())
    assert torch.equal(pushed([images()]), state(usual))


@pytest.mark.parametrize("parts", [1, 3])
def test_a_network_without_batchnorms_is_left_alone(parts: int) -> None:
    stats = RunningStats(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2, track_running_stats=False)), parts)
    stats.accumulate()
    stats.synchronize(lambda tensor: tensor)
    stats.reset()
