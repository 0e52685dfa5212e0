"""What the scripts share: a toy task of FetchPush's shapes, timing in pairs, tables, the machine."""

from __future__ import annotations

import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray

from her_exp.buffers.hindsight import HindsightReplayBuffer
from her_exp.envs.goal_env import EnvGoalFunctions
from her_exp.types import GoalSpaces, Step

Floats = NDArray[np.floating[Any]]

EPISODE = 50  #: steps of an episode
LANES = 8  #: parallel envs whose steps fill the buffers
THRESHOLD = 0.05  #: distance within which a goal is met
ACHIEVED = slice(3, 6)  #: columns of the observation that repeat the achieved goal
K = 4  #: relabelled steps for each one kept
REWARDS = (-1.0, 0.0)


class ToyPush(gym.Env[dict[str, Floats], Floats]):
    """A goal env of FetchPush's shapes and sparse reward: a point walks, the rest is noise.

    Args:
        dtype: of observations and goals.
    """

    distance_threshold = THRESHOLD

    def __init__(self, dtype: type[np.floating[Any]] = np.float32):
        def box(width: int) -> spaces.Box:
            return spaces.Box(-np.inf, np.inf, (width,), dtype)

        self.observation_space = spaces.Dict(
            {"observation": box(25), "achieved_goal": box(3), "desired_goal": box(3)}
        )
        self.action_space = spaces.Box(-1.0, 1.0, (4,), np.float32)
        self._dtype, self._steps = dtype, 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Floats], dict[str, Any]]:
        """Begin at a random place."""
        super().reset(seed=seed)
        self._steps = 0
        self._place = self.np_random.normal(0.0, 0.1, 3)
        self._goal = self.np_random.normal(0.0, 0.15, 3).astype(self._dtype)
        return self._observe(), {}

    def step(self, action: Floats) -> tuple[dict[str, Floats], float, bool, bool, dict[str, Any]]:
        """Move by the first three actions."""
        self._place = self._place + 0.03 * np.asarray(action)[:3]
        self._steps += 1
        observation = self._observe()
        reward = self.compute_reward(observation["achieved_goal"], self._goal, {})
        return observation, float(reward), False, self._steps >= EPISODE, {}

    def compute_reward(self, achieved: Floats, desired: Floats, info: Any) -> Floats:
        """Return 0 within the threshold and -1 elsewhere, for goals (..., 3)."""
        gap = np.linalg.norm(achieved - desired, axis=-1)
        return np.asarray(-(gap > self.distance_threshold).astype(np.float32))

    def compute_terminated(self, achieved: Floats, desired: Floats, info: Any) -> bool:
        """No goal ends an episode."""
        return False

    def _observe(self) -> dict[str, Floats]:
        observation = self.np_random.normal(size=25)
        observation[ACHIEVED] = self._place
        return {
            "observation": observation.astype(self._dtype),
            "achieved_goal": self._place.astype(self._dtype),
            "desired_goal": self._goal,
        }


class Episodes(NamedTuple):
    """An episode of all lanes, time first."""

    observation: Floats  #: (T + 1, lanes, 25)
    achieved: Floats  #: (T + 1, lanes, 3)
    desired: Floats  #: (lanes, 3)
    action: Floats  #: (T, lanes, 4)
    reward: Floats  #: (T, lanes)


def random_walks(count: int, dtype: type[np.floating[Any]] = np.float32) -> list[Episodes]:
    """Return `count` times an episode in each lane, as `ToyPush` would give under random actions."""
    generator, env, walks = np.random.default_rng(0), ToyPush(dtype), []
    for _ in range(count):
        action = generator.uniform(-1, 1, (EPISODE, LANES, 4)).astype(np.float32)
        start = generator.normal(0.0, 0.1, (1, LANES, 3))
        path = start + np.concatenate([np.zeros_like(start), np.cumsum(0.03 * action[..., :3], 0)])
        observation = generator.standard_normal((EPISODE + 1, LANES, 25), np.float32).astype(dtype)
        achieved = path.astype(dtype)
        observation[..., ACHIEVED] = achieved
        desired = generator.normal(0.0, 0.15, (LANES, 3)).astype(dtype)
        reward = env.compute_reward(achieved[1:], desired, {})
        walks.append(Episodes(observation, achieved, desired, action, reward))
    return walks


def her_exp_buffer(
    transitions: int, walks: Sequence[Episodes], dtype: type[np.floating[Any]] = np.float32
) -> HindsightReplayBuffer:
    """Return our buffer, filled with `transitions` steps of `walks`, over and over."""
    env = ToyPush(dtype)
    space = env.observation_space.spaces
    episodes = transitions // (EPISODE * LANES)
    buffer = HindsightReplayBuffer(
        capacity=episodes * (EPISODE + 1) * LANES,  # the last state of an episode takes a row
        k=K,
        spaces=GoalSpaces(space["observation"], space["desired_goal"], env.action_space),
        goal_functions=EnvGoalFunctions(env, reward_range=REWARDS),
        num_envs=LANES,
        generator=np.random.default_rng(1),
        reward_range=REWARDS,
    )
    no, yes = np.zeros(LANES, bool), np.ones(LANES, bool)
    for number in range(episodes):
        walk = walks[number % len(walks)]
        states = [
            {"observation": o, "achieved_goal": a, "desired_goal": walk.desired}
            for o, a in zip(walk.observation, walk.achieved, strict=True)
        ]
        buffer.begin(states[0])
        for t in range(EPISODE):
            step = Step(
                observation=states[t],
                action=walk.action[t],
                reward=walk.reward[t],
                terminated=no,
                truncated=yes if t == EPISODE - 1 else no,
                next_observation=states[t + 1],
                valid=yes,
                info={},
            )
            buffer.add(step)
    return buffer


def fill_sb3(buffer: Any, walks: Sequence[Episodes]) -> Any:
    """Fill a HerReplayBuffer of stable-baselines3 to the brim with `walks`, over and over."""
    no, yes = np.zeros(LANES, bool), np.ones(LANES, bool)
    infos = ([{}] * LANES, [{"TimeLimit.truncated": True}] * LANES)
    for number in range(buffer.buffer_size // EPISODE):
        walk = walks[number % len(walks)]
        states = [
            {"observation": o, "achieved_goal": a, "desired_goal": walk.desired}
            for o, a in zip(walk.observation, walk.achieved, strict=True)
        ]
        for t in range(EPISODE):
            last = t == EPISODE - 1
            buffer.add(
                states[t], states[t + 1], walk.action[t], walk.reward[t],
                yes if last else no, infos[last],
            )  # fmt: skip
    return buffer


# -- timing --------------------------------------------------------------------------------------


def seconds_a_call(run: Callable[[], object], calls: int) -> float:
    """Return the mean wall time of `calls` calls."""
    start = time.perf_counter()
    for _ in range(calls):
        run()
    return (time.perf_counter() - start) / calls


def in_turn(
    ways: dict[str, Callable[[], object]], pairs: int, seconds: float = 0.3
) -> dict[str, list[float]]:
    """Time each way in turn, `pairs` times over: A B A B ...; returns seconds a call.

    Args:
        ways: what to call, by name.
        pairs: rounds.
        seconds: how long a visit lasts.
    """
    calls = {}
    for name, run in ways.items():
        run()
        calls[name] = max(1, round(seconds / max(seconds_a_call(run, 2), 1e-9)))
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(pairs):
        for name, run in ways.items():
            spent[name].append(seconds_a_call(run, calls[name]))
    return spent


class Spread(NamedTuple):
    """Median, lowest and highest of a few measurements."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        digits = sum(abs(self.median) < bound for bound in (100, 10, 1))
        median, low, high = (f"{value:,.{digits}f}" for value in self)
        return f"{median} ({low}-{high})"

    def figures(self) -> list[float]:
        """The three as numbers of four digits, for the JSON line."""
        return [float(f"{value:.4g}") for value in self]


def spread(values: Iterable[float]) -> Spread:
    """Return the spread of `values`."""
    values = list(values)
    return Spread(statistics.median(values), min(values), max(values))


def ratio(above: Sequence[float], below: Sequence[float]) -> Spread:
    """Return the spread of the quotients pair by pair."""
    return spread(a / b for a, b in zip(above, below, strict=True))


# -- training --------------------------------------------------------------------------------------


def train(overrides: list[str], seed: int, folder: Path) -> dict[str, Any]:
    """Run `python -m her_exp.train` in a process of its own; returns its result.json.

    A folder that holds a part of this run is gone on with; one that is done is not trained again.
    """
    where = [f"hydra.run.dir='{folder}'"]
    if (folder / "config.yaml").exists():
        where = ["resume=auto", f"run_dir={folder}"]
    command = [sys.executable, "-m", "her_exp.train", *overrides, f"seed={seed}", *where]
    command += ["trainer.progress=false"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr}")
    return json.loads((folder / "result.json").read_text())


# -- telling -------------------------------------------------------------------------------------


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table in Markdown with aligned columns."""
    cells = [list(head), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]

    def line(row: Sequence[str]) -> str:
        padded = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        return f"| {' | '.join(padded)} |"

    return "\n".join([line(cells[0]), line(["-" * w for w in widths]), *map(line, cells[1:])])


def machine() -> dict[str, Any]:
    """Return what the figures depend on: processor, packages, threads."""

    def installed(name: str) -> str:
        try:
            return version(name)
        except PackageNotFoundError:
            return "none"

    names = ("torch", "numpy", "gymnasium", "stable-baselines3")
    return {
        "cpu": _cpu(),
        "python": platform.python_version(),
        **{name: installed(name) for name in names},
        "threads": torch.get_num_threads(),
    }


def _cpu() -> str:
    def of(key: str) -> Iterator[str]:
        for line in lines:
            if line.split(":")[0].strip() == key:
                yield line.split(":", 1)[1].strip()

    info = Path("/proc/cpuinfo")
    if not info.exists():
        return platform.processor() or platform.machine()
    lines = info.read_text().splitlines()
    names = list(of("model name"))
    family, model = next(of("cpu family"), "?"), next(of("model"), "?")
    name = names[0] if names else platform.machine()
    return f"{name}, family {family} model {model}, {len(names)} cores"


def last_line(**figures: Any) -> None:
    """Print the one JSON line that ends a benchmark."""
    print(json.dumps(figures))
