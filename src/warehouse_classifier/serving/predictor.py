"""A trained counter: networks and what their answers are worth, ready to say how many items a photo shows."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from warehouse_classifier.dataset.photo import Pixels, decode, encode, square
from warehouse_classifier.evaluation import calibration, temperature
from warehouse_classifier.evaluation.arrays import Floats
from warehouse_classifier.evaluation.calibration import Calibration
from warehouse_classifier.evaluation.counters import AVERAGE, COUNTERS
from warehouse_classifier.evaluation.thresholds import judge
from warehouse_classifier.models import registry
from warehouse_classifier.models.device import arithmetic, autocast, layout
from warehouse_classifier.models.inference import logits_of
from warehouse_classifier.runtime.errors import UserError
from warehouse_classifier.serving.questions import Answer, Question, Sight
from warehouse_classifier.synthetic.mark import is_drawn
from warehouse_classifier.verifier.outliers import OutlierDetector

MOST_PIXELS = 50_000_000  # of a photo; one that claims more is not decoded


class Predictor:
    """One counter with its networks and its calibration."""

    by_lists = False  # whether it judges lists of items
    outliers: OutlierDetector | None = None  # which tells photos that are unlike those that were learned from

    def __init__(
        self, name: str, calibration: Calibration, networks: dict[str, nn.Module], device: torch.device
    ) -> None:
        self.name, self.calibration, self.networks, self.device = name, calibration, networks, device
        self.precision = "fp32" if device.type == "cpu" else calibration.precision

    def pixels(self, body: bytes) -> Pixels:
        """A photo as resize_images makes it, JPEG and all: the networks get the very pixels that they were evaluated on.

        [side, side, 3]. Raises ValueError with the reason for what is no photo.
        """
        small = square(decode(body, MOST_PIXELS), self.calibration.side)
        return decode(encode(small, self.calibration.quality), MOST_PIXELS)

    def strange(self, body: bytes, pixels: Pixels) -> str | None:
        """Why a photo is unlike those that the networks learned from, so that nothing they say of it counts; None if it is not.

        `pixels`: of the photo, as `pixels` has them.
        """
        learned_from = self.calibration.learned_from
        if is_drawn(body) != learned_from.drawn:
            return f"{'a drawing' if is_drawn(body) else 'a photo'}, and the networks have seen {learned_from}"
        if self.outliers and self.outliers.unlike(pixels[None])[0]:
            return f"unlike the {learned_from} that the networks have seen"
        return None

    def probabilities(self, pixels: Pixels) -> Floats:
        """Calibrated probabilities [B, quantities] of photos [B, side, side, 3]."""
        order = layout(self.precision)
        images = torch.from_numpy(pixels).permute(0, 3, 1, 2).to(self.device).to(memory_format=order)
        logits = {}
        with torch.inference_mode(), autocast(self.device, self.precision):
            for network, module in self.networks.items():
                logits[network] = logits_of(module, images, mirror=self.calibration.mirror).cpu().numpy()
        return temperature.probabilities(logits, self.calibration.temperatures)[self.name]

    def inspect(self, pixels: Pixels, questions: Sequence[Question]) -> list[Answer]:
        """What is said of photos [B, side, side, 3]."""
        return self.say(self.see(pixels), questions)

    def see(self, pixels: Pixels) -> Sight:
        """What networks make of photos [B, side, side, 3]."""
        return Sight(self.probabilities(pixels))

    def say(self, sight: Sight, questions: Sequence[Question]) -> list[Answer]:
        """What is said of photos that were seen. Of what is strange it is a count, and that somebody must look."""
        return [
            answer if its.strange is None else replace(answer, verdict="look", reason=its.strange)
            for answer, its in zip(self.judged(sight, questions), questions, strict=True)
        ]

    def judged(self, sight: Sight, questions: Sequence[Question]) -> list[Answer]:
        """What is said of photos that are like those that were learned from."""
        return self.answers(sight.probabilities, [its.quantity for its in questions])

    def answers(self, probabilities: Floats, expected: Sequence[int | None]) -> list[Answer]:
        """What the probabilities of each photo say of what is expected of it, None for nothing."""
        return [self._answer(row, quantity) for row, quantity in zip(probabilities, expected, strict=True)]

    def _answer(self, probabilities: Floats, expected: int | None) -> Answer:
        quantities, best = self.calibration.quantities, int(np.argmax(probabilities))
        predicted, probability = quantities[best], float(probabilities[best])
        if expected is None:
            return Answer(predicted, probability, None, None, None)
        if expected not in quantities:
            span = f"{quantities[0]} to {quantities[-1]}"
            return Answer(predicted, probability, None, "look", f"{expected} expected, the model knows {span}")
        doubt, limits = 1 - float(probabilities[quantities.index(expected)]), self.calibration.counters[self.name]
        verdict = str(judge(np.array(doubt), limits.match, limits.mismatch))
        return Answer(predicted, probability, doubt, verdict, None)


@contextmanager
def opened(models: Path, name: str = AVERAGE, threads: int | None = None) -> Iterator[Predictor]:
    """One of COUNTERS, on a GPU or, without one, on the processor.

    `models` holds calibration.json and the folders of the networks; `threads`: of the processor, None for as torch does.
    Raises UserError if something of that is missing, of another version, or not what was calibrated.
    """
    if name not in COUNTERS:
        raise UserError(f"there is no model {name}; there are: {', '.join(COUNTERS)}")
    calibrated = calibration.load(models)
    precision = calibrated.precision if torch.cuda.is_available() else "fp32"
    wanted = list(registry.NETWORKS) if name == AVERAGE else [name]
    for network in wanted:
        calibration.verify(calibrated, network, models / network)
    with arithmetic("evaluate", precision, threads or torch.get_num_threads(), deterministic=True) as device:
        order = layout(precision)
        networks = {
            network: registry.load(network, models / network).to(device).to(memory_format=order) for network in wanted
        }
        blank = torch.zeros(1, 3, calibrated.side, calibrated.side, dtype=torch.uint8, device=device)
        for network, module in networks.items():
            with torch.inference_mode():
                answers = module(blank).shape[1]
            if answers != len(calibrated.quantities):
                raise UserError(
                    f"{models / network} tells {answers} quantities apart and {calibration.FILE} names"
                    f" {len(calibrated.quantities)}; `dvc checkout {models}` brings both back"
                )
        yield Predictor(name, calibrated, networks, device)
