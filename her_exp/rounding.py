"""Goals on either side of what rounding leaves open."""

from __future__ import annotations

import numpy as np

from her_exp.types import Array

#: Places on a lattice are so many times a part of the smallest of them.
_PARTS = np.arange(1, 33)


def may_be_rounded(achieved: Array, desired: Array) -> Array:
    """Return (b,) bool: could these goals (b, ...) be the env's own numbers, rounded to their dtype?

    Not whole numbers, nor places on a lattice (bits as floats, tenths, thirds): there goals lie at a
    threshold all the time, and what the env pays besides could not be told from rounding. What was
    rounded has digits to the last one. Nor goals that are equal: no threshold lies between them.
    """
    if not np.issubdtype(achieved.dtype, np.floating):
        return np.zeros(len(achieved), bool)
    both = np.concatenate(
        [g.reshape(len(g), -1).astype(np.float64) for g in (achieved, desired)], 1
    )
    size = np.abs(both)
    unit = np.where(size > 0, size, np.inf).min(1, keepdims=True)
    times = (
        np.where(np.isfinite(unit), size / unit, 0.0)[:, :, None] * _PARTS
    )  # (b, numbers, parts)
    width = 4 * np.finfo(achieved.dtype).eps * np.maximum(times, 1.0)
    on_lattice = (np.abs(times - np.rint(times)) <= width).all(1).any(-1)
    rounded: Array = ~on_lattice & (achieved != desired).reshape(len(achieved), -1).any(1)
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
