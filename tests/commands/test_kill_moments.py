"""Processes killed at random and at planted moments: what is left always goes on exactly."""

from __future__ import annotations

import os
import random
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.commands.deaths import DEATHS, TOOLS
from tests.commands.forked_commands import Forks
from tests.commands.kill_kit import AUTO, assert_ends_as, cpu_seconds
from tests.commands.shell import Shell


def kill_at(pid: int, moment: float) -> None:
    """Kill -9 once the process has used `moment` seconds of CPU time, unless it ends before."""
    while (used := cpu_seconds(pid)) < moment:
        time.sleep(0.002)
    if used != float("inf"):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def length(forks: Forks, never_killed: Path, tmp_path_factory: pytest.TempPathFactory) -> float:
    """CPU seconds of the whole command, as a fork."""
    cwd = tmp_path_factory.mktemp("length") / "cwd"
    child = forks.start(AUTO, cwd)
    seconds = used = 0.0
    while used < float("inf"):
        seconds, used = used, cpu_seconds(child.pid)
        time.sleep(0.005)
    assert child.wait() == 0
    return seconds


SEEDS = [*range(2), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 42))]


@pytest.mark.parametrize("seed", SEEDS)
def test_killed_at_random_moments(seed: int, sh: Shell, never_killed: Path, length: float) -> None:
    """Killed two times, also while it goes on after the first."""
    moments = random.Random(seed)
    codes = []
    for _ in range(2):
        child = sh.start(*AUTO)
        kill_at(child.pid, moments.uniform(0.1, 0.9) * length)
        codes.append(child.wait())
    assert codes[0] == -signal.SIGKILL
    assert set(codes) <= {-signal.SIGKILL, 0}
    sh.done(*AUTO)
    assert_ends_as(never_killed, sh.cwd / "run")


@pytest.mark.parametrize("moment", DEATHS)
def test_killed_at_a_planted_moment(moment: str, sh: Shell, never_killed: Path) -> None:
    """And again, if the run that goes on comes to such a moment as well."""
    prelude = TOOLS + DEATHS[moment]
    assert sh(*AUTO, prelude=prelude) == -signal.SIGKILL, sh.told()
    assert sh(*AUTO, prelude=prelude) in (0, -signal.SIGKILL), sh.told()
    sh.done(*AUTO)
    assert_ends_as(never_killed, sh.cwd / "run")
