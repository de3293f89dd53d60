"""The networks that the tests are about: two, however many the project has."""

from collections.abc import Iterator
from contextlib import contextmanager

from warehouse_classifier.evaluation.counters import COUNTERS
from warehouse_classifier.models.registry import NETWORKS

EVERY = dict(NETWORKS)  # as the project has them, and the processes that tests start
COUNTS = dict(COUNTERS)
TWO = ("resnet34", "vit")


def be_two() -> None:
    """For this process: tests pin what is said of two networks, and a third is no reason to write them anew."""
    for key in EVERY.keys() - {*TWO}:
        del NETWORKS[key], COUNTERS[key]


@contextmanager
def be_all() -> Iterator[None]:
    """For a block: as the processes that tests start have it."""
    NETWORKS.update(EVERY)
    COUNTERS.update(COUNTS)
    yield
    be_two()
