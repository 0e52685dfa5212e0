"""Signs that a run goes wrong, seen before anything of it is stored, learned from or saved."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import numpy as np
import torch
from gymnasium.vector import VectorEnv

from her_exp.system.foreign import foreign_code, reason_of
from her_exp.system.signals import Stopped
from her_exp.types import KEYS, Array, EnvFailed, Observation, UserError
from her_exp.values import numbers, truths

log = logging.getLogger(__name__)

_ADVICE = "try smaller learning rates, agent.grad_clip_norm=1, or declare env.reward_range"


class StepCheck:
    """Looks at every step of a vector env: shapes, dtypes, and that numbers are numbers.

    An array costs about a microsecond: its dot product with itself is finite where it is.

    Args:
        env: the vector env.
    """

    def __init__(self, env: VectorEnv):
        space: Any = env.single_observation_space
        n = env.num_envs
        self._wanted = [
            (key, (n, *(space[key].shape or ())), np.dtype(space[key].dtype)) for key in KEYS
        ]
        self._n = n

    def action(self, action: Array) -> None:
        """Raise UserError if an action (n, ...) is not finite: only learning makes such."""
        if action.dtype.kind == "f" and not math.isfinite(np.vdot(action, action)):
            wrong = _not_finite(action)
            if wrong is not None:
                raise UserError(
                    f"agent: the action of lane {wrong[0]} is {wrong[1]}: learning has diverged; "
                    + _ADVICE
                )

    def observation(self, observation: Observation, steps: Array) -> None:
        """Raise EnvFailed unless it is what its space says; `steps` (n,): in their episodes."""
        for key, shape, dtype in self._wanted:
            value = observation.get(key)
            if value is None:
                raise EnvFailed(f"env: the observation has no {key}")
            if value.shape != shape or value.dtype != dtype:
                _compare(key, value, shape, dtype)
            if value.dtype.kind == "f" and not math.isfinite(np.vdot(value, value)):
                self._refuse(key, value, steps)

    def reward(self, reward: Array, steps: Array) -> Array:
        """Return it as float64 (n,); EnvFailed unless it is a finite number a lane."""
        reward = numbers("env: reward", reward, self._n)
        if reward.shape != (self._n,):
            raise EnvFailed(f"env: rewards have shape {reward.shape}, expected {(self._n,)}")
        if not math.isfinite(np.vdot(reward, reward)):
            self._refuse("reward", reward, steps)
        return reward.astype(np.float64)

    def ends(self, terminated: Array, truncated: Array) -> tuple[Array, Array]:
        """Return both as bool (n,); EnvFailed unless each is a truth value a lane."""
        return (
            truths("env: terminated", terminated, self._n),
            truths("env: truncated", truncated, self._n),
        )

    def _refuse(self, key: str, value: Array, steps: Array) -> None:
        wrong = _not_finite(value)
        if wrong is None:  # finite, but its square is not
            return
        lane, number = wrong
        when = f"step {steps[lane]} of its episode" if steps[lane] else "its reset"
        raise EnvFailed(f"env: {key} of lane {lane} is {number} at {when}")


def _not_finite(value: Array) -> tuple[int, float] | None:
    """Return the first lane with a number that is not finite, and that number."""
    at = np.argwhere(~np.isfinite(value))
    return (int(at[0][0]), float(value[tuple(at[0])])) if len(at) else None


def _compare(key: str, value: Array, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    if value.shape != shape:
        raise EnvFailed(f"env: {key} has shape {value.shape}, its space says {shape}")
    if not np.can_cast(value.dtype, dtype, "same_kind"):
        raise EnvFailed(f"env: {key} has dtype {value.dtype}, its space says {dtype}")


class LearningCheck:
    """Looks at the metrics of updates, where they leave the device for the log.

    Args:
        return_range: (lowest, highest) return in reach, an entropy bonus included, or None where
            that is unknown. A Q ten times further out than both, and than 1, is no estimate any
            more. What an overshooting target adds stays well within.
    """

    def __init__(self, return_range: tuple[float, float] | None = None):
        self._range = return_range
        self.limit = 10.0 * (1.0 + max(map(abs, return_range))) if return_range else math.inf

    def means(
        self, metrics: Mapping[str, Sequence[torch.Tensor]], env_steps: int
    ) -> dict[str, float]:
        """Return the mean of each metric of several updates.

        Raises:
            UserError: one is not finite, or the Q of an update lies beyond all returns.
        """
        means = {}
        for key, values in metrics.items():
            # After a resume on a GPU the first ones are still on the CPU.
            device = values[-1].device
            together = torch.cat([value.to(device).reshape(-1) for value in values]).float()
            means[key] = float(together.mean())
            if not math.isfinite(means[key]):
                self._diverged(f"train/{key} is {means[key]}", env_steps)
            if key == "q_mean" and (most := float(together.abs().max())) > self.limit:
                low, high = self._range or (-math.inf, math.inf)
                self._diverged(
                    f"|q_mean| reached {most:.4g} while returns lie in [{low:g}, {high:g}]",
                    env_steps,
                )
        return means

    def _diverged(self, what: str, env_steps: int) -> NoReturn:
        raise UserError(f"{what} at env step {env_steps}: learning has diverged; {_ADVICE}")


def check_agent(state: Any, where: str = "agent") -> None:
    """Raise UserError if a tensor of an agent's state holds NaN, before it is saved."""
    if isinstance(state, Mapping):
        for key, value in state.items():
            check_agent(value, f"{where}.{key}")
    elif isinstance(state, list | tuple):
        for i, value in enumerate(state):
            check_agent(value, f"{where}.{i}")
    elif isinstance(state, torch.Tensor) and state.is_floating_point() and state.isnan().any():
        raise UserError(f"{where} holds nan: learning has diverged; {_ADVICE}")


def verdict(error: BaseException, env_steps: int) -> tuple[str, str]:
    """Return status and reason of a run that ended so; what an env raised goes into the log."""
    if isinstance(error, EnvFailed):
        error.args = (f"{error} (env step {env_steps} of training)",)
        if error.trace:
            log.error("%s", error.trace.rstrip())
    return "stopped" if isinstance(error, Stopped) else "failed", reason_of(error)


def close_all(*things: object) -> None:
    """Close what can be closed; one that fails keeps none of the others from it."""
    for thing in things:
        try:
            close = getattr(thing, "close", None)
            if close is not None:
                with foreign_code():
                    close()
        except Exception as error:  # whatever a stranger's env raises: the run's own end counts
            log.warning("cannot be closed: %s", reason_of(error))
