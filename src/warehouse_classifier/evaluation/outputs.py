"""What an evaluation leaves in files: the few figures that people compare, all others, and every prediction."""

import json
from dataclasses import asdict

import numpy as np

from warehouse_classifier.evaluation.counters import BASELINE
from warehouse_classifier.evaluation.metrics import flat, rounded
from warehouse_classifier.evaluation.predictions import Predictions
from warehouse_classifier.evaluation.results import Evaluation
from warehouse_classifier.evaluation.verification import Verification

METRICS, EVALUATION, PREDICTIONS = "metrics.json", "evaluation.json", "predictions.csv"
DIGITS = 3  # of what people compare in a terminal, as many as the report shows; on 20,000 images chance moves the third


def metrics(evaluation: Evaluation) -> str:
    """metrics.json, flat: accuracy of each network, and under plain names what its last counter, their average, is worth.

    `auroc` tells mismatches by one item, `found` is the share of all mismatches among the headline's share of bins, `look` the
    share of right bins that somebody has to look at. Keys are short, or `dvc exp show` does not fit 120 columns.
    """
    counter = evaluation.counters[-1]
    scores, verified = evaluation.scores[counter], evaluation.verification[counter]
    figures = {
        "acc": scores.accuracy,
        **{f"acc_{key}": evaluation.scores[key].accuracy for key in evaluation.networks},
        "macro_f1": scores.macro_f1,
        "mae": scores.mae,
        "auroc": verified["one_off"].auroc.value,
        "found": verified["any_size"].found[evaluation.task.headline].value,
        "look": evaluation.calibration[counter]["look"],
    }
    return _json(rounded({key: round(value, DIGITS) for key, value in figures.items()}))


def details(evaluation: Evaluation) -> str:
    """evaluation.json, nested, at six digits: further ones would be noise in every diff. What is not known is null."""
    tests = evaluation.mcnemar.items()
    tree = {
        **{key: asdict(scores) for key, scores in evaluation.scores.items()},
        "mcnemar": [{"first": first, "second": second, **asdict(test)} for (first, second), test in tests],
        "test_images": len(evaluation.answers),
        "calibration": evaluation.calibration,
        "verification": {
            key: {kind: _figures(verified) for kind, verified in kinds.items()}
            for key, kinds in evaluation.verification.items()
        },
    }
    return _json(rounded(tree), sort_keys=True)


def named(evaluation: Evaluation) -> dict[str, float]:
    """The same under one name each: resnet34_accuracy, vit_recall_3, average_one_off_auroc. What is not known is left out."""
    values = flat(evaluation.scores, evaluation.mcnemar)
    for key, promises in evaluation.calibration.items():
        values |= {f"{key}_{name}": value for name, value in promises.items()}
    for key, kinds in evaluation.verification.items():
        for kind, verified in kinds.items():
            values |= {f"{key}_{kind}_{name}": value for name, value in _figures(verified).items()}
    return {name: value for name, value in values.items() if np.isfinite(value)}


def predictions(evaluation: Evaluation, test: Predictions) -> str:
    """predictions.csv: facts, what every counter says, and how probable each quantity is by it: average_p1, ..."""
    shares = {
        f"{key}_p{quantity}": test.probabilities[key][:, label]
        for key in evaluation.counters
        for label, quantity in enumerate(evaluation.quantities)
    }
    columns = evaluation.answers.drop(columns=BASELINE).assign(**shares)
    return columns.to_csv(index=False, float_format="%.6f", lineterminator="\n")


def _figures(verified: Verification) -> dict[str, float]:
    figures: dict[str, float] = {}
    for name, figure in verified.named().items():
        figures |= {name: figure.value, f"{name}_low": figure.low, f"{name}_high": figure.high}
    return figures


def _json(tree: object, *, sort_keys: bool = False) -> str:
    return json.dumps(tree, indent=2, sort_keys=sort_keys, allow_nan=False) + "\n"
