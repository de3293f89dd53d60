"""The loop, on a network that learns in milliseconds."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from accelerate.state import AcceleratorState
from torch import nn

from images import Diary, pack, spoil
from warehouse_classifier import checkpoint, training
from warehouse_classifier.batches import batches
from warehouse_classifier.fault import Fault
from warehouse_classifier.label import Labels
from warehouse_classifier.shards import Shards
from warehouse_classifier.training import Recipe, train

LABELS = Labels([1, 2, 3])


class Small(nn.Module):
    """A convolution, a BatchNorm and a dropout: all that has to be the same again after a kill."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 8, 5, stride=3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Dropout(0.2), nn.Linear(800, 3)
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.layers(images.float() / 255)
        return logits


class Killed(BaseException):
    pass


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def forgetful() -> Iterator[None]:
    """accelerate keeps the first precision of a process, and refuses another."""
    AcceleratorState._reset_state(reset_partial_state=True)  # noqa: SLF001
    yield
    AcceleratorState._reset_state(reset_partial_state=True)  # noqa: SLF001


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack(tmp_path_factory.mktemp("training") / "images")


def run(
    folder: Path, work: Path, watch: Any = None, network: nn.Module | None = None, **changed: Any
) -> tuple[nn.Module, list[dict[str, Any]]]:
    """A training of three epochs; returns the network it leaves and its history."""
    torch.manual_seed(0)
    network = network or Small()
    known: dict[str, Any] = {
        "epochs": 3,
        "batch": 8,
        "seed": 7,
        "workers": 2,
        "precision": "fp32",
        "rate": lambda _: 0.003,
    }
    recipe = Recipe(**{**known, **changed})
    optimizer = torch.optim.AdamW(network.parameters(), 0.003)
    work.mkdir(exist_ok=True)
    return network, train("train_small", network, optimizer, Shards(folder), LABELS, recipe, work, watch or Diary())


def fingerprint(network: nn.Module) -> str:
    digest = hashlib.sha256()
    for tensor in network.state_dict().values():
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def refuse(match: str, act: Callable[[], object]) -> None:
    with pytest.raises(Fault, match=match) as fault:
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
    _, told = diary.measured[-1]
    assert told["images_per_second"] > 0
    assert {key: value for key, value in told.items() if key != "images_per_second"} == history[-1]
    assert diary.titles[-1] == "train_small epoch 8/8"
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
    monkeypatch.setattr(training, "validate", scored)
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
        logits = network.eval()(next(batches(shards, rows, 100, 1)))
    actual = shards.index["quantity"].to_numpy()[rows]
    said = logits.argmax(1).numpy() + 1
    assert row["validation_accuracy"] == pytest.approx(np.mean(said == actual), abs=1e-6)
    assert row["validation_rmse"] == pytest.approx(np.sqrt(np.mean((said - actual) ** 2.0)), abs=1e-6)
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
    run(folder, tmp_path / "work", network=network, epochs=4)
    shards = Shards(folder)
    plain = torch.cat(list(batches(shards, shards.rows("train"), 100, 1)))
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
    folder: Path, tmp_path: Path, precision: str, layout: torch.memory_format, forgetful: None
) -> None:
    """Another layout gives the same weights but for rounding, a third slower (training.Recipe.layout)."""
    network = Looking()
    run(folder, tmp_path / "work", network=network, epochs=1, precision=precision)
    assert all(images.is_contiguous(memory_format=layout) for images in network.seen)


def test_each_image_meets_its_own_label(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    met: list[tuple[bytes, int]] = []
    network, seen = Looking(), 0
    real = training.cross_entropy

    def spied(logits: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        nonlocal seen
        if network.training:
            met.extend(
                (image.numpy().tobytes(), int(label)) for image, label in zip(network.seen[-1], wanted, strict=True)
            )
        return real(logits, wanted)

    monkeypatch.setattr(training, "cross_entropy", spied)
    run(folder, tmp_path / "work", network=network, epochs=1)
    shards = Shards(folder)
    truth: dict[bytes, int] = {}
    for row in shards.rows("train"):
        (image,) = next(batches(shards, np.array([row]), 1, 1))
        for view in (image, image.flip(2)):
            truth[view.contiguous().numpy().tobytes()] = int(shards.index["quantity"].iloc[row]) - 1
    assert len(met) == 40
    assert all(truth[image] == label for image, label in met)


def test_the_test_split_is_never_read(folder: Path, tmp_path: Path) -> None:
    spoilt = pack(tmp_path / "images")
    spoil(spoilt, "test")
    assert fingerprint(run(folder, tmp_path / "one")[0]) == fingerprint(run(spoilt, tmp_path / "two")[0])


def test_nor_is_validation_read_to_learn_from(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[npt.NDArray[np.int64]] = []

    def spied(shards: Shards, rows: npt.NDArray[np.int64], *rest: Any) -> Any:
        shown.append(np.sort(rows))
        return batches(shards, rows, *rest)

    monkeypatch.setattr(training, "batches", spied)
    run(folder, tmp_path / "work", epochs=1)
    shards = Shards(folder)
    assert [rows.tolist() for rows in shown] == [shards.rows("train").tolist(), shards.rows("validation").tolist()]


# ---- killed


class Kill(Diary):
    """Ends the run at the so-manieth batch, whatever it is doing."""

    def __init__(self, batch: int) -> None:
        super().__init__()
        self.batch = batch

    def advance(self, count: int = 1, **facts: float) -> None:
        super().advance(count, **facts)
        if len(self.advanced) == self.batch:
            raise Killed


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("batch", [3, 8, 15])
def test_a_killed_run_ends_with_the_very_weights_of_one_that_was_not(
    folder: Path, tmp_path: Path, batch: int, precision: str, forgetful: None
) -> None:
    whole, history = run(folder, tmp_path / "whole", precision=precision)
    with pytest.raises(Killed):
        run(folder, tmp_path / "work", Kill(batch), precision=precision)
    torch.manual_seed(99)  # what the machine did in between must not matter
    torch.rand(5)
    diary = Diary()
    again, rest = run(folder, tmp_path / "work", diary, precision=precision)
    assert diary.steps == list(range(1 + (batch - 1) // 5, 4))
    assert rest == history
    assert fingerprint(again) == fingerprint(whole)


def test_a_run_killed_after_its_last_epoch_only_has_to_be_read(folder: Path, tmp_path: Path) -> None:
    whole, history = run(folder, tmp_path / "work")
    diary = Diary()
    again, rest = run(folder, tmp_path / "work", diary)
    assert (diary.steps, diary.advanced) == ([], [])
    assert (fingerprint(again), rest) == (fingerprint(whole), history)


def test_a_checkpoint_of_another_network_is_refused(folder: Path, tmp_path: Path) -> None:
    run(folder, tmp_path / "work", network=Looking())
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


def test_a_gpu_without_bf16_is_refused(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Old:
        device = torch.device("cuda")

        def __init__(self, **_: Any) -> None:
            pass

        def prepare(self, *parts: Any) -> Any:
            return parts

    monkeypatch.setattr(training, "Accelerator", Old)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *, including_emulation: including_emulation)
    refuse(
        "train_small's precision is bf16, which this machine's GPU cannot do",
        lambda: run(folder, tmp_path / "work", precision="bf16"),
    )
