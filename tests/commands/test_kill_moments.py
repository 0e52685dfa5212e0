"""Processes killed at random and at planted moments: what is left always goes on exactly."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
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


@pytest.mark.parametrize("seed", range(4))
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


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40))
def test_the_real_command_killed_at_a_random_moment(
    seed: int, never_killed: Path, length: float, cwd: Path
) -> None:
    command = [sys.executable, "-m", "her_exp.train", *AUTO]
    with (cwd.parent / "err").open("w") as log:
        process = subprocess.Popen(command, cwd=cwd, stdout=log, stderr=log)
        # Some two seconds go into starting up, and may be hit as well.
        kill_at(process.pid, random.Random(seed).uniform(1.0, 2.0 + length))
        assert process.wait() in (-signal.SIGKILL, 0)
        done = subprocess.run(command, cwd=cwd, stdout=log, stderr=log, check=False)
    assert done.returncode == 0, (cwd.parent / "err").read_text()
    assert_ends_as(never_killed, cwd / "run")


@pytest.mark.parametrize("moment", DEATHS)
def test_killed_at_a_planted_moment(moment: str, sh: Shell, never_killed: Path) -> None:
    """And again, if the run that goes on comes to such a moment as well."""
    prelude = TOOLS + DEATHS[moment]
    assert sh(*AUTO, prelude=prelude) == -signal.SIGKILL, sh.told()
    assert sh(*AUTO, prelude=prelude) in (0, -signal.SIGKILL), sh.told()
    sh.done(*AUTO)
    assert_ends_as(never_killed, sh.cwd / "run")


def test_auto_knows_the_end(sh: Shell, never_killed: Path) -> None:
    """With the folder done the same words only say where it is."""
    shutil.copytree(never_killed, sh.cwd / "run")
    before = {p: p.read_bytes() for p in (sh.cwd / "run").rglob("*") if p.is_file()}
    sh.done(*AUTO)
    assert sh.told("out") == "run\n"
    assert {p: p.read_bytes() for p in (sh.cwd / "run").rglob("*") if p.is_file()} == before
