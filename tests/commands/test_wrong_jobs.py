"""What is wrong with jobs of a sweep names them; the number that each job may refer to."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.commands.forked_commands import Forks
from tests.commands.sweeps_kit import TINY, words
from tests.commands.words_kit import Said


@pytest.mark.parametrize(
    ("argv", "lines"),
    [
        ("buffer.k=0,4,-1", ["job 2 (buffer.k=-1): buffer.k=-1: must be >= 0"]),
        ("buffer.k=0,many", ["job 1 (buffer.k=many): buffer.k=many: must be a number"]),
        (
            "seed=0,1 env=nav2d,bit_flip",
            ["job 1 (seed=0 env=bit_flip) and 1 more: agent: DDPG needs Box actions, "],
        ),
        (
            "buffer.capacity=50,100,200 trainer.batch_size=64,128",
            [
                "job 0 (buffer.capacity=50 trainer.batch_size=64): trainer.batch_size=64: ",
                "job 1 (buffer.capacity=50 trainer.batch_size=128): trainer.batch_size=128: ",
                "job 3 (buffer.capacity=100 trainer.batch_size=128): trainer.batch_size=128: ",
            ],
        ),
        (
            "agent=dqn,ddpg env=bit_flip ++agent.lr=0.1",
            ["job 1 (agent=ddpg): unknown key agent.lr: did you mean agent.actor_lr or "],
        ),
        (
            "seed=${hydra:job.num} buffer.k=1,2 agent.gamma=0,2",
            ["job 1 (buffer.k=1 agent.gamma=2) and 1 more: agent.gamma=2: must be in [0, 1)"],
        ),
    ],
)
def test_a_wrong_job_is_named(argv: str, lines: list[str], said: Said) -> None:
    told = said("-m", *argv.split())
    assert len(told) == len(lines), told
    assert all(line.startswith(begin) for line, begin in zip(told, lines, strict=True)), told


def test_of_many_wrong_jobs_a_handful_is_named(said: Said) -> None:
    *told, rest = said("-m", "seed=" + ",".join(str(-n) for n in range(1, 31)))
    assert told[0] == "job 0 (seed=-1): seed=-1: must be in [0, 4294967296)"
    assert len(told) == 5
    assert rest == "... and 25 lines more"


# --- ${hydra:...} --------------------------------------------------------------------------------


def seeds(cwd: Path) -> dict[str, int]:
    """The seed of each run of the sweep, by its folder."""
    paths = (cwd / "outputs/sweeps/s").glob("*/config.yaml")
    return {path.parent.name: yaml.safe_load(path.read_text())["seed"] for path in paths}


def test_a_job_may_refer_to_its_number(forks: Forks, cwd: Path) -> None:
    argv = ["-m", *TINY, "sweep=s", "buffer.k=0,4", "seed=${hydra:job.num}"]
    assert forks.run(argv, cwd) == 0, words(cwd)
    found = seeds(cwd)
    assert sorted(found.values()) == [0, 1]
    assert "2 done" in words(cwd)
    assert forks.run(argv, cwd) == 0  # the folders hold the number's hash: nothing is run again
    assert "2 skipped" in words(cwd)
    argv[-2] = "buffer.k=4,0"  # the other way round each is another experiment
    assert forks.run(argv, cwd) == 0
    assert "2 done" in words(cwd)
    assert sorted(seeds(cwd).values()) == [0, 0, 1, 1]


def test_one_run_may_refer_to_its_choices(forks: Forks, cwd: Path) -> None:
    argv = [
        *TINY,
        "hydra.run.dir=mine",
        "env.name=${hydra:runtime.choices.agent}_${hydra:job.name}",
    ]
    assert forks.run(argv, cwd) == 0, words(cwd)
    assert yaml.safe_load((cwd / "mine/config.yaml").read_text())["env"]["name"] == "ddpg_train"
    rerun = ["rerun=mine", "seed=${hydra:job.num}"]
    assert forks.run(rerun, cwd) == 2
    assert words(cwd).splitlines()[-1] == (
        "her_exp: error: seed: ${hydra:...} has a value in new runs alone; write the value itself"
    )


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (
            "seed=${hydra:job.num}",
            "seed=${hydra:job.num}: hydra.job.num is the number of a sweep's job: add -m, or write the "
            "value itself",
        ),
        (
            "-m seed=1,2 env.name=${hydra:job.id}",
            "env.name=${hydra:job.id}: hydra.job.id is not known before the run; write the value itself",
        ),
        (
            "agent.hidden_sizes=[8,${hydra:job.nr}]",
            "agent.hidden_sizes[1]=${hydra:job.nr}: hydra.job.nr is not known before the run; write the "
            "value itself",
        ),
        (
            "-m seed=${hydra.job.num} buffer.k=1,2",
            "seed: Interpolation key 'hydra.job.num' not found; write ${hydra:job.num}, with a colon",
        ),
    ],
)
def test_what_is_not_known_before_the_run_is_refused(argv: str, line: str, said: Said) -> None:
    assert said(*argv.split()) == [line]
