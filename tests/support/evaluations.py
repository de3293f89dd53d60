"""Evaluations at full scale whose figures are made up: of two networks and their average, or of more."""

from itertools import combinations

import numpy as np
import pandas as pd

from warehouse_classifier.evaluation.by_number import KINDS
from warehouse_classifier.evaluation.metrics import McNemar, measure
from warehouse_classifier.evaluation.mismatches.paired import PairedVerification
from warehouse_classifier.evaluation.mismatches.verification import Estimate, Task, Verification
from warehouse_classifier.evaluation.results import Evaluation

QUANTITIES = [1, 2, 3, 4, 5]
TITLES = {"resnet34": "ResNet34", "vit": "ViT", "average": "their average"}
THREE = {"resnet34": "ResNet34", "vit": "ViT", "convnext_tiny": "ConvNeXt", "average": "their average"}
TASK = Task(0.05, (0.5, 0.8, 0.95), (0.01, 0.05, 0.1))


def verdicts(shift: float) -> pd.DataFrame:
    cases = {
        "as expected": (22000, 0.71, 0.25), "wrong by one": (21876, 0.05, 0.63), "wrong by any number": (22000, 0.02, 0.3),
        "holds 0": (6412, 0.01, 0.18), "holds 6": (15221, 0.2, 0.47), "holds 7": (9120, 0.26, 0.43), "holds 8 or more": (31876, 0.22, 0.31),
    }  # fmt: skip
    rows = [(case, n, match + shift, look, 1 - match - shift - look) for case, (n, match, look) in cases.items()]
    return pd.DataFrame(rows, columns=["case", "images", "match", "look", "mismatch"])


def measured(titles: dict[str, str]) -> Evaluation:
    """400 images as these counters see them, each network better than the one before it."""
    rng = np.random.default_rng(2)
    actual = rng.choice(QUANTITIES, 400)
    skills = np.linspace(0.5, 0.65, len(titles))
    predicted = {
        counter: np.clip(actual + rng.choice([-1, 0, 1], 400, p=[0.2, right, 0.8 - right]), 1, 5)
        for counter, right in zip(titles, skills, strict=True)
    }
    predicted["baseline"] = np.full(400, 3)

    def estimate(value: float) -> Estimate:
        return Estimate(value, max(0.0, value - 0.021), value + 0.023)

    def verified(skill: float) -> Verification:
        return Verification(
            estimate(0.5 + 0.4 * skill),
            {recall: estimate(0.05 + 0.6 * skill * (1 - recall)) for recall in TASK.recalls},
            {budget: estimate(budget + min(0.15, budget * 8) * skill) for budget in TASK.budgets},
        )

    def paired(skill: float, gain: Estimate | None = None) -> dict[str, PairedVerification]:
        found = {"more_found_in_5": estimate(0.05 + 0.1 * skill), "fewer_found_in_5": estimate(0.05 + 0.05 * skill)}
        return {
            "natural": PairedVerification(verified(skill * 0.5), estimate(0.5 + 0.2 * skill), found, gain),
            "change": PairedVerification(verified(skill), estimate(0.5 + 0.4 * skill), {}, gain),
            "alike": PairedVerification(verified(skill * 0.3), estimate(0.5 + 0.2 * skill), {}, gain),
            "one_more": PairedVerification(verified(skill * 0.7), estimate(0.5 + 0.3 * skill), found, gain),
            "exchanged": PairedVerification(verified(skill * 0.4), estimate(0.5 + 0.2 * skill), {}, gain),
        }

    rows = {
        "temperature": 1.471, "ece_before": 0.1231, "ece_after": 0.0213, "ece_chance": 0.011, "nll_before": 1.1421,
        "nll_after": 1.013, "false_alarms_wanted": 0.05, "false_alarms_met": 0.0523, "misses_wanted": 0.05,
        "misses_met": 0.0478, "look": 0.41,
    }  # fmt: skip
    doubting = dict(zip([*titles, "prior"], [0.8, 0.85, *[1.0] * (len(titles) - 2), 0.0], strict=True))
    networks = [counter for counter in titles if counter != "average"]
    return Evaluation(
        titles={**titles, "baseline": "always saying 3", "verifier": "the verifier", "prior": "the expectation alone"},
        quantities=tuple(QUANTITIES),
        task=TASK,
        answers=pd.DataFrame({"quantity": actual, **predicted}),
        metrics={
            counter: measure(actual, counted, np.arange(400), QUANTITIES, seed=1, resamples=1000)
            for counter, counted in predicted.items()
        },
        mcnemar={pair: McNemar(12, 30, 0.0079) for pair in combinations(networks, 2)},
        calibration={counter: {**rows, "look": round(0.42 - 0.01 * i, 2)} for i, counter in enumerate(titles)},
        verification={
            counter: {"one_off": verified(skill * 0.7), "any_size": verified(skill)}
            for counter, skill in doubting.items()
        },
        visits=np.arange(400).reshape(200, 2),
        questions={},
        unlike={"as they are": 0.008, "turned left": 0.97, "dark": 1.0},
        covered=0.81,
        by_number=pd.DataFrame(
            [
                {"holds": holds, "bins": 40, "match": 0.1, "look": 0.85, "mismatch": 0.05}
                | {f"{kind}{ending}": value for kind in KINDS for ending, value in figures.items()}
                for holds, figures in (
                    ("0", {"_pairs": 0, "": np.nan, "_low": np.nan, "_high": np.nan}),
                    ("1 to 5", {"_pairs": 80, "": 0.71, "_low": 0.66, "_high": 0.77}),
                    ("6 or more", {"_pairs": 30, "": 0.6, "_low": 0.5, "_high": 0.7}),
                )
            ]
        ),
        list_verdicts=pd.DataFrame(
            [
                ("right", 400, 0.1, 0.86, 0.04),
                ("natural", 400, 0.03, 0.83, 0.14),
                ("alike", 200, 0.01, 0.55, 0.44),
                ("right change", 200, 0.7, 0.26, 0.04),
                ("change", 200, 0.05, 0.4, 0.55),
            ],
            columns=["case", "judged", "match", "look", "mismatch"],
        ),
        paired={
            **{counter: paired(skill) for counter, skill in doubting.items() if counter != "prior"},
            "verifier": paired(1.2, estimate(0.034)),
            "prior": paired(0.0),
        },
        verdicts={counter: verdicts(0.01 * i) for i, counter in enumerate(titles)},
        reliability={},
        contents={},
        roc={},
        gains={},
    )
