"""Any goal env, any backend: a task, by its Gymnasium id, from which vector envs are made."""

from __future__ import annotations

import difflib
import importlib
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, Literal

import gymnasium as gym
from gymnasium import spaces
from gymnasium.vector import VectorEnv

import her_exp.envs  # noqa: F401  (registers our own ids)
from her_exp.envs.goal_env import EnvGoalFunctions
from her_exp.ranges import check_ranges
from her_exp.types import KEYS, GoalSpaces, UserError

Backend = Literal["auto", "native", "sync", "async"]

#: Gymnasium's name of each backend.
_MODES = {"native": "vector_entry_point", "sync": "sync", "async": "async"}


class GoalTask:
    """A goal-conditioned task; makes single and vector envs of it.

    Args:
        id: Gymnasium id.
        name: short name, for folders and the log; default: the id.
        imports: modules to import first, which register ids.
        num_envs: lanes that collect at once.
        num_eval_envs: lanes of an evaluation, at most.
        backend: 'native' (the id's vector entry point), 'sync', 'async' (Gymnasium's), or 'auto':
            native where the id has it, else sync. `self.backend` holds the choice.
        reward_range: (lowest, highest) reward of a step, or None where it is unknown.
        success_terminates: for envs without `compute_terminated`: does success end an episode?
        goal_distance: the task is a Euclidean distance with this threshold; None: found out.
        **kwargs: the env's own arguments.

    Raises:
        UserError: the id or a module does not exist, or the env is no goal env.
    """

    def __init__(
        self,
        id: str,
        *,
        name: str | None = None,
        imports: Sequence[str] = (),
        num_envs: int = 1,
        num_eval_envs: int = 1,
        backend: Backend = "auto",
        reward_range: Sequence[float] | None = None,
        success_terminates: bool | None = None,
        goal_distance: float | None = None,
        **kwargs: Any,
    ):
        check_ranges("GoalTask", num_envs=num_envs, num_eval_envs=num_eval_envs)
        import_modules(imports)
        self.id, self.name, self.kwargs = id, name or id, kwargs
        self.num_envs, self.num_eval_envs = num_envs, num_eval_envs
        self.spec = find_spec(id)
        if backend == "auto":
            backend = "native" if self.spec.vector_entry_point else "sync"
        elif backend == "native" and not self.spec.vector_entry_point:
            raise UserError(
                f"env.backend=native: {id} has no vector entry point; take sync or async"
            )
        self.backend: Backend = backend
        if backend == "native" and "max_episode_steps" in kwargs:
            raise UserError(
                f"env.max_episode_steps: {id} counts its own steps; give env.max_steps, or take "
                "env.backend=sync"
            )
        if reward_range is not None and not (
            len(reward_range) == 2 and reward_range[0] < reward_range[1]
        ):
            raise UserError(
                f"env.reward_range={list(reward_range)}: give [lowest, highest], or null"
            )
        self.reward_range = (
            (float(reward_range[0]), float(reward_range[1])) if reward_range else None
        )
        self.success_terminates, self.goal_distance = success_terminates, goal_distance
        self._spaces: GoalSpaces | None = None

    def make(self, num_envs: int | None = None, render_mode: str | None = None) -> VectorEnv:
        """Return a vector env of `num_envs` lanes (default: the task's)."""
        with _ignoring_sigint() if self.backend == "async" else nullcontext():
            return self._make_vec(num_envs, render_mode)

    def _make_vec(self, num_envs: int | None, render_mode: str | None) -> VectorEnv:
        return gym.make_vec(
            self.id,
            num_envs=num_envs or self.num_envs,
            vectorization_mode=_MODES[self.backend],
            **self._arguments(render_mode),
        )

    def make_single(self, render_mode: str | None = None) -> gym.Env[Any, Any]:
        """Return one env."""
        try:
            return gym.make(self.id, **self._arguments(render_mode))
        except (TypeError, ValueError) as error:
            raise UserError(f"env.id={self.id}: {' '.join(str(error).split())}") from error

    def _arguments(self, render_mode: str | None) -> dict[str, Any]:
        # An env that cannot draw need not have the argument at all.
        return self.kwargs | ({"render_mode": render_mode} if render_mode else {})

    @property
    def spaces(self) -> GoalSpaces:
        """Spaces of one lane; UserError if the env is no goal env."""
        if self._spaces is None:
            env = self.make_single()
            try:
                self._spaces = goal_spaces(env, self.id)
            finally:
                env.close()
        return self._spaces

    def goal_functions(self, info_keys: Sequence[str] = ()) -> EnvGoalFunctions:
        """Return the env's reward, termination and success on batches of goals."""
        return EnvGoalFunctions(
            self.make_single(),
            reward_range=self.reward_range,
            success_terminates=self.success_terminates,
            goal_distance=self.goal_distance,
            info_keys=info_keys,
        )


@contextmanager
def _ignoring_sigint() -> Iterator[None]:
    """Processes started in this block ignore SIGINT from their first line.

    Ctrl-C goes to the whole process group: workers that died of it would take the checkpoint along.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def import_modules(names: Sequence[str]) -> None:
    """Import modules that register Gymnasium ids."""
    for name in [names] if isinstance(names, str) else names:
        try:
            module = importlib.import_module(name)
        except ImportError as error:
            raise UserError(
                f"env.imports: cannot import {name!r} ({error}); is the package installed?"
            ) from error
        gym.register_envs(module)


def find_spec(id: str) -> gym.envs.registration.EnvSpec:
    """Return the registered spec, or say which ids are near."""
    try:
        return gym.spec(id)
    except gym.error.Error as error:
        near = _near(id)
        hint = f"did you mean {' or '.join(near)}?" if near else "no id is near it."
        raise UserError(
            f"env.id={id}: no such env; {hint} A package that registers on import goes into "
            "env.imports=[...]"
        ) from error


def _near(id: str) -> list[str]:
    """Return up to two registered ids whose names, without namespace and version, are like that of `id`."""

    def name(id: str) -> str:
        return id.rpartition("/")[2].partition("-v")[0].lower()

    newest: dict[str, gym.envs.registration.EnvSpec] = {}
    for spec in gym.registry.values():
        known = newest.setdefault(name(spec.id), spec)
        if (spec.version or 0) > (known.version or 0):
            newest[name(spec.id)] = spec
    names = difflib.get_close_matches(name(id), newest, n=2, cutoff=0.75)
    return [newest[near].id for near in names[: 1 if name(id) in newest else 2]]


def goal_spaces(env: gym.Env[Any, Any], id: str) -> GoalSpaces:
    """Return the spaces of a goal env, or say in one line why it is none."""
    space = env.observation_space
    advice = "see python -m her_exp.check env=gym env.id=" + id
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
