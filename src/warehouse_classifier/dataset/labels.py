"""Where a quantity and a label meet: quantity is how many items a bin holds, label the 0-based class of a network."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


class QuantityEncoder:
    """The quantities that a network tells apart, in ascending order; a label is a position in them."""

    def __init__(self, quantities: Sequence[int]) -> None:
        self.quantities = tuple(sorted(quantities))

    def __len__(self) -> int:
        return len(self.quantities)

    def encode(self, quantity: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Labels of one or many quantities. Raises ValueError for a quantity that has none."""
        wanted = np.asarray(quantity)
        label = np.searchsorted(self.quantities, wanted)
        if np.any(np.take(self.quantities, label, mode="clip") != wanted):
            raise ValueError(f"{wanted.tolist()} is not among the quantities {self.quantities}")
        return np.asarray(label, dtype=np.int64)

    def decode(self, label: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Quantities of one or many labels."""
        return np.take(np.asarray(self.quantities, dtype=np.int64), np.asarray(label))
