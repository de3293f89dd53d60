"""The list of networks: each has all that a network needs, and naming them costs no seconds."""

import subprocess
import sys
from pathlib import Path

import pytest
from torch import nn

from support.networks import COUNTS, EVERY
from support.predictors import TINY
from support.projects import TOP
from warehouse_classifier.evaluation.counters import AVERAGE
from warehouse_classifier.report.style import STYLES
from warehouse_classifier.serving.heat_maps import METHODS

SOURCE = TOP / "src" / "warehouse_classifier"


@pytest.mark.parametrize("key", EVERY)
def test_every_network_has_all_that_a_network_needs(key: str) -> None:
    assert (SOURCE / "models" / f"{key}.py").is_file()
    assert (SOURCE / "stages" / f"train_{key}.py").is_file()
    assert key in STYLES
    assert EVERY[key].explanation in {None, *METHODS}


def test_every_training_is_of_a_network_of_the_registry() -> None:
    modules = {file.stem for file in (SOURCE / "models").glob("*.py")}
    assert {key for key in modules if (SOURCE / "stages" / f"train_{key}.py").is_file()} == {*EVERY}


def test_titles_and_styles_tell_networks_apart() -> None:
    titles = [network.title for network in EVERY.values()]
    assert len({*titles, COUNTS[AVERAGE]}) == len(titles) + 1
    styles = list(STYLES.values())
    assert len({(style.colour, style.marker) for style in styles}) == len(styles)


@pytest.mark.parametrize("key", EVERY)
def test_each_loader_brings_its_own_network(key: str, tmp_path: Path) -> None:
    TINY[key](tmp_path)
    network = EVERY[key].loader(tmp_path)
    assert isinstance(network, nn.Module)
    assert type(network).__module__ == f"warehouse_classifier.models.{key}"
    assert not network.training


def test_naming_the_networks_imports_nothing_slow() -> None:
    slow = "{'torch', 'transformers', 'torchvision', 'scipy', 'pandas', 'numpy'}"
    code = (
        "import sys, warehouse_classifier.models.registry, warehouse_classifier.evaluation.counters;"
        f"sys.exit(', '.join({slow} & set(sys.modules)) or 0)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
