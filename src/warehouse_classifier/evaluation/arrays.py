"""The arrays that pass between the modules of this room."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Masks = npt.NDArray[np.bool_]
Features = npt.NDArray[np.floating]  # what networks see, [photos, features]; float32, which is half as large
