"""What several test files share: the real commands, settings for tiny runs, an env made to order."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from hypothesis import settings

from her_exp.system.machine import choose_library
from her_exp.types import GoalFunctions
from tests.commands.forked_commands import Forks

# Fixtures of several files lie in their kit; as plugins, kits have their asserts tell what was compared.
pytest_plugins = [
    f"tests.{path.parent.name}.{path.stem}" for path in Path(__file__).parent.glob("*/*_kit.py")
]

settings.register_profile("any machine", deadline=None)  # a busy one is slow
settings.load_profile("any machine")

RunCli = Callable[..., "subprocess.CompletedProcess[str]"]

#: Folders whose tests start processes, train, or take their time: `make quick` leaves them out.
HEAVY = {"commands", "docs", "fuzz", "reporting", "runs", "scripts", "slow", "store"}


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    unwanted = "not heavy" in config.option.markexpr and collection_path.name in HEAVY
    return True if unwanted and collection_path.is_dir() else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent.name in HEAVY:
            item.add_marker("heavy")


@pytest.fixture(autouse=True)
def nothing_heavy(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that is not marked `heavy`, and so is one of `make quick`, starts no process and no training."""
    if request.node.get_closest_marker("heavy"):
        return

    def refuse(*_: Any, **__: Any) -> None:
        pytest.fail("starts a process or a training: mark it with @pytest.mark.heavy")

    for starts in ("subprocess.Popen.__init__", "multiprocessing.process.BaseProcess.start"):
        monkeypatch.setattr(starts, refuse)
    monkeypatch.setattr("her_exp.training.trainer.Trainer.fit", refuse)


@pytest.fixture(scope="session")
def run_cli() -> RunCli:
    """Run `python -m her_exp.<module> *args` in the folder `cwd`."""

    def run(
        *args: str,
        cwd: Path,
        module: str = "train",
        timeout: float = 120,
        env: Mapping[str, str] | None = None,
        python: Sequence[str] = (),
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *python, "-m", f"her_exp.{module}", *args],
            cwd=cwd, env={**os.environ, **(env or {})}, capture_output=True, text=True,
            timeout=timeout, check=False,
        )  # fmt: skip

    return run


@pytest.fixture(scope="session")
def tiny() -> list[str]:
    """Overrides for a run of a second, for any env and agent."""
    return [
        "trainer.total_steps=300", "trainer.learning_starts=100", "trainer.batch_size=32",
        "trainer.eval_every=150", "trainer.eval_episodes=4", "agent.hidden_sizes=[16]",
    ]  # fmt: skip


@pytest.fixture(autouse=True)
def torch_as_before() -> Iterator[None]:
    """A run sets threads, products and the treatment of tiny numbers for its process, which is ours.

    For every test: what the next one of a process is depends on how fast the others were.
    """
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    torch.set_flush_denormal(False)
    choose_library("auto")


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Networks as small as those of tests are slower on several."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def no_png(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures take most of a report's time, and most tests do not look at them."""
    monkeypatch.setattr("her_exp.reporting.draw.to_png", lambda figure: b"\x89PNG")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a run goes; we stand beside it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path / "run"


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    """What starts the commands of many tests."""
    forks = Forks()
    yield forks
    forks.close()


@pytest.fixture
def cwd(tmp_path: Path) -> Path:
    """Where a forked command runs; it writes `out` and `err` beside this folder."""
    (tmp_path / "cwd").mkdir()
    return tmp_path / "cwd"


@pytest.fixture
def own_logging(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The command sets up logging for its whole process, which is ours."""
    handlers: list[logging.Handler] = []
    level = logging.root.level
    monkeypatch.setattr(logging.root, "handlers", handlers)
    yield
    for handler in handlers:
        handler.close()
    logging.root.setLevel(level)


class LaneEnv(VectorEnv[Any, Any, Any]):
    """Goal env with a script: lane i plays episodes of `lengths[i]` steps, over and over.

    The achieved goal is (lane, episode, step), the goal asked for (lane, episode, -1), so that each
    state tells where it comes from. Success is scripted too: `success[i][t]` says whether the goal
    is met after step t (t = 0: at reset). The reward is 1 + step, and 1000 on an autoreset step,
    where no reward should be counted. Odd lanes end by termination, even ones by truncation.
    """

    metadata: dict[str, Any] = {"autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012

    def __init__(self, lengths: Sequence[int], success: Sequence[Sequence[bool]] | None = None):
        self.num_envs = len(lengths)
        self.lengths = np.array(lengths)
        self.script = success or [[False] * (n + 1) for n in lengths]
        box = spaces.Box(-np.inf, np.inf, (3,), np.float64)
        self.single_observation_space = spaces.Dict(
            dict.fromkeys(("observation", "achieved_goal", "desired_goal"), box)
        )
        self.single_action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)
        self.seeds: list[int | None] = []
        self.resets = 0

    def reset(self, *, seed: Any = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        self.seeds.append(seed)
        self.episode, self.at = np.zeros(self.num_envs, int), np.zeros(self.num_envs, int)
        self.over = np.zeros(self.num_envs, bool)
        return self._observe()

    def _observe(self) -> tuple[Any, dict[str, Any]]:
        lane = np.arange(self.num_envs)
        now = np.stack([lane, self.episode, self.at], 1).astype(np.float64)
        goal = now.copy()
        goal[:, 2] = -1.0
        met = np.array([self.script[i][self.at[i]] for i in lane])
        observation = {"observation": now, "achieved_goal": now.copy(), "desired_goal": goal}
        return observation, {"is_success": met, "_is_success": np.ones(self.num_envs, bool)}

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        again = self.over
        self.episode, self.at = self.episode + again, np.where(again, 0, self.at + 1)
        reward = np.where(again, 1000.0, 1.0 + self.at)
        end = (self.at == self.lengths) & ~again
        odd = np.arange(self.num_envs) % 2 == 1
        self.over = end
        observation, info = self._observe()
        return observation, reward, end & odd, end & ~odd, info


class InfoFunctions(GoalFunctions):
    """Goal functions that take success from the step's info, as for an env with `is_success`."""

    def success(self, achieved: Any, desired: Any, info: Mapping[str, Any]) -> Any:
        return info["is_success"]


@pytest.fixture(scope="session")
def lane_env() -> type[LaneEnv]:
    return LaneEnv


@pytest.fixture(scope="session")
def info_functions() -> InfoFunctions:
    return InfoFunctions()
