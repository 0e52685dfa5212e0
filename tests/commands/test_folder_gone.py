"""A run folder, or a file in it, that is moved, deleted or replaced while the run is on."""

from __future__ import annotations

from tests.commands.shell import Shell
from tests.commands.sweeps_kit import TINY, wait_for
from tests.runs.runs_kit import checkpoints, result_of

RUN = ["resume=auto", "run_dir=run", *TINY[1:], "trainer.total_steps=100000"]
GONE = "the run folder is gone: moved, deleted or replaced"


def test_a_run_that_is_moved_goes_on_elsewhere(sh: Shell) -> None:
    child = sh.start(*RUN)
    wait_for(lambda: checkpoints(sh.cwd / "run"))
    (sh.cwd / "run").rename(sh.cwd / "moved")
    assert child.wait() == 1
    assert GONE in sh.told().splitlines()[-1]
    assert not (sh.cwd / "run").exists()
    assert result_of(sh.cwd / "moved")["status"] == "running"
    steps = int(checkpoints(sh.cwd / "moved")[-1].stem.rpartition("_")[2])
    sh.done("resume=moved", f"trainer.total_steps={steps + 100}")


def test_a_run_whose_place_another_takes(sh: Shell) -> None:
    """The other's files are not touched."""
    sh.done(*RUN[:-1], "trainer.total_steps=120")
    (sh.cwd / "run").rename(sh.cwd / "other")
    child = sh.start(*RUN)
    wait_for(lambda: checkpoints(sh.cwd / "run"))
    (sh.cwd / "run").rename(sh.cwd / "moved")
    (sh.cwd / "other").rename(sh.cwd / "run")
    before = {path: path.read_bytes() for path in (sh.cwd / "run").rglob("*") if path.is_file()}
    assert child.wait() == 1
    assert GONE in sh.told()
    assert {path for path in before if path.read_bytes() != before[path]} == set()


def test_metrics_that_are_taken_away(sh: Shell) -> None:
    """All rows would be lost, and the run be done."""
    child = sh.start(*RUN)
    wait_for(lambda: checkpoints(sh.cwd / "run"))
    (sh.cwd / "run/metrics.csv").unlink()
    assert child.wait() == 1
    assert "metrics.csv: was removed or replaced while the run was on" in sh.told()
    assert result_of(sh.cwd / "run")["status"] == "failed"
