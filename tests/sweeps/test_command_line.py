"""Sweeps, their jobs and whole command lines, and how questions are answered."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hydra.types import RunMode

from her_exp.config.compose import composer
from her_exp.sweeps.command_line import preflight
from her_exp.sweeps.plan import jobs
from her_exp.types import UserError


def expanded(overrides: list[str]) -> list[list[str]]:
    """The overrides of every job."""
    with composer() as hydra:
        return [job.overrides for job in jobs(hydra, hydra.raw(overrides, RunMode.MULTIRUN))]


def test_a_sweep_is_expanded_into_every_job() -> None:
    assert expanded(["buffer.k=0,4", "seed=range(2)", "agent.gamma=0.9"]) == [
        ["buffer.k=0", "seed=0", "agent.gamma=0.9"],
        ["buffer.k=0", "seed=1", "agent.gamma=0.9"],
        ["buffer.k=4", "seed=0", "agent.gamma=0.9"],
        ["buffer.k=4", "seed=1", "agent.gamma=0.9"],
    ]
    assert expanded(["env=glob(*nav*)", "buffer.k=choice(1,2)"]) == [
        ["env=nav2d", "buffer.k=1"],
        ["env=nav2d", "buffer.k=2"],
    ]
    assert expanded(["agent.hidden_sizes=[8,8],[16]"]) == [
        ["agent.hidden_sizes=[8,8]"],
        ["agent.hidden_sizes=[16]"],
    ]


def test_preflight_names_a_sweep_once(here: Path) -> None:
    assert preflight(["buffer.k=8"])[:2] == (["buffer.k=8"], None)
    plan = preflight(["-m", "buffer.k=0,4"])
    *argv, sweep = plan.argv
    assert argv == ["--multirun", "buffer.k=0,4"]
    assert re.fullmatch(r"sweep=\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d_[0-9a-f]{6}", sweep)
    assert plan.sweep_dir == here / "outputs" / "sweeps" / sweep.removeprefix("sweep=")
    assert list(here.iterdir()) == []


def test_preflight_leaves_a_given_name(here: Path) -> None:
    plan = preflight(["buffer.k=0,4", "--multirun", "sweep=mine"])
    assert plan.argv == ["--multirun", "buffer.k=0,4", "sweep=mine"]
    assert plan.sweep_dir == here / "outputs" / "sweeps" / "mine"
    by_mode = preflight(["buffer.k=0,4", "hydra.mode=MULTIRUN", "sweep=mine"])
    assert by_mode.sweep_dir == plan.sweep_dir


@pytest.mark.parametrize(
    ("words", "same"),
    [
        ("buffer.k=0,4", ""),
        ("buffer.k=0,4 agent.gamma=0.9 experiment=nav2d", "agent.gamma,experiment"),
        ("++buffer.k=0,4 ++agent.gamma=0.9 seed=1,2", "agent.gamma"),
        ("agent.gamma=0.9", ""),  # one job: it is named by all
    ],
)
def test_folders_are_named_by_what_differs(words: str, same: str, here: Path) -> None:
    argv = preflight(["-m", "sweep=mine", *words.split()]).argv
    told = [word for word in argv if "exclude_keys" in word]
    assert told == (
        [f"hydra.job.config.override_dirname.exclude_keys=[sweep,{same}]"] if same else []
    )


def test_jobs_of_other_settings_are_told_of(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A sweep that grows has none."""
    (here / "outputs/sweeps/mine/buffer.k=0_abcdef").mkdir(parents=True)
    preflight(["-m", "sweep=mine", "buffer.k=4,8"])
    assert capsys.readouterr().err == ""
    preflight(["-m", "sweep=mine", "buffer.k=0,4"])
    assert "mine holds 1 of these jobs with other settings" in capsys.readouterr().err


WRONG = {
    "-m threads=glob(*)": "threads=glob(*): gives no value",
    "-m seed=1,2 hydra/launcher=locl": "submitit_slurm; did you mean local?",
    "hydra/launcher=local": "hydra/launcher=local: only a sweep has one; add -m",
    "agent._target_=her_exp.agents.td3.TD3 agent.target_noise_std=0.1": "a plus: +agent.target_noi",
    "-m seed=1,2 hydra/sweeper=optuna hydra.sweeper.direction=up": "direction=up: must be max",
    "-m seed=1 hydra/sweeper=optuna": "nothing to search",
    "-m seed=1,1": "seed=1: listed twice",
    "-m seed=1,${threads}": "are the same experiment; leave one out",
    "-m seed=1,2 buffer.k=1 buffer.k=2": "buffer.k is given 2 times; give it",
    "-m sweep=a,b": "sweep names the folder of all jobs",
    "-m sweep=../a buffer.k=0,4": "sweep=../a: must be one safe folder name, ",
    "sweep=x": "sweep=x: names the folder of a sweep; add -m",
    "-m agent.tau=interval(0,1)": "cannot be enumerated; list the values",
    "buffer.k": "buffer.k: not an override; write key=value",
    "buffer.k=1,2": "buffer.k=1,2: several values; add -m",
    "-m hydra.launcher._target_=os.system": "os.system: no plugin of Hydra; choose",
    "-m seed=1,2 hydra.sweep.subdir=.": "job 0 (seed=1) and job 1 (seed=2) would share the folder",
    "-m seed=0,1 hydra.sweep.subdir=a/../b": "would share the folder",
    "hydra.run.dir=": "hydra.run.dir= names no folder",
    "hydra.run.dir=/dev/null/run": "hydra.run.dir: cannot write to /dev/null/run (Not a directory",
    "hydra.run=3": "hydra.run=3: must be a mapping",
    # Flags.
    "--config-name=../config": "--config-name=../config: give a name",
    "--config-path x": "--config-dir",
    "--config-dir no_such_folder": "no such folder",
    "--resolve": "--cfg job --resolve",
    "--cfg job -m": "give only one of",
    "--cfg job --resolve env=gym": "env.id is not set",
    "--experimental-rerun x": "unpickles",
    "--bogus": "--help shows the flags",
    # What each job may refer to.
    "seed=${hydra:job.num}": "hydra.job.num is the number of a sweep's job: add -m, or write the ",
    "-m seed=1,2 env.name=${hydra:job.id}": "hydra.job.id is not known before the run; write the",
    "agent.hidden_sizes=[8,${hydra:job.nr}]": "agent.hidden_sizes[1]=${hydra:job.nr}: hydra.job.nr is",
    "-m seed=${hydra.job.num} buffer.k=1,2": "write ${hydra:job.num}, with a colon",
}


@pytest.mark.parametrize("words", WRONG)
def test_words_of_a_command_line_are_refused_in_one_line(here: Path, words: str) -> None:
    with pytest.raises(UserError) as caught:
        preflight(words.split())
    assert WRONG[words] in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(here.iterdir()) == []


def test_what_an_override_refers_to_is_left_to_the_job(here: Path) -> None:
    preflight(["-m", "seed=1,2", "hydra.sweep.subdir=${hydra.job.num}"])
    preflight(["-m", "seed=1,2", "hydra.sweep.subdir=x/${seed}/${buffer.k}"])
    preflight(["-m", "seed=1,2", "env.name=${.id}"])


def test_a_folder_with_a_run_in_it_is_refused(here: Path) -> None:
    (here / "result.json").write_text("{}")
    with pytest.raises(UserError, match="a run is in"):
        preflight([f"hydra.run.dir={here}"])


@pytest.mark.parametrize(
    "argv",
    [["--help"], ["-h"], ["--version"], ["--info", "all"], ["--hydra-help"], ["-sc", "query=bash"]],
)
def test_questions_pass_as_they_are(argv: list[str]) -> None:
    assert preflight(argv)[:2] == (argv, None)


WRONG_JOBS = {
    "buffer.k=0,4,-1": ["job 2 (buffer.k=-1): buffer.k=-1: must be >= 0"],
    "seed=0,1 env=nav2d,bit_flip": [
        "job 1 (seed=0 env=bit_flip) and 1 more: agent: DDPG needs Box actions, "
    ],
    "buffer.k=4,-1 seed=1,2 agent.gamma=2": [  # what holds for all names none
        "agent.gamma=2: must be in [0, 1)",
        "job 2 (buffer.k=-1 seed=1) and 1 more: buffer.k=-1: must be >= 0",
    ],
    "agent=dqn,ddpg env=bit_flip ++agent.lr=0.1": [
        "job 1 (agent=ddpg): unknown key agent.lr: did you mean agent.actor_lr or "
    ],
    "seed=${hydra:job.num} buffer.k=1,2 agent.gamma=0,2": [
        "job 1 (buffer.k=1 agent.gamma=2) and 1 more: agent.gamma=2: must be in [0, 1)"
    ],
    "seed=range(-8,0)": [  # of many a handful
        *(f"job {n} (seed={n - 8}): seed={n - 8}: must be in [0, " for n in range(5)),
        "... and 3 lines more",
    ],
    "experiment=mine": ["job 1 (seed=-2): seed=-2: must be in"],
}


@pytest.mark.heavy  # composes many jobs
@pytest.mark.parametrize("words", WRONG_JOBS)
def test_a_wrong_job_is_named(words: str, here: Path) -> None:
    (here / "experiment").mkdir()
    (here / "experiment/mine.yaml").write_text(
        "# @package _global_\nhydra: {mode: MULTIRUN, sweeper: {params: {seed: '1,-2'}}}"
    )
    with pytest.raises(UserError) as refused:
        preflight(["-m", "--config-dir", str(here), *words.split()])
    told = str(refused.value).splitlines()
    assert len(told) == len(WRONG_JOBS[words]), told
    assert all(
        line.startswith(begin) for line, begin in zip(told, WRONG_JOBS[words], strict=True)
    ), told
