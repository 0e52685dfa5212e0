"""Wrong command lines, as a user types them: one clear line, no folder, no traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.commands.imports_kit import TELL_IMPORTS, heavy_imports

SHORT = [
    "trainer.total_steps=64", "trainer.learning_starts=16", "trainer.batch_size=8",
    "trainer.eval_episodes=2", "trainer.picture=false", "env.num_envs=2", "env.num_eval_envs=2",
    "agent.hidden_sizes=[8]",
]  # fmt: skip


@dataclass
class Outcome:
    status: int
    out: str
    err: str
    left: list[str]
    heavy: set[str]


def run(arguments: list[str], folder: Path, path: Path | None = None) -> Outcome:
    """Run the real command in an empty folder."""
    cwd = folder / "cwd"
    cwd.mkdir()
    places = [*([str(path)] if path else []), os.environ.get("PYTHONPATH", "")]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in places if p)}
    with (folder / "out").open("w") as out, (folder / "err").open("w") as err:
        words = [sys.executable, *TELL_IMPORTS, "-m", "her_exp.train", *arguments]
        done = subprocess.run(words, cwd=cwd, env=env, stdout=out, stderr=err, check=False)
    heavy, said = heavy_imports((folder / "err").read_text())
    left = [str(p.relative_to(cwd)) for p in cwd.rglob("*")]
    return Outcome(done.returncode, (folder / "out").read_text(), said, left, heavy)


#: Name: (arguments, what the line must contain). `{blocked}` is a file where a folder should go. One case
#: for each way to a refusal; what is said of which value is the matter of tests/config and tests/sweeps.
CASES = {
    "near miss": ("buffer.kk=1", "unknown key buffer.kk: did you mean buffer.k?"),
    "own agent's key": (
        "agent._target_=her_exp.agents.td3.TD3 agent.target_noise_std=0.1",
        "its class takes it; add it with a plus: +agent.target_noise_std=0.1",
    ),
    "env key added": ("+env.max_stepz=3", "unknown key env.max_stepz: did you mean env.max_steps?"),
    "never learns": ("trainer.learning_starts=6000", "less than trainer.total_steps=6000"),
    "dqn on a box": ("agent=dqn env=point_reach", "agent: DQN needs Discrete", "take agent=ddpg"),
    "another agent than the experiment's": (
        "experiment=bit_flip agent=sac",
        "agent=sac: does not take agent.lr and agent.epsilon_steps, which experiment=bit_flip sets",
        "leave out agent=sac or experiment=bit_flip",
    ),
    "no such agent": (
        "agent=nope",
        "agent=nope: no such agent; there are crl, ddpg, dqn, qrdqn, sac, td3, tqc",
    ),
    "launcher without -m": ("hydra/launcher=local", "hydra/launcher=local: only a sweep", "add -m"),
    "no trials": (
        "-m seed=1,2 hydra/sweeper=optuna hydra.sweeper.n_trials=0",
        "hydra.sweeper.n_trials=0: must",
    ),
    "an interval's other end": (
        "-m buffer.k=4 agent.gamma=interval(0.9,1.5) hydra/sweeper=optuna",
        "job 1 (agent.gamma=1.5): agent.gamma=1.5: must be in [0, 1)",
    ),
    "no such import": ("env.imports=[no_such_module]", "env.imports", "no_such_module"),
    "grammar": ("buffer.k=[1", "buffer.k=[1: the value cannot be read"),
    "one job of a sweep": ("-m buffer.k=4,0,-1,8", "job 2 (buffer.k=-1): buffer.k=-1: must be"),
    "flag": ("--bogus", "unrecognized arguments: --bogus"),
    "cfg": ("--cfg job buffer.kk=1", "did you mean buffer.k?"),
    "sweep file in the way": ("-m seed=1,2 hydra.sweep.dir={blocked}/x", "hydra.sweep.dir: cannot"),
    "file for a run": (
        "resume=auto run_dir={blocked}",
        "run_dir=/",
        "blocked: a file, no run folder",
    ),
    "unwritable": ("hydra.run.dir=/proc/her_exp", "hydra.run.dir: cannot write to /proc/her_exp"),
}
#: What is refused for its words alone, before the classes are looked at that would take the values.
BY_WORDS = {
    "near miss", "no such agent", "launcher without -m", "no trials", "grammar", "flag", "cfg",
    "file for a run",
}  # fmt: skip
#: What our classes import, which are asked for their arguments: all that a refusal may wait for.
OF_CLASSES = {"torch", "tensorboard", "PIL"}


@pytest.mark.parametrize("name", CASES)
def test_one_line_and_nothing_left_behind(name: str, tmp_path: Path) -> None:
    (tmp_path / "blocked").write_text("a file")
    words = CASES[name][0].format(blocked=tmp_path / "blocked").split()
    outcome = run(words, tmp_path)
    lines = outcome.err.splitlines()
    assert len(lines) == 1, outcome.err
    assert lines[0].startswith("her_exp: error: ")
    for part in CASES[name][1:]:
        assert part in lines[0]
    assert outcome.status == 2
    assert outcome.out == ""
    assert outcome.left == []
    optuna = {"optuna"} if "optuna" in CASES[name][0] else set()
    assert outcome.heavy <= optuna | (set() if name in BY_WORDS else OF_CLASSES)


BROKEN = '''
from her_exp.agents.ddpg import DDPG
from her_exp.types import UserError


class Broken(DDPG):
    """Refuses to learn."""

    def update(self, batch):
        raise UserError("no flux; fill it")
'''


def test_a_user_error_within_a_run_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(BROKEN)
    words = [*SHORT, "agent._target_=mine.Broken"]
    outcome = run(words, tmp_path, tmp_path)
    assert outcome.status == 1
    assert outcome.err.splitlines()[-1] == "her_exp: error: no flux; fill it"
    assert "Traceback" not in outcome.err
