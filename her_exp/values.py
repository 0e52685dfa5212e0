"""What a stranger's env gives, checked where it comes in: rewards, ends, successes, info.

A lane of Gymnasium's own vector envs is checked before they cast it (`one_number`, `one_truth`,
`readable`), arrays of any vector env as they come (`numbers`, `truths`). Of info only what somebody
reads is judged; the rest need not even be batched.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from her_exp.text import one_line, shortened
from her_exp.types import Array, EnvFailed

_NUMBERS = "biuf"  # kinds of dtype that hold truth values, integers, floats


class Kind(str):
    """What kind of value stood there, in place of the value."""


def one_number(who: str, name: str, value: Any) -> float:
    """Return `value` as a float; EnvFailed unless it is one number."""
    if isinstance(value, float):
        return value
    array = as_array(value)
    if array is None or array.size != 1 or not is_numeric(array):
        raise EnvFailed(f"{who} the {name} {told(value)}; give one number")
    return float(array.reshape(()))


def one_truth(who: str, name: str, value: Any) -> bool:
    """Return `value` as a bool; EnvFailed unless it is one truth value."""
    if isinstance(value, bool | np.bool_):
        return bool(value)
    array = as_array(value)
    if array is None or array.size != 1 or not is_truth(array):
        raise EnvFailed(f"{who} {name}={told(value)}; give True or False")
    return bool(array.reshape(()))


def truths(who: str, values: Any, n: int, lanes: Array | None = None) -> Array:
    """Return (n,) bool of n lanes; EnvFailed, which names the first lane, unless each is one truth value.

    A number is one if it is 0 or 1. Of `lanes` (n,) bool, where given, the others are False.
    """
    array, lanes = as_array(values), np.ones(n, np.bool_) if lanes is None else lanes
    if array is None or not array.shape or len(array) != n:
        raise EnvFailed(f"{who} is {told(values)}; it must be a truth value of each of {n} lanes")
    if array.shape == (n,) and array.dtype == np.bool_:
        return np.asarray(array & lanes)
    found = np.zeros(n, np.bool_)
    for lane in np.flatnonzero(lanes):
        each = as_array(array[lane])
        if each is None or each.size != 1 or not is_truth(each):
            raise EnvFailed(
                f"{who} of lane {lane} is {told(array[lane])}; it must be one truth value"
            )
        found[lane] = each.any()
    return found


def numbers(who: str, values: Any, n: int) -> Array:
    """Return an array (n, ...) of numbers of n lanes; EnvFailed, which names the first lane, unless it is."""
    array = as_array(values)
    if array is None or not array.shape or len(array) != n:
        raise EnvFailed(f"{who} is {told(values)}; it must be numbers of each of {n} lanes")
    if not is_numeric(array):
        lanes = [as_array(value) for value in array]
        for lane, each in enumerate(lanes):
            if each is None or not is_numeric(each):
                raise EnvFailed(f"{who} of lane {lane} is {told(array[lane])}; it must be numbers")
        shapes = [each.shape for each in lanes if each is not None]
        lane = next((lane for lane, shape in enumerate(shapes) if shape != shapes[0]), 0)
        raise EnvFailed(
            f"{who} of lane {lane} has shape {shapes[lane]}, of lane 0 {shapes[0]}; all must be alike"
        )
    return array


def lanes_of(info: Mapping[str, Any], key: str, n: int) -> Array:
    """Return (n,) bool: which lanes of a vector env's info gave this field."""
    if key not in info:
        return np.zeros(n, np.bool_)
    return np.asarray(info.get(f"_{key}", np.ones(n, np.bool_)), np.bool_)


def readable(who: str, info: Any) -> dict[str, Any]:
    """Return what of a lane's info somebody could read: numbers and arrays of them, by names.

    Text is kept, to be named where it is read; of the rest the kind is. What has no name, or one that a
    vector env needs for itself, goes, and so does None: nothing is said.
    """
    if not isinstance(info, Mapping):
        raise EnvFailed(f"{who} the info {told(info)}; give a dict")
    return {
        key: _plain(value)
        for key, value in info.items()
        if isinstance(key, str) and not key.startswith("_") and value is not None
    }


def add_info(batch: dict[str, Any], info: Mapping[str, Any], lane: int, n: int) -> dict[str, Any]:
    """Add a lane's `readable` info to that of n lanes, as Gymnasium has it: an array and a mask a key.

    Integers make room for floats. Where lanes differ in shape, or one gives no numbers, the array holds
    objects, which `numbers` and `truths` name.
    """
    for key, value in info.items():
        each = np.asarray(value)
        if key not in batch:
            mask = np.zeros(n, np.bool_)
            fits = is_numeric(each)
            batch[key] = np.zeros((n, *each.shape), each.dtype) if fits else np.full(n, None)
        else:
            mask = batch[f"_{key}"]
        array = batch[key]
        if array.dtype != object and (each.shape != array.shape[1:] or not is_numeric(each)):
            batch[key] = array = _objects(array, mask)
        if array.dtype != object and not np.can_cast(each.dtype, array.dtype):
            batch[key] = array = array.astype(np.result_type(each.dtype, array.dtype))
        array[lane] = value
        mask[lane] = True
        batch[f"_{key}"] = mask
    return batch


def _objects(array: Array, mask: Array) -> Array:
    loose = np.full(len(array), None)
    for lane in np.flatnonzero(mask):
        loose[lane] = array[lane]
    return loose


def _plain(value: Any) -> Any:
    if isinstance(value, bool | int | float | str | np.number | np.bool_):
        return value
    array = None if isinstance(value, Mapping | set) else as_array(value)
    if array is None or not is_numeric(array):
        return Kind(f"a {type(value).__name__}")
    return array


def as_array(value: Any) -> Array | None:
    """Return `value` as an array, or None where NumPy makes none of it."""
    try:
        return np.asarray(value)
    except Exception:  # ragged lists, or whatever a stranger's __array__ raises
        return None


def is_numeric(array: Array) -> bool:
    """Say whether an array holds truth values, integers or floats."""
    return array.dtype.kind in _NUMBERS


def is_truth(array: Array) -> bool:
    """Say whether an array holds truth values, or zeros and ones that stand for them."""
    if array.dtype == np.bool_:
        return True
    return is_numeric(array) and bool(np.isin(array, (0, 1)).all())


def told(value: Any) -> str:
    """Word a value for a line: on one line, and not at length."""
    quoted = isinstance(value, str) and not isinstance(value, Kind)
    return one_line(shortened(repr(str(value)) if quoted else str(value), 80))
