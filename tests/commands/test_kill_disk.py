"""A disk that refuses: the run fails in one line, and goes on exactly once there is room."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from her_exp.store.checkpoint import load
from tests.commands.deaths import DEATHS, TOOLS
from tests.commands.forked_commands import Forks
from tests.commands.kill_kit import AUTO, assert_ends_as, err
from tests.runs.runs_kit import checkpoints, result_of


def clear_line(text: str) -> str:
    assert "Traceback" not in text
    (line,) = (line for line in text.splitlines() if "her_exp: error:" in line)
    return line


@pytest.mark.parametrize("again", [False, True])
def test_a_file_that_may_not_grow(again: bool, forks: Forks, never_killed: Path, cwd: Path) -> None:
    """A limit of the file size sets in between two checkpoints."""
    argv = AUTO
    if again:
        assert forks.run(AUTO, cwd, TOOLS + DEATHS["after the state's rename"]) < 0
        argv = ["resume=run"]
    prelude = (
        TOOLS
        + f"""
import resource
import her_exp.store.checkpoint
def shrink(*args):
    global calls
    calls += 1
    if calls == {1 if again else 2}:
        now = 500_000  # more than any file but a state
        resource.setrlimit(resource.RLIMIT_FSIZE, (now, -1))
around(her_exp.store.checkpoint.Checkpoints, "save", before=shrink)
def padded(self, state, steps):
    state["padding"] = torch.zeros(200_000)
    return original(self, state, steps)
original = her_exp.store.checkpoint.Checkpoints.save
her_exp.store.checkpoint.Checkpoints.save = padded
"""
    )
    assert forks.run(argv, cwd, prelude) == 1, err(cwd)
    assert "the checkpoint cannot be written" in clear_line(err(cwd))
    assert result_of(cwd / "run")["status"] == "failed"
    assert "the checkpoint cannot be written" in result_of(cwd / "run")["reason"]
    assert not list((cwd / "run").rglob("*.tmp"))
    assert checkpoints(cwd / "run")
    for path in checkpoints(cwd / "run"):
        load(path)
    assert forks.run(["resume=run"], cwd) == 0, err(cwd)
    assert_ends_as(never_killed, cwd / "run")


@pytest.fixture
def small_disk(cwd: Path) -> Iterator[Path]:
    (cwd / "run").mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(cwd / "run")]
    if shutil.which("mount") is None or subprocess.run(words, capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    yield cwd / "run"
    subprocess.run(["umount", str(cwd / "run")], check=True)


@pytest.mark.parametrize("room", [0, 12, 24, 40])
def test_a_disk_full_of_other_things(
    room: int, forks: Forks, never_killed: Path, cwd: Path, small_disk: Path
) -> None:
    """The disk fills up in the middle of the run: `room` kB later a write fails, whichever it is."""
    prelude = (
        TOOLS
        + f"""
import her_exp.training.trainer
def fill(*args):
    global calls
    calls += 1
    if calls == 30:
        free = os.statvfs("run").f_bavail * os.statvfs("run").f_bsize
        Path("run/ballast").write_bytes(bytes(max(free - {room} * 1024, 0)))
around(her_exp.training.trainer.Trainer, "_collect", before=fill)
"""
    )
    assert forks.run(AUTO, cwd, prelude) == 1, err(cwd)
    said = err(cwd)
    assert checkpoints(small_disk)
    for path in checkpoints(small_disk):
        load(path)
    (small_disk / "ballast").unlink()
    assert forks.run(["resume=run"], cwd) == 0, err(cwd)
    assert_ends_as(never_killed, small_disk)
    line = clear_line(said)
    assert "No space left" in line or "cannot be written" in line


def test_a_folder_that_cannot_be_written(forks: Forks, cwd: Path, small_disk: Path) -> None:
    code = TOOLS + DEATHS["after the state's rename"]
    assert forks.run(AUTO, cwd, code) == -signal.SIGKILL
    kept = [path.read_bytes() for path in checkpoints(small_disk)]
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    said = []
    for argv in (["resume=run"], AUTO, ["rerun=run", "run_dir=run/new"]):
        (cwd.parent / "err").write_text("")
        assert forks.run(argv, cwd) in (1, 2)
        said.append(err(cwd))
    assert [path.read_bytes() for path in checkpoints(small_disk)] == kept
    for path in checkpoints(small_disk):
        load(path)
    assert all("Read-only" in clear_line(text) for text in said)
