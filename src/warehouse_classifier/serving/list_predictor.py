"""A trained counter with the verifier beside it: where a list of items is at hand, that is judged and not its number alone."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from warehouse_classifier.bins.expectation import Expectation
from warehouse_classifier.bins.sizes import ATTRIBUTES, VOLUME, attributes
from warehouse_classifier.dataset.photo import Pixels
from warehouse_classifier.evaluation import temperature
from warehouse_classifier.evaluation.arrays import Floats
from warehouse_classifier.evaluation.counters import AVERAGE, VERIFIER
from warehouse_classifier.models.device import autocast, layout
from warehouse_classifier.models.inference import read
from warehouse_classifier.serving import predictor
from warehouse_classifier.serving.predictor import Predictor
from warehouse_classifier.serving.questions import Answer, Question, Sight
from warehouse_classifier.verifier import folder
from warehouse_classifier.verifier.verifier import NUMBER, Verifier, recorded

AGAINST = 0.5  # the doubt from which on two photos speak against a record


class ListPredictor(Predictor):
    """The average of all networks, and the verifier that was trained with them."""

    def __init__(self, counter: Predictor, verifier: Verifier) -> None:
        super().__init__(counter.name, counter.calibration, counter.networks, counter.device)
        self.verifier = verifier
        self.by_lists, self.outliers = True, counter.outliers

    def see(self, pixels: Pixels) -> Sight:
        """As a counter does, with what both networks see."""
        images = torch.from_numpy(pixels).permute(0, 3, 1, 2).to(self.device).to(memory_format=layout(self.precision))
        both = {}
        with torch.inference_mode(), autocast(self.device, self.precision):
            for network, module in self.networks.items():
                both[network] = [part.cpu().numpy() for part in read(module, images, mirror=self.calibration.mirror)]
        logits = {network: parts[0] for network, parts in both.items()}
        probabilities = temperature.probabilities(logits, self.calibration.temperatures)[self.name]
        return Sight(probabilities, np.concatenate([parts[1] for parts in both.values()], axis=1))

    def judged(self, sight: Sight, questions: Sequence[Question]) -> list[Answer]:
        """As a counter does. Of a list whose sizes are all known, and of a record of what changed since the photo before, doubt and
        verdict are the verifier's, with what it says in words."""
        assert sight.features is not None
        counted = self.answers(sight.probabilities, [its.quantity for its in questions])
        earlier = [its.before.pixels for its in questions if its.before]
        features = self.see(np.stack(earlier)).features if earlier else None
        seen_before = iter(() if features is None else features)
        return [
            self._of_one(answer, its, seen, next(seen_before) if its.before else None)
            for answer, its, seen in zip(counted, questions, sight.features, strict=True)
        ]

    def _of_one(self, counted: Answer, asked: Question, seen: Floats, seen_before: Floats | None) -> Answer:
        """What is said of one photo, by its features and those of the photo before."""
        expected, before = asked.expected, asked.before
        if expected is None:
            return counted
        for when, its in (("", expected), *([("before, ", before.held)] if before else [])):
            if its.items is not None and (held := sum(item["quantity"] for item in its.items)) != its.quantity:
                sums = f"{when}{its.quantity} expected, its items add up to {held}"
                return replace(counted, doubt=None, verdict="look", reason=sums)
        listed = _attributes(expected)
        # without the size of each item there is a number alone
        by_size = not np.isnan(listed[0, VOLUME]) or not expected.quantity
        then = _attributes(before.held) if before and seen_before is not None else None
        by_record = then is not None and recorded(then, listed)[0] != 0
        if not by_size and not by_record:
            return replace(counted, reason=_by_number(counted, listed=bool(expected.items), before=before is not None))
        if expected.quantity > self.verifier.most:
            known = f"{expected.quantity} expected, lists of up to {self.verifier.most} items can be judged"
            return replace(counted, doubt=None, verdict="look", reason=known)
        reasons = []
        if by_record and before and then is not None and seen_before is not None:
            visit = seen_before[None], seen[None], then, listed
            doubt, verdict = self.verifier.doubts_of_change(*visit)[0], self.verifier.verdicts_of_visit(*visit)[0]
            reasons.append(change_in_words(before.held.quantity, expected.quantity, float(doubt)))
        else:
            doubt = self.verifier.doubts(seen[None], listed)[0]
            verdict = self.verifier.verdicts(np.array([doubt]), listed)[0]
        volume = float(np.exp(listed[0, VOLUME])) if expected.quantity else 0.0
        low, high = self.verifier.volumes(seen[None])[0].tolist()
        # beside a record that is in doubt, a size that fits is no reason
        if by_size and (not reasons or not low <= volume <= high):
            reasons.append(in_words(expected.quantity, volume, low, high))
        reason = None if verdict == "match" else "; ".join(reasons)
        return replace(counted, doubt=float(doubt), verdict=str(verdict), reason=reason)


def _attributes(expected: Expectation) -> Floats:
    """Of a list, [1, attributes]; of a number alone it is all that is known, but for a bin that is to be empty."""
    if expected.items is not None or not expected.quantity:
        return np.array([attributes(expected.items or [])])
    alone = np.full((1, len(ATTRIBUTES)), np.nan)
    alone[0, NUMBER] = np.log1p(expected.quantity)
    return alone


def _by_number(counted: Answer, *, listed: bool, before: bool) -> str | None:
    """Why a list, or a photo before, was not looked at."""
    reasons = [counted.reason] if counted.reason else []
    if listed:
        reasons.append("of an item no size is known, so that the number alone is judged")
    if before:
        reasons.append("as many before, so that the photo before tells nothing of a number")
    return "; ".join(reasons) or None


def change_in_words(before: int, now: int, doubt: float) -> str:
    """What two photos say of a record of what changed between them. `doubt`: how likely it was the opposite."""
    record = f"{before} before and {now} now" if before != now else f"{now} before and now, of another size"
    looks = "yet the photos look like the opposite" if doubt > AGAINST else "and the photos rather look like it"
    return f"{record}, {looks}"


def in_words(expected: int, volume: float, low: float, high: float) -> str:
    """What is expected and what a photo looks like, in cubic inches."""
    items = f"{expected} item{'s' if expected != 1 else ''}"
    about = f" of about {short(volume)} cubic inches" if expected else ""
    unit = "" if expected else " cubic inches"
    looks = f"{items}{about} expected; this looks like {short(low)} to {short(high)}{unit}"
    return looks if not low <= volume <= high else f"{looks}, yet their number or single sizes fit less"


def short(volume: float) -> str:
    """Two digits that matter: 412.3 -> 410."""
    return f"{float(f'{volume:.2g}'):,.{0 if volume >= 9.5 else 1}f}"


@contextmanager
def opened(models: Path, name: str = AVERAGE, threads: int | None = None) -> Iterator[Predictor]:
    """A counter as predictor.opened has it; if `models` holds a verifier, it tells which photos are unlike those that were learned
    from, and beside the average it judges lists.

    Raises UserError as that does, and for a verifier of other networks.
    """
    with predictor.opened(models, name, threads) as counter:
        if not (models / VERIFIER).is_dir():
            yield counter
            return
        counter.outliers = folder.load_outliers(models / VERIFIER)
        if name != AVERAGE:
            yield counter
            return
        networks = {network: models / network for network in counter.networks}
        yield ListPredictor(counter, folder.load(models / VERIFIER, networks, mirror=counter.calibration.mirror))


def identity(models: Path, counter: Predictor) -> Mapping[str, Any]:
    """What the answers of a counter depend on beside its calibration."""
    from warehouse_classifier.models.folder import hashes

    return hashes(models / VERIFIER) if counter.outliers else {}
