"""The number of a job, and other words of Hydra, that settings may refer to."""

from __future__ import annotations

import yaml

from tests.commands.shell import Shell
from tests.commands.sweeps_kit import TINY


def test_a_job_may_refer_to_its_number(sh: Shell) -> None:
    sweep = ["-m", *TINY, "sweep=s", "seed=${hydra:job.num}"]
    assert "2 done" in sh.done(*sweep, "buffer.k=0,4")
    configs = (sh.cwd / "outputs/sweeps/s").glob("*/config.yaml")
    assert {yaml.safe_load(path.read_text())["seed"] for path in configs} == {0, 1}
    # The folders hold the number's hash: nothing is run again.
    assert "2 skipped" in sh.done(*sweep, "buffer.k=0,4")


def test_one_run_may_refer_to_its_choices(sh: Shell) -> None:
    name = "env.name=${hydra:runtime.choices.agent}_${hydra:job.name}"
    sh.done(*TINY, "hydra.run.dir=mine", name)
    written = yaml.safe_load((sh.cwd / "mine/config.yaml").read_text())
    assert written["env"]["name"] == "ddpg_train"
    assert sh.refused("rerun=mine", "seed=${hydra:job.num}") == [
        "seed: ${hydra:...} has a value in new runs alone; write the value itself"
    ]
