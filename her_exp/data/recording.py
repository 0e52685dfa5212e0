"""Episodes of a policy, written as a Minari set: whole or not at all."""

from __future__ import annotations

import copy
import os
import re
import shutil
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces as gym_spaces
from gymnasium.envs.registration import EnvSpec

from her_exp.data.minari_set import SUCCESS, root
from her_exp.types import KEYS, Array, GoalSpaces, Step, UserError
from her_exp.values import is_numeric

#: How Minari's ids look: what has no version, or leads from a place, is a folder.
_ID = re.compile(r"[-\w]+(/[-\w]+)*-v\d+")


class Recording:
    """Collects the episodes of a vector env's lanes, and writes them.

    Args:
        target: a folder to be made, or a Minari id of this machine (`NAME-v0`, `FOLDER/NAME-v0`).

    Raises:
        UserError: Minari is not installed, or the folder is there already.
    """

    def __init__(self, target: str):
        is_id = _ID.fullmatch(target) is not None
        self.folder = root() / target if is_id else Path(os.path.expanduser(target))
        self.id = target if is_id else re.sub(r"[^-\w]|-v\d+$", "", self.folder.name) + "-v0"
        if os.path.lexists(self.folder):
            raise UserError(f"dataset={target}: {self.folder} exists; give another name")
        try:
            import minari  # noqa: F401
        except ImportError as error:
            raise UserError(
                f"dataset={target}: Minari is not installed; give pip install 'her_exp[data]'"
            ) from error
        self._info_keys: tuple[str, ...] = SUCCESS
        self._open: dict[int, list[dict[str, Any]]] = defaultdict(list)  # steps of each lane
        self._done: list[list[dict[str, Any]]] = []

    def keep(self, info_keys: Sequence[str]) -> None:
        """Keep these info fields, too, beside those that tell success."""
        self._info_keys = tuple(dict.fromkeys((*SUCCESS, *info_keys)))

    def see(self, step: Step, counted: Collection[int]) -> None:
        """Take in a step; of the episodes that end with it those of the lanes `counted` are kept."""
        ends = step.terminated | step.truncated
        said = np.ones(len(ends), bool)  # by Gymnasium's masks, where there are some
        info = {key: np.asarray(step.info[key]) for key in self._info_keys if key in step.info}
        for lane in map(int, np.flatnonzero(step.valid)):
            after = step.next_observation
            self._open[lane].append({
                "before": {key: step.observation[key][lane].copy() for key in KEYS},
                "after": {key: after[key][lane].copy() for key in KEYS},
                "action": np.array(step.action[lane]),
                "reward": float(step.reward[lane]),
                "ends": (bool(step.terminated[lane]), bool(step.truncated[lane])),
                "info": {
                    key: value[lane]
                    for key, value in info.items()
                    if is_numeric(value) and np.asarray(step.info.get(f"_{key}", said))[lane]
                },
            })  # fmt: skip
            if ends[lane]:
                episode = self._open.pop(lane)
                if lane in counted:
                    self._done.append(episode)

    def write(self, spaces: GoalSpaces, spec: EnvSpec, about: Mapping[str, Any]) -> None:
        """Write what was counted, under another name first.

        Args:
            spaces: of one lane.
            spec: how the env is made.
            about: what is known of the policy, for the set's metadata; plain values.
        """
        import minari
        from minari.dataset.minari_storage import MinariStorage

        part = self.folder.absolute().with_name(f".{self.folder.name}.{os.getpid()}.tmp")
        seen = dict(zip(KEYS, (spaces.observation, spaces.goal, spaces.goal), strict=True))
        try:
            (part / "data").mkdir(parents=True)
            storage = MinariStorage.new(
                part / "data", gym_spaces.Dict(seen), spaces.action, spec if _plain(spec) else None,
                "hdf5", jpeg_encoding=False,
            )  # fmt: skip
            storage.update_metadata({
                "dataset_id": self.id, "minari_version": minari.__version__,
                "algorithm_name": str(about.get("agent", "")), "her_exp": dict(about),
            })  # fmt: skip
            storage.update_episodes(_as_minari(episode, spaces) for episode in self._done)
            part.rename(self.folder)
        except OSError as error:
            raise UserError(f"dataset={self.folder}: cannot be written ({error})") from error
        finally:
            shutil.rmtree(part, ignore_errors=True)


def spec_of(spec: EnvSpec, arguments: Mapping[str, Any]) -> EnvSpec:
    """Return a spec that makes the env with these arguments of `gymnasium.make`."""
    made, given = copy.deepcopy(spec), dict(arguments)
    made.max_episode_steps = given.pop("max_episode_steps", None) or made.max_episode_steps
    made.kwargs.update(given)
    return made


def _plain(spec: EnvSpec) -> bool:
    """Say whether a spec can be written down: one that holds functions or arrays is left out."""
    try:
        return bool(spec.to_json())
    except (TypeError, ValueError):
        return False


def _as_minari(steps: Sequence[dict[str, Any]], spaces: GoalSpaces) -> Any:
    from minari.data_collector.episode_buffer import EpisodeBuffer

    ends = np.array([step["ends"] for step in steps])
    states = [steps[0]["before"], *(step["after"] for step in steps)]
    # What some steps do not say, such as a success told at the end alone, no array can hold.
    keys = set.intersection(*(set(step["info"]) for step in steps))
    told = {key: np.array([step["info"][key] for step in steps]) for key in sorted(keys)}
    return EpisodeBuffer(
        observations={key: np.stack([state[key] for state in states]) for key in KEYS},
        actions=np.array([step["action"] for step in steps], spaces.action.dtype),
        rewards=np.array([step["reward"] for step in steps]),
        terminations=ends[:, 0],
        truncations=ends[:, 1],
        # Minari has the reset's in front, of which we know nothing.
        infos={key: np.concatenate([np.zeros_like(v[:1]), v]) for key, v in told.items()},
    )


class Noisy:
    """An agent whose actions are disturbed.

    Args:
        agent: chooses them.
        action: the space that they stay in.
        noise: of a Box: standard deviation in units of half its range; of Discrete: share of random ones.
        seed: of the disturbance.
    """

    def __init__(self, agent: Any, action: gym_spaces.Space[Any], noise: float, seed: int):
        self._agent, self._action, self._noise = agent, action, noise
        self._rng = np.random.default_rng([seed, 1])  # lane 0 of the env has `seed` itself

    def act(self, observation: Array, goal: Array, *, explore: bool) -> Array:
        """Choose actions as the agent does, and disturb them."""
        chosen = self._agent.act(observation, goal, explore=explore)
        space = self._action
        if isinstance(space, gym_spaces.Discrete):
            other = space.start + self._rng.integers(space.n, size=chosen.shape)
            return np.asarray(np.where(self._rng.random(chosen.shape) < self._noise, other, chosen))
        assert isinstance(space, gym_spaces.Box)
        drawn = self._rng.normal(0.0, self._noise, chosen.shape) * (space.high - space.low) / 2
        return np.asarray(np.clip(chosen + drawn, space.low, space.high), chosen.dtype)
