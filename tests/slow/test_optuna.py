"""A search by Optuna for real: killed it goes on as if never killed; failed trials run again; others join."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.commands.forked_commands import Forks
from tests.commands.sweeps_kit import BROKEN, TINY, wait_for, words
from tests.runs.runs_kit import checkpoints, numbers

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("optuna") is None, reason="needs optuna"),
    # SQLAlchemy leaves its files to the collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
SEARCH = [
    "-m", *TINY, "agent._target_=mine.Broken", "agent.actor_lr=tag(log,interval(1e-4,1e-2))",
    "agent.noise_std=choice(0.1,0.2)", "hydra/sweeper=optuna", "hydra.sweeper.n_trials=5",
    "hydra.sweeper.sampler.n_startup_trials=2", "sweep=s",
]  # fmt: skip


def trials(cwd: Path) -> list[tuple[str, float | None, dict[str, object]]]:
    import optuna

    storage = f"sqlite:///{cwd}/outputs/sweeps/s/optuna.db"
    study = optuna.load_study(study_name="s", storage=storage)
    assert study.direction.name == "MAXIMIZE"
    return [(t.state.name, t.value, t.params) for t in study.get_trials()]


@pytest.mark.parametrize("launcher", ["basic", "local"])
def test_a_study_goes_on_as_if_never_killed(
    launcher: str, forks: Forks, cwd: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(BROKEN)
    prelude = f"import sys; sys.path.insert(0, {str(tmp_path)!r})"
    search = [*SEARCH, f"hydra/launcher={launcher}", "hydra.sweeper.n_jobs=2"]
    (tmp_path / "whole").mkdir()
    whole = tmp_path / "whole" / "cwd"
    assert forks.run(search, whole, prelude) == 0, words(whole)
    expected = trials(whole)
    assert [state for state, _, _ in expected] == ["COMPLETE"] * 5

    folder = cwd / "outputs/sweeps/s"
    child = forks.start(search, cwd, prelude)
    wait_for(lambda: len(list(folder.glob("*/checkpoints/state_*.pt"))) >= 7)  # in the second batch
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert "COMPLETE" in (states := [state for state, _, _ in trials(cwd)])
    assert "RUNNING" in states
    time.sleep(2.5)  # workers see that their master is gone
    words(cwd)
    assert forks.run(search, cwd, prelude) == 0, words(cwd)
    assert trials(cwd) == expected
    for path in (whole / "outputs/sweeps/s").glob("agent*"):
        assert numbers(folder / path.name) == numbers(path)
        assert checkpoints(folder / path.name)
    words(cwd)
    assert forks.run(search, cwd, prelude) == 0  # nothing is left to do
    assert "5 of 5 trials are done" in words(cwd)
    assert trials(cwd) == expected


def test_a_failed_trial_is_told_and_tried_again(forks: Forks, cwd: Path) -> None:
    """Equal trials of a batch are one job."""
    (cwd / "mine.py").write_text(BROKEN)
    prelude = f"import sys; sys.path.insert(0, {str(cwd)!r})"
    search = [
        "-m", *TINY, "agent._target_=mine.Broken", "agent.noise_std=choice(0.1,0.2,0.3)", "sweep=s",
        "hydra/sweeper=optuna", "hydra.sweeper.n_trials=8", "hydra.sweeper.n_jobs=8",
    ]  # fmt: skip
    assert forks.run(search, cwd, prelude) == 1
    text = words(cwd)
    assert "RuntimeError: too noisy" in text
    assert text.splitlines()[-1].endswith("1 of the sweep's jobs failed, see its run.log")
    found = trials(cwd)
    assert {str(p["agent.noise_std"]): state for state, _, p in found} == {
        "0.1": "COMPLETE", "0.2": "COMPLETE", "0.3": "FAIL",
    }  # fmt: skip
    best = (cwd / "outputs/sweeps/s/optimization_results.yaml").read_text()
    assert "best_value" in best

    (cwd / "mine.py").write_text(BROKEN.replace("0.3", "0.9"))  # mended
    assert forks.run(search, cwd, prelude) == 0, words(cwd)
    again = trials(cwd)[len(found) :]
    assert again[0][:1] == ("COMPLETE",)
    assert again[0][2] == {"agent.noise_std": "0.3"}
    assert sum(state == "COMPLETE" for state, _, _ in trials(cwd)) == 8


SHARED = [
    "-m", *TINY, "hydra/sweeper=optuna", "hydra.sweeper.sampler.n_startup_trials=2", "sweep=s",
    "agent.noise_std=choice(0.1,0.2)",
]  # fmt: skip


@pytest.fixture
def workers(forks: Forks) -> Iterator[list[Forks]]:
    """Two that start commands at the same time."""
    other = Forks()
    yield [forks, other]
    other.close()


def ended(cwd: Path) -> list[tuple[str, str]]:
    """What became of each job, by its folder."""
    lines = (cwd / "outputs/sweeps/s/jobs.jsonl").read_text().splitlines()
    return sorted((Path(folder).name, what) for what, folder, _ in map(json.loads, lines))


def test_two_workers_share_a_study(workers: list[Forks], cwd: Path) -> None:
    """Each trial is run by one of them; what a killed one left, the other or the next command takes."""
    search = [*SHARED, "hydra.sweeper.n_trials=8", "agent.actor_lr=tag(log,interval(1e-4,1e-2))"]
    one, other = (each.start(search, cwd) for each in workers)
    folder = cwd / "outputs/sweeps/s"
    wait_for(lambda: len(list(folder.glob("*/checkpoints/state_*.pt"))) > 2 * 2 + 1)
    os.kill(one.pid, signal.SIGKILL)
    one.wait()
    assert other.wait() == 0, words(cwd)
    assert workers[0].run(search, cwd) == 0, words(cwd)
    assert [state for state, _, _ in trials(cwd)] == ["COMPLETE"] * 8
    assert len({folder for folder, _ in ended(cwd)}) == len(ended(cwd)) == 8
    assert not list((folder / ".trials").iterdir())


def test_equal_trials_of_two_workers_are_one_job(workers: list[Forks], cwd: Path) -> None:
    search = [*SHARED, "hydra.sweeper.n_trials=6"]
    children = [each.start(search, cwd) for each in workers]
    assert [child.wait() for child in children] == [0, 0], words(cwd)
    assert [state for state, _, _ in trials(cwd)] == ["COMPLETE"] * 6
    values = {(str(params), value) for _, value, params in trials(cwd)}
    assert len(values) == len({folder for folder, _ in ended(cwd)}) == 2
    assert sorted(what for _, what in ended(cwd)) == ["done"] * 2 + ["skipped"] * 4
