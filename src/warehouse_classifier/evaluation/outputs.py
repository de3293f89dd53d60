"""The files of an evaluation: the few figures that people compare, all others, and every prediction."""

import json
from dataclasses import asdict

import numpy as np

from warehouse_classifier.evaluation.counters import BASELINE, VERIFIER
from warehouse_classifier.evaluation.metrics import flat, rounded
from warehouse_classifier.evaluation.mismatches.lists import RIGHT
from warehouse_classifier.evaluation.mismatches.paired import PairedVerification
from warehouse_classifier.evaluation.mismatches.verification import Verification
from warehouse_classifier.evaluation.predictions import Predictions
from warehouse_classifier.evaluation.results import Evaluation

METRICS, EVALUATION, PREDICTIONS = "metrics.json", "evaluation.json", "predictions.csv"
DIGITS = 3  # in metrics.json, as many as the report shows; on 20,000 images chance moves the third


def metrics(evaluation: Evaluation) -> str:
    """metrics.json, flat: accuracy of each network and, under plain names, the figures of the last counter, their average.

    `auroc` tells mismatches by one item, `found` is the share of all mismatches among the headline's share of bins, `look` the
    share of right bins that somebody has to look at; auroc_natural, found_natural_in_5 (per cent of the bins) and auroc_change
    are of bins before and after a visit, where the test split has them (see visits.py); with _verifier at their ends, and look_verifier of right lists, the verifier's.
    """
    counter = evaluation.counters[-1]
    its, verified = evaluation.metrics[counter], evaluation.verification[counter]
    figures = {
        "acc": its.accuracy,
        **{f"acc_{network}": evaluation.metrics[network].accuracy for network in evaluation.networks},
        "macro_f1": its.macro_f1,
        "mae": its.mae,
        "auroc": verified["one_off"].auroc.value,
        "found": verified["any_size"].recall[evaluation.task.headline].value,
        "look": evaluation.calibration[counter]["look"],
    }
    budget = evaluation.task.headline
    for key, ending in ((counter, ""), (VERIFIER, f"_{VERIFIER}")):
        paired = evaluation.paired[key]
        if "natural" in paired:
            natural = paired["natural"].verification
            figures |= {
                f"auroc_natural{ending}": natural.auroc.value,
                f"found_natural_in_{100 * budget:g}{ending}": natural.recall[budget].value,
                f"auroc_change{ending}": paired["change"].verification.auroc.value,
            }
    shares = evaluation.list_verdicts.set_index("case")["look"]
    figures[f"look_{VERIFIER}"] = float(shares[RIGHT])
    return _json(rounded({key: round(value, DIGITS) for key, value in figures.items()}))


def details(evaluation: Evaluation) -> str:
    """evaluation.json, nested, at six digits: further ones would be noise in every diff. What is not known is null."""
    tests = evaluation.mcnemar.items()
    tree = {
        **{key: asdict(figures) for key, figures in evaluation.metrics.items()},
        "mcnemar": [{"first": first, "second": second, **asdict(test)} for (first, second), test in tests],
        "test_images": len(evaluation.answers),
        "calibration": evaluation.calibration,
        "verification": {
            counter: {mismatch: _figures(verified) for mismatch, verified in by_mismatch.items()}
            for counter, by_mismatch in evaluation.verification.items()
        },
        "visits": len(evaluation.visits),
        "volumes_covered": evaluation.covered,
        "unlike": dict(evaluation.unlike),
        "by_number": evaluation.by_number.to_dict("records"),
        "list_verdicts": evaluation.list_verdicts.to_dict("records"),
        "lists": {
            key: {kind: _figures(paired) for kind, paired in by_kind.items()}
            for key, by_kind in evaluation.paired.items()
        },
    }
    return _json(rounded(tree), sort_keys=True)


def named(evaluation: Evaluation) -> dict[str, float]:
    """The same under one name each: resnet34_accuracy, vit_recall_3, average_one_off_auroc. What is not known is left out."""
    values = flat(evaluation.metrics, evaluation.mcnemar)
    for counter, figures in evaluation.calibration.items():
        values |= {f"{counter}_{name}": value for name, value in figures.items()}
    for counter, by_mismatch in evaluation.verification.items():
        for mismatch, verified in by_mismatch.items():
            values |= {f"{counter}_{mismatch}_{name}": value for name, value in _figures(verified).items()}
    for key, by_kind in evaluation.paired.items():
        for kind, paired in by_kind.items():
            values |= {f"{key}_{kind}_{name}": value for name, value in _figures(paired).items()}
    return {name: value for name, value in values.items() if np.isfinite(value)}


def predictions(evaluation: Evaluation, test: Predictions) -> str:
    """predictions.csv: facts, each counter's prediction, and its probability of each quantity: average_p1, ..."""
    shares = {
        f"{counter}_p{quantity}": test.probabilities[counter][:, label]
        for counter in evaluation.counters
        for label, quantity in enumerate(evaluation.quantities)
    }
    columns = evaluation.answers.drop(columns=BASELINE).assign(**shares)
    return columns.to_csv(index=False, float_format="%.6f", lineterminator="\n")


def _figures(verified: Verification | PairedVerification) -> dict[str, float]:
    figures: dict[str, float] = {}
    for name, estimate in verified.named().items():
        figures |= {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
    return figures


def _json(tree: object, *, sort_keys: bool = False) -> str:
    return json.dumps(tree, indent=2, sort_keys=sort_keys, allow_nan=False) + "\n"
