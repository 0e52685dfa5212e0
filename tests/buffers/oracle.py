"""A slow, obvious model of the hindsight replay buffer.

Written from the specification alone: episodes are plain lists of states, a full ring forgets its
oldest state with `pop(0)`, and no index is ever computed from another one.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import numpy as np

from her_exp.types import KEYS, Observation, Step

STRATEGIES = ("future", "final", "episode", "random", "future_actual")
Key = tuple[int, int]  # (lane, row)
Goal = tuple["State", bool]  # a state, and whether its desired goal is lent, not the achieved one


class Episode:
    """The states of one episode, the first one included, in time."""

    def __init__(self) -> None:
        self.states: list[State] = []


@dataclass(eq=False)
class State:
    """One row of one lane."""

    lane: int
    row: int
    episode: Episode
    observation: np.ndarray
    achieved: np.ndarray
    desired: np.ndarray
    #: The step that led on: action, reward, terminated, truncated, info, next_state.
    taken: Any = None
    alive: bool = True

    @property
    def key(self) -> Key:
        return self.lane, self.row


def stored(array: Any) -> np.ndarray:
    """A copy as the buffer keeps it: float64 becomes float32, the rest stays."""
    array = np.array(array)
    return array.astype(np.float32) if array.dtype == np.float64 else array


class Oracle:
    """What the buffer must hold and may draw."""

    def __init__(
        self, capacity: int, k: float, strategy: str, goal_functions: Any, num_envs: int,
        info_keys: Sequence[str] = (), n_step: int = 1,
    ) -> None:  # fmt: skip
        self.k, self.strategy, self.info_keys, self.n_step = k, strategy, tuple(info_keys), n_step
        self.share = Fraction(1) if k == math.inf else Fraction(k, k + 1)
        self.functions = goal_functions
        self.rows = capacity // num_envs
        self.lanes: list[list[State]] = [[] for _ in range(num_envs)]
        self._labels = [itertools.cycle(range(self.rows)) for _ in range(num_envs)]
        self._expected: dict[tuple[State, Goal | None], dict[str, Any]] = {}
        self._tables: Any = None  # they hold until the next row

    # -- writing

    def begin(self, observation: Observation) -> None:
        for lane in range(len(self.lanes)):
            self._append(lane, Episode(), observation)

    def add(self, step: Step) -> None:
        for lane, states in enumerate(self.lanes):
            if not step.valid[lane]:
                self._append(lane, Episode(), step.next_observation)
                continue
            before = states[-1]
            after = self._append(lane, before.episode, step.next_observation)
            before.taken = SimpleNamespace(
                action=np.array(step.action[lane]),
                reward=float(step.reward[lane]),
                terminated=bool(step.terminated[lane]),
                truncated=bool(step.truncated[lane]),
                info={name: np.array(step.info[name][lane]) for name in self.info_keys},
                next_state=after,
            )

    def _append(self, lane: int, episode: Episode, observation: Observation) -> State:
        self._tables = None
        if self.n_step > 1:  # the window of a step may have got longer
            self._expected.clear()
        states = self.lanes[lane]
        row = next(self._labels[lane])
        state = State(lane, row, episode, *(stored(observation[key][lane]) for key in KEYS))
        states.append(state)
        episode.states.append(state)
        if len(states) > self.rows:
            states.pop(0).alive = False
        return state

    # -- reading

    @property
    def size(self) -> int:
        return sum(len(states) for states in self.lanes)

    def live(self) -> list[State]:
        return [state for states in self.lanes for state in states]

    def drawable(self) -> list[State]:
        """Return the states whose step may be drawn."""
        return [s for s in self.live() if s.taken is not None and s.taken.next_state.alive]

    def allowed_goals(self, state: State) -> list[Goal]:
        """Return the states that may lend the step of `state` a goal."""
        if self.strategy == "future_actual":
            asked = [(other, True) for other in self.live()]
            return [*((other, False) for other in self._achieved(state, "future")), *asked]
        return [(other, False) for other in self._achieved(state, self.strategy)]

    def _achieved(self, state: State, strategy: str) -> list[State]:
        if strategy == "random":
            return self.live()
        states = state.episode.states
        after = states[states.index(state) + 1 :]
        return {
            "future": after,
            "geometric": after,
            "final": after[-1:],
            "episode": [other for other in states[1:] if other.alive],
        }[strategy]

    def tables(self) -> tuple[dict[Key, State], set[Key], dict[Key, set[tuple[Key, bool]]]]:
        """Return state by key, the keys that may be drawn, and the keys of the goals of each."""
        if self._tables is None:
            allowed = {
                state.key: {(goal.key, asked) for goal, asked in self.allowed_goals(state)}
                for state in self.drawable()
            }
            self._tables = {state.key: state for state in self.live()}, {*allowed}, allowed
        return self._tables

    def reward(self, state: State, desired: np.ndarray) -> float:
        return float(self._ask(self.functions.reward, state, desired))

    def reached(self, state: State, desired: np.ndarray) -> bool:
        return bool(self._ask(self.functions.terminated, state, desired))

    def _ask(self, function: Callable[..., np.ndarray], state: State, desired: np.ndarray) -> Any:
        info = {name: value[None] for name, value in state.taken.info.items()}
        return function(state.taken.next_state.achieved[None], desired[None], info)[0]

    def expected(self, state: State, goal: Goal | None) -> dict[str, Any]:
        """Return the row of a batch: the step of `state` under `goal` (None: its own goal)."""
        if (state, goal) not in self._expected:
            self._expected[state, goal] = self._expect(state, goal)
        return self._expected[state, goal]

    def _expect(self, state: State, goal: Goal | None) -> dict[str, Any]:
        action, desired = state.taken.action, state.desired
        if goal is not None:
            desired = goal[0].desired if goal[1] else goal[0].achieved
        rewards, cut, last = self._window(state, desired, goal is None)
        return {
            "observation": state.observation.ravel().astype(np.float32),
            "goal": desired.ravel().astype(np.float32),
            "action": np.int64(action) if action.ndim == 0 else action.astype(np.float32),
            "reward": np.float32(rewards if self.n_step > 1 else rewards[0]),
            "terminated": np.float32(cut if self.n_step > 1 else cut[0]),
            "next_observation": last.observation.ravel().astype(np.float32),
        }

    def _window(
        self, state: State, desired: np.ndarray, own: bool
    ) -> tuple[list[float], list[float], State]:
        """Return rewards and ends of up to `n_step` steps, and the state that they lead to.

        Not taken, a step pays 0. What follows is looked up after the last one, unless it is an end.
        """
        rewards, cut = [0.0] * self.n_step, [1.0] * self.n_step
        for number in range(self.n_step):
            as_given = own and np.array_equal(state.desired, desired)
            rewards[number], ended = self._paid(state, None if as_given else desired)
            state = state.taken.next_state
            if ended:
                break
            if state.taken is None or number == self.n_step - 1:
                cut[number] = 0.0
                break
        return rewards, cut, state

    def _paid(self, state: State, desired: np.ndarray | None) -> tuple[float, bool]:
        """Return reward and end of one step, under `desired` or (None) as the env gave them."""
        taken = state.taken
        if desired is None:
            return taken.reward, taken.terminated
        crash = taken.terminated and not self.reached(state, state.desired)
        unexplained = taken.reward - self.reward(state, state.desired)
        return self.reward(state, desired) + unexplained, self.reached(state, desired) or crash
