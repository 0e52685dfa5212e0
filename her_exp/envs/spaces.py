"""The spaces of a goal env: what they must be, and that every instance has the same."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
from gymnasium import spaces

from her_exp.types import KEYS, EnvFailed, GoalSpaces, UserError

#: The spaces of one lane by name: those of its observation, and the action's.
Spaces = dict[str, spaces.Space[Any]]


def spaces_of(observation: Any, action: spaces.Space[Any]) -> Spaces:
    """Return the spaces of one lane, given those of a goal env or of a lane of a vector env."""
    return {key: observation[key] for key in KEYS} | {"action": action}


def check_alike(who: str, found: Spaces, wanted: Spaces) -> None:
    """Raise EnvFailed unless an instance of an env has the spaces that another had."""
    for name, there in wanted.items():
        if (here := found[name]) != there:
            raise EnvFailed(
                f"env: the {name} space of {who} is {here}, that of another instance {there}; let "
                "every instance have the same spaces, as wide as any of them needs"
            )


def goal_spaces(env: gym.Env[Any, Any], id: str, advice: str) -> GoalSpaces:
    """Return the spaces of a goal env, or say in one line why it is none, with advice at its end."""
    space = env.observation_space
    if not isinstance(space, spaces.Dict):
        raise UserError(
            f"env.id={id}: no goal env: its observation is a {type(space).__name__}, not a Dict with "
            f"{', '.join(KEYS)}; {advice}"
        )
    missing = [key for key in KEYS if key not in space.spaces]
    if missing:
        raise UserError(
            f"env.id={id}: no goal env: observation lacks {', '.join(missing)}; {advice}"
        )
    flat = (spaces.Box, spaces.MultiBinary, spaces.MultiDiscrete, spaces.Discrete)
    for key in KEYS:
        if not isinstance(space[key], flat):
            raise UserError(
                f"env.id={id}: {key} is a {type(space[key]).__name__}; flatten it to one array; {advice}"
            )
    achieved, desired = space["achieved_goal"], space["desired_goal"]
    if (achieved.shape, achieved.dtype) != (desired.shape, desired.dtype):
        raise UserError(
            f"env.id={id}: achieved_goal is {achieved.dtype}{achieved.shape}, desired_goal "
            f"{desired.dtype}{desired.shape}; they must be alike; {advice}"
        )
    if not env.has_wrapper_attr("compute_reward"):
        raise UserError(f"env.id={id}: no goal env: it has no compute_reward; {advice}")
    return GoalSpaces(space["observation"], space["desired_goal"], env.action_space)
