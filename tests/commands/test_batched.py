"""A sweep as one program: each job's folder is what it would be alone; kills, stops and failures as ever."""

from __future__ import annotations

import json
import re
import shutil
import signal
from pathlib import Path

import pytest

from tests.commands.deaths import TOOLS
from tests.commands.forked_commands import Forks
from tests.commands.shell import Shell
from tests.commands.sweeps_kit import TINY, assert_same, job, status, table
from tests.runs.runs_kit import checkpoints, numbers, result_of

ALONE = ["-m", *TINY, "seed=0,1,2", "sweep=s"]
BATCHED = ["-m", *TINY, "hydra/launcher=batched", "sweep=s"]
SEEDS = [*BATCHED, "seed=0,1,2"]

#: The process dies at the n-th time that all members learn.
DIES = f"""{TOOLS}
from her_exp.together.group import Group
around(Group, "learn", before=lambda *_: at(AFTER))
"""
#: It is asked to stop where it would die.
ASKED = "\ndie = lambda: os.kill(os.getpid(), signal.SIGTERM)\n"


@pytest.fixture(scope="module")
def whole(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sweep that nothing disturbed; its folder."""
    root = tmp_path_factory.mktemp("whole")
    assert forks.run(SEEDS, root / "cwd") == 0, (root / "err").read_text()
    return root / "cwd/outputs/sweeps/s"


@pytest.fixture
def folder(sh: Shell) -> Path:
    return sh.cwd / "outputs/sweeps/s"


def test_each_job_has_a_folder_as_if_alone(sh: Shell, whole: Path, folder: Path) -> None:
    """Of the same files; the numbers are the same but for rounding; the others' lines are not in its log."""
    sh.done(*ALONE)
    for seed in range(3):
        together, alone = job(whole, seed), job(folder, seed)
        files = [
            sorted(p.name.partition(".17")[0] for p in path.rglob("*") if p.is_file())
            for path in (together, alone)
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


def test_it_can_be_gone_on_with_alone(sh: Shell, whole: Path) -> None:
    shutil.copytree(job(whole, 1), sh.cwd / "own")
    sh.done("resume=own", "trainer.total_steps=400")
    assert result_of(sh.cwd / "own")["env_steps"] == 400
    before, after = numbers(job(whole, 1)), numbers(sh.cwd / "own")
    assert [row for row in after if row[0] < 300] == [row for row in before if row[0] < 300]


#: At which time that all learn the sweep is killed.
MOMENTS = [9, *(pytest.param(n, marks=pytest.mark.slow) for n in range(1, 30) if n != 9)]


@pytest.mark.parametrize("after", MOMENTS)
def test_killed_and_gone_on_with_it_is_what_it_would_have_been(
    after: int, sh: Shell, whole: Path, folder: Path
) -> None:
    assert sh(*SEEDS, prelude=DIES.replace("AFTER", str(after))) == -signal.SIGKILL
    sh.done(*SEEDS)
    assert_same(folder, whole)


def test_done_members_keep_their_place(sh: Shell, whole: Path, folder: Path) -> None:
    """Two jobs were done before: the third one's numbers are those of the whole group."""
    assert sh(*SEEDS, prelude=DIES.replace("AFTER", "9")) == -signal.SIGKILL
    for seed in (0, 2):
        path = job(folder, seed)
        result = result_of(path) | {"status": "done", "eval": result_of(job(whole, seed))["eval"]}
        (path / "result.json").write_text(json.dumps(result))
    assert table(sh.done(*SEEDS)) == {"0": "skipped", "1": "resumed", "2": "skipped"}
    assert numbers(job(folder, 1)) == numbers(job(whole, 1))


def test_stopped_they_all_write_a_checkpoint(sh: Shell, whole: Path, folder: Path) -> None:
    assert sh(*SEEDS, prelude=DIES.replace("AFTER", "9") + ASKED) == 128 + signal.SIGTERM
    text = sh.told()
    assert set(table(text).values()) <= {"stopped", "done"}
    assert "her_exp: stopped; the same command goes on" in text
    assert all(checkpoints(job(folder, seed)) for seed in range(3))
    sh.done(*SEEDS)
    assert_same(folder, whole)


def test_a_signal_as_a_group_ends_is_heard(sh: Shell, folder: Path) -> None:
    """The next group does not begin."""
    ends = "around(Path, 'replace', before=lambda path, to: path.name[:7] == 'result.' and at(2))"
    sweep = [*BATCHED, "agent=ddpg,td3", "seed=0,1"]
    assert sh(*sweep, prelude=TOOLS + ASKED + ends) == 128 + signal.SIGTERM
    assert "the same command goes on" in sh.told()
    assert not list(folder.glob("agent=td3*"))
    sh.done(*sweep)
    assert len(list(folder.glob("agent=*"))) == 4


def test_one_that_diverges_takes_no_other_with_it(sh: Shell, folder: Path) -> None:
    """Its learning rate is a number: it learns beside the others until its values are beyond reason."""
    assert sh(*BATCHED, "agent.critic_lr=1e-3,1e6,1e-4", "agent.clip_targets=false") == 1
    text = sh.told()
    assert "2 done, 1 failed" in text
    assert "learning has diverged" in text
    assert "3 runs learn as one on cpu" in text
    assert sorted(map(status, folder.glob("agent*"))) == ["done", "done", "failed"]


def test_what_differs_in_shape_learns_in_groups_of_its_own(sh: Shell) -> None:
    """And one that is like no other runs alone, which is said."""
    told = sh.done(*BATCHED, "agent.layer_norm=true,false", "seed=0,1")
    assert told.count("2 runs learn as one") == 2
    told = sh.done(*BATCHED[:-1], "sweep=t", "agent=ddpg,sac")
    assert told.count("(alone: none is like it)") == 2


WRONG = {
    "env.backend=async": r"env\.backend=async: hydra/launcher=batched steps all envs in one",
    "buffer.capacity=150000000": r"the buffers of 3 jobs take \d+ GB at least, this machine",
}


@pytest.mark.parametrize("word", WRONG)
def test_what_cannot_be_is_refused_before_anything_runs(word: str, sh: Shell) -> None:
    (line,) = sh.refused(*SEEDS, word)
    assert re.search(WRONG[word], line)
