"""What the tests of several folders share: the real commands, settings for tiny runs, what is heavy."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import settings

from her_exp.system.machine import choose_library
from tests.commands.forked_commands import Forks

# Asserts of kits, too, tell what was compared.
KITS = {
    f"tests.{path.parent.name}.{path.stem}" for path in Path(__file__).parent.glob("*/[!_]*.py")
}
pytest.register_assert_rewrite(*KITS - set(sys.modules))

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
