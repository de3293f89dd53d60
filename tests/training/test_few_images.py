"""The recipe for few images, in the loop: softened targets, averaged weights, drawn bins first, and all of it after a kill."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim import swa_utils

from support.images import SIDE, Diary
from support.training import LABELS, Kill, Killed, fingerprint, run
from warehouse_classifier.dataset.batches import batches
from warehouse_classifier.dataset.shards import Shards
from warehouse_classifier.runtime.errors import UserError
from warehouse_classifier.synthetic.bins import SyntheticBins
from warehouse_classifier.training.drawn import draw
from warehouse_classifier.training.recipe import Pretraining
from warehouse_classifier.training.step import TrainStep
from warehouse_classifier.training.targets import softened

PRETRAIN = {"pairs": 60, "seed": 3, "epochs": 2}
# everything at once; 5 steps to an epoch of photos, and some to one of the drawn bins that hold 1 to 3 items
FEW: dict[str, Any] = {
    "augmentation": {"shrink": 0.1, "turn": 5.0, "light": 0.2, "colour": 0.1}, "neighbours": 0.2, "average": 0.3,
    "decay": True, "warmup": 0.1, "pretrain": PRETRAIN,
}  # fmt: skip


# ---- softened targets


def test_neighbours_get_their_share() -> None:
    target = softened(torch.tensor([0, 1, 4]), 5, 0.2)
    wanted = [[0.8, 0.2, 0, 0, 0], [0.1, 0.8, 0.1, 0, 0], [0, 0, 0, 0.2, 0.8]]
    torch.testing.assert_close(target, torch.tensor(wanted))
    assert torch.equal(softened(torch.tensor([2, 0]), 5, 0.0), torch.tensor([2, 0]))
    assert not softened(torch.tensor([-1]), 5, 0.2).any()


def test_the_target_is_what_is_learned(folder: Path, tmp_path: Path) -> None:
    """The loss of a softened target has a floor that a hard one has not: its entropy, 0.5 and 0.64 in turn."""
    _, hard = run(folder, tmp_path / "hard", epochs=12)
    _, soft = run(folder, tmp_path / "soft", epochs=12, neighbours=0.2)
    assert hard[-1]["train_loss"] < 0.5 < soft[-1]["train_loss"]


# ---- averaged weights


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_mean_of_the_last_weights_is_left_and_is_what_was_validated(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    states: list[dict[str, torch.Tensor]] = []
    step = TrainStep.run

    def noted(self: TrainStep, *arguments: Any, **how: Any) -> torch.Tensor:
        loss = step(self, *arguments, **how)
        states.append({name: tensor.clone() for name, tensor in self.bare.state_dict().items()})
        return loss

    monkeypatch.setattr(TrainStep, "run", noted)
    network, history = run(folder, tmp_path / "work", average=0.4, precision=precision)  # of 15 steps, the last 6
    for name, left in network.state_dict().items():
        if left.is_floating_point():
            torch.testing.assert_close(left, torch.stack([state[name] for state in states[9:]]).mean(0))
    assert history[-1]["validation_loss"] == pytest.approx(
        _loss(network, folder), abs=1e-5 if precision == "fp32" else 0.02
    )


def test_the_mean_can_be_taken_on_a_gpu(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There torch's own mean takes another way, which no integer goes: a ResNet34 on an H100 raised RuntimeError (torch 2.11)."""
    monkeypatch.setattr(swa_utils, "_get_foreach_kernels_supported_devices", lambda: ["cpu"])
    network, _ = run(folder, tmp_path / "work", average=0.4)
    counts = [buffer for name, buffer in network.named_buffers() if name.endswith("num_batches_tracked")]
    assert counts
    assert all(count == 15 for count in counts)  # of batches, as many as there were steps


def _loss(network: nn.Module, folder: Path) -> float:
    """On the validation split."""
    shards = Shards(folder)
    rows = shards.rows("validation")
    with torch.inference_mode():
        logits = network.eval()(next(batches(shards, [rows], 1)))
    labels = torch.from_numpy(LABELS.encode(shards.index["quantity"].to_numpy()[rows]))
    return float(nn.functional.cross_entropy(logits, labels))


# ---- drawn bins first


def test_what_is_drawn_and_how_it_is_labelled() -> None:
    bins = draw("train_small", Pretraining(pairs=60, seed=3, epochs=1), LABELS, SIDE, 2, Diary())
    source = SyntheticBins(60, 3)
    shown = [source.shown(id) for id in source.ids() if source.shown(id) in (1, 2, 3)]
    assert LABELS.decode(bins.labels).tolist() == shown
    assert bins.pixels.shape == (len(shown), SIDE, SIDE, 3)
    out = np.empty((SIDE, SIDE, 3), np.uint8)
    bins.read_into(4, out)
    assert np.array_equal(out, bins.pixels[4])
    learned, held_out = bins.rows()
    assert sorted([*learned, *held_out]) == list(range(len(shown)))


def test_too_few_bins_are_one_line() -> None:
    with pytest.raises(
        UserError, match=r"params.yaml: train_small's pretrain.pairs is 1, too few to learn from"
    ) as fault:
        draw("train_small", Pretraining(pairs=1, seed=3, epochs=1), LABELS, SIDE, 2, Diary())
    assert "\n" not in str(fault.value)


@pytest.mark.slow
def test_a_training_that_began_on_drawn_bins_is_another_one(folder: Path, tmp_path: Path) -> None:
    diary = Diary()
    network, history = run(folder, tmp_path / "few", diary, pretrain=PRETRAIN)
    assert [row["epoch"] for row in history] == [1, 2, 3]
    first = [(step, values) for step, values in diary.measured if "pretrain_train_loss" in values]
    assert [step for step, _ in first] == [1, 2]
    assert first == diary.measured[:2]
    assert fingerprint(network) != fingerprint(run(folder, tmp_path / "none")[0])
    other = {**PRETRAIN, "seed": 4}
    assert fingerprint(network) != fingerprint(run(folder, tmp_path / "other", pretrain=other)[0])


def test_the_photos_meet_an_optimizer_that_has_learned_nothing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moments_before: list[int] = []
    step = TrainStep.run

    def noted(self: TrainStep, *arguments: Any, **how: Any) -> torch.Tensor:
        moments_before.append(len(self.optimizer.state))
        return step(self, *arguments, **how)

    monkeypatch.setattr(TrainStep, "run", noted)
    run(folder, tmp_path / "work", pretrain=PRETRAIN)
    assert [place - len(moments_before) for place, count in enumerate(moments_before) if not count] == [
        -len(moments_before),
        -15,
    ]


def test_who_is_asked_to_end_while_bins_are_drawn_ends_at_once(folder: Path, tmp_path: Path) -> None:
    """There is nothing to save yet, and drawing takes minutes."""

    class Impatient(Diary):
        drawn = 0

        @contextmanager
        def bar(self, title: str, total: int | None, unit: str, done: int = 0) -> Iterator[Any]:
            with super().bar(title, total, unit, done) as bar:
                yield self if "draw" in title else bar

        def advance(self, count: int = 1, **facts: float) -> None:
            self.drawn += count
            if self.drawn == 3:
                os.kill(os.getpid(), signal.SIGINT)

    diary = Impatient()
    with pytest.raises(KeyboardInterrupt):
        run(folder, tmp_path / "work", diary, pretrain=PRETRAIN)
    assert diary.drawn < 6


# ---- killed


def figures(diary: Diary) -> list[tuple[int | None, dict[str, float]]]:
    """What is measured, but for speed and memory."""
    passing = ("images_per_second", "memory_mib")
    return [
        (step, {name: value for name, value in values.items() if name not in passing})
        for step, values in diary.measured
    ]


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0, 1000])
def test_a_killed_run_ends_with_the_very_weights_of_one_that_was_not(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: int
) -> None:
    """Killed among the steps on drawn bins, at their end, before and among the steps that are averaged."""
    monkeypatch.setenv("CHECKPOINT_SECONDS", str(seconds))
    diary = Diary()
    whole, history = run(folder, tmp_path / "whole", diary, **FEW)
    advances = len(diary.advanced)
    assert advances > 15 + 4
    for batch in (1, advances - 17, advances - 15, advances - 14, advances - 3, advances - 1):
        work = tmp_path / f"work-{batch}"
        with pytest.raises(Killed):
            run(folder, work, Kill(batch), **FEW)
        torch.manual_seed(99)
        second = Diary()
        again, rest = run(folder, work, second, **FEW)
        assert figures(second) == figures(diary), batch  # so that the curves of each run are whole
        assert rest == history, batch
        assert fingerprint(again) == fingerprint(whole), batch
