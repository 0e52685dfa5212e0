"""A sweep as one program: each job's folder is what it would be alone; kills, stops and failures as ever."""

from __future__ import annotations

import json
import random
import re
import shutil
import signal
from pathlib import Path

import pytest

from tests.commands.deaths import TOOLS
from tests.commands.forked_commands import Forks
from tests.commands.sweeps_kit import TINY, job, status, table, words
from tests.runs.runs_kit import checkpoints, numbers, result_of

ALONE = ["-m", *TINY, "seed=0,1,2", "sweep=s"]
BATCHED = ["-m", *TINY, "hydra/launcher=batched", "sweep=s"]
SEEDS = [*BATCHED, "seed=0,1,2"]

#: The process dies after so many times of all members' learning.
DIES = (
    TOOLS
    + """
from her_exp.together.group import Group
left = [AFTER]
def count(*_):
    left[0] -= 1
    if left[0] < 0:
        die()
around(Group, "learn", before=count)
"""
)


def folder_of(cwd: Path) -> Path:
    return cwd / "outputs/sweeps/s"


@pytest.fixture(scope="module")
def whole(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sweep that nothing disturbed; its folder."""
    root = tmp_path_factory.mktemp("whole")
    assert forks.run(SEEDS, root / "cwd") == 0, (root / "err").read_text()
    return folder_of(root / "cwd")


def test_each_job_has_a_folder_as_if_alone(forks: Forks, whole: Path, cwd: Path) -> None:
    """Of the same files; the numbers are the same but for rounding; the others' lines are not in its log."""
    assert forks.run(ALONE, cwd) == 0
    for seed in range(3):
        together, alone = job(whole, seed), job(folder_of(cwd), seed)
        files = [
            sorted(p.name.partition(".17")[0] for p in folder.rglob("*") if p.is_file())
            for folder in (together, alone)
        ]
        assert files[0] == files[1]
        pairs = list(zip(numbers(together), numbers(alone), strict=True))
        assert all(one[:2] == other[:2] for one, other in pairs)
        near = [(float(o[2]), float(a[2])) for o, a in pairs if o[0] <= 130]
        assert all(one == pytest.approx(other, rel=1e-3, abs=1e-5) for one, other in near)
        log = (together / "run.log").read_text()
        assert log.count("success: compute_success") == 1
        assert "success" in log.splitlines()[-1]
    assert len({tuple(numbers(job(whole, seed))) for seed in range(3)}) == 3


def test_it_can_be_looked_at_and_gone_on_with_alone(
    forks: Forks, whole: Path, cwd: Path, tmp_path: Path
) -> None:
    own = tmp_path / "own"
    shutil.copytree(job(whole, 1), own)
    assert forks.run([f"resume={own}", "trainer.total_steps=400"], cwd) == 0, words(cwd)
    assert result_of(own)["env_steps"] == 400
    before, after = numbers(job(whole, 1)), numbers(own)
    assert [row for row in after if row[0] < 300] == [row for row in before if row[0] < 300]


def test_killed_and_gone_on_with_it_is_what_it_would_have_been(
    forks: Forks, whole: Path, cwd: Path
) -> None:
    kill(forks, cwd, whole, after=9)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(20))
def test_killed_at_any_moment(forks: Forks, whole: Path, cwd: Path, number: int) -> None:
    kill(forks, cwd, whole, after=random.Random(number).randrange(1, 30))


def kill(forks: Forks, cwd: Path, whole: Path, after: int) -> None:
    assert forks.run(SEEDS, cwd, DIES.replace("AFTER", str(after))) == -signal.SIGKILL
    words(cwd)
    assert forks.run(SEEDS, cwd) == 0, words(cwd)
    for seed in range(3):
        assert numbers(job(folder_of(cwd), seed)) == numbers(job(whole, seed))


def test_done_members_keep_their_place(forks: Forks, whole: Path, cwd: Path) -> None:
    """Two jobs were done before: the third one's numbers are those of the whole group."""
    assert forks.run(SEEDS, cwd, DIES.replace("AFTER", "9")) == -signal.SIGKILL
    for seed in (0, 2):
        path = job(folder_of(cwd), seed)
        result = result_of(path) | {"status": "done", "eval": result_of(job(whole, seed))["eval"]}
        (path / "result.json").write_text(json.dumps(result))
    words(cwd)
    assert forks.run(SEEDS, cwd) == 0
    assert table(words(cwd)) == {"0": "skipped", "1": "resumed", "2": "skipped"}
    assert numbers(job(folder_of(cwd), 1)) == numbers(job(whole, 1))


def test_stopped_they_all_write_a_checkpoint(forks: Forks, whole: Path, cwd: Path) -> None:
    asks = DIES.replace("AFTER", "9") + "\ndie = lambda: os.kill(os.getpid(), signal.SIGTERM)\n"
    assert forks.run(SEEDS, cwd, asks) == 128 + signal.SIGTERM
    text = words(cwd)
    assert set(table(text).values()) <= {"stopped", "done"}
    assert "her_exp: stopped; the same command goes on" in text
    assert all(checkpoints(job(folder_of(cwd), seed)) for seed in range(3))
    assert forks.run(SEEDS, cwd) == 0
    for seed in range(3):
        assert numbers(job(folder_of(cwd), seed)) == numbers(job(whole, seed))


def test_one_that_diverges_takes_no_other_with_it(forks: Forks, cwd: Path) -> None:
    """Its learning rate is a number: it learns beside the others until its values are beyond reason."""
    rates = [*BATCHED, "agent.critic_lr=1e-3,1e6,1e-4", "agent.clip_targets=false"]
    assert forks.run(rates, cwd) == 1
    text = words(cwd)
    assert "2 done, 1 failed" in text
    assert "learning has diverged" in text
    assert "3 runs learn as one on cpu" in text
    found = {path.name.split("_")[1]: status(path) for path in folder_of(cwd).glob("agent*")}
    assert sorted(found.values()) == ["done", "done", "failed"]


def test_what_differs_in_shape_learns_in_groups_of_its_own(forks: Forks, cwd: Path) -> None:
    """And one that is like no other runs alone, which is said."""
    mixed = [*BATCHED, "agent.layer_norm=true,false", "seed=0,1", "buffer.k=0,4"]
    assert forks.run(mixed, cwd) == 0
    text = words(cwd)
    assert text.count("4 runs learn as one") == 2
    assert forks.run([*BATCHED[:-1], "sweep=t", "agent=ddpg,sac"], cwd) == 0
    assert words(cwd).count("(alone: none is like it)") == 2


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (
            ["env.backend=async"],
            r"env\.backend=async: hydra/launcher=batched steps all envs in one",
        ),
        (["device=cuda"], "device=cuda: torch sees no CUDA device here; take device=cpu or auto"),
        (
            ["buffer.capacity=150000000"],
            r"the buffers of 3 jobs take \d+ GB at least, this machine",
        ),
    ],
)
def test_what_cannot_be_is_refused_before_anything_runs(
    forks: Forks, cwd: Path, given: list[str], line: str
) -> None:
    assert forks.run([*SEEDS, *given], cwd) == 2
    assert re.search(line, words(cwd))
    assert not folder_of(cwd).exists()


#: When a signal comes: the last job of a group writes its last numbers, or a job is built.
MOMENTS = {
    "as a group ends": "from her_exp.training.trainer import Trainer as owner; name, at = '_end', 2",
    "as a job is built": "import her_exp.training.build as owner; name, at = 'make_agent', 1",
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_signal_between_two_jobs_is_heard(forks: Forks, cwd: Path, moment: str) -> None:
    agents = "ddpg,td3" if "group" in moment else "ddpg,sac"
    seeds = ["seed=0,1"] if "group" in moment else []
    prelude = f"""{TOOLS}
{MOMENTS[moment]}
seen = []
def tell(*_, **__):
    seen.append(1)
    if len(seen) == at:
        os.kill(os.getpid(), signal.SIGTERM)
around(owner, name, before=tell)
"""
    words_ = [*BATCHED, f"agent={agents}", *seeds]
    assert forks.run(words_, cwd, prelude) == 128 + signal.SIGTERM, words(cwd)
    assert "the same command goes on" in words(cwd)
    assert forks.run(words_, cwd) == 0
    assert len(list(folder_of(cwd).glob("agent=*"))) == (4 if seeds else 2)


def test_each_job_has_its_own_working_folder_where_hydra_changes_it(
    forks: Forks, cwd: Path
) -> None:
    assert forks.run([*BATCHED, "seed=0,1", "hydra.job.chdir=true"], cwd) == 0, words(cwd)
    assert [status(job(folder_of(cwd), seed)) for seed in (0, 1)] == ["done", "done"]
    assert not list(folder_of(cwd).rglob("outputs"))
