"""Goals on either side of what rounding leaves open."""

from __future__ import annotations

import numpy as np

from her_exp.types import Array


def either_side(achieved: Array, desired: Array) -> tuple[Array, Array]:
    """Return desired goals a little nearer to the achieved ones, and a little farther: same shape and dtype.

    An env may judge in float64 what it shows in float32, and at a threshold the two may differ. Each
    coordinate is moved by what rounding both goals to their dtype can do to the gap. Whole numbers stay.
    """
    if not np.issubdtype(desired.dtype, np.floating):
        return desired, desired
    width = 2 * np.finfo(desired.dtype).eps * np.maximum(np.abs(achieved), np.abs(desired))
    move = np.where(achieved >= desired, width, -width)
    return (desired + move).astype(desired.dtype), (desired - move).astype(desired.dtype)
