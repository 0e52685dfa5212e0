"""The folders of a sweep's jobs: each its own, done by its config, noted line by line."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from her_exp.store.folder import lock
from her_exp.store.story import masked
from her_exp.sweeps.command_line import preflight
from her_exp.sweeps.jobs import Note, notes
from her_exp.system.locks import take_lock
from her_exp.types import UserError
from tests.commands.forked_commands import Forks
from tests.commands.sweeps_kit import TINY, words
from tests.runs.runs_kit import result_of

NUMBERED = ["-m", *TINY, "hydra.sweep.dir=out/sw", "hydra.sweep.subdir=${hydra.job.num}"]


def test_done_is_not_done_by_a_name(forks: Forks, cwd: Path) -> None:
    assert forks.run([*NUMBERED, "seed=0,1"], cwd) == 0, words(cwd)
    kept = {path: path.read_bytes() for path in (cwd / "out").rglob("*") if path.is_file()}
    words(cwd)
    for other in (
        ["seed=2,3"],
        ["seed=0,3"],
        ["seed=0,1", "buffer.k=8"],
        ["seed=0,1", "env.dt=0.2"],
    ):
        assert forks.run([*NUMBERED, *other], cwd) == 2
        (line,) = words(cwd).splitlines()
        assert "holds another experiment, of " in line
        assert "give another sweep=NAME" in line
    assert {path: path.read_bytes() for path in (cwd / "out").rglob("*") if path.is_file()} == kept
    assert forks.run([*NUMBERED, "seed=0,1"], cwd) == 0
    assert words(cwd).count("skipped ") == 2
    assert forks.run([*NUMBERED, "seed=0,1,7"], cwd) == 0  # more of the same
    assert result_of(cwd / "out/sw/2")["status"] == "done"


UNMADE = """
from her_exp.agents.ddpg import DDPG

class Unmade(DDPG):
    def __init__(self, flux: int, **kwargs):
        super().__init__(**kwargs)
        if flux == 2:
            raise RuntimeError("no such\\nflux")
"""


def test_a_job_whose_agent_cannot_be_made_is_known_before_the_first(
    forks: Forks, cwd: Path
) -> None:
    (cwd / "mine.py").write_text(UNMADE)
    argv = ["-m", *TINY, "agent._target_=mine.Unmade", "+agent.flux=1,2", "sweep=s"]
    assert forks.run(argv, cwd, f"import sys; sys.path.insert(0, {str(cwd)!r})") == 2
    wrong = "agent: cannot be made: RuntimeError: no such flux"
    assert words(cwd) == f"her_exp: error: job 1 (+agent.flux=2): {wrong}\n"
    assert not (cwd / "outputs").exists()


@pytest.mark.parametrize(
    ("subdir", "swept"),
    [(".", ["seed=0,1"]), ("k${buffer.k}", ["buffer.k=0,4", "seed=0,1"]), ("a/../b", ["seed=0,1"]),
     ("${env.name}", ["buffer.k=0,4"])],
)  # fmt: skip
def test_jobs_that_would_share_a_folder(
    subdir: str, swept: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"job 0 \(.*\) and job \d \(.*\) would share the folder"):
        preflight(["-m", "sweep=s", f"hydra.sweep.subdir={subdir}", *swept])
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "subdir", ["k${buffer.k}_${seed}", "${hydra:job.num}", "x/${seed}/${buffer.k}"]
)
def test_jobs_with_folders_of_their_own(
    subdir: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    plan = preflight(["-m", "sweep=s", f"hydra.sweep.subdir={subdir}", "buffer.k=0,4", "seed=0,1"])
    assert plan.jobs == 4


@pytest.mark.parametrize("name", [".hydra", "run.log", "config.yaml", "metrics.csv", "."])
def test_a_link_in_a_jobs_folder(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hydra would have written through it before the job can refuse."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "victim").mkdir()
    inner = tmp_path / "out/sw/0"
    if name == ".":
        inner.parent.mkdir(parents=True)
        inner.symlink_to(tmp_path / "victim")
    else:
        inner.mkdir(parents=True)
        (inner / name).symlink_to(tmp_path / "victim")
    with pytest.raises(UserError, match="is a link"):
        preflight([*NUMBERED, "seed=0,1"])
    assert os.listdir(tmp_path / "victim") == []


@pytest.mark.parametrize("kind", ["link", "dangling", "hard link", "pipe"])
@pytest.mark.parametrize(
    "name",
    ["multirun.yaml", "jobs.jsonl", "optimization_results.yaml", "optuna.db", "optuna.db-journal"],
)
def test_a_link_in_the_sweeps_own_folder(
    name: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hydra and Optuna would write through it, or wait for ever."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "victim").write_text("mine")
    path = tmp_path / "out/sw" / name
    path.parent.mkdir(parents=True)
    if kind == "hard link":
        os.link(tmp_path / "victim", path)
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(tmp_path / ("victim" if kind == "link" else "planted"))
    with pytest.raises(UserError, match=f"{name} (is|has) .*, which is not written to"):
        preflight([*NUMBERED, "seed=0,1"])
    assert (tmp_path / "victim").read_text() == "mine"
    assert not (tmp_path / "planted").exists()


def test_done_needs_its_config_and_a_rate(forks: Forks, cwd: Path) -> None:
    sweep = ["-m", *TINY, "seed=0,1", "sweep=s"]
    assert forks.run(sweep, cwd) == 0
    (first,) = (cwd / "outputs/sweeps/s").glob("*seed=0*")
    config, result = ((first / name).read_text() for name in ("config.yaml", "result.json"))
    (first / "config.yaml").unlink()
    words(cwd)
    assert forks.run(sweep, cwd) == 2
    assert "holds a result and no config; delete it to run the job anew" in words(cwd)
    (first / "config.yaml").write_text(config)
    (first / "result.json").write_text('{"status": "done", "eval": {"success_final": 1e999}}')
    assert forks.run(sweep, cwd) == 1
    said = words(cwd)
    assert "holds no evaluation" in said
    assert "inf%" not in said
    (first / "result.json").write_text(result)
    assert forks.run(sweep, cwd) == 0


GOOD = Note("done", "a", "success 50.0%")
LINES: dict[str, bytes] = {
    "half a line": b'["done", "a", "succ',
    "NUL bytes": b"\0" * 4096,
    "an object": b'{"what": "done"}',
    "too few": b'["done"]',
    "numbers": b"[1, 2, 3]",
    "no UTF-8": b'["done", "\xff\xfe',
    "very deep": b"[" * 100_000,
}


@pytest.mark.parametrize("damage", LINES)
def test_a_damaged_note_locks_nothing(damage: str, tmp_path: Path) -> None:
    good = json.dumps(GOOD).encode()
    (tmp_path / "jobs.jsonl").write_bytes(good + b"\n" + LINES[damage] + b"\n" + good + b"\n")
    assert notes(tmp_path) == [GOOD, GOOD]


def test_after_half_a_line_the_next_is_whole(forks: Forks, cwd: Path) -> None:
    folder = cwd / "outputs/sweeps/s"
    folder.mkdir(parents=True)
    (folder / "jobs.jsonl").write_bytes(b'["done", "x", "su')
    assert forks.run(["-m", *TINY, "seed=0,1", "sweep=s"], cwd) == 0
    said = words(cwd)
    assert "jobs.jsonl: 1 damaged lines are left out" in said
    assert "2 done" in said
    assert [note.what for note in notes(folder)] == ["done", "done"]


def test_text_of_a_stranger_in_a_note_moves_no_cursor(tmp_path: Path) -> None:
    (tmp_path / "jobs.jsonl").write_text(json.dumps(["failed", "a", "\x1b[2J\nrm"]) + "\n")
    (note,) = notes(tmp_path)
    assert note.line == "?[2J?rm"


def test_the_second_of_two_at_once_is_refused(forks: Forks, cwd: Path) -> None:
    """At once, and the first goes on."""
    folder = cwd / "outputs/sweeps/s"
    folder.mkdir(parents=True)
    held = take_lock(folder / ".lock")
    assert held is not None
    assert forks.run(["-m", *TINY, "seed=0,1", "sweep=s"], cwd) == 2
    (line,) = words(cwd).splitlines()
    assert line.endswith(
        "s: another process is running this sweep; wait for it, or give another sweep=NAME"
    )
    assert os.listdir(folder) == [".lock"]
    held.close()


def test_a_job_that_another_process_is_at_has_not_failed(forks: Forks, cwd: Path) -> None:
    """What a sweep left when its own process was killed may go on without it."""
    sweep = ["-m", *TINY, "seed=0,1", "sweep=s"]
    assert forks.run(sweep, cwd) == 0
    words(cwd)
    (first,) = (cwd / "outputs/sweeps/s").glob("*seed=0*")
    (first / "result.json").write_text('{"status": "running"}')
    with lock(first):
        assert forks.run(sweep, cwd) == 1
    said = words(cwd)
    assert "running " in said
    assert "another process is at it" in said
    assert "failed" not in said
    assert said.splitlines()[-1].endswith("not all jobs are done; the same command goes on")
    assert forks.run(sweep, cwd) == 0, words(cwd)


def test_a_story_that_cannot_be_read_is_what_is_said(forks: Forks, cwd: Path) -> None:
    argv = ["resume=auto", "run_dir=run", *TINY]
    assert forks.run(argv, cwd) == 0
    (cwd / "run/run.json").write_text("{")
    words(cwd)
    assert forks.run(argv, cwd) == 2
    (line,) = words(cwd).splitlines()
    assert "run.json: cannot be read" in line
    assert line.endswith("go on with resume=run")
    same = ["resume=run", TINY[1], "trainer.total_steps=320"]  # what is as it was is no change
    assert forks.run(same, cwd) == 0, words(cwd)


@pytest.mark.parametrize(
    ("word", "shown"),
    [
        ("agent.api_key=abc", "agent.api_key=***"),
        ("+env.wandb_token=abc", "+env.wandb_token=***"),
        ("++env.Password=abc", "++env.Password=***"),
        ("logger@x.secret=abc", "logger@x.secret=***"),
        (
            "hydra.sweeper.storage=postgresql://me:abc@db/x",
            "hydra.sweeper.storage=postgresql://me:***@db/x",
        ),
        ("hydra.sweeper.storage=sqlite:///a.db", "hydra.sweeper.storage=sqlite:///a.db"),
        ("agent.tokens=3", "agent.tokens=3"),
        ("buffer.k=8", "buffer.k=8"),
        ("--config-name=x", "--config-name=x"),
    ],
)
def test_secrets_are_masked_in_the_command(word: str, shown: str) -> None:
    assert masked(word) == shown


def test_overrides_are_not_masked(forks: Forks, cwd: Path) -> None:
    """They must go on working."""
    argv = ["hydra.run.dir=run", "+score.api_key=abc", *TINY]
    assert forks.run(argv, cwd) == 0, words(cwd)
    story = json.loads((cwd / "run/run.json").read_text())
    assert "+score.api_key=***" in story["command"]
    assert "+score.api_key=abc" in story["overrides"]
