"""A Minari set as data: found on this machine, compared with an env, read episode by episode.

What Minari writes is an HDF5 file of arrays and a JSON file about it. Both are read as that, without Minari:
its own reader makes the env that a set names where spaces are missing.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces as gym_spaces

from her_exp.text import one_line, shortened
from her_exp.types import KEYS, Array, GoalSpaces, Observation, UserError

DATA, ABOUT = "main_data.hdf5", "metadata.json"
#: Info fields that say of a step whether its goal is met.
SUCCESS = ("is_success", "success")
_LARGEST = 10_000_000  # bytes of metadata.json
_SLACK = 1e-3  # of the Box: by so much an action may be rounded


class Episode(NamedTuple):
    """An episode of T steps, in the dtypes of the env."""

    observation: Observation  #: (T + 1, ...) of each key
    action: Array  #: (T, ...)
    reward: Array  #: (T,) float64
    terminated: Array  #: (T,) bool, at the last step alone
    truncated: Array  #: (T,) bool; the last step that is no end is one
    info: dict[str, Array]  #: (T, ...) of each field that was asked for and is there


class MinariSet:
    """A set of episodes of a goal env.

    Args:
        name: a folder that holds `main_data.hdf5` or `data/main_data.hdf5`, or a Minari id of this machine.
        key: the setting that names it, for error lines.

    Attributes:
        file: its HDF5 file.
        about: its `metadata.json`.

    Raises:
        UserError: there is no such set here, or it cannot be read.
    """

    def __init__(self, name: str, key: str = "buffer.demonstrations"):
        self._line = f"{key}={name}: "
        folder = self._find(name)
        self.file = folder / DATA
        try:
            with (folder / ABOUT).open("rb") as file:
                about = json.loads(file.read(_LARGEST))
        except (OSError, ValueError, RecursionError) as error:
            raise self.fault(f"{folder / ABOUT} cannot be read ({error})") from error
        self.about: dict[str, Any] = about if isinstance(about, dict) else {}
        form = self.about.get("data_format", "hdf5")
        if form != "hdf5" or not self.file.is_file():
            raise self.fault(f"its data is {form}, and no {self.file}; only hdf5 is read")

    def _find(self, name: str) -> Path:
        given = Path(os.path.expanduser(name))
        here = given if os.path.isdir(given) else root() / name
        for folder in (here, here / "data"):
            if os.path.isfile(folder / ABOUT):
                return folder
        if os.path.isdir(here):
            raise self.fault(f"is no Minari set: {here} holds no data/{ABOUT} and data/{DATA}")
        raise self.fault(
            f"no such folder, and no such set in {root()}; nothing is downloaded here: "
            f"minari download {name}"
        )

    def fault(self, text: str) -> UserError:
        """Return an error line about this set."""
        return UserError(self._line + one_line(text))

    @property
    def env_id(self) -> str | None:
        """Gymnasium id of the env that its metadata names, if it does."""
        try:
            found = json.loads(self.about["env_spec"])["id"]
        except (KeyError, TypeError, ValueError, RecursionError):
            return None
        return shortened(one_line(str(found)), 100)

    def digest(self) -> str:
        """SHA-256 of the data."""
        with self.file.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    @cached_property
    def lengths(self) -> list[int]:
        """Steps of each episode, by what is stored, not by what metadata says."""
        with self._open() as file:
            names = [name for name in file if re.fullmatch(r"episode_\d+", name)]
            if set(names) != {f"episode_{number}" for number in range(len(names))} or not names:
                raise self.fault(f"{self.file} holds no episodes episode_0, episode_1, ...")
            return [self._array(file, n, "rewards").size for n in range(len(names))]

    @property
    def steps(self) -> int:
        """Steps of all episodes."""
        return sum(self.lengths)

    @property
    def rows(self) -> int:
        """States of all episodes: rows that a buffer needs for them."""
        return self.steps + len(self.lengths)

    def fits(self, spaces: GoalSpaces, env_id: str, info_keys: Sequence[str] = ()) -> None:
        """See that names, shapes and kinds of all that is stored are those of an env; reads no array.

        Raises:
            UserError: the set is of another env, or what relabelling needs is not there.
        """
        if self.env_id is not None and _bare(self.env_id) != _bare(env_id):
            raise self.fault(f"it is of the env {self.env_id}, and env.id is {env_id}")
        lengths = self.lengths
        with self._open() as file:
            if _inside(file, "episode_0/observations/desired_goal") is None:
                raise self.fault(
                    f"it has no goals: observations must be a Dict of {', '.join(KEYS)}"
                )
            for number, steps in enumerate(lengths):
                if not steps:
                    raise self.fault(f"episode {number} has no step")
                for name, (space, rows) in _expected(spaces, steps).items():
                    found, shape = self._array(file, number, name), (rows, *(space.shape or ()))
                    if found.shape != shape:
                        raise self.fault(
                            f"{name} of episode {number} has shape {found.shape}, and of the {steps} "
                            f"steps of an episode of {env_id} it is {shape}"
                        )
                    if not np.can_cast(found.dtype, np.dtype(space.dtype), "same_kind"):
                        raise self.fault(
                            f"{name} of episode {number} are {found.dtype}, the env's are {space.dtype}"
                        )
                for key in info_keys:
                    if self._array(file, number, f"infos/{key}").shape[:1] not in (
                        (steps,), (steps + 1,)
                    ):  # fmt: skip
                        raise self.fault(f"infos/{key} of episode {number} is not one a step")

    def episodes(self, spaces: GoalSpaces, info_keys: Sequence[str] = ()) -> Iterator[Episode]:
        """Read one episode after the other of a set that `fits`.

        Raises:
            UserError: a number is not finite, an action is none of the env's, or an episode goes on after its
                end.
        """
        with self._open() as file:
            for number, steps in enumerate(self.lengths):
                read = {
                    name: self._array(file, number, name)[()].astype(space.dtype)
                    for name, (space, _) in _expected(spaces, steps).items()
                }
                ends = [self._array(file, number, name)[()] != 0 for name in _ENDS]
                info = {}
                for key in dict.fromkeys((*info_keys, *SUCCESS)):
                    field = _inside(file, f"episode_{number}/infos/{key}")
                    if field is not None and field.shape[:1] in ((steps,), (steps + 1,)):
                        info[key] = field[()][-steps:]  # the first of T + 1 is of the reset
                self._judge(number, read, info, spaces.action)
                if ends[0].shape != (steps,) or ends[1].shape != (steps,):
                    raise self.fault(f"ends of episode {number} are not one a step")
                if (over := np.flatnonzero((ends[0] | ends[1])[:-1])).size:
                    raise self.fault(
                        f"episode {number} ends at step {over[0] + 1} of {steps} and goes on; split it"
                    )
                ends[1][-1] |= not ends[0][-1]  # cut, by whoever recorded it
                seen = {key: read[f"observations/{key}"] for key in KEYS}
                yield Episode(seen, read["actions"], read["rewards"], ends[0], ends[1], info)

    def _judge(
        self, number: int, read: Mapping[str, Array], info: Mapping[str, Array], action: Any
    ) -> None:
        for name, values in {**read, **info}.items():
            if not np.isfinite(values).all():
                raise self.fault(f"{name} of episode {number} holds what is no finite number")
        actions = read["actions"]
        low, high = (
            (action.start, action.start + action.n - 1)
            if isinstance(action, gym_spaces.Discrete)
            else (action.low, action.high)
        )
        slack = _SLACK * (high - low) if actions.dtype.kind == "f" else 0
        if (actions < low - slack).any() or (actions > high + slack).any():
            raise self.fault(
                f"actions of episode {number} reach from {actions.min():g} to {actions.max():g}, which "
                f"are none of {action}"
            )

    @contextmanager
    def _open(self) -> Iterator[Any]:
        try:
            import h5py
        except ImportError as error:
            raise self.fault("h5py is not installed; give pip install 'her_exp[data]'") from error
        try:
            with h5py.File(self.file, "r") as file:
                yield file
        except (OSError, KeyError, RuntimeError, TypeError, ValueError) as error:  # it is damaged
            raise self.fault(f"{self.file} cannot be read ({error})") from error

    def _array(self, file: Any, number: int, name: str) -> Any:
        found = _inside(file, f"episode_{number}/{name}")
        if found is None:
            raise self.fault(f"episode {number} has no numbers {name}")
        return found


_ENDS = ("terminations", "truncations")


def root() -> Path:
    """Return the folder of Minari's sets on this machine."""
    there = os.environ.get("MINARI_DATASETS_PATH")
    return Path(there) if there else Path.home() / ".minari" / "datasets"


def _bare(env_id: str) -> str:
    return re.sub(r"^.*:|-v\d+$", "", env_id)


def _expected(spaces: GoalSpaces, steps: int) -> dict[str, tuple[Any, int]]:
    """Return, by name, the space of one entry of what is stored, and how many there are."""
    each = dict(zip(KEYS, (spaces.observation, spaces.goal, spaces.goal), strict=True))
    states = {f"observations/{key}": (space, steps + 1) for key, space in each.items()}
    number = gym_spaces.Box(-np.inf, np.inf, (), np.float64)
    return states | {"actions": (spaces.action, steps), "rewards": (number, steps)}


def _inside(group: Any, path: str) -> Any:
    """Return the array of numbers at a path, or None; what leads out of the file is not followed."""
    import h5py

    for part in path.split("/"):
        if not isinstance(group, h5py.Group):
            return None
        if not isinstance(group.get(part, getlink=True), h5py.HardLink):
            return None
        group = group[part]
    if not isinstance(group, h5py.Dataset) or group.is_virtual or group.external:
        return None
    if group.shape is None:  # it holds nothing, not even no numbers
        return None
    return group if group.dtype.kind in "biuf" else None
