"""Wrong command lines, as a user types them: one clear line, no folder, no traceback, no waiting."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.commands.imports_kit import TELL_IMPORTS, heavy_imports
from tests.conftest import RunCli
from tests.runs.runs_kit import result_of

#: One case for each way to a refusal: `{blocked}` is a file where a folder should go. What is said of
#: which value is the matter of tests/config and tests/sweeps.
BY_WORDS = {  # alone, before the classes are looked at that would take the values
    "buffer.kk=1": "unknown key buffer.kk: did you mean buffer.k?",
    "agent=nope": "agent=nope: no such agent; there are crl, ddpg, dqn, gcbc, qrdqn, sac, td3, tqc",
    "hydra/launcher=local": "hydra/launcher=local: only a sweep has one; add -m",
    "-m seed=1,2 hydra/sweeper=optuna hydra.sweeper.n_trials=0": "hydra.sweeper.n_trials=0: must",
    "buffer.k=[1": "buffer.k=[1: the value cannot be read",
    "--bogus": "unrecognized arguments: --bogus",
    "--cfg job buffer.kk=1": "did you mean buffer.k?",
    "resume=auto run_dir={blocked}": "blocked: a file, no run folder",
}
BY_CLASSES = {
    "agent._target_=her_exp.agents.td3.TD3 agent.target_noise_std=0.1": (
        "its class takes it; add it with a plus: +agent.target_noise_std=0.1"
    ),
    "+env.max_stepz=3": "unknown key env.max_stepz: did you mean env.max_steps?",
    "trainer.learning_starts=6000": "less than trainer.total_steps=6000",
    "agent=dqn env=point_reach": "agent: DQN needs Discrete",
    "experiment=bit_flip agent=sac": (
        "agent=sac: does not take agent.lr and agent.epsilon_steps, which experiment=bit_flip sets; "
        "leave out agent=sac or experiment=bit_flip"
    ),
    "-m buffer.k=4 agent.gamma=interval(0.9,1.5) hydra/sweeper=optuna": (
        "job 1 (agent.gamma=1.5): agent.gamma=1.5: must be in [0, 1)"
    ),
    "env.imports=[no_such_module]": "no_such_module",
    "-m seed=1,2 hydra.sweep.dir={blocked}/x": "hydra.sweep.dir: cannot",
    "hydra.run.dir=/proc/her_exp": "hydra.run.dir: cannot write to /proc/her_exp",
}
#: What our classes import, which are asked for their arguments: all that a refusal may wait for.
OF_CLASSES = {"torch", "tensorboard", "PIL"}


@pytest.mark.parametrize("words", [*BY_WORDS, *BY_CLASSES])
def test_one_line_and_nothing_left_behind(words: str, run_cli: RunCli, tmp_path: Path) -> None:
    blocked, cwd = tmp_path / "blocked", tmp_path / "cwd"
    blocked.write_text("a file")
    cwd.mkdir()
    done = run_cli(*words.format(blocked=blocked).split(), cwd=cwd, python=TELL_IMPORTS)
    heavy, err = heavy_imports(done.stderr)
    (line,) = err.splitlines()
    assert line.startswith("her_exp: error: ")
    assert (BY_WORDS | BY_CLASSES)[words] in line
    assert (done.returncode, done.stdout, os.listdir(cwd)) == (2, "", [])
    optuna = {"optuna"} if "optuna" in words else set()
    assert heavy <= optuna | (set() if words in BY_WORDS else OF_CLASSES)


BROKEN = """
from her_exp.agents.ddpg import DDPG
from her_exp.types import UserError

class Broken(DDPG):
    def update(self, batch):
        raise UserError("no flux; fill it")
"""


def test_a_user_error_within_a_run_is_one_line(
    run_cli: RunCli, tiny: list[str], tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(BROKEN)
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    words = [*tiny, "agent._target_=mine.Broken", "hydra.run.dir=run"]
    done = run_cli(*words, cwd=tmp_path, env={"PYTHONPATH": path})
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "her_exp: error: no flux; fill it"
    assert "Traceback" not in done.stderr
    assert result_of(tmp_path / "run")["status"] == "failed"
