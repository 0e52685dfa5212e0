"""A disk that refuses: the run fails in one line, and goes on exactly once there is room."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands.deaths import DEATHS, TOOLS
from tests.commands.kill_kit import AUTO, assert_ends_as, assert_sound
from tests.commands.shell import Shell
from tests.runs.runs_kit import checkpoints, result_of


def clear_line(text: str) -> str:
    assert "Traceback" not in text
    (line,) = (line for line in text.splitlines() if "her_exp: error:" in line)
    return line


#: From the second state on that is written, files may not grow beyond what is less than a state.
SHRINK = """
import resource
save = torch.save
def padded(state, file, *given, **named):
    if "state_" in file.name:
        global calls
        calls += 1
        state = state | {"padding": torch.zeros(200_000)}
        if calls == 2:
            resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, -1))
    save(state, file, *given, **named)
torch.save = padded
"""


def test_a_file_that_may_not_grow(sh: Shell, never_killed: Path) -> None:
    assert sh(*AUTO, prelude=TOOLS + SHRINK) == 1, sh.told()
    assert "the checkpoint cannot be written" in clear_line(sh.told())
    assert result_of(sh.cwd / "run")["status"] == "failed"
    assert "the checkpoint cannot be written" in result_of(sh.cwd / "run")["reason"]
    assert_sound(sh.cwd / "run")
    assert not list((sh.cwd / "run").rglob("*.tmp"))
    sh.done("resume=run")
    assert_ends_as(never_killed, sh.cwd / "run")


@pytest.fixture
def small_disk(cwd: Path) -> Iterator[Path]:
    (cwd / "run").mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(cwd / "run")]
    if shutil.which("mount") is None or subprocess.run(words, capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    yield cwd / "run"
    subprocess.run(["umount", str(cwd / "run")], check=True)


FILL = """
from her_exp.buffers.hindsight import HindsightReplayBuffer
def fill(*args):
    global calls
    calls += 1
    if calls == 30:
        free = os.statvfs("run").f_bavail * os.statvfs("run").f_bsize
        Path("run/ballast").write_bytes(bytes(max(free - ROOM * 1024, 0)))
around(HindsightReplayBuffer, "add", before=fill)
"""


@pytest.mark.parametrize("room", [0, 24])
def test_a_disk_full_of_other_things(
    room: int, sh: Shell, never_killed: Path, small_disk: Path
) -> None:
    """The disk fills up in the middle of the run: `room` kB later a write fails, whichever it is."""
    assert sh(*AUTO, prelude=TOOLS + FILL.replace("ROOM", str(room))) == 1
    line = clear_line(sh.told())
    assert "No space left" in line or "cannot be written" in line
    assert_sound(small_disk)
    (small_disk / "ballast").unlink()
    sh.done("resume=run")
    assert_ends_as(never_killed, small_disk)


def test_a_folder_that_cannot_be_written(sh: Shell, small_disk: Path) -> None:
    assert sh(*AUTO, prelude=TOOLS + DEATHS["after the state's rename"]) == -signal.SIGKILL
    kept = [path.read_bytes() for path in checkpoints(small_disk)]
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    for argv in (["resume=run"], AUTO, ["rerun=run", "run_dir=run/new"]):
        sh.told()
        assert sh(*argv) in (1, 2)
        assert "Read-only" in clear_line(sh.told())
    assert [path.read_bytes() for path in checkpoints(small_disk)] == kept
