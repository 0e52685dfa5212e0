"""Steps a vector env with a policy and tells its episodes; training and evaluation both use it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv

from her_exp.store.checkpoint import from_plain, to_plain
from her_exp.training.checks import StepCheck
from her_exp.types import KEYS, Array, GoalFunctions, Observation, Step, UserError

#: Chooses actions (n, ...) for observations (n, o) and goals (n, g).
Policy = Callable[[Array, Array], Array]


class Episode(NamedTuple):
    """One finished episode."""

    lane: int
    total_reward: float
    length: int
    success_final: bool  #: the goal is met at the last step
    success_any: bool  #: the goal was met at some step
    met_at_reset: bool | None  #: the goal was met before the first action; None: nothing tells
    final_distance: float  #: Euclidean distance of the last achieved goal to the desired one


def met_at_reset(episodes: Sequence[Episode]) -> float | None:
    """Return the share whose goal was met before the first action, of those that tell; None: none does."""
    told = [one.met_at_reset for one in episodes if one.met_at_reset is not None]
    return sum(told) / len(told) if told else None


class Rollout:
    """A vector env in NEXT_STEP autoreset mode, stepped by a policy.

    Args:
        env: vector env of goal envs.
        functions: says when a goal is met.
    """

    _KEPT = (
        "observation", "success", "_asked", "_ended", "_reward", "_length", "_any", "_met_at_reset",
    )  # fmt: skip

    def __init__(self, env: VectorEnv, functions: GoalFunctions):
        self.env, self._functions, self._check = env, functions, StepCheck(env)
        mode = env.metadata.get("autoreset_mode", AutoresetMode.NEXT_STEP)
        if mode != AutoresetMode.NEXT_STEP:
            raise UserError(
                f"the vector env resets in {mode} mode; her_exp needs NEXT_STEP (Gymnasium's default), "
                "which keeps the last state of every episode"
            )
        self._lanes = env.num_envs
        self.observation: Observation = {}
        #: (n,) bool: the goal that was asked for when the present state was reached is met in it.
        self.success: Array = np.zeros(self._lanes, bool)
        self._asked: Array = np.zeros(0)  # these goals (n, ...)

    def reset(self, seed: int | None = None) -> Observation:
        """Start new episodes in all lanes; lane i is seeded with seed + i."""
        observation, info = self.env.reset(seed=seed)
        n = self._lanes
        self._check.observation(observation, np.zeros(n, np.int64))
        self.observation = _own(observation)
        self._asked = self.observation["desired_goal"]
        self._ended = np.zeros(n, bool)
        self._reward = np.zeros(n)
        self._length = np.zeros(n, np.int64)
        self._any = np.zeros(n, bool)
        self.success = self._is_success(info)
        self._met_at_reset = self._known(info)
        return self.observation

    def step(self, policy: Policy) -> tuple[Step, list[Episode]]:
        """Take one step in all lanes; returns it and the episodes that ended with it."""
        return self.apply(policy(*self.inputs()))

    def inputs(self) -> tuple[Array, Array]:
        """Return observations (n, o) and goals (n, g) for a policy: copies, its own to write into."""
        return self.observation["observation"].copy(), self.observation["desired_goal"].copy()

    def apply(self, action: Array) -> tuple[Step, list[Episode]]:
        """Take one step in all lanes with the actions given.

        Raises:
            EnvFailed: what the env gave cannot be used; nothing of it was kept.
            UserError: an action is no finite number.
        """
        before, valid = self.observation, ~self._ended
        self._check.action(action)
        given, reward, terminated, truncated, info = self.env.step(action.copy())
        length = np.where(valid, self._length + 1, 0)
        self._check.observation(given, length)
        reward = self._check.reward(reward, length)
        terminated, truncated = self._check.ends(terminated, truncated)
        after = self.observation = _own(given)
        # An env may show the next goal with the step that met the last one: the step is judged by the goal
        # that its action was chosen for. Where the env has just reset itself, what we see is the start of
        # the next episode.
        lanes = valid.reshape(-1, *(1,) * (self._asked.ndim - 1))
        self._asked = np.where(lanes, before["desired_goal"], after["desired_goal"])
        self.success = self._is_success(info)
        self._reward = np.where(valid, self._reward + reward, 0.0)
        self._length = length
        self._any = np.where(valid, self._any | self.success, False)
        if not valid.all():
            self._met_at_reset = np.where(valid, self._met_at_reset, self._known(info))
        self._ended = (terminated | truncated) & valid
        step = Step(before, action, reward, terminated, truncated, after, valid, info, self.success)
        return step, [self._episode(int(i)) for i in np.flatnonzero(self._ended)]

    def state(self) -> dict[str, Any]:
        """Return what `load_state` needs to go on exactly, where the env can say: ours can.

        Its `kind` is 'exact', or 'cut' for an env that cannot save its state.
        """
        env = self.env.unwrapped
        if not hasattr(env, "get_state"):
            return {"kind": "cut"}
        kept = {name: getattr(self, name) for name in self._KEPT}
        return {"kind": "exact", "env": to_plain(env.get_state()), "rollout": to_plain(kept)}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state` of kind 'exact'."""
        self.env.reset()  # makes what an env makes at its first reset
        env: Any = self.env.unwrapped
        env.set_state(from_plain(state["env"]))
        for name, value in from_plain(state["rollout"]).items():
            setattr(self, name, value)

    def _episode(self, lane: int) -> Episode:
        achieved = self.observation["achieved_goal"][lane].astype(np.float64)
        gap = achieved - self._asked[lane].astype(np.float64)
        met = self._met_at_reset[lane]  # of an old checkpoint a truth value
        return Episode(
            lane=lane,
            total_reward=float(self._reward[lane]),
            length=int(self._length[lane]),
            success_final=bool(self.success[lane]),
            success_any=bool(self._any[lane]),
            met_at_reset=None if np.isnan(met) else bool(met),
            final_distance=float(np.linalg.norm(gap)),
        )

    def _is_success(self, info: Mapping[str, Array]) -> Array:
        met = self._functions.success(self.observation["achieved_goal"], self._asked, info)
        return np.asarray(met, bool)

    def _known(self, info: Mapping[str, Array]) -> Array:
        """Return `success` as numbers, NaN where no one can tell: the info of many resets is empty."""
        return np.where(self._functions.knows_success(info, self._lanes), self.success, np.nan)


def _own(observation: Observation) -> Observation:
    """Return copies: some envs write into the arrays that they gave before."""
    return {key: np.array(observation[key]) for key in KEYS}


def shown(step: Step, share: float) -> tuple[Array, Array, Array]:
    """Return what a step shows the normaliser: states (n, o), goals (m, g) and their weights (m,).

    New states count once each, goals as they are drawn: of the relabelled `share` the achieved one.
    """
    desired = step.observation["desired_goal"][step.valid]
    achieved = step.next_observation["achieved_goal"][step.valid]
    weights = np.repeat([1.0 - share, share], len(desired))
    return step.next_observation["observation"].copy(), np.concatenate([desired, achieved]), weights
