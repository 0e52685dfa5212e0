"""Any goal env, any backend: a task, by its Gymnasium id, from which vector envs are made."""

from __future__ import annotations

import copy
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any, Literal

import gymnasium as gym
import numpy as np
from gymnasium.vector import VectorEnv

from her_exp.envs.goal_functions import EnvGoalFunctions
from her_exp.envs.ids import check_command, find_spec, import_modules, newest
from her_exp.envs.spaces import Spaces, check_alike, goal_spaces, spaces_of
from her_exp.envs.vector.guarded import Lanes, WatchedEnv, Workers
from her_exp.envs.vector.pool import PoolVectorEnv, objection
from her_exp.limits import Count, Finite, Positive, Threads, check_arguments
from her_exp.system.foreign import Left, foreign_code
from her_exp.text import one_line
from her_exp.types import GoalSpaces, UserError

Backend = Literal["auto", "native", "sync", "async", "envpool"]

#: Seconds that a worker process has for a step or a reset, where nothing else is said.
_TIMEOUT = 60.0
#: Random steps in which an episode of an env without a known time limit should end.
_LONG = 1000
_LOOKING = 2.0  # seconds that are spent on them, at most


class GoalTask:
    """A goal-conditioned task; makes single and vector envs of it.

    Args:
        id: Gymnasium id.
        name: short name, for folders and the log; default: the id.
        imports: modules to import first, which register ids.
        num_envs: lanes that collect at once.
        num_eval_envs: lanes of an evaluation, at most.
        backend: 'native' (the id's vector entry point), 'envpool' (C++, of Gymnasium-Robotics'
            tasks), 'sync', 'async' (Gymnasium's), or 'auto': native where the id has it, else
            envpool where it is installed and has the task, else sync. `self.backend` holds the
            choice.
        num_threads: threads that step the lanes of 'envpool'; None: one a core.
        reward_range: (lowest, highest) reward of a step, or None where it is unknown.
        success_terminates: for envs without `compute_terminated`: does success end an episode?
        goal_distance: the task is a Euclidean distance with this threshold; None: found out; False: no.
        timeout: of backend 'async': seconds that a step or a reset may take; None: 60.
        success_reward: least reward that means success, for envs without `compute_success`; None: the
            highest of `reward_range`.
        training_kwargs: arguments of the env that hold where a run collects, beside those below or in
            their place: of `collecting`.
        **kwargs: the env's own arguments.

    Raises:
        UserError: the id or a module does not exist, the env is no goal env, or the backend cannot
            make it.
    """

    def __init__(
        self,
        id: str,
        *,
        name: str | None = None,
        imports: Sequence[str] = (),
        num_envs: Count = 1,
        num_eval_envs: Count = 1,
        backend: Backend = "auto",
        num_threads: Threads | None = None,
        reward_range: Sequence[float] | None = None,
        success_terminates: bool | None = None,
        goal_distance: Positive | Literal[False] | None = None,
        timeout: Positive | None = None,
        success_reward: Finite | None = None,
        training_kwargs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ):
        check_arguments(GoalTask, locals())
        import_modules(imports)
        self.id, self.name, self.kwargs = id, name or id, kwargs
        self.imports = [imports] if isinstance(imports, str) else list(imports)
        self.num_envs, self.num_eval_envs = num_envs, num_eval_envs
        self.spec = find_spec(id)
        every = {**kwargs, **(training_kwargs or {})}
        self.backend, self.num_threads = choose_backend(backend, self.spec, every), num_threads
        if self.backend == "native" and "max_episode_steps" in every:
            raise UserError(
                f"env.max_episode_steps: {id} counts its own steps; give env.max_steps, or take "
                "env.backend=sync"
            )
        if timeout is not None and self.backend != "async":
            raise UserError(
                f"env.timeout={timeout:g}: only worker processes can be interrupted, and "
                f"env.backend={self.backend} has none; take env.backend=async, or leave it out"
            )
        self.timeout = _TIMEOUT if timeout is None else timeout
        self.reward_range = (
            (float(reward_range[0]), float(reward_range[1])) if reward_range else None
        )
        #: What the configuration says of the env, as `EnvGoalFunctions` takes it.
        self.declared: dict[str, Any] = {
            "reward_range": self.reward_range,
            "success_terminates": success_terminates,
            "goal_distance": goal_distance,
            "success_reward": success_reward,
        }
        self._spaces: GoalSpaces | None = None
        self._instance: Spaces = {}
        self._episode_steps: int | None = None
        #: The task that a run collects in and learns, this one where nothing differs; evaluated is this one.
        self.collecting = self
        if training_kwargs:
            self.collecting = copy.copy(self)
            self.collecting.kwargs, self.collecting.collecting = every, self.collecting

    def make(self, num_envs: int | None = None, render_mode: str | None = None) -> VectorEnv:
        """Return a vector env of `num_envs` lanes (default: the task's)."""
        with _ignoring_sigint() if self.backend == "async" else nullcontext():
            return self._make_vec(num_envs, render_mode)

    def _make_vec(self, num_envs: int | None, render_mode: str | None) -> VectorEnv:
        if self.backend == "envpool":
            return self._make_pool(num_envs or self.num_envs, render_mode)
        n, arguments = num_envs or self.num_envs, self._arguments(render_mode)
        if self.backend == "native":
            env = gym.make_vec(
                self.id, num_envs=n, vectorization_mode="vector_entry_point", **arguments
            )
            here = spaces_of(env.single_observation_space, env.single_action_space)
            check_alike("the vector env", here, self._alike())
            return env
        make = partial(_make_lane, self.spec, self.imports, arguments, self._alike())
        makers = [partial(make, lane) for lane in range(n)]
        return Lanes(makers) if self.backend == "sync" else Workers(makers, self.timeout)

    def _make_pool(self, num_envs: int, render_mode: str | None) -> VectorEnv:
        if render_mode is not None:
            raise UserError("env.backend=envpool does not draw; make_single(render_mode=...) does")
        env = PoolVectorEnv(self.spec, num_envs, self.num_threads, **self.kwargs)
        space, wanted = env.single_observation_space, self.spaces
        found = GoalSpaces(space["observation"], space["desired_goal"], env.single_action_space)
        if found != wanted:
            raise UserError(
                f"env.backend=envpool: its {self.id} has other spaces than the installed package's "
                f"({found} for {wanted}); take env.backend=sync"
            )
        return env

    def make_single(self, render_mode: str | None = None) -> gym.Env[Any, Any]:
        """Return one env."""
        try:
            with foreign_code():
                return gym.make(self.id, **self._arguments(render_mode))
        except (TypeError, ValueError, Left, gym.error.DependencyNotInstalled) as error:
            old = isinstance(error, gym.error.DependencyNotInstalled) and newest(self.id) != self.id
            hint = f"; did you mean {newest(self.id)}?" if old else ""
            raise UserError(f"env.id={self.id}: {one_line(str(error))}{hint}") from error

    def _arguments(self, render_mode: str | None) -> dict[str, Any]:
        # An env that cannot draw need not have the argument at all.
        return self.kwargs | ({"render_mode": render_mode} if render_mode else {})

    @property
    def spaces(self) -> GoalSpaces:
        """Spaces of one lane; UserError if the env is no goal env."""
        if self._spaces is None:
            env = self.make_single()
            try:
                checked = check_command(self.id, self.imports, self.kwargs)
                self._spaces = goal_spaces(env, self.id, f"see {checked}")
                self._instance = spaces_of(env.observation_space, env.action_space)
                self._episode_steps = episode_steps(env)
            finally:
                env.close()
        return self._spaces

    def _alike(self) -> Spaces:
        """Return what every instance's spaces are to be: those of the one that was asked for `spaces`."""
        _ = self.spaces
        return self._instance

    @property
    def episode_steps(self) -> int | None:
        """Steps of an episode at most, or None where the env does not say."""
        return self._episode_steps if self.spaces else None

    def endless(self) -> str | None:
        """Say in a line that episodes may never end, where no time limit is known and none is seen."""
        if self.episode_steps is not None:
            return None
        env, until = WatchedEnv(self.make_single(), 0), time.monotonic() + _LOOKING
        try:
            env.action_space.seed(0)
            env.reset(seed=0)
            for _ in range(_LONG):
                if time.monotonic() > until:
                    break
                _, _, terminated, truncated, _ = env.step(env.action_space.sample())
                if truncated:
                    return None
                if terminated:
                    env.reset()
        finally:
            env.close()
        here = "" if self.backend in ("sync", "async") else "env.backend=sync "
        return (
            "no time limit is known, and random steps met none: an episode that never ends holds the run up; "
            f"{here}+env.max_episode_steps=200 gives one"
        )

    def goal_functions(self, info_keys: Sequence[str] = ()) -> EnvGoalFunctions:
        """Return the env's reward, termination and success on batches of goals."""
        _ = self.spaces  # says why, where it is no goal env
        env = self.make_single()
        try:
            env = WatchedEnv(env, 0)
            return EnvGoalFunctions(env, **self.declared, info_keys=info_keys)
        except BaseException:
            env.close()
            raise


def _make_lane(
    spec: gym.envs.registration.EnvSpec,
    imports: Sequence[str],
    arguments: dict[str, Any],
    wanted: Spaces,
    lane: int,
) -> gym.Env[Any, Any]:
    """Make the env of a lane; without the task itself, which processes need not pickle.

    Raises:
        EnvFailed: its spaces are not those of the env that the agent was made for.
    """
    import_modules(imports)  # a process that is no fork knows of none
    env = gym.make(spec, **arguments)
    check_alike(f"lane {lane}", spaces_of(env.observation_space, env.action_space), wanted)
    return WatchedEnv(env, lane)


def choose_backend(
    backend: Backend, spec: gym.envs.registration.EnvSpec, arguments: Mapping[str, Any]
) -> Backend:
    """Return what `auto` stands for here, or see that the backend asked for can make the task."""
    if backend == "native" and not spec.vector_entry_point:
        raise UserError(
            f"env.backend=native: {spec.id} has no vector entry point; take sync or async"
        )
    if backend == "envpool" and (reason := objection(spec, arguments)):
        raise UserError(f"env.backend=envpool: {reason}; or take env.backend=sync")
    if backend != "auto":
        return backend
    if spec.vector_entry_point:
        return "native"
    return "sync" if objection(spec, arguments) else "envpool"


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


def episode_steps(env: gym.Env[Any, Any]) -> int | None:
    """Return how many steps an episode has at most, by its time limit or by its own count."""
    counts = [getattr(env.spec, "max_episode_steps", None)]
    if env.has_wrapper_attr("max_steps"):
        counts.append(env.get_wrapper_attr("max_steps"))
    known = [int(n) for n in counts if isinstance(n, int | np.integer) and n > 0]
    return min(known) if known else None
