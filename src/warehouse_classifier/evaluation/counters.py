"""Who counts: each network, and the average of them all. Beside them stand two that see no photo.

A module of its own: the command line names them before it imports anything that takes seconds.
"""

from warehouse_classifier.models.registry import NETWORKS

AVERAGE = "average"
COUNTERS = {**{key: network.title for key, network in NETWORKS.items()}, AVERAGE: "their average"}  # titles by key
BASELINE = "baseline"  # always says the quantity that the training split holds most often
PRIOR, PRIOR_TITLE = "prior", "the expectation alone"  # doubts by the training split's share of each quantity
VERIFIER, VERIFIER_TITLE = "verifier", "the verifier"  # doubts of a photo and a whole list, see verifier/
