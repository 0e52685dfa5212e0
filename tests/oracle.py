"""A slow, obvious model of the hindsight replay buffer, a toy world, and the comparison of the two.

Written from the specification alone: episodes are plain lists of states, a full ring forgets its
oldest state with `pop(0)`, and no index is ever computed from another one. All numbers of the toy
world are dyadic (small multiples of 1/32), so that float32 and float64 give the same sums and every
comparison can be exact. All its states differ, so that every goal can be traced to its row.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from gymnasium import spaces

from her_exp.buffers.hindsight import HindsightReplayBuffer
from her_exp.types import Batch, GoalSpaces, Observation, Step

STRATEGIES = ("future", "final", "episode", "random", "future_actual")
Key = tuple[int, int]  # (lane, row)
Goal = tuple["State", bool]  # a state, and whether its desired goal is lent, not the achieved one


# ---------------------------------------------------------------------------------------------
# The model


@dataclass(eq=False)
class Taken:
    """What happened in a state: the step that led on to the next one."""

    action: np.ndarray
    reward: float
    terminated: bool
    truncated: bool
    info: dict[str, np.ndarray]
    next_state: State


@dataclass(eq=False)
class Episode:
    """The states of one episode, the first one included, in time."""

    states: list[State] = field(default_factory=list)


@dataclass(eq=False)
class State:
    """One row of one lane."""

    lane: int
    row: int
    episode: Episode
    observation: np.ndarray
    achieved: np.ndarray
    desired: np.ndarray
    taken: Taken | None = None
    alive: bool = True

    @property
    def key(self) -> Key:
        return self.lane, self.row


def stored(array: Any) -> np.ndarray:
    """Return a copy as the buffer keeps it: float64 becomes float32, the rest stays."""
    array = np.array(array)
    return array.astype(np.float32) if array.dtype == np.float64 else array


class Oracle:
    """What the buffer must hold and may draw."""

    def __init__(
        self,
        capacity: int,
        k: int,
        strategy: str,
        goal_functions: Any,
        num_envs: int,
        info_keys: Sequence[str] = (),
    ) -> None:
        self.k, self.strategy, self.info_keys = k, strategy, tuple(info_keys)
        self.share = Fraction(k, k + 1)
        self.functions = goal_functions
        self.rows = capacity // num_envs
        self.lanes: list[list[State]] = [[] for _ in range(num_envs)]
        self._labels = [itertools.cycle(range(self.rows)) for _ in range(num_envs)]
        self._expected: dict[tuple[State, Goal | None], dict[str, Any]] = {}
        self._since_written: dict[Any, Any] = {}  # answers that hold until the next row

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
            before.taken = Taken(
                action=np.array(step.action[lane]),
                reward=float(step.reward[lane]),
                terminated=bool(step.terminated[lane]),
                truncated=bool(step.truncated[lane]),
                info={name: np.array(step.info[name][lane]) for name in self.info_keys},
                next_state=after,
            )

    def _append(self, lane: int, episode: Episode, observation: Observation) -> State:
        self._since_written.clear()
        states = self.lanes[lane]
        state = State(
            lane,
            next(self._labels[lane]),
            episode,
            stored(observation["observation"][lane]),
            stored(observation["achieved_goal"][lane]),
            stored(observation["desired_goal"][lane]),
        )
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
            "final": after[-1:],
            "episode": [other for other in states[1:] if other.alive],
        }[strategy]

    def tables(self) -> tuple[dict[Key, State], set[Key], dict[Key, set[tuple[Key, bool]]]]:
        """Return state by key, the keys that may be drawn, and the keys of the goals of each."""
        if not self._since_written:
            self._since_written = {
                "states": {state.key: state for state in self.live()},
                "drawable": {state.key for state in self.drawable()},
                "allowed": {
                    state.key: {(goal.key, asked) for goal, asked in self.allowed_goals(state)}
                    for state in self.drawable()
                },
            }
        return tuple(self._since_written.values())

    def reward(self, state: State, desired: np.ndarray) -> float:
        """Return what the goal functions pay for the step of `state` under `desired`."""
        return float(self._ask(self.functions.reward, state, desired))

    def reached(self, state: State, desired: np.ndarray) -> bool:
        """Return what the goal functions say of the end of the step of `state` under `desired`."""
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
        taken, desired = state.taken, state.desired
        if goal is not None:
            desired = goal[0].desired if goal[1] else goal[0].achieved
        reward, terminated = taken.reward, taken.terminated
        if goal is not None:
            crash = taken.terminated and not self.reached(state, state.desired)
            unexplained = taken.reward - self.reward(state, state.desired)
            reward = self.reward(state, desired) + unexplained
            terminated = self.reached(state, desired) or crash
        action = taken.action
        return {
            "observation": state.observation.ravel().astype(np.float32),
            "goal": desired.ravel().astype(np.float32),
            "action": np.int64(action) if action.ndim == 0 else action.astype(np.float32),
            "reward": np.float32(reward),
            "terminated": np.float32(terminated),
            "next_observation": taken.next_state.observation.ravel().astype(np.float32),
        }


# ---------------------------------------------------------------------------------------------
# The comparison


def compare(buffer: Any, oracle: Oracle, batches: Sequence[Batch]) -> list[tuple[State, Any]]:
    """Raise AssertionError unless `batches`, the buffer's last draw, are what the oracle allows.

    Returns the (state, goal state or None) of every element, batch after batch.
    """
    names = ("lane", "row", "goal_lane", "goal_row", "relabelled", "asked")
    told = buffer.last
    last = {name: getattr(told, name) for name in names}
    shape = (len(batches), len(batches[0].reward))
    for name, array in last.items():
        assert array.shape == shape, f"shape of last.{name}: {array.shape}, not {shape}"
    assert last["relabelled"].dtype == bool, "last.relabelled is not of bools"

    states, drawable, allowed = oracle.tables()
    draws: list[tuple[State, Any]] = []
    for lane, row, goal_lane, goal_row, relabelled, asked in zip(
        *(array.ravel().tolist() for array in last.values()), strict=True
    ):
        key, goal = (lane, row), None
        assert key in drawable, f"step {key} is not drawable"
        assert relabelled == (goal_row >= 0), f"relabelled, yet no goal (or so): {key}"
        if relabelled:
            assert ((goal_lane, goal_row), asked) in allowed[key], (
                f"goal {(goal_lane, goal_row)} of step {key} is not among `{oracle.strategy}`"
            )
            goal = states[goal_lane, goal_row], asked
        draws.append((states[key], goal))

    expected = [oracle.expected(*draw) for draw in draws]
    for name in Batch._fields:
        _same(name, [getattr(batch, name) for batch in batches], expected, last["relabelled"])
    exact = oracle.share * shape[1]
    for count in last["relabelled"].sum(axis=1).tolist():
        assert math.floor(exact) <= count <= math.ceil(exact), (
            f"share: {count} of {shape[1]} relabelled, k={oracle.k}"
        )
    return draws


def _same(
    name: str, tensors: list[torch.Tensor], expected: list[dict[str, Any]], relabelled: np.ndarray
) -> None:
    wanted = np.array([row[name] for row in expected])
    wanted = wanted.reshape(*relabelled.shape, *wanted.shape[1:])
    for tensor in tensors:
        assert isinstance(tensor, torch.Tensor), f"{name} is no tensor"
        assert tensor.shape == wanted.shape[1:], f"shape of {name}: {tuple(tensor.shape)}"
    seen = torch.stack(tensors).cpu().numpy()
    assert seen.dtype == wanted.dtype, f"dtype of {name}: {seen.dtype}, not {wanted.dtype}"
    if not np.array_equal(seen, wanted):
        wrong = tuple(np.argwhere((seen != wanted).reshape(*relabelled.shape, -1).any(-1))[0])
        kind = "relabelled" if relabelled[wrong] else "own goal"
        raise AssertionError(f"{name} ({kind}): {seen[wrong]}, not {wanted[wrong]}")


def p_value(chi2: float, freedom: int) -> float:
    """Return how probable a chi-square above this one is."""
    half = torch.tensor([freedom / 2, chi2 / 2], dtype=torch.float64)
    return float(torch.special.gammaincc(half[0], half[1]))


def assert_uniform(what: str, tables: Sequence[Mapping[Any, int]]) -> None:
    """Raise AssertionError unless each table of counts is complete and looks uniform."""
    chi2, freedom = 0.0, 0
    for counts in tables:
        missing = [key for key, count in counts.items() if count == 0]
        assert not missing, f"coverage of {what}: never drawn: {missing[:5]} of {len(counts)}"
        mean = sum(counts.values()) / len(counts)
        chi2 += sum((count - mean) ** 2 for count in counts.values()) / mean
        freedom += len(counts) - 1
    if freedom:
        p = p_value(chi2, freedom)
        assert p > 1e-4, f"uniform {what}: chi-square {chi2:.1f} at {freedom} degrees, p={p:.1e}"
        # With few cells, equal counts are a common chance.
        assert freedom < 5 or p < 1 - 1e-6, (
            f"too even {what}: not drawn independently, p=1-{1 - p:.1e}"
        )


def audit(
    buffer: Any,
    oracle: Oracle,
    *,
    per_cell: int = 20,
    batch_size: int = 61,
    n_batches: int = 7,
    at_least: int = 1500,
) -> int:
    """Draw from a buffer at rest until every step and goal must have come up; compare, and count.

    Raises AssertionError where a draw is wrong, a step or goal never comes, or a histogram (of
    steps, of steps relabelled, of goals given the step) or the mean share is off. Returns how
    many were drawn.
    """
    drawable = oracle.drawable()
    goals = {state: oracle.allowed_goals(state) for state in drawable}
    most = max(len(allowed) for allowed in goals.values())
    wanted = max(at_least, int(len(drawable) * most * per_cell / max(oracle.share, Fraction(1, 2))))
    calls = -(-wanted // (batch_size * n_batches))
    steps, relabelled = Counter(dict.fromkeys(drawable, 0)), Counter(dict.fromkeys(drawable, 0))
    chosen = {state: Counter(dict.fromkeys(allowed, 0)) for state, allowed in goals.items()}
    for _ in range(calls):
        for state, goal in compare(buffer, oracle, buffer.sample(batch_size, n_batches)):
            steps[state] += 1
            if goal is not None:
                relabelled[state] += 1
                chosen[state][goal] += 1
    assert_uniform("steps", [_by_key(steps)])
    if oracle.k:
        assert_uniform("relabelled steps", [_by_key(relabelled)])
        for kind in (False, True):  # uniform among the achieved ones, and among the desired ones
            tables = [
                {goal.key: n for (goal, asked), n in counts.items() if asked == kind}
                for counts in chosen.values()
            ]
            assert_uniform("goals", [table for table in tables if table])
    _assert_asked_share(oracle, chosen)
    draws = calls * batch_size * n_batches
    _assert_mean_share(oracle, sum(relabelled.values()), batch_size, n_batches, calls)
    return draws


def _assert_asked_share(oracle: Oracle, chosen: Mapping[State, Mapping[Goal, int]]) -> None:
    """Half of the goals that `future_actual` gives were asked for, none of the others'."""
    drawn = sum(sum(counts.values()) for counts in chosen.values())
    asked = sum(n for counts in chosen.values() for (_, kind), n in counts.items() if kind)
    share = 0.5 if oracle.strategy == "future_actual" else 0.0
    assert abs(asked - share * drawn) <= 5 * math.sqrt(share * (1 - share) * drawn), (
        f"share of desired goals: {asked} of {drawn}"
    )


def _by_key(counts: Mapping[State, int]) -> dict[Key, int]:
    return {state.key: count for state, count in counts.items()}


def _assert_mean_share(
    oracle: Oracle, relabelled: int, batch_size: int, n_batches: int, calls: int
) -> None:
    """Batches of one call may be rounded together, so the calls are what is counted."""
    rest = float(oracle.share * batch_size % 1)
    expected = float(oracle.share * batch_size) * calls * n_batches
    allowed = 5 * n_batches * math.sqrt(calls * rest * (1 - rest))
    assert abs(relabelled - expected) <= allowed + 1e-6, (
        f"mean share: {relabelled} relabelled, {expected:.1f} +- {allowed:.1f} expected"
    )


# ---------------------------------------------------------------------------------------------
# The world


class FloatGoals:
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


class IntGoals:
    """Goals of two ints, compared bit by bit (which floats would refuse); no info."""

    info_keys: tuple[str, ...] = ()

    def reward(self, achieved: Any, desired: Any, info: Mapping[str, Any]) -> np.ndarray:
        missing = np.bitwise_and(desired, np.invert(achieved))
        return -(missing[:, 0] + 0.5 * missing[:, 1]).astype(np.float64)

    def terminated(self, achieved: Any, desired: Any, info: Mapping[str, Any]) -> np.ndarray:
        return np.bitwise_and(desired, np.invert(achieved))[:, 1] == 0

    def success(self, achieved: Any, desired: Any, info: Mapping[str, Any]) -> np.ndarray:
        return self.terminated(achieved, desired, info)


@dataclass
class World:
    """A stream of random steps of several lanes, with NEXT_STEP autoreset.

    `kind`: `float` (float64 observations and goals, a Box of actions, info that the reward reads),
    `int` (int64 observations and goals, Discrete actions) or `bytes` (uint8 pictures, float32
    goals). An episode's length is drawn from `lengths`, its end from `ends`: `success` and `crash`
    terminate, `timeout` truncates, `both` is a success on the last step that time allows.
    """

    kind: str
    lanes: int
    seed: int
    lengths: Sequence[int] = (1, 2, 3, 5, 8)
    ends: Sequence[str] = ("success", "crash", "timeout", "both")

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        self.functions: Any = IntGoals() if self.kind == "int" else FloatGoals()
        self.count = 0
        self.left = [0] * self.lanes
        self.end = [""] * self.lanes
        self.desired: list[Any] = [None] * self.lanes

    @property
    def spaces(self) -> GoalSpaces:
        box, goal = np.inf, np.dtype(np.float32 if self.kind == "bytes" else np.float64)
        move = spaces.Box(-1.0, 1.0, (2,), np.float32)
        if self.kind == "int":
            low, high = np.zeros(3, np.int64), np.full(3, 2**20, np.int64)
            return GoalSpaces(
                spaces.Box(low, high, dtype=np.int64),
                spaces.Box(low[:2], high[:2], dtype=np.int64),
                spaces.Discrete(4),
            )
        picture = spaces.Box(0, 255, (2, 3), np.uint8)
        numbers = spaces.Box(-box, box, (3,), np.float64)
        return GoalSpaces(
            picture if self.kind == "bytes" else numbers,
            spaces.Box(-box, box, (2,), goal.type),
            move,
        )

    def reset(self) -> Observation:
        return self._observation([self._open(lane) for lane in range(self.lanes)])

    def step(self) -> Step:
        rng, lanes = self.rng, range(self.lanes)
        before = self.now
        valid = np.array([left > 0 for left in self.left])
        ended = [self.end[lane] if self.left[lane] == 1 else "" for lane in lanes]
        met = [name in ("success", "both") for name in ended]
        after = self._observation(
            [self._state(met[lane]) if valid[lane] else self._open(lane) for lane in lanes]
        )
        info: dict[str, Any] = {
            "wind": rng.integers(0, 4, self.lanes) / 4,
            "load": rng.integers(0, 8, (self.lanes, 2)) / 4,
        }
        pay = self.functions.reward(after["achieved_goal"], after["desired_goal"], info)
        control = rng.integers(0, 2, self.lanes) * rng.integers(1, 9, self.lanes) / 8
        own = self.functions.terminated(after["achieved_goal"], after["desired_goal"], info)
        assert all(own[lane] == met[lane] for lane in lanes if valid[lane])
        if valid.any():  # vector envs tell what some lane told, and mark which ones
            info |= {f"_{name}": valid.copy() for name in ("wind", "load")}
            info["final_obs"] = np.array([None] * self.lanes, dtype=object)
        else:
            info = {}
        for lane in lanes:
            self.left[lane] -= bool(valid[lane])
        return Step(
            observation=before,
            action=rng.integers(0, 4, self.lanes)
            if self.kind == "int"
            else rng.uniform(-1, 1, (self.lanes, 2)).astype(np.float32),
            reward=np.where(valid, pay - control, 0.0),
            terminated=valid & [name in ("success", "crash", "both") for name in ended],
            truncated=valid & [name in ("timeout", "both") for name in ended],
            next_observation=after,
            valid=valid,
            info=info,
        )

    def _open(self, lane: int) -> tuple[Any, Any]:
        self.left[lane] = int(self.rng.choice(self.lengths))  # 0: the next step is an autoreset
        self.end[lane] = str(self.rng.choice(self.ends))
        wish = self.rng.integers(0, 64, 2)
        # Out of reach of every state but the one that is a success.
        self.desired[lane] = wish | [0, 16] if self.kind == "int" else wish / 8 + [0, 20]
        return self._state(False)

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
        kinds = {
            "float": (np.float64, np.float64),
            "int": (np.int64, np.int64),
            "bytes": (np.uint8, np.float32),
        }
        seen, goal = kinds[self.kind]
        self.now = {
            "observation": np.array([state[0] for state in states], seen),
            "achieved_goal": np.array([state[1] for state in states], goal),
            "desired_goal": np.array(self.desired, goal),
        }
        return self.now


# ---------------------------------------------------------------------------------------------
# All three together


class Rig:
    """A buffer and the oracle, fed by one world."""

    def __init__(
        self,
        capacity: int = 24,
        *,
        lanes: int = 1,
        k: int = 4,
        strategy: str = "future",
        kind: str = "float",
        seed: int = 0,
        buffer_changes: Mapping[str, Any] | None = None,
        **world: Any,
    ) -> None:
        self.world = World(kind, lanes, seed, **world)
        functions = self.world.functions
        self.oracle = Oracle(capacity, k, strategy, functions, lanes, functions.info_keys)
        self.arguments = {
            "capacity": capacity,
            "k": k,
            "strategy": strategy,
            "info_keys": functions.info_keys,
            "spaces": self.world.spaces,
            "goal_functions": functions,
            "num_envs": lanes,
        } | dict(buffer_changes or {})
        self.buffer = self.new_buffer(seed + 1)
        self.change_step: Callable[[Step], Step] = lambda step: step
        self.draws = 0

    def new_buffer(self, seed: int) -> Any:
        return HindsightReplayBuffer(**self.arguments, generator=np.random.default_rng(seed))

    def begin(self) -> Rig:
        observation = self.world.reset()
        self.oracle.begin(observation)
        lent = {name: value.copy() for name, value in observation.items()}
        self.buffer.begin(lent)
        _spoil(lent)
        return self

    def add(self, steps: int = 1) -> Rig:
        for _ in range(steps):
            step = self.world.step()
            self.oracle.add(step)
            self.give(self.buffer, self.change_step(step))
        return self

    @staticmethod
    def give(buffer: Any, step: Step) -> None:
        """Add a copy of `step`, then overwrite its arrays, as an env that reuses them would."""
        lent = step._replace(
            **{
                name: {key: np.array(array) for key, array in value.items()}
                if isinstance(value, Mapping)
                else np.array(value)
                for name, value in step._asdict().items()
            }
        )
        buffer.add(lent)
        _spoil(lent._asdict())

    def check(self, batch_size: int = 16, n_batches: int = 1) -> list[tuple[State, Any]]:
        assert self.buffer.size == self.oracle.size
        draws = compare(self.buffer, self.oracle, self.buffer.sample(batch_size, n_batches))
        assert len(draws) == batch_size * n_batches
        self.draws += len(draws)
        return draws

    def audit(self, **settings: Any) -> int:
        assert self.buffer.size == self.oracle.size
        draws = audit(self.buffer, self.oracle, **settings)
        self.draws += draws
        return draws


def unlike_lanes(strategy: str = "future") -> Rig:
    """Return lanes of long and of shortest episodes: some hold twice the steps of others."""
    rig = Rig(48, lanes=3, strategy=strategy, seed=7, lengths=(1,) * 6 + (30,))
    rig.begin().add(25)
    steps = Counter(state.lane for state in rig.oracle.drawable())
    assert max(steps.values()) > 1.5 * min(steps.values())
    return rig


def _spoil(arrays: Mapping[str, Any]) -> None:
    for array in arrays.values():
        if isinstance(array, Mapping):
            _spoil(array)
        else:
            array[...] = 113
