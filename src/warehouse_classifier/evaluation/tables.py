"""The tables behind the report's charts: what `dvc plots diff` sets beside another experiment's."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from warehouse_classifier.dataset.labels import QuantityEncoder
from warehouse_classifier.evaluation import expectations, reliability, thresholds
from warehouse_classifier.evaluation.calibration import Calibrated, Calibration
from warehouse_classifier.evaluation.counters import AVERAGE
from warehouse_classifier.evaluation.expectations import CASES, HOLDS
from warehouse_classifier.evaluation.metrics import interval
from warehouse_classifier.evaluation.predictions import Predictions
from warehouse_classifier.evaluation.temperature import averaged, nll, scaled

Floats = npt.NDArray[np.float64]
FEWEST = 20


def uncalibrated(predictions: Predictions) -> dict[str, Floats]:
    """Probabilities as each counter has them without its own temperature; the average is of calibrated networks."""
    plain = {network: scaled(of, 1.0) for network, of in predictions.logits.items()}
    return {**plain, AVERAGE: scaled(averaged(predictions.probabilities), 1.0)}


def reliabilities(
    predictions: Predictions, labels: QuantityEncoder, seed: int
) -> tuple[dict[str, pd.DataFrame], dict[str, dict[str, float]]]:
    """By counter, the table of the reliability diagram before and after its temperature, and the errors of both.

    `seed`: of the draws that tell what error chance alone makes.
    """
    label, plain = labels.encode(predictions.quantity), uncalibrated(predictions)
    tables, errors = {}, {}
    for who in predictions.probabilities:
        stages = {"before": plain[who], "after": predictions.probabilities[who]}
        parts = {stage: reliability.table(of, label) for stage, of in stages.items()}
        tables[who] = pd.concat([part.assign(stage=stage) for stage, part in parts.items()])
        errors[who] = {f"ece_{stage}": reliability.error(part) for stage, part in parts.items()}
        errors[who] |= {f"nll_{stage}": nll(of, label) for stage, of in stages.items()}
        errors[who]["ece_chance"] = reliability.chance(predictions.probabilities[who], seed)
    return tables, errors


def cases(
    who: str, known: Calibrated, test: Predictions, outside: Predictions, labels: QuantityEncoder
) -> pd.DataFrame:
    """The share of each verdict by case: right expectations, wrong ones, and bins that hold a quantity outside what is known
    and come disguised as one inside, as often as each is expected in the test split."""
    quantities, ones = labels.quantities, np.ones(len(test.facts))
    right = expectations.right_of(quantities, test.quantity)
    weights = {"right": right.astype(np.float64)}
    for kind in expectations.KINDS:
        weights[kind] = expectations.match_expected(
            right, expectations.wrong_of(quantities, test.quantity, kind), ones
        )[1]
    rows = [
        {"case": CASES[case], "images": int(of.any(axis=1).sum()), **_shares(known, test.doubts(who), of)}
        for case, of in weights.items()
        if of.any()
    ]
    expected = right.sum(axis=0) / len(right)
    for words, which in kinds_of(outside.quantity, quantities).items():
        doubts = outside.doubts(who)[which]
        disguised = np.tile(expected, (len(doubts), 1))
        rows.append({"case": words, "images": len(doubts), **_shares(known, doubts, disguised)})
    return pd.DataFrame(rows)


def kinds_of(outside: npt.NDArray[np.int64], quantities: Sequence[int]) -> dict[str, npt.NDArray[np.bool_]]:
    """Which bins hold what, in words: each quantity below and between, the next two above, and all further ones."""
    last = max(quantities) + 3
    found = {f"{HOLDS} {quantity}": outside == quantity for quantity in sorted({*outside.tolist()}) if quantity < last}
    if np.any(outside >= last):
        found[f"{HOLDS} {last} or more"] = outside >= last
    return found


def by_contents(
    group: pd.Series, test: Predictions, answers: pd.DataFrame, *, seed: int, resamples: int
) -> pd.DataFrame:
    """Accuracy of each counter with its interval, for the images of each group, in the order of its categories.

    No interval where fewer than FEWEST groups of near-duplicates lie in one: a bootstrap of so few says far too little.
    """
    rows = []
    for name in group.cat.categories:
        mine = (group == name).to_numpy()
        if not mine.any():
            continue
        row: dict[str, object] = {"group": str(name), "images": int(mine.sum())}
        for who in test.probabilities:
            correct = answers[who].to_numpy()[mine] == test.quantity[mine]
            low, high = interval(correct, test.groups[mine], seed=seed, resamples=resamples)
            if len(set(test.groups[mine])) < FEWEST:
                low = high = np.nan
            row |= {who: float(correct.mean()), f"{who}_low": low, f"{who}_high": high}
        rows.append(row)
    return pd.DataFrame(rows)


def promises(
    known: Calibration, errors: Mapping[str, Mapping[str, float]], judged: Mapping[str, pd.DataFrame]
) -> dict[str, dict[str, float]]:
    """By counter: its temperature, its errors, and the shares wanted of the thresholds beside those the test split came to."""
    found = {}
    for who, table in judged.items():
        met = {row["case"]: row for row in table.to_dict("records")}
        right, one_off = met[CASES["right"]], met.get(CASES["one_off"], {})
        found[who] = {
            "temperature": known.counters[who].temperature,
            **errors[who],
            "false_alarms_wanted": known.false_alarms,
            "false_alarms_met": float(right["mismatch"]),
            "misses_wanted": known.misses,
            "misses_met": float(one_off.get("match", np.nan)),
            "look": float(right["look"]),
        }
    return found


def _shares(known: Calibrated, doubts: Floats, weights: Floats) -> dict[str, float]:
    return thresholds.verdicts(doubts, weights, known.match, known.mismatch)
