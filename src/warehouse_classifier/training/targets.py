"""What a network is to answer: the label of each image, or a softened one."""

import numpy as np
import torch

from warehouse_classifier.dataset.labels import QuantityEncoder
from warehouse_classifier.dataset.shards import Shards
from warehouse_classifier.runtime.errors import UserError


def targets(shards: Shards, encoder: QuantityEncoder) -> torch.Tensor:
    """The label of every row: int64 [rows], -1 where the split is neither train nor validation.

    Raises UserError if a bin of these splits holds a quantity that has no label.
    """
    quantity = shards.index["quantity"].to_numpy()
    seen = np.concatenate([shards.rows("train"), shards.rows("validation")])
    foreign = sorted({*quantity[seen].tolist()} - {*encoder.quantities})
    if foreign:
        raise UserError(
            f"{shards.folder} holds bins of {', '.join(map(str, foreign))} items, and params.yaml names only"
            f" {', '.join(map(str, encoder.quantities))} in data.quantities; `dvc repro resize_images` makes them agree"
        )
    label = np.full(len(quantity), -1)
    label[seen] = encoder.encode(quantity[seen])
    return torch.from_numpy(label)


def softened(labels: torch.Tensor, answers: int, neighbours: float) -> torch.Tensor:
    """The target of `labels` [B]: themselves if `neighbours` is 0, else shares [B, answers] of which that much goes to the
    labels beside the own one, in halves, or to the only one that there is. Of the label -1, nothing."""
    if not neighbours:
        return labels
    own = torch.eye(answers, device=labels.device)
    step = own.new_ones(answers - 1)
    beside = torch.diag(step, 1) + torch.diag(step, -1)
    shares = (1 - neighbours) * own + neighbours * beside / beside.sum(1, keepdim=True)
    return torch.cat([shares, own.new_zeros(1, answers)])[labels]  # the last row is -1's
