"""Random-action episodes of one env, recorded step by step; what the checks look at."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import numpy as np

from her_exp.types import Array, Observation
from her_exp.values import one_number, one_truth

#: An episode that is longer is cut here.
STEP_LIMIT = 1000


@dataclass(frozen=True)
class Moment:
    """One step as the env gave it, in copies of its arrays."""

    before: Array  #: achieved goal before the action, (g,)
    achieved: Array  #: achieved goal after it, (g,)
    desired: Array  #: desired goal when the action was chosen, (g,): what the step is judged by
    shown: Array  #: desired goal after it, (g,)
    reward: float
    terminated: bool
    truncated: bool
    info: dict[str, Any]


@dataclass
class Episode:
    """One episode from its reset on."""

    seed: int
    first: Observation
    first_info: dict[str, Any]
    actions: list[Any] = field(default_factory=list)
    moments: list[Moment] = field(default_factory=list)
    observations: list[Observation] = field(default_factory=list)  #: `first` among them
    reused: set[str] = field(default_factory=set)  #: what came in the memory of the step before

    @property
    def ended(self) -> bool:
        """Whether the env ended it, by termination or by a time limit."""
        last = self.moments[-1]
        return last.terminated or last.truncated


def play(env: gym.Env[Any, Any], seed: int, actions: Sequence[Any] | None = None) -> Episode:
    """Play one episode from `reset(seed=seed)`, with random actions of that seed, or with these."""
    observation, info = env.reset(seed=seed)
    first = copied(observation)
    episode = Episode(seed, first, copy.deepcopy(info), observations=[first])
    env.action_space.seed(seed)
    for t in range(STEP_LIMIT if actions is None else len(actions)):
        action = env.action_space.sample() if actions is None else actions[t]
        before, given, told = episode.observations[-1], dict(observation), info
        told_arrays = dict(info)
        observation, reward, terminated, truncated, info = env.step(copy.deepcopy(action))
        episode.reused |= _again(given, observation)
        episode.reused |= {"info"} if info is told or _again(told_arrays, info) else set()
        observation = copied(observation)
        episode.actions.append(action)
        episode.observations.append(observation)
        moment = Moment(
            before["achieved_goal"],
            observation["achieved_goal"],
            before["desired_goal"],
            observation["desired_goal"],
            one_number("step gave", "reward", reward),
            one_truth("step gave", "terminated", terminated),
            one_truth("step gave", "truncated", truncated),
            copy.deepcopy(info),
        )
        episode.moments.append(moment)
        if episode.ended:
            break
    return episode


def _again(old: Mapping[str, Any], new: Mapping[str, Any]) -> set[str]:
    """Name the arrays of `new` that lie in the memory of those of `old`."""
    both = {key: (old.get(key), value) for key, value in new.items()}
    arrays = {
        key: pair for key, pair in both.items() if all(isinstance(a, np.ndarray) for a in pair)
    }
    return {key for key, pair in arrays.items() if np.shares_memory(*pair)}


def copied(observation: Any) -> Observation:
    """Return the observation in arrays of its own: some envs write into the same ones each step."""
    return {key: np.array(value) for key, value in observation.items()}


class MissingInfo(KeyError):
    """An info field was looked up that is not there."""

    def __str__(self) -> str:
        return f"reads info[{self.args[0]!r}], which step does not give"


class WatchedInfo(dict[str, Any]):
    """An info dict that notes in `read` which of its keys somebody looks up.

    Args:
        info: the env's own.
        read: is added to: the key of each `info[key]`, `info.get(key)` and `key in info`, and all
            keys where somebody walks through them.
    """

    def __init__(self, info: dict[str, Any], read: set[str]):
        super().__init__(info)
        self._read = read

    def __getitem__(self, key: str) -> Any:
        self._read.add(key)
        if not super().__contains__(key):
            raise MissingInfo(key)
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        """Look a key up."""
        self._read.add(key)
        return super().get(key, default)

    def __contains__(self, key: object) -> bool:
        self._read.add(str(key))
        return super().__contains__(key)

    def __iter__(self) -> Iterator[str]:
        self._read.update(super().keys())
        return super().__iter__()

    def items(self) -> Any:
        """Walk through all."""
        self._read.update(super().keys())
        return super().items()

    def values(self) -> Any:
        """Walk through all values."""
        self._read.update(super().keys())
        return super().values()
