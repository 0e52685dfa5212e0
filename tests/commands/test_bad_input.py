"""Wrong command lines, as a user types them: one clear line, no folder, no traceback, no waiting."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.commands.imports_kit import TELL_IMPORTS, heavy_imports
from tests.conftest import RunCli

#: One case for each way to a refusal: `{blocked}` is a file where a folder should go. What is said of
#: which value is the matter of tests/config and tests/sweeps.
BY_WORDS = {  # alone, before the classes are looked at that would take the values
    "buffer.kk=1": "unknown key buffer.kk: did you mean buffer.k?",
    "-m seed=1,2 hydra/sweeper=optuna hydra.sweeper.n_trials=0": "hydra.sweeper.n_trials=0: must",
    "--cfg job buffer.kk=1": "did you mean buffer.k?",
    "resume=auto run_dir={blocked}": "blocked: a file, no run folder",
}
BY_CLASSES = {
    "trainer.learning_starts=6000": "less than trainer.total_steps=6000",
    "experiment=bit_flip agent=sac": (
        "agent=sac: does not take agent.lr and agent.epsilon_steps, which experiment=bit_flip sets; "
        "leave out agent=sac or experiment=bit_flip"
    ),
    "-m buffer.k=4 agent.gamma=interval(0.9,1.5) hydra/sweeper=optuna": (
        "job 1 (agent.gamma=1.5): agent.gamma=1.5: must be in [0, 1)"
    ),
    "-m seed=1,2 hydra.sweep.dir={blocked}/x": "hydra.sweep.dir: cannot",
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
