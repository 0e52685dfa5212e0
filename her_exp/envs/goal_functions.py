"""Reward, termination and success of a batch of goals, taken from the environment itself.

The env is asked once, at the start: are its functions batched, is the task a plain distance, where
does success come from? `sources` says in words what was found.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import gymnasium as gym
import numpy as np

from her_exp.distance import DistanceGoal
from her_exp.envs.env_function import GoalFunction, Probe, env_function
from her_exp.envs.goal_distance import disagreement, prove, threshold_of
from her_exp.rounding import either_side
from her_exp.types import Array, GoalFunctions, UserError
from her_exp.values import lanes_of, truths

log = logging.getLogger(__name__)


class EnvGoalFunctions(GoalFunctions):
    """Reward, termination and success as the env defines them.

    Args:
        env: a single goal env; it is reset and stepped a few times, and kept.
        reward_range: declared (lowest, highest) reward of a step, or None.
        success_terminates: for an env without `compute_terminated`: does success end the episode?
        goal_distance: the task is a distance with this threshold; None: found out where the env has
            a `distance_threshold`; False: the env is asked itself.
        success_reward: least reward that means success, for an env without `compute_success`; None:
            the highest of `reward_range`.
        info_keys: info fields that the env's functions read.

    Attributes:
        distance: the task as tensor code, or None.
        sources: in words, where each answer comes from.
        row_by_row: names of the env's functions that take one goal a call.

    Raises:
        UserError: a function is missing, needs an info field, or contradicts what was declared.
    """

    def __init__(
        self,
        env: gym.Env[Any, Any],
        *,
        reward_range: tuple[float, float] | None = None,
        success_terminates: bool | None = None,
        goal_distance: float | Literal[False] | None = None,
        success_reward: float | None = None,
        info_keys: Sequence[str] = (),
    ):
        self._env = env
        probe = Probe(env)
        compute_reward = env_function(env, "compute_reward")
        if compute_reward is None:
            raise UserError("the env has no compute_reward(achieved_goal, desired_goal, info)")
        self._reward = GoalFunction("compute_reward", compute_reward, np.float64, probe, info_keys)
        top = reward_range[1] if reward_range else None
        self._best = top if success_reward is None else success_reward
        self._info_keys = tuple(info_keys)
        self._terminates = bool(success_terminates)
        self.sources: list[str] = []

        def optional(name: str) -> GoalFunction | None:
            function = env_function(env, name)
            return function and GoalFunction(name, function, np.bool_, probe, info_keys)

        self._terminated = optional("compute_terminated")
        self._success = optional("compute_success")
        self._ended_at_success = self._went_on_at_success = 0
        self._info_success: str | None = next(
            (key for key in ("is_success", "success") if any(key in row for row in probe.info)),
            None,
        )
        self._find_sources(success_terminates, success_reward)
        self._declared_distance = goal_distance
        self._relied_on_distance = False
        self.distance = self._find_distance(env, probe)
        # Tensor code stands in for the env's own functions when steps are relabelled, not at success.
        asked = (
            [self._success] if self.distance else [self._reward, self._terminated, self._success]
        )
        for function in filter(None, asked):
            function.warn()

    @property
    def row_by_row(self) -> list[str]:
        """The env's functions that take one goal a call."""
        each = filter(None, (self._reward, self._terminated, self._success))
        return [function.name for function in each if not function.batched]

    def _find_sources(self, declared: bool | None, declared_reward: float | None) -> None:
        by_reward = f"reward {self._best:g}" if self._best is not None else None
        if self._success and declared_reward is not None:
            raise UserError(
                f"env.success_reward={declared_reward:g}: the env has compute_success, which says what "
                "success is; set it to null"
            )
        if self._success:
            success = "compute_success"
        elif self._info_success:
            success = f"info[{self._info_success!r}] of the step"
        elif by_reward:
            success = by_reward
        else:
            raise UserError(
                "env.reward_range: the env has no compute_success and no info['is_success']; declare "
                "[lowest, highest] so that the highest reward can count as success"
            )
        if self._terminated:
            ends = "compute_terminated"
        elif self._terminates:
            if not (self._success or by_reward):
                raise UserError(
                    "env.success_terminates=true: to know when another goal would have ended the "
                    "episode, the env must have compute_success, or env.reward_range or success_reward be "
                    "declared"
                )
            ends = "at success (env.success_terminates=true)"
        else:
            said = "false" if declared is False else "null, taken as false"
            ends = f"no goal ends an episode (env.success_terminates={said})"
        self.sources += [f"success: {success}", f"termination: {ends}"]

    def reward(self, achieved: Array, desired: Array, info: Mapping[str, Array]) -> Array:
        """Return the rewards (b,) float64 of having achieved `achieved` (b, g) when `desired` was asked."""
        return self._reward(achieved, desired, info)

    def terminated(self, achieved: Array, desired: Array, info: Mapping[str, Array]) -> Array:
        """Return (b,) bool: would an episode with this goal end here?"""
        if self._terminated:
            return self._terminated(achieved, desired, info)
        if self._terminates:
            return self._met(achieved, desired, info)
        return np.zeros(len(achieved), bool)

    def success(self, achieved: Array, desired: Array, info: Mapping[str, Array]) -> Array:
        """Return (b,) bool: is the goal met? `info` is the vector env's info of that step."""
        n = len(achieved)
        met = np.zeros(n, np.bool_)
        silent = np.ones(n, np.bool_)  # lanes whose info does not say
        if self._success is None and self._info_success:
            key = self._info_success
            said = lanes_of(info, key, n)
            if said.any():
                met = truths(f"env: info[{key!r}]", info[key], n, said)
                silent = ~said
                if self._terminates and met.any():
                    self._check_told(met, achieved, desired, info)
            if self._best is None:  # at a reset many envs do not say
                return met
        # Nor may they say what the reward reads.
        known = silent & (self._success or self._reward).has_info(info, n)
        if known.any():
            met = np.where(known, self._met(achieved, desired, info), met)
        return met

    def knows_success(self, info: Mapping[str, Array], n: int) -> Array:
        """Return (n,) bool: where the env's function, the reward or this info says whether a goal is met."""
        told = np.zeros(n, np.bool_)
        if self._success is None and self._info_success:
            told = lanes_of(info, self._info_success, n)
        if self._success is None and self._best is None:
            return told
        return told | (self._success or self._reward).has_info(info, n)

    def _check_told(
        self, told: Array, achieved: Array, desired: Array, info: Mapping[str, Array]
    ) -> None:
        """See that what the env calls success is one by the reward, which judges all other goals."""
        told = told & self._reward.has_info(info, len(told))
        if not told.any():
            return
        read = {key: np.asarray(info[key])[told] for key in self._info_keys if key in info}
        reward = self.reward(achieved[told], desired[told], read)
        least = (self._best or 0.0) - 1e-6
        if reward.min() < least:  # perhaps only of goals that were rounded
            nearer, _ = either_side(achieved[told], desired[told])
            reward = np.maximum(reward, self.reward(achieved[told], nearer, read))
        if reward.min() < least:
            raise UserError(
                f"env.success_reward: the env says success at a reward of {reward.min():g}, which is no "
                f"success by {self._best:g}; declare the least reward that means success"
            )

    def _met(self, achieved: Array, desired: Array, info: Mapping[str, Array]) -> Array:
        if self._success:
            return self._success(achieved, desired, info)
        return np.asarray(self.reward(achieved, desired, info) >= (self._best or 0.0) - 1e-6)

    def watch(self, success: Array, terminated: Array) -> None:
        """Compare what the env does at success with what was declared, for envs that cannot be asked.

        Raises:
            UserError: `success_terminates` is contradicted by what the env did.
        """
        if self._terminated:
            return
        self._ended_at_success += int((success & terminated).sum())
        self._went_on_at_success += int((success & ~terminated).sum())
        # Three, and many, each way: a goal that was rounded may count as met once, a crash fall together
        # with success.
        ended, went_on = self._ended_at_success, self._went_on_at_success
        if self._terminates and went_on >= 3 and went_on > 0.1 * ended:
            raise UserError(
                "env.success_terminates=true, but an episode went on after success: set it to false"
            )
        if not self._terminates and ended >= 3 and not went_on:
            raise UserError(
                "env.success_terminates: every episode of this env ended at success, so relabelled "
                "steps must end there too: set env.success_terminates=true"
            )

    def _find_distance(self, env: gym.Env[Any, Any], probe: Probe) -> DistanceGoal | None:
        """Return the task as tensor code, where that is proven."""
        declared = self._declared_distance
        if declared is False:
            return None
        threshold = threshold_of(env) if declared is None else declared
        if threshold is None:
            return None
        found = prove(self, threshold, probe, self._info_keys, widely=declared is None)
        if isinstance(found, DistanceGoal):
            self.sources.append(found.described())
            return found
        if declared is not None:
            raise UserError(f"env.goal_distance={declared:g}: {found}; set env.goal_distance=false")
        self.sources.append(f"reward: the env's own; no distance within {threshold:g}: {found}")
        return None

    def watch_distance(self, achieved: Array, desired: Array) -> None:
        """Compare tensor code with the env's own functions on goals (b, ...) of stored steps.

        Before it was relied on, one that was found out is given up where they disagree.

        Raises:
            UserError: they disagree.
        """
        if self.distance is None:
            return
        wrong = disagreement(self, self.distance, achieved, desired)
        if wrong is None:
            self._relied_on_distance = True
        elif self._relied_on_distance or self._declared_distance is not None:
            raise UserError(
                f"env.goal_distance: rewards computed as a distance within {self.distance.threshold:g} are "
                f"not the env's own: {wrong}; give env.goal_distance=false"
            )
        else:
            log.warning("no distance after all, the env is asked itself: %s", wrong)
            self.distance = None
            for function in filter(None, (self._reward, self._terminated)):
                function.warn()

    def close(self) -> None:
        """Close the env that is asked."""
        self._env.close()

    def state_dict(self) -> dict[str, int]:
        """Return what was seen of the env while it ran."""
        return {
            "ended": self._ended_at_success,
            "went_on": self._went_on_at_success,
            "relied_on_distance": self._relied_on_distance,
            "has_distance": self.distance is not None,
        }

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Restore `state_dict`."""
        self._ended_at_success, self._went_on_at_success = state["ended"], state["went_on"]
        self._relied_on_distance = bool(state.get("relied_on_distance", True))
        if not state.get("has_distance", True):
            self.distance = None
