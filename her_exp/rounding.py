"""Goals on either side of what rounding leaves open."""

from __future__ import annotations

from typing import Any

import numpy as np

from her_exp.types import Array


def may_be_rounded(achieved: Array, desired: Array) -> Array:
    """Return (b,) bool: could these goals (b, ...) be the env's own numbers, rounded to their dtype?

    Not whole numbers, nor places on a lattice (bits as floats, tenths, thirds): there goals lie at a
    threshold all the time, and what the env pays besides could not be told from rounding. What was
    rounded has digits to the last one. Nor goals that are equal: no threshold lies between them.
    """
    if not np.issubdtype(achieved.dtype, np.floating):
        return np.zeros(len(achieved), bool)
    sides = [g.reshape(len(g), -1).astype(np.float64) for g in (achieved, desired)]
    size, gap = np.abs(np.concatenate(sides, 1)), np.abs(sides[0] - sides[1])
    eps = np.finfo(achieved.dtype).eps
    on_lattice = _whole_parts(size, size, eps, 32) | _whole_parts(size, gap, eps, 8)
    apart = np.where(gap.max(1) > 0, gap.max(1), np.inf)
    if gap.shape[1] > 1:  # wherever the lattice begins: of one coordinate that says nothing
        on_lattice |= _whole_parts(gap, gap, eps * np.maximum(1.0, size.max(1) / apart), 8)
    rounded: Array = ~on_lattice & (achieved != desired).reshape(len(achieved), -1).any(1)
    return rounded


def _whole_parts(values: Array, steps: Array, eps: Any, most: int) -> Array:
    """Say in which rows all `values` (b, n) are whole multiples of a part of the least of `steps` (b, m).

    Args:
        values, steps: >= 0; zeros are no steps.
        eps: relative error of the values.
        most: parts that are tried: halves, thirds, ...
    """
    unit = np.where(steps > 0, steps, np.inf).min(1, keepdims=True)
    times = np.where(np.isfinite(unit), values / unit, 0.0)
    # The unit's own error grows with what is measured by it.
    width = (
        np.reshape(eps, (-1, 1))
        * np.maximum(1.0, times)
        * np.maximum(1.0, times.max(1, keepdims=True))
    )
    parts = np.arange(1, most + 1)
    many = times[:, :, None] * parts
    near = np.abs(many - np.rint(many)) <= width[:, :, None] * parts
    whole: Array = near.all(1).any(-1)
    return whole


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
