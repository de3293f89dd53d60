"""How well doubts tell right lists and records from wrong ones that are asked in pairs, with intervals over groups."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from warehouse_classifier.evaluation.arrays import Floats, Ints, Masks
from warehouse_classifier.evaluation.mismatches.roc import Questions
from warehouse_classifier.evaluation.mismatches.verification import (
    WEIGHTS_AT_ONCE,
    Estimate,
    Task,
    Verification,
    figures_of,
    verification_of,
)


@dataclass(frozen=True)
class PairedQuestions:
    """Right and wrong questions in pairs, `right` and `wrong` their doubts, [questions]; `photo`: row of the image with whose
    group each pair is drawn, the same for all questions of two bins whose lists are exchanged."""

    right: Floats
    wrong: Floats
    photo: Ints
    parts: Mapping[str, Masks]  # of the wrong ones, [questions]

    @cached_property
    def questions(self) -> Questions:
        """The right ones, then the wrong ones."""
        return Questions(np.concatenate([self.right, self.wrong]), np.repeat([False, True], len(self.right)))

    def figures(self, weights: Floats, task: Task) -> Floats:
        """[weightings, figures] for how often each pair counts, [weightings, questions]."""
        questions, both = self.questions, np.concatenate([weights, weights], axis=1)
        curve = questions.curve(both)
        better = (self.right < self.wrong) + 0.5 * (self.right == self.wrong)
        with np.errstate(invalid="ignore"):  # a draw may hold no pair at all
            chosen = weights @ better[:, None] / weights.sum(axis=1, keepdims=True)
        columns = [figures_of(curve, task), chosen]
        for part in self.parts.values():
            above = questions.above(np.concatenate([np.zeros_like(part), part]), both)
            columns.append(curve.recall_at(task.headline, task.prevalence, above)[:, None])
        return np.concatenate(columns, axis=1)


@dataclass(frozen=True)
class PairedVerification:
    """How well one counter, or the verifier, tells lists or records that do not fit from those that do."""

    verification: Verification
    forced_choice: Estimate  # share of the pairs of whose two questions the right one is doubted less
    found: Mapping[str, Estimate]  # of the parts: what is found for the headline's budget
    gain: Estimate | None  # AUROC minus that of whom it is held against

    def named(self) -> dict[str, Estimate]:
        """Each under one name, beside those of the verification: forced_choice, more_found_in_5 (per cent), auroc_gain."""
        gain = {} if self.gain is None else {"auroc_gain": self.gain}
        return {**self.verification.named(), "forced_choice": self.forced_choice, **self.found, **gain}


def verify_pairs(
    asked: Mapping[str, Mapping[str, PairedQuestions]], groups: npt.NDArray[np.str_], task: Task,
    *, against: Mapping[str, str], seed: int, resamples: int,
) -> dict[str, dict[str, PairedVerification]]:  # fmt: skip
    """By key and by kind, as `asked` has them. `groups`, [images]; a pair is drawn with its photo's group.

    `against`: the key that another is held against, which was asked the same pairs: paired by draw. Intervals as verify has them.
    """
    result: dict[str, dict[str, PairedVerification]] = {key: {} for key in asked}
    for kind in dict.fromkeys(kind for by_kind in asked.values() for kind in by_kind):
        its = {key: by_kind[kind] for key, by_kind in asked.items() if kind in by_kind}
        photo = next(iter(its.values())).photo
        names, member = np.unique(groups[photo], return_inverse=True)
        figures = {key: [questions.figures(np.ones((1, len(photo))), task)] for key, questions in its.items()}
        rng, count = np.random.default_rng(seed), len(names)
        at_once = max(1, WEIGHTS_AT_ONCE // (2 * len(photo)))
        for start in range(0, resamples, at_once):
            draws = rng.integers(count, size=(min(at_once, resamples - start), count))
            weights = np.stack([np.bincount(draw, minlength=count)[member] for draw in draws]).astype(np.float64)
            for key, questions in its.items():
                figures[key].append(questions.figures(weights, task))
        drawn = {key: np.concatenate(parts[1:]) for key, parts in figures.items()}
        values = {key: parts[0][0] for key, parts in figures.items()}
        for key, questions in its.items():
            other = against.get(key)
            gain = None if other is None else _estimate(values[key][0] - values[other][0], drawn[key] - drawn[other])
            result[key][kind] = _verification(values[key], drawn[key], task, questions.parts, gain)
    return result


def _estimate(value: float, drawn: Floats) -> Estimate:
    """Of the first figure, AUROC."""
    low, high = np.nanquantile(drawn[:, 0], [0.025, 0.975])
    return Estimate(float(value), float(low), float(high))


def _verification(
    values: Floats, drawn: Floats, task: Task, parts: Mapping[str, Masks], gain: Estimate | None
) -> PairedVerification:
    after = 1 + len(task.recalls) + len(task.budgets)  # figures of the verification
    low, high = np.nanquantile(drawn[:, after:], [0.025, 0.975], axis=0)
    forced_choice, *found = (Estimate(*map(float, row)) for row in zip(values[after:], low, high, strict=True))
    names = (f"{part}_found_in_{100 * task.headline:g}" for part in parts)
    return PairedVerification(
        verification_of(values[:after], drawn[:, :after], task),
        forced_choice,
        dict(zip(names, found, strict=True)),
        gain,
    )
