"""Reward, termination and success of a batch of goals, taken from the environment itself.

The env is asked once, at the start: are its functions batched, is the task a plain distance, where
does success come from? `describe` says in words what was found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np

from her_exp.distance import DistanceGoal
from her_exp.envs.goal_function import GoalFunction, Probe, env_function
from her_exp.rounding import either_side
from her_exp.types import Array, UserError


class EnvGoalFunctions:
    """Reward, termination and success as the env defines them.

    Args:
        env: a single goal env; it is reset and stepped a few times, and kept.
        reward_range: declared (lowest, highest) reward of a step, or None.
        success_terminates: for an env without `compute_terminated`: does success end the episode?
        goal_distance: the task is a distance with this threshold; None: found out where the env has
            a `distance_threshold`.
        success_reward: least reward that means success, for an env without `compute_success`; None:
            the highest of `reward_range`.
        info_keys: info fields that the env's functions read.

    Attributes:
        distance: the task as tensor code, or None.
        sources: in words, where each answer comes from.

    Raises:
        UserError: a function is missing, needs an info field, or contradicts what was declared.
    """

    def __init__(
        self,
        env: gym.Env[Any, Any],
        *,
        reward_range: tuple[float, float] | None = None,
        success_terminates: bool | None = None,
        goal_distance: float | None = None,
        success_reward: float | None = None,
        info_keys: Sequence[str] = (),
    ):
        self._env = env
        probe = Probe(env)
        compute_reward = env_function(env, "compute_reward")
        if compute_reward is None:
            raise UserError("the env has no compute_reward(achieved_goal, desired_goal, info)")
        self.reward = GoalFunction("compute_reward", compute_reward, np.float64, probe, info_keys)
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
            (key for key in ("is_success", "success") if key in probe.info[0]), None
        )
        self._find_sources(success_terminates, success_reward)
        self.distance = self._find_distance(env, probe, goal_distance, info_keys)
        # Tensor code stands in for the env's own functions when steps are relabelled, not at success.
        asked = [self._success] if self.distance else [self.reward, self._terminated, self._success]
        for function in filter(None, asked):
            function.warn()

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

    def terminated(self, achieved: Array, desired: Array, info: Mapping[str, Array]) -> Array:
        """Return (b,) bool: would an episode with this goal end here?"""
        if self._terminated:
            return self._terminated(achieved, desired, info)
        if self._terminates:
            return self._met(achieved, desired, info)
        return np.zeros(len(achieved), bool)

    def success(self, achieved: Array, desired: Array, info: Mapping[str, Array]) -> Array:
        """Return (b,) bool: is the goal met? `info` is the vector env's info of that step."""
        if self._success is None and self._info_success:
            key = self._info_success
            if key in info:
                told = np.asarray(info[key], bool).reshape(-1)
                if self._terminates and told.any():
                    self._check_told(told, achieved, desired, info)
                return told
            if self._best is None:  # at a reset many envs do not say
                return np.zeros(len(achieved), bool)
        told = (self._success or self.reward).told(info, len(achieved))  # nor what the reward reads
        return told & self._met(achieved, desired, info) if told.any() else told

    def _check_told(
        self, told: Array, achieved: Array, desired: Array, info: Mapping[str, Array]
    ) -> None:
        """See that what the env calls success is one by the reward, which judges all other goals."""
        told = told & self.reward.told(info, len(told))
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

    def close(self) -> None:
        """Close the env that is asked."""
        self._env.close()

    def state_dict(self) -> dict[str, int]:
        """Return what `watch` has counted."""
        return {"ended": self._ended_at_success, "went_on": self._went_on_at_success}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Restore `state_dict`."""
        self._ended_at_success, self._went_on_at_success = state["ended"], state["went_on"]

    def _find_distance(
        self,
        env: gym.Env[Any, Any],
        probe: Probe,
        declared: float | None,
        info_keys: Sequence[str],
    ) -> DistanceGoal | None:
        """Return the task as tensor code if it agrees with the env's own functions on sampled goals."""
        threshold = declared
        if threshold is None and env.has_wrapper_attr("distance_threshold"):
            threshold = float(env.get_wrapper_attr("distance_threshold"))
        if threshold is None:
            return None
        if info_keys or not np.issubdtype(probe.achieved.dtype, np.floating):
            if declared is not None:
                why = "the reward reads info" if info_keys else "goals are integers"
                raise UserError(f"env.goal_distance={declared:g}: {why}; set it to null")
            return None
        generator = np.random.default_rng(0)
        shape = probe.achieved.shape
        own, asked = (goals.reshape(len(goals), -1) for goals in (probe.achieved, probe.desired))
        away = generator.normal(size=own.shape)
        away /= np.linalg.norm(away, axis=-1, keepdims=True)
        # Distances around the threshold, and far ones; 1e-3 of it is left out for rounding's sake.
        scale = generator.choice([0.0, 0.5, 0.999, 1.001, 2.0, 20.0], size=(len(away), 1))
        near = (own + threshold * scale * away).astype(own.dtype)
        achieved, desired = np.concatenate([own, own]), np.concatenate([near, asked])
        met = np.linalg.norm(achieved - desired, axis=-1) <= threshold
        reached, wanted = (side.reshape(-1, *shape[1:]) for side in (achieved, desired))
        reward = self.reward(reached, wanted, {})
        terminated = self.terminated(reached, wanted, {})
        agrees = (
            met.any()
            and (~met).any()
            and np.ptp(reward[met]) == 0
            and np.ptp(reward[~met]) == 0
            and not terminated[~met].any()
            and np.ptp(terminated[met].astype(int)) == 0
        )
        if agrees:
            self.sources.append(f"reward: distance within {threshold:g}, computed as tensors")
            ends = bool(terminated[met][0])
            return DistanceGoal(threshold, float(reward[met][0]), float(reward[~met][0]), ends)
        if declared is not None:
            raise UserError(
                f"env.goal_distance={declared:g}: the env's own reward or termination disagrees on "
                "sampled goals; set it to null, and the env is asked itself"
            )
        return None
