"""The real command on a sweep: jobs with names and numbers of their own, in TensorBoard's table too."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from omegaconf import OmegaConf

from tests.commands.cli_kit import by_tag, hparams_of, policy_of
from tests.commands.shell import Shell
from tests.commands.sweeps_kit import TINY
from tests.equality import equal
from tests.runs.runs_kit import numbers, result_of


def test_jobs_are_named_by_their_overrides_and_each_is_a_run(
    sh: Shell, short: list[str], made: Path
) -> None:
    told = sh.done("-m", *short, "buffer.k=0,4", "seed=0,1", "sweep=grid")
    folder, out = sh.cwd / "outputs/sweeps/grid", sh.told("out").splitlines()
    assert out[-1] == str(folder)
    jobs = sorted(path for path in folder.iterdir() if path.is_dir())
    names = [re.sub(r"_[0-9a-f]{6}$", "", job.name) for job in jobs]
    assert names == [f"buffer.k={k},seed={seed}" for k in (0, 4) for seed in (0, 1)]
    assert len({job.name[-6:] for job in jobs}) == 4
    assert told.count("success: compute_success") == 1  # by the first job
    for job, name in zip(jobs, names, strict=True):
        cfg, result = OmegaConf.load(job / "config.yaml"), result_of(job)
        assert name == f"buffer.k={cfg.buffer.k},seed={cfg.seed}"
        assert (result["status"], result["env_steps"]) == ("done", 304)
        assert str(job) in out
        shares = {value for _, value in by_tag(job)["buffer/relabelled_share"]}
        assert (shares == {0.0}) == (cfg.buffer.k == 0)
        table, values = hparams_of(job)  # TensorBoard's table opens on what is swept
        assert {info.name for info in table.hparam_infos} == {"buffer.k", "seed"}
        assert table.metric_infos[0].name.tag == "eval/success_final"
        assert values["agent.gamma"].number_value == 0.98  # the others are there to be chosen
    policies = [policy_of(job) for job in jobs]
    assert not any(equal(a, b) for i, a in enumerate(policies) for b in policies[:i])
    # The third one is the run that nobody swept.
    assert numbers(jobs[2]) == numbers(made)
    assert equal(policies[2], policy_of(made))


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
