"""A toy world of goals whose numbers are exact and whose states all differ.

All its numbers are dyadic (small multiples of 1/32), so that float32 and float64 give the same sums and
every comparison can be exact. All its states differ, so that every goal can be traced to its row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces

from her_exp.types import GoalFunctions, GoalSpaces, Observation, Step


class FloatGoals(GoalFunctions):
    """Goals of two floats; reward and end depend on the order of the arguments and on `info`."""

    info_keys: tuple[str, ...] = ("wind", "load")

    def reward(self, achieved: Any, desired: Any, info: Mapping[str, Any]) -> np.ndarray:
        a, d = np.asarray(achieved, np.float64), np.asarray(desired, np.float64)
        wind, load = info["wind"], np.asarray(info["load"], np.float64)
        pay = 2 * a[:, 0] - 5 * d[:, 0] + a[:, 1] - 3 * d[:, 1]
        return pay + wind * d[:, 1] + load[:, 0] * d[:, 1] - load[:, 1] * a[:, 1]

    def terminated(self, achieved: Any, desired: Any, info: Mapping[str, Any]) -> np.ndarray:
        return np.asarray(achieved)[:, 1] + info["wind"] >= np.asarray(desired)[:, 1]

    def success(self, achieved: Any, desired: Any, info: Mapping[str, Any]) -> np.ndarray:
        return self.terminated(achieved, desired, info)


class IntGoals(FloatGoals):
    """Goals of two ints, compared bit by bit (which floats would refuse); no info."""

    info_keys = ()

    def reward(self, achieved: Any, desired: Any, info: Mapping[str, Any]) -> np.ndarray:
        missing = np.bitwise_and(desired, np.invert(achieved))
        return -(missing[:, 0] + 0.5 * missing[:, 1]).astype(np.float64)

    def terminated(self, achieved: Any, desired: Any, info: Mapping[str, Any]) -> np.ndarray:
        return np.bitwise_and(desired, np.invert(achieved))[:, 1] == 0


@dataclass
class World:
    """A stream of random steps of several lanes, with NEXT_STEP autoreset.

    `kind`: `float` (float64 observations and goals, a Box of actions, info that the reward reads),
    `int` (int64 observations and goals, Discrete actions) or `bytes` (uint8 pictures, float32
    goals). An episode's length is drawn from `lengths`, its end from `ends`: `success` and `crash`
    terminate, `timeout` truncates, `both` is a success on the last step that time allows, `silent` is
    told by no flag: the lane just begins anew.
    After a share `moves` of the steps another goal is asked for; all steps cost the same then.
    """

    kind: str
    lanes: int
    seed: int
    lengths: Sequence[int] = (1, 2, 3, 5, 8)
    ends: Sequence[str] = ("success", "crash", "timeout", "both")
    moves: float = 0.0

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        self.functions: Any = IntGoals() if self.kind == "int" else FloatGoals()
        self.count = 0
        self.left = [0] * self.lanes
        self.end = [""] * self.lanes
        self.desired: list[Any] = [None] * self.lanes

    @property
    def dtypes(self) -> tuple[Any, Any]:
        """Of observations and of goals."""
        floats = (np.uint8, np.float32) if self.kind == "bytes" else (np.float64, np.float64)
        return (np.int64, np.int64) if self.kind == "int" else floats

    @property
    def spaces(self) -> GoalSpaces:
        _, goal = self.dtypes
        if self.kind == "int":
            whole = [spaces.Box(0, 2**20, (n,), goal) for n in (3, 2)]
            return GoalSpaces(*whole, spaces.Discrete(4))
        numbers = spaces.Box(-np.inf, np.inf, (3,), np.float64)
        return GoalSpaces(
            spaces.Box(0, 255, (2, 3), np.uint8) if self.kind == "bytes" else numbers,
            spaces.Box(-np.inf, np.inf, (2,), goal),
            spaces.Box(-1.0, 1.0, (2,), np.float32),
        )

    def reset(self) -> Observation:
        return self._observation([self._open(lane) for lane in range(self.lanes)])

    def step(self) -> Step:
        rng, n, before = self.rng, self.lanes, self.now
        valid = np.array([left > 0 for left in self.left])
        ended = [end if left == 1 else "" for end, left in zip(self.end, self.left, strict=True)]
        met = [name in ("success", "both") for name in ended]
        states = [self._state(met[i]) if valid[i] else self._open(i) for i in range(n)]
        for lane in np.flatnonzero(valid) if self.moves else ():
            if rng.random() < self.moves:
                self._ask(lane)
        after = self._observation(states)
        wind, load = rng.integers(0, 4, n) / 4, rng.integers(0, 8, (n, 2)) / 4
        info: dict[str, Any] = {"wind": wind, "load": load}
        asked = np.where(valid[:, None], before["desired_goal"], after["desired_goal"])
        goals = after["achieved_goal"], asked, info
        control = rng.integers(0, 2, n) * rng.integers(1, 9, n) / 8 if not self.moves else 0.25
        assert (self.functions.terminated(*goals) == met)[valid].all()
        # Vector envs tell what some lane told, and mark which ones.
        info |= {f"_{name}": valid.copy() for name in ("wind", "load")}
        info["final_obs"] = np.array([None] * n, dtype=object)
        self.left = [left - bool(steps) for left, steps in zip(self.left, valid, strict=True)]
        action = rng.uniform(-1, 1, (n, 2)).astype(np.float32)
        return Step(
            observation=before,
            action=rng.integers(0, 4, n) if self.kind == "int" else action,
            reward=np.where(valid, self.functions.reward(*goals) - control, 0.0),
            terminated=valid & [name in ("success", "crash", "both") for name in ended],
            truncated=valid & [name in ("timeout", "both") for name in ended],
            next_observation=after,
            valid=valid,
            info=info if valid.any() else {},
            success=np.zeros(n, bool),
        )

    def _open(self, lane: int) -> tuple[Any, Any]:
        self.left[lane] = int(self.rng.choice(self.lengths))  # 0: the next step is an autoreset
        self.end[lane] = str(self.rng.choice(self.ends))
        self._ask(lane)
        return self._state(False)

    def _ask(self, lane: int) -> None:
        """Ask for a goal out of reach of every state but the one that is a success."""
        wish = self.rng.integers(0, 64, 2)
        self.desired[lane] = wish | [0, 16] if self.kind == "int" else wish / 8 + [0, 20]

    def _state(self, met: bool) -> tuple[Any, Any]:
        """Return a new state, unlike any other: observation and achieved goal."""
        self.count += 1
        if self.kind == "int":
            low = 63 if met else int(self.rng.integers(0, 16))
            return [self.count, int(self.rng.integers(0, 9)), 1], [self.count, low]
        high = 60 if met else 0
        achieved = [self.count / 8, high + int(self.rng.integers(-64, 65)) / 8]
        if self.kind == "bytes":
            digits = [self.count // 256**i % 256 for i in range(3)]
            return [digits, self.rng.integers(0, 256, 3).tolist()], achieved
        return [self.count, *self.rng.normal(size=2)], achieved

    def _observation(self, states: list[tuple[Any, Any]]) -> Observation:
        seen, goal = self.dtypes
        self.now = {
            "observation": np.array([state[0] for state in states], seen),
            "achieved_goal": np.array([state[1] for state in states], goal),
            "desired_goal": np.array(self.desired, goal),
        }
        return self.now
