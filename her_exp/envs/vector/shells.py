"""The two Gymnasium shells of a batched task: a single env and a vector env.

Both run the same `Lanes`, one of them with n=1, so lane i of the vector env under `reset(seed=s)`
equals the single env under `reset(seed=s + i)`, number for number, autoreset steps included.
"""

from __future__ import annotations

import inspect
import operator
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from her_exp.envs.vector.lanes import Lanes
from her_exp.envs.vector.task import BatchedTask, require_count
from her_exp.types import Array, Observation

Info = dict[str, Any]


class _TaskShell:
    """What both envs show of their task, and how it is made from its named arguments."""

    task_class: type[BatchedTask]
    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 20}  # noqa: RUF012
    _leading: tuple[inspect.Parameter, ...]

    def __init_subclass__(cls) -> None:
        # The task's arguments are named once, in the task. Whoever asks for the signature of the
        # env (config validation, help) sees them, in place of **kwargs.
        super().__init_subclass__()
        if hasattr(cls, "task_class"):
            arguments = inspect.signature(cls.task_class, eval_str=True).parameters.values()
            named = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in arguments]
            cls.__signature__ = inspect.Signature([*cls._leading, *named])  # type: ignore[attr-defined]

    def _take(self, task: BatchedTask, n: int, render_mode: str | None) -> None:
        if render_mode not in (None, "rgb_array"):
            raise ValueError(f"render_mode={render_mode!r}: must be 'rgb_array' or None")
        self.task = task
        self.render_mode = render_mode
        self.max_steps = task.max_steps
        if hasattr(task, "distance_threshold"):
            self.distance_threshold = task.distance_threshold
        self._lanes = Lanes(task, n, keep_trail=render_mode is not None)

    def compute_reward(self, achieved_goal: Array, desired_goal: Array, info: Any = None) -> Any:
        """Return 0 where the goal is met, else -1: goals (..., g) to float64 (...)."""
        return self.task.compute_reward(achieved_goal, desired_goal, info)

    def compute_terminated(
        self, achieved_goal: Array, desired_goal: Array, info: Any = None
    ) -> Any:
        """Say where an episode with this goal ends for good: goals (..., g) to bool (...)."""
        return self.task.compute_terminated(achieved_goal, desired_goal, info)

    def compute_truncated(self, achieved_goal: Array, desired_goal: Array, info: Any = None) -> Any:
        """Return False (...): only the count of its steps cuts an episode."""
        return self.task.compute_truncated(achieved_goal, desired_goal, info)

    def compute_success(self, achieved_goal: Array, desired_goal: Array, info: Any = None) -> Any:
        """Say which goals are met: goals (..., g) to bool (...)."""
        return self.task.compute_success(achieved_goal, desired_goal)


def _parameter(name: str, default: Any, annotation: Any) -> inspect.Parameter:
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    return inspect.Parameter(name, kind, default=default, annotation=annotation)


class SingleGoalEnv(_TaskShell, gym.Env[Observation, Any]):
    """One lane of a task. Subclasses name their `task_class`.

    Args:
        render_mode: 'rgb_array' or None.
        **task: the named arguments of the task.
    """

    _leading = (_parameter("render_mode", None, str | None),)

    def __init__(self, render_mode: str | None = None, **task: Any):
        self._take(self.task_class(**task), 1, render_mode)
        self.observation_space = self.task.observation_space  # type: ignore[assignment]
        self.action_space = self.task.action_space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, Info]:
        """Start an episode; a seed starts a new stream of random numbers, None goes on in it."""
        super().reset(seed=seed)
        self._lanes.restart(np.zeros(1, np.intp), [self.np_random])
        observation, success = self._lanes.observe()
        return _first(observation), {"is_success": bool(success[0])}

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, Info]:
        """Take one step; after the episode's end, call `reset`."""
        lanes = self._lanes
        lanes.advance(np.asarray(action)[np.newaxis])
        observation, met = lanes.observe()
        success = bool(met[0])
        terminated = success and self.task.success_terminates
        truncated = bool(lanes.steps[0] >= self.max_steps)
        return _first(observation), success - 1.0, terminated, truncated, {"is_success": success}

    def render(self) -> Any:
        """Return a picture (height, width, 3) uint8, or None without a render mode."""
        if self.render_mode is None:
            gym.logger.warn("render needs an env made with render_mode='rgb_array'")
            return None
        return self._lanes.picture(0)

    def get_state(self) -> dict[str, Any]:
        """Return all that `set_state` needs to go on exactly: arrays, numbers, lists, dicts."""
        generator = self.np_random  # made on first use, and with it its seed
        return self._lanes.get_state([generator]) | {"seeds": [self._np_random_seed]}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a state that `get_state` gave; ValueError if it does not fit this env."""
        (self._np_random,) = self._lanes.set_state(state)
        (self._np_random_seed,) = state["seeds"]


def _first(observation: Observation) -> Observation:
    return {key: value[0] for key, value in observation.items()}


class VectorGoalEnv(_TaskShell, VectorEnv[Observation, Any, Array]):
    """All lanes of a task in one NumPy program, with autoreset at the next step.

    What `reset` and `step` return equals Gymnasium's `SyncVectorEnv` of the single env. Its arrays
    are the caller's: they never change later. Subclasses name their `task_class`.

    Args:
        num_envs: number of lanes, at least 1.
        render_mode: 'rgb_array' or None.
        **task: the named arguments of the task.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012
        **_TaskShell.metadata,
        "autoreset_mode": AutoresetMode.NEXT_STEP,
    }
    _leading = (_parameter("num_envs", 1, int), _parameter("render_mode", None, str | None))

    def __init__(self, num_envs: int = 1, render_mode: str | None = None, **task: Any):
        self.num_envs = require_count("num_envs", num_envs)
        self._take(self.task_class(**task), self.num_envs, render_mode)
        self.single_observation_space = self.task.observation_space
        self.single_action_space = self.task.action_space
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._autoreset = np.zeros(self.num_envs, np.bool_)
        self._generators: list[np.random.Generator | None] = [None] * self.num_envs
        self._seeds: list[int | None] = [None] * self.num_envs

    @property  # type: ignore[misc]
    def np_random(self) -> tuple[np.random.Generator, ...]:  # type: ignore[override]
        """The lanes' generators."""
        return tuple(self._generator(lane) for lane in range(self.num_envs))

    @property
    def np_random_seed(self) -> tuple[int | None, ...]:  # type: ignore[override]
        """The seeds that the lanes' generators started from."""
        for lane in range(self.num_envs):
            self._generator(lane)
        return tuple(self._seeds)

    def _generator(self, lane: int) -> np.random.Generator:
        generator = self._generators[lane]
        if generator is None:
            generator, self._seeds[lane] = seeding.np_random()
            self._generators[lane] = generator
        return generator

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Observation, Info]:
        """Start episodes in all lanes, or in those of `options['reset_mask']`, (num_envs,) bool.

        Args:
            seed: lane i starts a new stream from seed + i, or from seed[i]; None goes on as it is.
            options: `reset_mask` leaves the other lanes as they are.

        Raises:
            ValueError, TypeError: as many seeds as lanes, and a mask of their shape, are needed.
        """
        seeds = self._spread(seed)
        mask = _reset_mask(options, self.num_envs)
        if not (self._lanes.started or mask.all()):
            raise gym.error.ResetNeeded("the first reset must be of all lanes")
        lanes = np.flatnonzero(mask)
        for lane in lanes.tolist():
            if seeds[lane] is not None:
                self._generators[lane], self._seeds[lane] = seeding.np_random(seeds[lane])
        self._lanes.restart(lanes, [self._generator(lane) for lane in lanes.tolist()])
        self._autoreset = self._autoreset & ~mask
        observation, success = self._lanes.observe()
        return observation, {"is_success": success & mask, "_is_success": mask}

    def _spread(self, seed: int | Sequence[int | None] | None) -> Sequence[int | None]:
        if seed is None:
            return [None] * self.num_envs
        if isinstance(seed, Sequence | np.ndarray):
            if len(seed) != self.num_envs:
                raise ValueError(f"seed: {len(seed)} seeds were given for {self.num_envs} lanes")
            return [None if one is None else operator.index(one) for one in seed]
        return [operator.index(seed) + lane for lane in range(self.num_envs)]

    def step(self, actions: Any) -> tuple[Observation, Array, Array, Array, Info]:
        """Step all lanes; those whose episode ended at the last step are reset instead.

        Args:
            actions: (num_envs, action_dim) or (num_envs,) int; of a lane that resets, ignored.
        """
        lanes, n, restarted = self._lanes, self.num_envs, self._autoreset
        lanes.advance(actions)
        resets = restarted.any()
        if resets:
            ended = np.flatnonzero(restarted)
            lanes.restart(ended, [self._generator(lane) for lane in ended.tolist()])
        observation, success = lanes.observe()
        reward = success - 1.0
        terminated = success.copy() if self.task.success_terminates else np.zeros(n, np.bool_)
        truncated = lanes.steps >= self.max_steps
        if resets:
            reward[restarted] = 0.0
            terminated[restarted] = False
        self._autoreset = terminated | truncated
        info = {"is_success": success, "_is_success": np.ones(n, np.bool_)}
        return observation, reward, terminated, truncated, info

    def render(self) -> tuple[Any, ...] | None:
        """Return a picture (height, width, 3) uint8 a lane, or None without a render mode."""
        if self.render_mode is None:
            gym.logger.warn("render needs an env made with render_mode='rgb_array'")
            return None
        return tuple(self._lanes.picture(lane) for lane in range(self.num_envs))

    def get_state(self) -> dict[str, Any]:
        """Return all that `set_state` needs to go on exactly: arrays, numbers, lists, dicts."""
        saved = self._lanes.get_state(self.np_random)
        return saved | {"seeds": list(self._seeds), "autoreset": self._autoreset.copy()}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a state that `get_state` gave; ValueError if it does not fit this env."""
        self._generators = [*self._lanes.set_state(state)]
        self._seeds = list(state["seeds"])
        self._autoreset = np.array(state["autoreset"], np.bool_)


def _reset_mask(options: Mapping[str, Any] | None, n: int) -> Array:
    if options is None or "reset_mask" not in options:
        return np.ones(n, np.bool_)
    mask = options["reset_mask"]
    if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_:
        raise TypeError("options['reset_mask'] must be a numpy array of bool")
    if mask.shape != (n,) or not mask.any():
        raise ValueError(f"options['reset_mask'] must have shape ({n},) and at least one True")
    return mask.copy()
