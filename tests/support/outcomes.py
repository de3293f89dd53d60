"""A network that is right as often as it says, and what came true."""

import numpy as np
from scipy.special import softmax


def outcomes(seed: int, images: int = 4000, temperature: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Logits of someone who is right as often as softmax(logits / temperature) says, and what came true."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (images, 5))
    shares = softmax(logits / temperature, axis=1)
    return logits, (shares.cumsum(axis=1) < rng.random((images, 1))).sum(axis=1)
