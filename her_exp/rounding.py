"""Goals on either side of what rounding leaves open."""

from __future__ import annotations

import numpy as np

from her_exp.types import Array


def may_be_rounded(achieved: Array, desired: Array) -> Array:
    """Return (b,) bool: could these goals (b, ...) be the env's own numbers, rounded to their dtype?

    Not whole numbers, nor goals of few digits (bits as floats, places on a lattice of halves): what was
    rounded has digits to the last one. Nor goals that are equal: no threshold lies between them.
    """
    axes = tuple(range(1, achieved.ndim))
    if not np.issubdtype(achieved.dtype, np.floating):
        return np.zeros(len(achieved), bool)
    with np.errstate(over="ignore"):
        short = [(g == g.astype(np.float16)).all(axes) for g in (achieved, desired)]
    rounded: Array = ~(short[0] & short[1]) & (achieved != desired).any(axes)
    return rounded


def either_side(achieved: Array, desired: Array) -> tuple[Array, Array]:
    """Return desired goals a little nearer to the achieved ones, and a little farther: same shape and dtype.

    An env may judge in float64 what it shows in float32, and at a threshold the two may differ. Each
    coordinate is moved by what rounding both goals to their dtype can do to the gap; whole numbers stay.
    """
    if not np.issubdtype(desired.dtype, np.floating):
        return desired, desired
    width = 2 * np.finfo(desired.dtype).eps * np.maximum(np.abs(achieved), np.abs(desired))
    gap = achieved - desired
    nearer = desired + np.sign(gap) * np.minimum(width, np.abs(gap))
    farther = desired - np.where(gap >= 0, width, -width)
    return nearer.astype(desired.dtype), farther.astype(desired.dtype)
