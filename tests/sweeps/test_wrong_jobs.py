"""What is wrong with jobs of a sweep names them."""

from __future__ import annotations

from pathlib import Path

import pytest

from her_exp.sweeps.command_line import preflight
from her_exp.types import UserError

WRONG = {
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
@pytest.mark.parametrize("words", WRONG)
def test_a_wrong_job_is_named(words: str, here: Path) -> None:
    (here / "experiment").mkdir()
    (here / "experiment/mine.yaml").write_text(
        "# @package _global_\nhydra: {mode: MULTIRUN, sweeper: {params: {seed: '1,-2'}}}"
    )
    with pytest.raises(UserError) as refused:
        preflight(["-m", "--config-dir", str(here), *words.split()])
    told = str(refused.value).splitlines()
    assert len(told) == len(WRONG[words]), told
    assert all(line.startswith(begin) for line, begin in zip(told, WRONG[words], strict=True)), told
