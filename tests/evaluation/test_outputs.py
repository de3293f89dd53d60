"""What stands in which file, for two networks and for three."""

import json

import pytest

from support.evaluations import THREE, TITLES, measured
from warehouse_classifier.evaluation import outputs
from warehouse_classifier.evaluation.results import Evaluation


@pytest.fixture(scope="module")
def three() -> Evaluation:
    return measured(THREE)


def test_metrics_tell_of_the_average_and_of_the_accuracy_of_each_network() -> None:
    evaluation = measured(TITLES)
    figures, its = json.loads(outputs.metrics(evaluation)), evaluation.metrics["average"]
    assert list(figures) == [
        "acc", "acc_resnet34", "acc_vit", "macro_f1", "mae", "auroc", "found", "look", "auroc_natural",
        "found_natural_in_5", "auroc_change", "auroc_natural_verifier", "found_natural_in_5_verifier",
        "auroc_change_verifier", "look_verifier",
    ]  # fmt: skip
    accuracies = {network: round(evaluation.metrics[network].accuracy, 3) for network in ("resnet34", "vit")}
    assert {network: figures[f"acc_{network}"] for network in accuracies} == accuracies
    assert (figures["acc"], figures["macro_f1"], figures["mae"]) == (
        round(its.accuracy, 3), round(its.macro_f1, 3), round(its.mae, 3),
    )  # fmt: skip
    assert len({figures["acc"], *accuracies.values()}) == 3
    # of mismatches by one item; of all mismatches where 5 % of the bins are looked at, as the report's headline has it
    assert (figures["auroc"], figures["found"], figures["look"]) == (0.78, 0.2, 0.4)


def test_metrics_of_a_third_network_are_one_more(three: Evaluation) -> None:
    figures = json.loads(outputs.metrics(three))
    assert len(figures) == 16
    assert figures["acc_convnext_tiny"] == round(three.metrics["convnext_tiny"].accuracy, 3)
    assert not any(isinstance(value, dict | list) for value in figures.values())


def test_every_pair_of_networks_stands_in_the_details_and_in_mlflow(three: Evaluation) -> None:
    tree = json.loads(outputs.details(three))
    assert tree["mcnemar"][1] == {
        "first": "resnet34", "second": "convnext_tiny", "first_only": 12, "second_only": 30, "p": 0.0079,
    }  # fmt: skip
    assert len(tree["mcnemar"]) == 3
    assert {
        *THREE,
        "baseline",
        "mcnemar",
        "test_images",
        "calibration",
        "verification",
        "visits",
        "volumes_covered",
        "by_number",
        "unlike",
        "list_verdicts",
        "lists",
    } == tree.keys()
    names = outputs.named(three)
    assert [name for name in names if name.startswith("mcnemar")] == [
        "mcnemar_p_resnet34_vit", "mcnemar_p_resnet34_convnext_tiny", "mcnemar_p_vit_convnext_tiny",
    ]  # fmt: skip
    assert names["prior_any_size_found_in_5"] == three.verification["prior"]["any_size"].recall[0.05].value
