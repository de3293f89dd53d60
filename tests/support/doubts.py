"""Doubts of a counter that knows something, drawn."""

import numpy as np
from hypothesis import strategies as st

from warehouse_classifier.evaluation.mismatches.expectations import right_mask

QUANTITIES = (1, 2, 3, 4, 5)


def drawn(seed: int, images: int = 300, digits: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Doubts of a counter that knows something, few digits of them so that some are alike, and what the images hold."""
    rng = np.random.default_rng(seed)
    actual = rng.choice(QUANTITIES, images, p=[0.1, 0.3, 0.3, 0.2, 0.1])
    logits = rng.normal(size=(images, 5)) + 2 * right_mask(QUANTITIES, actual)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return np.round(1 - shares, digits), actual


cases = st.builds(drawn, st.integers(0, 999), st.integers(5, 60), st.integers(1, 6))
