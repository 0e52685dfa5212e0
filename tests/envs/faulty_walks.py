"""A good goal env, and changes of it that are a fault each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from tests.envs.goal_walk import ENDS, KEYS, Walk, goal_space

SMALL = spaces.Box(-1.0, 1.0, (2,), np.float64)


class SaysNothing(Walk):
    """On a square, to within 0.5 of a goal."""

    observation_space = goal_space(SMALL)
    radius, stride, edge = 0.5, 0.3, 1.0


#: What a good env says.
SAYS = ENDS | {
    "about": lambda walk: {"is_success": bool(walk.met(walk.at, walk.goal))},
    "end": lambda walk: bool(walk.met(walk.at, walk.goal)),
}


def good(limit: int | None = 20, **changed: Any) -> gym.Env[Any, Any]:
    """A good env with some changes; None takes away."""
    env = SaysNothing(**SAYS | changed)
    return gym.wrappers.TimeLimit(env, limit) if limit else env


def never(*_: Any) -> bool:
    return False


def raises(error: Exception) -> Callable[..., Any]:
    def fails(*_: Any) -> Any:
        raise error

    return fails


def pays_for_crash(walk: Any, action: Any) -> Any:
    observation, reward, *others = SaysNothing.step(walk, action)
    return observation, reward - 10.0 * (abs(walk.at[0]) >= 0.99), *others


def pays_late(walk: Any, action: Any) -> Any:
    """The reward is of the state before the action."""
    before = float(walk.compute_reward(walk.at, walk.goal, {}))
    observation, _, *others = SaysNothing.step(walk, action)
    return observation, before, *others


def starts_at_goal(walk: Any, seed: int | None = None, options: Any = None) -> Any:
    SaysNothing.reset(walk, seed=seed)
    if walk.np_random.random() < 0.5:
        walk.goal = walk.at.copy()
    return walk._observe(), walk.about()


def same_arrays(walk: Any) -> Any:
    if not hasattr(walk, "buffer"):
        walk.buffer = dict(zip(KEYS, np.zeros((3, 2)), strict=True))
    walk.buffer["observation"][:] = walk.buffer["achieved_goal"][:] = walk.at
    walk.buffer["desired_goal"] = walk.goal.copy()
    return dict(walk.buffer)


def silent_reset(walk: Any, seed: int | None = None, options: Any = None) -> Any:
    return starts_at_goal(walk, seed=seed)[0], {}


def pays(compute_reward: Any) -> dict[str, Any]:
    return {"compute_reward": compute_reward}


NOISE = np.random.default_rng(0)
COSTS = pays(lambda walk, a, d, info: walk.met(a, d) - 1.0 - 0.1 * info["cost"]) | {
    "about": lambda walk: SAYS["about"](walk) | {"cost": abs(walk.at[0])}
}
#: What is said: how loudly, of what, in which words; where a name follows, of nothing else.
FAULTS: dict[tuple[str, ...], dict[str, Any]] = {
    ("error", "batched reward", "mixes rows: in a batch of"):
        pays(lambda walk, a, d, _: walk.met(a, d) * 0.0 + np.any(walk.met(a, d))),
    ("warning", "batched reward", r"give shape \(\), in place of \(\d+,\).*axis=-1"):
        pays(lambda _, a, d, info: -1.0 * (np.linalg.norm(a - d) > 0.5)),
    ("warning", "info", r"read \['cost'\].*buffer.info_keys=\[cost\]", "info"): COSTS,
    ("warning", "info", r"the goal functions read \['cost'\]; they are stored"): COSTS
        | pays(lambda walk, a, d, info: walk.met(a, d) - (info.get("cost") if "cost" in info else 0)),
    ("warning", "info", r"read \['cost', 'is_success'\]"):
        COSTS | pays(lambda walk, a, d, info: walk.met(a, d) - dict(info.items())["cost"]),
    ("error", "compute_reward", r"info\['cost'\], which step does not give"):
        COSTS | {"step": lambda walk, action: (*SaysNothing.step(walk, action)[:4], {})},
    ("warning", "termination", "although the goal was not met: a crash or a fall", "termination"):
        {"end": lambda walk: bool(walk.met(walk.at, walk.goal) or walk.at[0] >= 0.99)},
    ("warning", "reward of step", r"[\d.]+ % of the steps, by -10: a part that no", "reward of step"):
        {"step": pays_for_crash},
    ("error", "reward of step", "achieved before the action"): {"step": pays_late},
    ("warning", "repeatable", "give another observation at step 1", "repeatable"):
        {"step": lambda walk, a: SaysNothing.step(walk, a + 0.01 * NOISE.normal(size=2))},
    ("error", "compute_terminated", "says yes on .* that step did not terminate"): {"end": never},
    ("error", "spaces", r"float64 \(2,\), desired_goal float32 \(2,\)"):
        {"observation_space": goal_space(SMALL, desired_goal=spaces.Box(-1, 1, (2,), np.float32))},
    ("error", "spaces", "lacks achieved_goal"):
        {"observation_space": spaces.Dict({"observation": SMALL, "desired_goal": SMALL})},
    ("error", "spaces", "is a Box; make it a Dict"): {"observation_space": SMALL},
    ("warning", "observations", "comes as float64, its space says float32"):
        {"observation_space": goal_space(spaces.Box(-1, 1, (2,), np.float32))},
    ("error", "observations", r"observation comes as float64, its space says int8, .*: a run refuses it"):
        {"observation_space": goal_space(SMALL, observation=spaces.Box(-1, 1, (2,), np.int8))},
    ("ok", "reused arrays", r"\(achieved_goal, observation\).*no harm here"): {"_observe": same_arrays},
    ("error", "observations", r"comes as \(1,\), its space says \(2,\)"):
        {"_observe": lambda walk: SaysNothing._observe(walk) | {"achieved_goal": walk.at[:1]}},
    ("warning", "observations", "observation leaves its space in .* widen"):
        {"_observe": lambda walk: SaysNothing._observe(walk) | {"observation": 3 * walk.at}},
    ("warning", "goals at reset", r"[4-6]\d % of 100 episodes begin with the goal", "goals at reset"):
        {"reset": starts_at_goal, "radius": 0.1},
    ("warning", "goals at reset", r"cannot be told: .* \d\d of 100 resets .*; declare env.reward_range=\[",
     "goals at reset"): {"compute_success": None, "reset": silent_reset, "radius": 0.1},
    ("warning", "success", r"from info.*: not told on \d+ of \d+ steps, .*declare env.reward_range="):
        {"compute_success": None, "about": lambda walk: SAYS["about"](walk) if walk.at[0] > 0 else {}},
    ("warning", "success", "met on 100 % of the random steps.*is the tolerance too wide"):
        {"radius": 9.0, "end": never, "compute_terminated": never},
    # Its goal has moved on since the step.
    ("warning", "hindsight", "no reward depends on the goal that is handed", "hindsight", "reward of step"):
        pays(lambda walk, a, _, info: walk.met(a, walk.goal) - 1.0),
    ("warning", "hindsight", r"can pay less \(-1\) than another \(0\)"):
        pays(lambda walk, a, d, _: -1.0 * walk.met(a, d)),
    ("error", "success", "disagree"): {"about": lambda _: {"is_success": False}},
    ("error", "compute_reward", "not finite"): pays(lambda walk, a, d, _: walk.met(a, d) + np.nan),
    ("warning", "episodes", "3 of 3 did not end within 1000 steps"):
        {"limit": None, "end": never, "compute_terminated": never},
    ("error", "playing it", "RuntimeError: the simulator is gone$"):
        {"step": raises(RuntimeError("the simulator is gone\nand more"))},
    ("error", "compute_terminated", "ZeroDivisionError"):
        {"end": never, "compute_terminated": raises(ZeroDivisionError())},
    ("error", "closing it", "OSError: no display"): {"close": raises(OSError("no display"))},
    ("error", "in a run", r"env\.reward_range: .*; declare \[lowest, highest\]"): dict.fromkeys(SAYS),
    ("error", "termination", "set env.success_terminates=true"):
        {"compute_success": None, "compute_terminated": None},
}  # fmt: skip
