"""The loop, on a network that learns in milliseconds."""

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from support.images import Diary, pack, spoil
from support.training import Kill, Killed, Small, fingerprint, run
from warehouse_classifier.dataset.batches import Rows, batches
from warehouse_classifier.dataset.shards import Shards
from warehouse_classifier.runtime.errors import UserError
from warehouse_classifier.training import checkpoint, epochs, step
from warehouse_classifier.training.checkpoint import TrainState
from warehouse_classifier.training.epochs import Epochs


def refuse(match: str, act: Callable[[], object]) -> None:
    with pytest.raises(UserError, match=match) as fault:
        act()
    assert "\n" not in str(fault.value)


# ---- what comes out


def test_it_learns_and_tells_of_every_epoch(folder: Path, tmp_path: Path) -> None:
    diary = Diary()
    _, history = run(folder, tmp_path / "work", diary, epochs=8)
    assert [row["epoch"] for row in history] == list(range(1, 9)) == diary.steps
    assert history[-1]["train_loss"] < 0.7 * history[0]["train_loss"]
    assert set(history[0]) == {
        "epoch", "train_loss", "validation_loss", "validation_accuracy", "validation_rmse", "learning_rate",
    }  # fmt: skip
    _, metrics = diary.measured[-1]
    assert metrics["images_per_second"] > 0
    assert metrics["memory_mib"] > 50
    assert {key: metrics[key] for key in history[-1]} == history[-1]
    assert diary.titles[-2:] == ["train_small epoch 8/8", "train_small validation 8/8"]
    assert sum(diary.advanced) == 8 * 40


def test_the_same_again(folder: Path, tmp_path: Path) -> None:
    one, history = run(folder, tmp_path / "one")
    other, again = run(folder, tmp_path / "other", workers=4)
    assert fingerprint(one) == fingerprint(other)
    assert history == again


def test_another_seed_is_another_training(folder: Path, tmp_path: Path) -> None:
    assert fingerprint(run(folder, tmp_path / "one")[0]) != fingerprint(run(folder, tmp_path / "two", seed=8)[0])


def test_the_best_epoch_is_what_is_left(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Proved by the tensors of each epoch. Scores are put in, so that the best is neither the first nor the last."""
    states, scores = [], iter([0.25, 0.75, 0.75, 0.5])
    save = checkpoint.save

    def kept(work: Path, network: nn.Module, *rest: Any) -> None:
        states.append({name: tensor.clone() for name, tensor in network.state_dict().items()})
        save(work, network, *rest)

    def scored(*_: Any) -> dict[str, float]:
        return {"validation_loss": 1.0, "validation_accuracy": next(scores), "validation_rmse": 1.0}

    monkeypatch.setattr(checkpoint, "save", kept)
    monkeypatch.setattr(Epochs, "validate", scored)
    network, _ = run(folder, tmp_path / "work", epochs=4)
    left = network.state_dict()
    equal = [all(torch.equal(left[name], tensor) for name, tensor in state.items()) for state in states]
    assert equal == [False, True, False, False]


def test_validation_figures_by_hand(folder: Path, tmp_path: Path) -> None:
    """One epoch of rate 0: figures of a network that is known (its BatchNorm's averages still move)."""
    network, (row,) = run(folder, tmp_path / "work", epochs=1, rate=lambda _: 0.0)
    shards = Shards(folder)
    rows = shards.rows("validation")
    with torch.inference_mode():
        logits = network.eval()(next(batches(shards, [rows], 1)))
    actual = shards.index["quantity"].to_numpy()[rows]
    counted = logits.argmax(1).numpy() + 1
    assert row["validation_accuracy"] == pytest.approx(np.mean(counted == actual), abs=1e-6)
    assert row["validation_rmse"] == pytest.approx(np.sqrt(np.mean((counted - actual) ** 2.0)), abs=1e-6)
    loss = -logits.log_softmax(1)[torch.arange(12), torch.from_numpy(actual) - 1].mean()
    assert row["validation_loss"] == pytest.approx(float(loss), abs=1e-5)


def test_the_rate_follows_the_recipe(folder: Path, tmp_path: Path) -> None:
    asked = []

    def rate(done: float) -> float:
        asked.append(done)
        return 0.001 * (1 - done)

    _, history = run(folder, tmp_path / "work", epochs=2, rate=rate)
    assert asked == pytest.approx(np.arange(10) / 10)
    assert [row["learning_rate"] for row in history] == pytest.approx([0.0006, 0.0001])


# ---- what goes in


class Looking(nn.Module):
    """Keeps the images that it is shown while it learns."""

    def __init__(self) -> None:
        super().__init__()
        self.answer = nn.Linear(3072, 3)
        self.seen: list[torch.Tensor] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.seen.append(images.clone())
        logits: torch.Tensor = self.answer(images.float().flatten(1) / 255)
        return logits


def test_every_image_is_seen_once_an_epoch_and_half_are_mirrored(folder: Path, tmp_path: Path) -> None:
    network = Looking()
    run(folder, tmp_path / "work", network=lambda: network, epochs=4)
    shards = Shards(folder)
    plain = next(batches(shards, [shards.rows("train")], 1))
    epochs = torch.cat(network.seen).unflatten(0, (4, 40))
    assert [len(images) for images in network.seen] == [8] * 20
    flips, orders = [], []
    for epoch in epochs:
        # of each image seen, the one image in the shards that it is, as it lies or mirrored and nothing else
        as_is = (epoch[:, None] == plain[None]).flatten(2).all(2)
        mirrored = (epoch[:, None] == plain.flip(3)[None]).flatten(2).all(2)
        assert (as_is ^ mirrored).sum(1).tolist() == [1] * 40
        assert (as_is | mirrored).sum(0).tolist() == [1] * 40
        orders.append((as_is | mirrored).int().argmax(1).tolist())
        flips.append(mirrored.any(1).float().mean().item())
    assert 0.35 < np.mean(flips) < 0.65
    assert len({*map(tuple, orders)}) == 4  # another order each time


@pytest.mark.parametrize(("precision", "layout"), [("fp32", torch.contiguous_format), ("bf16", torch.channels_last)])
def test_images_lie_in_memory_as_the_weights_do(
    folder: Path, tmp_path: Path, precision: str, layout: torch.memory_format
) -> None:
    """Another layout gives the same weights but for rounding, more slowly (device.layout)."""
    network = Looking()
    run(folder, tmp_path / "work", network=lambda: network, epochs=1, precision=precision)
    assert all(images.is_contiguous(memory_format=layout) for images in network.seen)


def test_each_image_meets_its_own_label(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    met: list[tuple[bytes, int]] = []
    network = Looking()
    real = step.cross_entropy

    def spied(logits: torch.Tensor, wanted: torch.Tensor, **how: Any) -> torch.Tensor:
        met.extend((image.numpy().tobytes(), int(label)) for image, label in zip(network.seen[-1], wanted, strict=True))
        return real(logits, wanted, **how)

    monkeypatch.setattr(step, "cross_entropy", spied)
    run(folder, tmp_path / "work", network=lambda: network, epochs=1)
    shards = Shards(folder)
    truth: dict[bytes, int] = {}
    for row in shards.rows("train"):
        (image,) = next(batches(shards, [np.array([row])], 1))
        for view in (image, image.flip(2)):
            truth[view.contiguous().numpy().tobytes()] = int(shards.index["quantity"].iloc[row]) - 1
    assert len(met) == 40
    assert all(truth[image] == label for image, label in met)


def test_the_test_split_is_never_read(folder: Path, tmp_path: Path) -> None:
    spoilt = pack(tmp_path / "images")
    spoil(spoilt, "test")
    assert fingerprint(run(folder, tmp_path / "one")[0]) == fingerprint(run(spoilt, tmp_path / "two")[0])


def test_nor_is_validation_read_to_learn_from(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Rows] = []

    def spied(shards: Shards, parts: list[Rows], *rest: Any) -> Any:
        shown.append(np.sort(np.concatenate(parts)))
        return batches(shards, parts, *rest)

    monkeypatch.setattr(epochs, "batches", spied)
    run(folder, tmp_path / "work", epochs=1)
    shards = Shards(folder)
    assert [rows.tolist() for rows in shown] == [shards.rows("train").tolist(), shards.rows("validation").tolist()]


# ---- killed


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("step", [3, 8, 15])
@pytest.mark.parametrize("seconds", [0, 1000])
def test_a_killed_run_ends_with_the_very_weights_of_one_that_was_not(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int, precision: str, seconds: int
) -> None:
    """Five steps to an epoch, and a checkpoint after each of them, or only after an epoch."""
    monkeypatch.setenv("CHECKPOINT_SECONDS", str(seconds))
    whole, history = run(folder, tmp_path / "whole", precision=precision)
    with pytest.raises(Killed):
        run(folder, tmp_path / "work", Kill(step), precision=precision)
    torch.manual_seed(99)  # what the machine did in between must not matter
    torch.rand(5)
    diary = Diary()
    again, rest = run(folder, tmp_path / "work", diary, precision=precision)
    kept = step - 1 if seconds == 0 else (step - 1) // 5 * 5
    assert len(diary.advanced) == 15 - kept
    assert diary.steps == [1, 2, 3]  # the curves tell of the earlier epochs too
    assert rest == history
    assert fingerprint(again) == fingerprint(whole)


def test_a_run_killed_after_its_last_epoch_only_has_to_be_read(folder: Path, tmp_path: Path) -> None:
    whole, history = run(folder, tmp_path / "work")
    diary = Diary()
    again, rest = run(folder, tmp_path / "work", diary)
    assert diary.advanced == []
    assert (fingerprint(again), rest) == (fingerprint(whole), history)


class Signal(Diary):
    """Sends itself signals at the so-manieth batch, as a terminal or a rented machine would."""

    def __init__(self, batch: int, *signals: signal.Signals) -> None:
        super().__init__()
        self.batch, self.signals = batch, signals

    def advance(self, count: int = 1, **facts: float) -> None:
        super().advance(count, **facts)
        if len(self.advanced) == self.batch:
            for sent in self.signals:
                os.kill(os.getpid(), sent)


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("step", [3, 5, 15])
def test_who_is_asked_to_end_saves_the_very_step(folder: Path, tmp_path: Path, step: int, sent: signal.Signals) -> None:
    whole, _ = run(folder, tmp_path / "whole")
    handlers = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        run(folder, tmp_path / "work", Signal(step, sent))
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == handlers
    newest = max(path.name for path in (tmp_path / "work").iterdir())
    assert newest == f"{(step - 1) // 5:05}-{(step - 1) % 5 + 1:07}"
    diary = Diary()
    again, _ = run(folder, tmp_path / "work", diary)
    assert len(diary.advanced) == 15 - step
    assert fingerprint(again) == fingerprint(whole)


def test_who_is_asked_twice_ends_at_once(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(folder, tmp_path / "work", Signal(3, signal.SIGINT, signal.SIGINT))
    assert list((tmp_path / "work").iterdir()) == []


def test_a_stop_while_it_is_validated_loses_no_step(folder: Path, tmp_path: Path) -> None:
    whole, _ = run(folder, tmp_path / "whole")

    class Examined(Small):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            if not self.training:
                os.kill(os.getpid(), signal.SIGTERM)
            return super().forward(images)

    with pytest.raises(KeyboardInterrupt):
        run(folder, tmp_path / "work", network=Examined)
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["00000-0000005"]
    diary = Diary()
    again, _ = run(folder, tmp_path / "work", diary)
    assert len(diary.advanced) == 10
    assert fingerprint(again) == fingerprint(whole)


def test_a_loss_that_is_no_number_is_never_saved(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the next run could only go on with it."""
    monkeypatch.setenv("CHECKPOINT_SECONDS", "0")
    refuse("the loss is nan in epoch 1", lambda: run(folder, tmp_path / "work", rate=lambda done: 1e38 * (done > 0.1)))
    kept = max((tmp_path / "work").iterdir())
    assert kept.name < "00000-0000005"
    network = Small()
    assert np.isfinite(checkpoint.resume(tmp_path / "work", network, adam(network))[0].loss)


@pytest.mark.parametrize("seconds", ["often", "-1", "nan"])
def test_seconds_between_checkpoints_are_a_number(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: str
) -> None:
    monkeypatch.setenv("CHECKPOINT_SECONDS", seconds)
    refuse(f"CHECKPOINT_SECONDS is {seconds}, it must be a number", lambda: run(folder, tmp_path / "work"))


def adam(network: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(network.parameters(), 0.003, fused=True)


def test_a_checkpoint_of_another_network_is_refused(folder: Path, tmp_path: Path) -> None:
    run(folder, tmp_path / "work", network=Looking)
    refuse("the checkpoint .* cannot be used", lambda: run(folder, tmp_path / "work"))


# ---- bad input


@pytest.mark.parametrize("epochs", [1, 3])
def test_a_rate_that_is_too_high_stops_the_run(folder: Path, tmp_path: Path, epochs: int) -> None:
    act = lambda: run(folder, tmp_path / "work", epochs=epochs, rate=lambda _: 1e30)  # noqa: E731
    refuse(r"train_small: the loss is (nan|inf) in epoch 1; lower the learning rate", act)


def test_weights_broken_by_the_last_step_are_seen(folder: Path, tmp_path: Path) -> None:
    """Every loss in training was finite, and what would be saved is not."""
    act = lambda: run(folder, tmp_path / "work", epochs=1, rate=lambda done: 1e30 if done > 0.7 else 1e-3)  # noqa: E731
    refuse(r"train_small: the loss is (nan|inf) in epoch 1", act)


@pytest.mark.parametrize("split", ["train", "validation"])
def test_an_empty_split_is_seen_before_anything_is_done(tmp_path: Path, split: str) -> None:
    folder = pack(tmp_path / "images", {"train": 6, "validation": 3, "test": 3, split: 0})
    diary = Diary()
    refuse(f"images holds no {split} image", lambda: run(folder, tmp_path / "work", diary))
    assert diary.advanced == []


def test_a_quantity_that_has_no_label(tmp_path: Path) -> None:
    folder = pack(tmp_path / "images", quantities=(1, 2, 3, 4, 7))
    wanted = r"images holds bins of 4, 7 items, and params.yaml names only 1, 2, 3 in data.quantities; .dvc repro"
    refuse(wanted, lambda: run(folder, tmp_path / "work"))


def test_micro_batches_that_are_too_small_for_a_batchnorm(folder: Path, tmp_path: Path) -> None:
    wanted = "train_small's batch and micro_batch cut the 40 images to train on into micro-batches of 1, too few"
    refuse(wanted, lambda: run(folder, tmp_path / "work", micro_batch=1))
    run(folder, tmp_path / "work", network=Looking, micro_batch=1, epochs=1)  # which has none


def test_as_many_processes_as_were_asked_for(folder: Path, tmp_path: Path) -> None:
    act = lambda: run(folder, tmp_path / "work", micro_batch=4, processes=2)  # noqa: E731
    refuse("train_small's processes is 2, and 1 were started together", act)


def test_a_batch_that_does_not_fit_names_micro_batch(folder: Path, tmp_path: Path) -> None:
    class Large(Small):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return super().forward(images) + torch.empty(len(images) << 50).sum()

    wanted = "train_small's micro_batch of 8 images does not fit the memory; lower micro_batch to a smaller divisor"
    refuse(wanted, lambda: run(folder, tmp_path / "work", network=Large))


def test_a_bug_is_not_explained_away(folder: Path, tmp_path: Path) -> None:
    class Wrong(Small):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return super().forward(images) @ torch.zeros(7, 7)

    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        run(folder, tmp_path / "work", network=Wrong)


# ---- in parts


def difference(one: nn.Module, other: nn.Module) -> float:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return max(float((a.double() - b.double()).abs().max()) for a, b in pairs)


def test_micro_batches_add_up_to_the_batch(folder: Path, tmp_path: Path) -> None:
    """Where no BatchNorm looks at them; within rounding, and not at all by chance."""
    one, history = run(folder, tmp_path / "one", network=Looking)
    two, again = run(folder, tmp_path / "two", network=Looking, micro_batch=2)
    three, _ = run(folder, tmp_path / "three", network=Looking, batch=4, micro_batch=2)
    assert difference(one, two) < 1e-6
    assert difference(one, three) > 1e-4
    assert [row["train_loss"] for row in again] == pytest.approx([row["train_loss"] for row in history], abs=1e-5)


def test_a_killed_run_in_parts_ends_with_the_very_weights_too(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHECKPOINT_SECONDS", "0")
    whole, _ = run(folder, tmp_path / "whole", micro_batch=2)
    with pytest.raises(Killed):
        run(folder, tmp_path / "work", Kill(8), micro_batch=2)
    again, _ = run(folder, tmp_path / "work", micro_batch=2)
    assert fingerprint(again) == fingerprint(whole)


def test_patience_ends_a_training_that_gets_no_better(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = [0.25, 0.5, 0.5, 0.25, 0.75]

    def scored(_: Epochs, state: TrainState) -> dict[str, float]:
        score = scores[len(state.history)]
        return {"validation_loss": 1.0, "validation_accuracy": score, "validation_rmse": 1.0}

    monkeypatch.setattr(Epochs, "validate", scored)
    for patience, stops_after in ((1, 3), (2, 4), (3, 5), (None, 5)):
        for _ in range(2):  # and so again when it goes on after its last epoch
            _, history = run(folder, tmp_path / f"{patience}", epochs=5, patience=patience)
            assert len(history) == stops_after


# ---- what a machine can do


def test_tf32_wants_a_gpu(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    refuse(
        "train_small's precision is tf32, which only a GPU has", lambda: run(folder, tmp_path / "w", precision="tf32")
    )


def test_what_has_no_deterministic_way_is_named(folder: Path, tmp_path: Path) -> None:
    class Random(Small):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("upsample_cuda does not have a deterministic implementation, but you set")

    wanted = "train_small's deterministic is true, which it cannot be here .upsample_cuda.*; set it to false"
    refuse(wanted, lambda: run(folder, tmp_path / "work", network=Random))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no C++ compiler to compile with")
def test_compiled_it_learns_the_same_and_goes_on_exactly(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within rounding of the network that is not, under its own names; and bit for bit when it goes on."""
    monkeypatch.setenv("CHECKPOINT_SECONDS", "0")
    plain, _ = run(folder, tmp_path / "plain", network=Looking, epochs=2)
    whole, _ = run(folder, tmp_path / "whole", network=Plain, epochs=2, compile=True)
    with pytest.raises(Killed):
        run(folder, tmp_path / "work", Kill(7), network=Plain, epochs=2, compile=True)
    again, _ = run(folder, tmp_path / "work", network=Plain, epochs=2, compile=True)
    assert fingerprint(again) == fingerprint(whole)
    assert difference(plain, whole) < 1e-4


class Plain(nn.Module):
    """Looking, without what keeps the images."""

    def __init__(self) -> None:
        super().__init__()
        self.answer = nn.Linear(3072, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.answer(images.float().flatten(1) / 255)
        return logits


@pytest.mark.slow
def test_a_machine_without_a_compiler_is_told_so(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._inductor import config

    monkeypatch.setattr(config.cpp, "cxx", ("no-such-compiler",))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    wanted = "train_small's compile is true, which fails on this machine .*; set it to false"
    refuse(wanted, lambda: run(folder, tmp_path / "work", compile=True))
