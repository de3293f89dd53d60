"""Auxiliary answers: what else a list says, learned beside the count and thrown away."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn.functional import cross_entropy

from support.images import SIDE, Diary, spoil
from support.training import Kill, Killed, Small, fingerprint, run
from warehouse_classifier.bins.sizes import ATTRIBUTES
from warehouse_classifier.bins.split_names import OTHERS
from warehouse_classifier.dataset.batches import batches
from warehouse_classifier.dataset.shards import INDEX, Shards
from warehouse_classifier.runtime.errors import UserError
from warehouse_classifier.training import loop, step
from warehouse_classifier.training.auxiliary import Attributes, Scale, WithAuxiliary, squared_error

ALL: dict[str, Any] = {  # beside everything else that a training may have
    "auxiliary": 2.0, "average": 0.3, "neighbours": 0.2, "pretrain": {"pairs": 60, "seed": 3, "epochs": 1},
    "augmentation": {"shrink": 0.1, "turn": 5.0, "light": 0.2, "colour": 0.1},
}  # fmt: skip


def brightness(folder: Path) -> Attributes:
    """Of every row what its image shows, in all attributes; of every seventh nothing is known."""
    shards = Shards(folder)
    (photos,) = batches(shards, [np.arange(len(shards.index))], 1)
    light = photos.double().mean((1, 2, 3)).numpy()
    light[::7] = np.nan
    return np.repeat(light[:, None], len(ATTRIBUTES), axis=1)


def test_what_is_not_known_costs_nothing() -> None:
    answers = torch.tensor([[1.0, 2.0], [3.0, 5.0]], requires_grad=True)
    error = squared_error(answers, torch.tensor([[0.0, float("nan")], [float("nan"), float("nan")]]))
    error.backward()  # type: ignore[no-untyped-call]
    assert error.item() == 0.5
    assert answers.grad is not None
    assert answers.grad.tolist() == [[1.0, 0.0], [0.0, 0.0]]


def test_attributes_are_scaled_by_what_is_known_of_them() -> None:
    attributes = np.array([[1.0, np.nan, 5.0], [3.0, np.nan, 5.0], [np.nan, np.nan, 5.0]])
    scaled = Scale.of(attributes).scaled(attributes)
    assert scaled[:2, 0].tolist() == [-1, 1]
    assert scaled[2, 0].isnan()
    assert scaled[:, 1].isnan().all()
    assert scaled[:, 2].tolist() == [0, 0, 0]


@pytest.mark.parametrize("training", [True, False])
def test_the_network_is_left_as_it_was(training: bool) -> None:
    network = Small().train(training)
    before = fingerprint(network)
    both = WithAuxiliary(network, 4, SIDE)
    assert (network.training, fingerprint(network)) == (training, before)
    images = torch.randint(0, 256, (3, 3, SIDE, SIDE), dtype=torch.uint8)
    logits, answers = both.eval()(images)
    assert torch.equal(logits, network(images))
    assert answers.shape == (3, 4)


def test_it_is_learned_beside_the_count(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the figures are of the count alone, so that trainings can be compared."""
    learners: list[WithAuxiliary] = []

    class Kept(WithAuxiliary):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            learners.append(self)

    monkeypatch.setattr(loop, "WithAuxiliary", Kept)
    attributes = brightness(folder)
    network, history = run(folder, tmp_path / "work", attributes=attributes, epochs=12, auxiliary=2.0)
    shards, (learner,) = Shards(folder), learners
    wanted = Scale.of(attributes[shards.rows("train")]).scaled(attributes)
    held_out = shards.rows("validation")
    (photos,) = batches(shards, [held_out], 1)
    with torch.inference_mode():
        error = squared_error(learner.eval()(photos)[1], wanted[held_out]).item()
    assert error / len(held_out) < 0.5  # of a spread of 1
    assert learner.network is network
    assert max(row["train_loss"] for row in history) < 1.5
    counted, _ = run(folder, tmp_path / "alone", epochs=12)
    assert fingerprint(counted) != fingerprint(network)
    assert list(network.state_dict()) == list(counted.state_dict())  # nothing of the further answers is left


# ---- bins of other quantities, whose sizes alone are learned


@pytest.fixture
def beside(folder: Path, tmp_path: Path) -> Path:
    """The folder's images, of which twelve of the training split hold nine items instead."""
    copy = tmp_path / "images"
    shutil.copytree(folder, copy)
    index = pd.read_parquet(copy / INDEX)
    others = index.index[index["split"] == "train"][-12:]  # the first image says how large all are
    index.loc[others, ["quantity", "split"]] = [9, OTHERS["train"]]
    index.to_parquet(copy / INDEX, index=False)
    return copy


@pytest.mark.parametrize("neighbours", [0.0, 0.2])
def test_the_count_learns_nothing_of_bins_of_other_quantities(
    beside: Path, tmp_path: Path, neighbours: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They have no label, and no loss; their lists are learned."""
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []

    def noted(logits: torch.Tensor, target: torch.Tensor, **how: Any) -> torch.Tensor:
        logits.retain_grad()
        seen.append((logits, target))
        return cross_entropy(logits, target, **how)

    monkeypatch.setattr(step, "cross_entropy", noted)
    attributes = brightness(beside)
    _, history = run(beside, tmp_path / "work", attributes=attributes, auxiliary=2.0, neighbours=neighbours, epochs=1)
    assert sum(len(logits) for logits, _ in seen) == 40
    unlabelled = 0
    for logits, target in seen:
        none = target == -1 if target.ndim == 1 else ~target.any(dim=1)
        assert logits.grad is not None
        assert not logits.grad[none].any()
        assert logits.grad[~none].any(dim=1).all()
        unlabelled += int(none.sum())
    assert unlabelled == 12
    losses = [
        cross_entropy(logits.detach(), target, ignore_index=-1, reduction="sum").item() for logits, target in seen
    ]
    assert history[0]["train_loss"] == pytest.approx(sum(losses) / 28, rel=1e-5)


def test_their_lists_are_learned_and_only_where_lists_are(beside: Path, tmp_path: Path) -> None:
    attributes = brightness(beside)
    others = (Shards(beside).index["split"] == OTHERS["train"]).to_numpy()
    changed = np.where(others[:, None], attributes + 100, attributes)
    left = {
        (auxiliary, name): fingerprint(
            run(beside, tmp_path / f"{name}-{auxiliary}", attributes=its, auxiliary=auxiliary)[0]
        )
        for auxiliary in (0.0, 2.0)
        for name, its in (("own", attributes), ("changed", changed))
    }
    assert left[0.0, "own"] == left[0.0, "changed"]
    assert left[2.0, "own"] != left[2.0, "changed"]
    spoil(beside, OTHERS["train"])  # who does not learn of them does not look at them either
    assert fingerprint(run(beside, tmp_path / "spoilt")[0]) == left[0.0, "own"]
    with pytest.raises(UserError):
        run(beside, tmp_path / "read", attributes=attributes, auxiliary=2.0)


@pytest.mark.slow
@pytest.mark.parametrize("batch", [3, 9])
def test_a_killed_run_ends_with_the_very_weights(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setenv("CHECKPOINT_SECONDS", "0")
    attributes = brightness(folder)
    with pytest.raises(Killed):
        run(folder, tmp_path / "killed", Kill(batch), attributes=attributes, **ALL)
    again, history = run(folder, tmp_path / "killed", attributes=attributes, **ALL)
    whole, at_once = run(folder, tmp_path / "whole", attributes=attributes, **ALL)
    assert fingerprint(again) == fingerprint(whole)
    assert history == at_once


def test_without_metadata_it_cannot_be_asked(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"train_small's auxiliary is 2.0, and the stage is given no metadata"):
        run(folder, tmp_path / "work", Diary(), auxiliary=2.0)
