"""Is a task a Euclidean distance with a threshold? Proven on many goals before it is believed.

Then reward and termination of relabelled steps are tensor code (`distance.DistanceGoal`), faster than
asking the env.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import torch

from her_exp.distance import DistanceGoal
from her_exp.envs.env_function import Probe
from her_exp.system.foreign import reason_of
from her_exp.types import Array, GoalFunctions

#: Goals that are tried as they are, around each of which lie others.
_CENTRES = 192
#: Distances of those others, in thresholds; at the threshold itself rounding decides.
_SCALES = (0.0, 0.5, 0.999, 1.001, 2.0, 20.0)


def threshold_of(env: gym.Env[Any, Any]) -> float | None:
    """Return the env's `distance_threshold` where that is one positive number; what it means is not known."""
    value = (
        env.get_wrapper_attr("distance_threshold")
        if env.has_wrapper_attr("distance_threshold")
        else None
    )
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return None
    number = float(value)
    return number if math.isfinite(number) and number > 0 else None


def prove(
    functions: GoalFunctions, threshold: float, probe: Probe, info_keys: Sequence[str], widely: bool
) -> DistanceGoal | str:
    """Return the task as tensor code if that agrees with the env's own functions; else why not, in words.

    Args:
        functions: the env's.
        threshold: largest distance at which the goal is met.
        probe: goals that were achieved and asked for.
        info_keys: what the env's functions read of info.
        widely: also try goals beyond those that were seen, which the env need not know.
    """
    if info_keys or not np.issubdtype(probe.achieved.dtype, np.floating):
        return "the reward reads info" if info_keys else "goals are integers"
    achieved, desired = _pairs(probe, threshold, widely)
    shape = (-1, *probe.achieved.shape[1:])
    reached, wanted = achieved.reshape(shape), desired.reshape(shape)
    try:
        reward = functions.reward(reached, wanted, {})
        terminated = functions.terminated(reached, wanted, {})
    except Exception as error:  # goals that the env never showed may be beyond what it knows
        return (
            f"the env cannot be asked about goals around those that it showed ({reason_of(error)})"
        )
    met = np.linalg.norm(achieved - desired, axis=-1) <= threshold
    if not met.any() or met.all():
        return "no goal was met and another missed"
    if np.ptp(reward[met]) or np.ptp(reward[~met]) or reward[met][0] == reward[~met][0]:
        return f"rewards differ on {len(met)} goals that were tried"
    if terminated[~met].any() or np.ptp(terminated[met].astype(int)):
        return f"ends differ on {len(met)} goals that were tried"
    return DistanceGoal(
        threshold,
        float(reward[met][0]),
        float(reward[~met][0]),
        bool(terminated[met][0]),
        (int(met.sum()), int((~met).sum())),
    )


def _pairs(probe: Probe, threshold: float, widely: bool) -> tuple[Array, Array]:
    """Return goals (n, goal_dim) that were achieved, and those asked for: far, near, at the threshold."""
    generator = np.random.default_rng(0)
    own, asked = (goals.reshape(len(goals), -1) for goals in (probe.achieved, probe.desired))
    seen = np.concatenate([own, asked])
    centres = seen[generator.choice(len(seen), _CENTRES)]
    if widely:
        low, high = seen.min(0), seen.max(0)
        further = generator.uniform(low - (high - low), high + (high - low), centres.shape)
        centres = probe.within(np.concatenate([centres, further.astype(own.dtype)]))
    away = generator.normal(size=(len(_SCALES), *centres.shape))
    away /= np.linalg.norm(away, axis=-1, keepdims=True)
    near = centres + threshold * np.reshape(_SCALES, (-1, 1, 1)) * away
    near = probe.within(near.reshape(-1, own.shape[1]).astype(own.dtype))
    around = np.tile(centres, (len(_SCALES), 1))
    shuffled = generator.permutation(centres)
    # Each way round: a condition may lie on what was achieved, or on what is asked.
    achieved = np.concatenate([own, around, near, centres])
    desired = np.concatenate([asked, near, around, shuffled])
    gap = np.linalg.norm(achieved - desired, axis=-1)
    clear = ~_on_the_edge(achieved, desired, gap, threshold)
    return achieved[clear], desired[clear]


def _on_the_edge(achieved: Array, desired: Array, gap: Array, threshold: float) -> Array:
    """Say which goals (n, goal_dim) lie so near the threshold that rounding decides."""
    size = np.maximum(np.abs(achieved), np.abs(desired)).max(-1, initial=0.0)
    width = 1e-5 * threshold + 8 * np.finfo(np.float32).eps * size * math.sqrt(achieved.shape[-1])
    return np.asarray(np.abs(gap - threshold) <= width)


def disagreement(
    functions: GoalFunctions, distance: DistanceGoal, achieved: Array, desired: Array
) -> str | None:
    """Return in words where tensor code and the env's own functions disagree on goals (n, ...), or None."""
    reward, ends = (part.numpy() for part in distance(*_flat_tensors(achieved, desired)))
    own = functions.reward(achieved, desired, {})
    own_ends = functions.terminated(achieved, desired, {})
    reached, asked = (g.reshape(len(g), -1).astype(np.float64) for g in (achieved, desired))
    gap = np.linalg.norm(reached - asked, axis=-1)
    wrong = ~np.isclose(reward, own, rtol=1e-5, atol=1e-6) | ((ends > 0) != own_ends)
    wrong &= ~_on_the_edge(reached, asked, gap, distance.threshold)
    if not wrong.any():
        return None
    row = int(np.argmax(wrong))
    return (
        f"on {int(wrong.sum())} of {len(wrong)} goals, e.g. {np.round(reached[row], 4).tolist()} achieved "
        f"for {np.round(asked[row], 4).tolist()}: {own[row]:g}, computed {reward[row]:g}"
    )


def _flat_tensors(achieved: Array, desired: Array) -> list[torch.Tensor]:
    return [
        torch.from_numpy(np.ascontiguousarray(g.reshape(len(g), -1))) for g in (achieved, desired)
    ]
