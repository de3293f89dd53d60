"""The tables behind the report's charts: what `dvc plots diff` sets beside another experiment's."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from warehouse_classifier.dataset.labels import QuantityEncoder
from warehouse_classifier.evaluation import reliability, thresholds
from warehouse_classifier.evaluation.arrays import Floats, Ints, Masks
from warehouse_classifier.evaluation.calibration import Calibrated, Calibration
from warehouse_classifier.evaluation.counters import AVERAGE
from warehouse_classifier.evaluation.metrics import interval
from warehouse_classifier.evaluation.mismatches import expectations
from warehouse_classifier.evaluation.mismatches.expectations import CASES, HOLDS
from warehouse_classifier.evaluation.predictions import Predictions
from warehouse_classifier.evaluation.temperature import averaged, nll, scaled

FEWEST_GROUPS = 20  # of near-duplicates, for an interval


def uncalibrated(predictions: Predictions) -> dict[str, Floats]:
    """Probabilities of each counter without its own temperature; the average is of calibrated networks."""
    networks = {network: scaled(logits, 1.0) for network, logits in predictions.logits.items()}
    return {**networks, AVERAGE: scaled(averaged(predictions.probabilities), 1.0)}


def reliabilities(
    predictions: Predictions, encoder: QuantityEncoder, seed: int
) -> tuple[dict[str, pd.DataFrame], dict[str, dict[str, float]]]:
    """By counter, the table of the reliability diagram before and after its temperature, and the errors of both.

    `seed`: of the draws that tell what error chance alone makes. ECE in [0, 1], negative log-likelihoods (nll) in nats.
    """
    label, before = encoder.encode(predictions.quantity), uncalibrated(predictions)
    tables, errors = {}, {}
    for counter, after in predictions.probabilities.items():
        stages = {"before": before[counter], "after": after}
        parts = {stage: reliability.table(shares, label) for stage, shares in stages.items()}
        tables[counter] = pd.concat([part.assign(stage=stage) for stage, part in parts.items()])
        errors[counter] = {f"ece_{stage}": reliability.error(part) for stage, part in parts.items()}
        errors[counter] |= {f"nll_{stage}": nll(shares, label) for stage, shares in stages.items()}
        errors[counter]["ece_chance"] = reliability.chance(after, seed)
    return tables, errors


def cases(
    counter: str, calibrated: Calibrated, test: Predictions, outside: Predictions, encoder: QuantityEncoder
) -> pd.DataFrame:
    """The share of each verdict by case: right expectations, wrong ones, and bins whose quantity no network knows, which
    are expected to hold each known one as often as the test split is. Columns: case, images, match, look, mismatch."""
    right, ones = expectations.right_mask(encoder.quantities, test.quantity), np.ones(len(test.facts))
    weights = {"right": right.astype(np.float64)}
    for mismatch in expectations.MISMATCHES:
        wrong = expectations.wrong_mask(encoder.quantities, test.quantity, mismatch)
        weights[mismatch] = expectations.balanced_weights(right, wrong, ones)[1]
    parts = [
        (CASES[case], int(weight.any(axis=1).sum()), test.doubts(counter), weight)
        for case, weight in weights.items()
        if weight.any()
    ]
    expected = right.sum(axis=0) / len(right)
    for case, rows in outside_cases(outside.quantity, encoder.quantities).items():
        doubts = outside.doubts(counter)[rows]
        parts.append((case, len(doubts), doubts, np.tile(expected, (len(doubts), 1))))
    return pd.DataFrame(
        {
            "case": case,
            "images": images,
            **thresholds.verdicts(doubts, weight, calibrated.match, calibrated.mismatch),
        }
        for case, images, doubts, weight in parts
    )


def outside_cases(actual: Ints, quantities: Sequence[int]) -> dict[str, Masks]:
    """Masks of the bins that hold each unknown quantity: each one below and between, the next two above, and all further ones."""
    last = max(quantities) + 3
    masks = {f"{HOLDS} {quantity}": actual == quantity for quantity in np.unique(actual[actual < last]).tolist()}
    return masks | ({f"{HOLDS} {last} or more": actual >= last} if np.any(actual >= last) else {})


def by_contents(
    group: pd.Series, test: Predictions, answers: pd.DataFrame, *, seed: int, resamples: int
) -> pd.DataFrame:
    """Accuracy of each counter with its interval, for the images of each group, in the order of its categories.

    Columns: group, images and, by counter, vit, vit_low, vit_high. No interval where fewer than FEWEST_GROUPS of
    near-duplicates lie in one: a bootstrap of so few says far too little.
    """
    rows = []
    for name in group.cat.categories:
        own = (group == name).to_numpy()
        if not own.any():
            continue
        row: dict[str, object] = {"group": str(name), "images": int(own.sum())}
        for counter in test.probabilities:
            correct = answers[counter].to_numpy()[own] == test.quantity[own]
            low, high = interval(correct, test.groups[own], seed=seed, resamples=resamples)
            if len(set(test.groups[own])) < FEWEST_GROUPS:
                low = high = np.nan
            row |= {counter: float(correct.mean()), f"{counter}_low": low, f"{counter}_high": high}
        rows.append(row)
    return pd.DataFrame(rows)


def calibration_summary(
    calibration: Calibration, errors: Mapping[str, Mapping[str, float]], verdicts: Mapping[str, pd.DataFrame]
) -> dict[str, dict[str, float]]:
    """By counter: its temperature, its errors, and the shares wanted of the thresholds beside those met on the test split.

    `errors` as of reliabilities, `verdicts` as of cases.
    """
    summary = {}
    for counter, table in verdicts.items():
        shares = table.set_index("case").reindex([CASES["right"], CASES["one_off"]])
        right, one_off = shares.iloc[0], shares.iloc[1]
        summary[counter] = {
            "temperature": calibration.counters[counter].temperature,
            **errors[counter],
            "false_alarms_wanted": calibration.false_alarms,
            "false_alarms_met": float(right["mismatch"]),
            "misses_wanted": calibration.misses,
            "misses_met": float(one_off["match"]),
            "look": float(right["look"]),
        }
    return summary
