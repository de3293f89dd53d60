"""A trained counter with the verifier beside it: where a list of items is at hand, that is judged and not its number alone."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from warehouse_classifier.bins.sizes import VOLUME, attributes
from warehouse_classifier.dataset.photo import Pixels
from warehouse_classifier.evaluation import temperature
from warehouse_classifier.evaluation.arrays import Floats
from warehouse_classifier.evaluation.counters import AVERAGE, VERIFIER
from warehouse_classifier.models.device import autocast, layout
from warehouse_classifier.models.inference import read
from warehouse_classifier.serving import predictor
from warehouse_classifier.serving.predictor import Answer, ItemList, Predictor
from warehouse_classifier.verifier import folder
from warehouse_classifier.verifier.verifier import Verifier


class ListPredictor(Predictor):
    """The average of all networks, and the verifier that was trained with them."""

    def __init__(self, counter: Predictor, verifier: Verifier) -> None:
        super().__init__(counter.name, counter.calibration, counter.networks, counter.device)
        self.verifier = verifier
        self.by_lists = True

    def inspect(self, pixels: Pixels, expected: Sequence[int | None], lists: Sequence[ItemList | None]) -> list[Answer]:
        """As a counter does; of a list whose sizes are all known, doubt and verdict are the verifier's, with what it says in words."""
        probabilities, features = self._read(pixels)
        counted = self.answers(probabilities, expected)
        return [
            answer if items is None or answer.doubt is None else self._of_list(answer, quantity or 0, items, seen)
            for answer, quantity, items, seen in zip(counted, expected, lists, features, strict=True)
        ]

    def _read(self, pixels: Pixels) -> tuple[Floats, Floats]:
        """Probabilities [B, quantities] and features [B, features] of photos [B, side, side, 3]."""
        images = torch.from_numpy(pixels).permute(0, 3, 1, 2).to(self.device).to(memory_format=layout(self.precision))
        both = {}
        with torch.inference_mode(), autocast(self.device, self.precision):
            for network, module in self.networks.items():
                both[network] = [part.cpu().numpy() for part in read(module, images, mirror=self.calibration.mirror)]
        logits = {network: parts[0] for network, parts in both.items()}
        probabilities = temperature.probabilities(logits, self.calibration.temperatures)[self.name]
        return probabilities, np.concatenate([parts[1] for parts in both.values()], axis=1)

    def _of_list(self, counted: Answer, expected: int, items: ItemList, features: Floats) -> Answer:
        held = sum(item["quantity"] for item in items)
        if held != expected:
            return replace(
                counted, doubt=None, verdict="look", reason=f"{expected} expected, its items add up to {held}"
            )
        listed = np.array([attributes(items)])
        if np.isnan(listed[0, VOLUME]):  # without the size of each item there is a number alone
            return counted
        doubt = float(self.verifier.doubts(features[None], listed)[0])
        verdict = str(self.verifier.verdicts(np.array(doubt)))
        low, high = self.verifier.volumes(features[None])[0]
        reason = in_words(expected, float(np.exp(listed[0, VOLUME])), float(low), float(high))
        return replace(counted, doubt=doubt, verdict=verdict, reason=None if verdict == "match" else reason)


def in_words(expected: int, volume: float, low: float, high: float) -> str:
    """What is expected and what a photo looks like, in cubic inches."""
    items = f"{expected} item{'s' if expected != 1 else ''}"
    looks = f"{items} of about {short(volume)} cubic inches expected; this looks like {short(low)} to {short(high)}"
    return looks if not low <= volume <= high else f"{looks}, yet their number or single sizes fit less"


def short(volume: float) -> str:
    """Two digits that matter: 412.3 -> 410."""
    return f"{float(f'{volume:.2g}'):,.{0 if volume >= 9.5 else 1}f}"


@contextmanager
def opened(models: Path, name: str = AVERAGE, threads: int | None = None) -> Iterator[Predictor]:
    """A counter as predictor.opened has it; of the average the verifier is beside it, if `models` holds one.

    Raises UserError as that does, and for a verifier of other networks.
    """
    with predictor.opened(models, name, threads) as counter:
        if name != AVERAGE or not (models / VERIFIER).is_dir():
            yield counter
            return
        networks = {network: models / network for network in counter.networks}
        yield ListPredictor(counter, folder.load(models / VERIFIER, networks, mirror=counter.calibration.mirror))


def identity(models: Path, counter: Predictor) -> Mapping[str, Any]:
    """What the answers of a counter depend on beside its calibration."""
    from warehouse_classifier.models.folder import hashes

    return hashes(models / VERIFIER) if counter.by_lists else {}
