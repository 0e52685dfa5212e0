"""EnvPool's C++ lanes of Gymnasium-Robotics' tasks (Fetch, Hand, PointMaze) as a Gymnasium vector env.

EnvPool (Weng et al. 2022, arXiv:2206.10558) steps all lanes in threads of its own. It seeds a lane
only when it makes it, so a reset with a seed makes the lanes anew: then the same seed gives the
same numbers, on any number of threads.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
from gymnasium import error, spaces
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from her_exp.system.machine import cores
from her_exp.types import KEYS, Array, Observation

#: The ids begin so; arguments of these envs that mean the same to EnvPool.
_FAMILIES = {
    "Fetch": {"reward_type"},
    "HandReach": {"reward_type"},
    "HandManipulate": {"reward_type"},
    "PointMaze": {"reward_type", "continuing_task"},
}
#: Arguments of Gymnasium's `make`; the second has no meaning here.
_MAKE = {"max_episode_steps", "disable_env_checker"}
#: Where the robot stands (m). EnvPool 1.2.5 puts that of every Fetch task where FetchReach has it: in
#: FetchSlide 35 cm too near, so that goals lie beyond the table; in the other two by 0.1 mm.
_BASE = {"FetchPush": 0.405, "FetchPickAndPlace": 0.405, "FetchSlide": 0.05}
_SEEDS = 2**31  # EnvPool takes seeds of 31 bits


def objection(spec: EnvSpec, arguments: Mapping[str, Any]) -> str | None:
    """Say why EnvPool cannot play this task with these arguments; None if it can."""
    # Its ids are Gymnasium-Robotics'; a task of the same name from elsewhere is another one.
    ours = str(spec.entry_point).startswith("gymnasium_robotics.")
    taken = next((names for start, names in _FAMILIES.items() if spec.id.startswith(start)), None)
    if not ours or taken is None:
        return f"EnvPool has no {spec.id}, only {', '.join(_FAMILIES)} of gymnasium-robotics"
    if missing := not_installed():
        return missing
    if spec.id not in _ids():
        return f"EnvPool has no {spec.id}"
    limit = arguments.get("max_episode_steps")
    if limit is not None and limit < 1:
        return f"EnvPool needs a time limit; max_episode_steps={limit}"
    unknown = sorted(arguments.keys() - taken - _MAKE)
    if unknown:
        return f"EnvPool's {spec.id} does not take {', '.join(unknown)}"
    return None


@cache
def not_installed() -> str | None:
    """Say why EnvPool cannot be imported, and what to do; None if it can."""
    try:
        import envpool  # noqa: F401
    except ImportError as missing:
        reason = "" if missing.name == "envpool" else f" whole ({missing})"
        return f"EnvPool is not installed{reason}; pip install 'her_exp[fast]'"
    return None


@cache
def _ids() -> frozenset[str]:
    import envpool

    return frozenset(envpool.list_all_envs())


class PoolVectorEnv(VectorEnv[Observation, Any, Array]):
    """Lanes of one task, stepped by EnvPool; each resets itself at the step after its end.

    What `reset` and `step` return has the form of Gymnasium's `SyncVectorEnv` of the single env;
    of info there is what tells success. Its arrays are the caller's: they never change later.

    Args:
        spec: of a task to which `objection` has none.
        num_envs: number of lanes.
        num_threads: threads that step them; None: one a core, at most one a lane. The numbers do
            not depend on it.
        **arguments: of the env, as `gymnasium.make` takes them.
    """

    metadata: dict[str, Any] = {"autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012

    single_observation_space: spaces.Dict

    def __init__(
        self, spec: EnvSpec, num_envs: int = 1, num_threads: int | None = None, **arguments: Any
    ):
        import envpool

        self.spec, self.num_envs, self._id = spec, num_envs, spec.id
        passed = dict(arguments)
        passed.pop("disable_env_checker", None)
        # Does success end an episode?
        self._success_ends = passed.get("continuing_task") is False
        if passed.get("max_episode_steps") is None:
            passed["max_episode_steps"] = spec.max_episode_steps
        task = spec.name.removesuffix("Dense")
        if task in _BASE:
            passed["initial_slide0"] = _BASE[task]
        threads = min(num_threads or cores(), num_envs)
        self._settings = {"num_envs": num_envs, "num_threads": threads, **passed}
        about = envpool.make_spec(spec.id, **self._settings)
        self.single_observation_space = spaces.Dict(
            {key: about.observation_space[key] for key in KEYS}
        )
        self.single_action_space = about.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._action_shape = (num_envs, *(about.action_space.shape or ()))
        self._pool: Any = None  # made at the first reset, which knows the seed

    def reset(
        self,
        *,
        seed: int | Sequence[int] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Observation, dict[str, Array]]:
        """Start episodes in all lanes.

        Args:
            seed: lane i starts a new stream from seed + i, or from seed[i]; None goes on as it is.
            options: none are known.

        Raises:
            ValueError: options, or another number of seeds than lanes.
        """
        if options:
            raise ValueError(f"reset options are not known to EnvPool: {', '.join(options)}")
        if seed is not None or self._pool is None:
            self._make(seed)
        observation, info = self._pool.reset()
        return observation, self._success(info)

    def _make(self, seed: int | Sequence[int] | None) -> None:
        import envpool

        if seed is None:
            seed = int(np.random.SeedSequence().generate_state(1)[0])
        if isinstance(seed, Sequence | np.ndarray):
            seeds = [operator.index(one) for one in seed]
        else:
            seeds = [operator.index(seed) + lane for lane in range(self.num_envs)]
        if len(seeds) != self.num_envs:
            raise ValueError(f"seed: {len(seeds)} seeds were given for {self.num_envs} lanes")
        self.close_extras()  # first: two sets of lanes would need twice the memory
        self._pool = envpool.make_gymnasium(
            self._id, seed=[one % _SEEDS for one in seeds], **self._settings
        )

    def step(self, actions: Any) -> tuple[Observation, Array, Array, Array, dict[str, Array]]:
        """Step all lanes; those whose episode ended at the last step are reset instead.

        Args:
            actions: (num_envs, action_dim); of a lane that resets, ignored.

        Raises:
            gymnasium.error.ResetNeeded: before the first reset.
            ValueError: actions of another shape.
        """
        if self._pool is None:
            raise error.ResetNeeded("step was called before reset")
        actions = np.ascontiguousarray(actions, np.float32)
        if actions.shape != self._action_shape:
            raise ValueError(f"actions have shape {actions.shape}, expected {self._action_shape}")
        observation, reward, terminated, truncated, info = self._pool.step(actions)
        success = self._success(info)
        if self._success_ends:  # EnvPool calls an end by success at the time limit truncated only
            terminated |= truncated & success["success"]
        return observation, reward.astype(np.float64), terminated, truncated, success

    def _success(self, info: Mapping[str, Any]) -> dict[str, Array]:
        key = "is_success" if "is_success" in info else "success"
        return {key: info[key] != 0.0, f"_{key}": np.ones(self.num_envs, np.bool_)}

    def close_extras(self, **kwargs: Any) -> None:
        """Free the lanes and end their threads."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None  # the threads end with the last reference
