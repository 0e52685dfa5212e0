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
from tests.commands.shell import Shell
from tests.commands.sweeps_kit import TINY, job
from tests.runs.runs_kit import result_of

NUMBERED = ["-m", *TINY, "hydra.sweep.dir=out/sw", "hydra.sweep.subdir=${hydra.job.num}"]
SWEEP = ["-m", *TINY, "seed=0,1", "sweep=s"]


@pytest.fixture
def folder(sh: Shell) -> Path:
    """Where the jobs of a sweep go."""
    folder = sh.cwd / "outputs/sweeps/s"
    folder.mkdir(parents=True)
    return folder


def test_done_is_not_done_by_a_name(sh: Shell) -> None:
    sh.done(*NUMBERED, "seed=0,1")
    kept = {path: path.read_bytes() for path in (sh.cwd / "out").rglob("*") if path.is_file()}
    for other in ("seed=0,3", "seed=0,1 env.dt=0.2"):
        (line,) = sh.refused(*NUMBERED, *other.split())
        assert "holds another experiment, of " in line
        assert "give another sweep=NAME" in line
    assert kept == {path: path.read_bytes() for path in kept}
    began = sh.cwd / "out/sw/0/config.yaml"  # before there was a setting that is off
    before, after = began.read_text().split("  lr_milestones: []\n")
    began.write_text(before + after)
    assert sh.done(*NUMBERED, "seed=0,1").count("skipped ") == 2
    sh.done(*NUMBERED, "seed=0,1,7")  # more of the same
    assert result_of(sh.cwd / "out/sw/2")["status"] == "done"


#: In a job's folder, and in the sweep's.
NAMES = (
    "0", "0/.hydra", "0/run.log", "multirun.yaml", "jobs.jsonl", "optimization_results.yaml",
    "optuna.db-journal",
)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "kind"), [*((name, "link") for name in NAMES), ("optuna.db", "pipe")]
)
def test_nothing_is_written_through_a_link(
    name: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hydra and Optuna would do so before the job can refuse, or wait for ever."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "out/sw" / name
    path.parent.mkdir(parents=True)
    path.symlink_to(tmp_path / "planted") if kind == "link" else os.mkfifo(path)
    with pytest.raises(UserError, match=f"{path.name}:? (is|has) "):
        preflight([*NUMBERED, "seed=0,1"])
    assert not (tmp_path / "planted").exists()


def test_done_needs_its_config(sh: Shell, folder: Path) -> None:
    sh.done(*SWEEP)
    (job(folder, 0) / "config.yaml").unlink()
    (line,) = sh.refused(*SWEEP)
    assert "holds a result, no config; delete it to run the job anew" in line


GOOD = Note("done", "a", "success 50.0%")
LINES: dict[str, bytes] = {
    "an object": b'{"what": "done"}',
    "numbers": b"[1, 2, 3]",
    "no UTF-8": b'["done", "\xff\xfe',
    "very deep": b"[" * 100_000,
}


@pytest.mark.parametrize("damage", LINES)
def test_a_damaged_note_locks_nothing(damage: str, tmp_path: Path) -> None:
    """And what a stranger put in one moves no cursor."""
    good, odd = json.dumps(GOOD).encode(), json.dumps(["failed", "a", "\x1b[2J\nrm"]).encode()
    (tmp_path / "jobs.jsonl").write_bytes(b"\n".join([good, LINES[damage], odd, b""]))
    assert notes(tmp_path) == [GOOD, Note("failed", "a", "?[2J?rm")]


def test_after_half_a_line_the_next_is_whole(sh: Shell, folder: Path) -> None:
    (folder / "jobs.jsonl").write_bytes(b'["done", "x", "su')
    said = sh.done(*SWEEP)
    assert "jobs.jsonl: 1 damaged lines are left out" in said
    assert "2 done" in said
    assert [note.what for note in notes(folder)] == ["done", "done"]


def test_the_second_of_two_at_once_is_refused(sh: Shell, folder: Path) -> None:
    held = take_lock(folder / ".lock")
    assert held is not None
    (line,) = sh.refused(*SWEEP)
    assert "s: another process is running this sweep; wait for it, or give" in line
    held.close()


def test_a_job_that_another_process_is_at_has_not_failed(sh: Shell, folder: Path) -> None:
    """What a sweep left when its own process was killed may go on without it."""
    sh.done(*SWEEP)
    first = job(folder, 0)
    (first / "result.json").write_text('{"status": "running"}')
    with lock(first):
        assert sh(*SWEEP) == 1
    said = sh.told()
    assert "running " in said
    assert "another process is at it" in said
    assert "failed" not in said
    assert said.splitlines()[-1].endswith("not all jobs are done; the same command goes on")
    sh.done(*SWEEP)


def test_a_story_that_cannot_be_read_is_what_is_said(sh: Shell) -> None:
    argv = ["resume=auto", "run_dir=run", *TINY]
    sh.done(*argv)
    (sh.cwd / "run/run.json").write_text("{")
    (line,) = sh.refused(*argv)
    assert "run.json: cannot be read" in line
    assert line.endswith("go on with resume=run")
    sh.done("resume=run", TINY[1], "trainer.total_steps=320")  # what is as it was is no change


def test_secrets_are_masked_in_the_command_alone(sh: Shell) -> None:
    """The overrides must go on working."""
    keys = ("api_key", "wandb_token", "Password", "secret")
    secrets = [f"+score.{key}=abc" for key in keys]
    sh.done("hydra.run.dir=run", "+score.tokens=3", *secrets, *TINY)
    story = json.loads((sh.cwd / "run/run.json").read_text())
    assert "abc" not in story["command"]
    assert "+score.tokens=3" in story["command"]
    assert set(secrets) <= set(story["overrides"])
    storage = "hydra.sweeper.storage=postgresql://me:{}@db/x"
    assert masked(storage.format("abc")) == storage.format("***")
    assert masked("hydra.sweeper.storage=sqlite:///a.db") == "hydra.sweeper.storage=sqlite:///a.db"
