"""The real command on sweeps: jobs with names, numbers and failures of their own, in TensorBoard too."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from omegaconf import OmegaConf

from tests.commands.cli_kit import Lab, by_tag, hparams_of, policy_of
from tests.equality import equal
from tests.runs.runs_kit import numbers, result_of

# --- the same numbers --------------------------------------------------------------------------


def test_a_job_of_a_sweep_equals_the_run_on_its_own(lab: Lab) -> None:
    (job,) = (f for f in lab.jobs("sweep") if f.name.startswith("buffer.k=4,seed=0"))
    assert numbers(job) == numbers(lab.run("single"))
    for name in ("last", "best"):
        assert equal(policy_of(job, name), policy_of(lab.run("single"), name))


def test_watching_changes_nothing(lab: Lab) -> None:
    """Evaluations off or nine times as many, no pictures, other lines of the log: same training."""
    base = by_tag(lab.run("single"))
    counts = set()
    for job in lab.jobs("variants"):
        tags = by_tag(job)
        counts.add(len(tags["eval/return"]))
        played = [tag for tag in base if tag.startswith("rollout/")]
        assert [tags[tag] for tag in played] == [base[tag] for tag in played]
        # A loss is the mean since the last line: comparable where the lines are the same.
        same_lines = OmegaConf.load(job / "config.yaml").trainer.log_every == 100
        groups = ("train/", "buffer/") if same_lines else ("train/updates", "buffer/")
        for tag in (tag for tag in base if tag.startswith(groups)):
            mine, others = dict(tags[tag]), dict(base[tag])
            common = mine.keys() & others.keys()
            assert common == ({104, 200, 304} if same_lines else {200, 304}), tag
            assert {step: mine[step] for step in common} == {s: others[s] for s in common}, tag
        assert equal(policy_of(job)["agent"], policy_of(lab.run("single"))["agent"])
    assert counts == {1, 2, 19}


# --- sweeps ------------------------------------------------------------------------------------


def test_a_sweep_names_its_jobs_by_their_overrides(lab: Lab) -> None:
    done = lab("sweep")
    assert done.returncode == 0, done.stderr
    folder = lab.folder("sweep") / "outputs" / "sweeps" / "grid"
    assert done.stdout.splitlines()[-1] == str(folder)
    jobs = lab.jobs("sweep")
    assert {job.parent for job in jobs} == {folder}
    names = [re.sub(r"_[0-9a-f]{6}$", "", job.name) for job in jobs]
    assert names == [f"buffer.k={k},seed={seed}" for k in (0, 4) for seed in (0, 1)]
    assert len({job.name[-6:] for job in jobs}) == 4
    assert done.stderr.count("success: compute_success") == 1  # by the first job
    for job, name in zip(jobs, names, strict=True):
        cfg, result = OmegaConf.load(job / "config.yaml"), result_of(job)
        assert name == f"buffer.k={cfg.buffer.k},seed={cfg.seed}"
        assert (result["status"], result["env_steps"]) == ("done", 304)
        assert str(job) in done.stdout.splitlines()
        shares = {value for _, value in by_tag(job)["buffer/relabelled_share"]}
        assert (shares == {0.0}) == (cfg.buffer.k == 0)
        table, values = hparams_of(job)  # TensorBoard's table opens on what is swept
        assert {info.name for info in table.hparam_infos} == {"buffer.k", "seed"}
        assert table.metric_infos[0].name.tag == "eval/success_final"
        assert values["agent.gamma"].number_value == 0.98  # the others are there to be chosen
    policies = [policy_of(job) for job in jobs]
    assert not any(equal(a, b) for i, a in enumerate(policies) for b in policies[:i])


def test_jobs_that_fail_say_why_and_do_not_stop_the_others(lab: Lab) -> None:
    done, jobs = lab("failing"), {}
    for job in lab.jobs("failing"):
        env = OmegaConf.load(job / ".hydra" / "config.yaml").env
        jobs[env.reward_range[0], env.goal_distance] = job
    made = "env.goal_distance=0.5: "
    trained = "env.reward_range=[-0.5, 0.0]: the env gave a reward of -1"
    reasons = {(-0.5, 0.5): made, (-0.5, None): trained, (-1, 0.5): made}
    assert jobs.keys() == {*reasons, (-1, None)}
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    *errors, last = done.stderr.splitlines()[-4:]
    assert "3 of the sweep's jobs failed" in last
    for (key, reason), line in zip(reasons.items(), errors, strict=True):
        assert line.startswith("her_exp: error: ")
        assert str(jobs[key]) in line
        assert reason.partition(":")[0] in line
        result = result_of(jobs[key])
        assert result["status"] == "failed"
        assert result["reason"].startswith(reason)
    assert "env.reward_range" in (jobs[-0.5, None] / "run.log").read_text()
    assert result_of(jobs[-1, None])["status"] == "done"  # the last of the four


# --- TensorBoard -------------------------------------------------------------------------------


def ask(port: int, path: str) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        assert response.status == 200, path
        return json.loads(response.read())
    finally:
        connection.close()


@pytest.fixture
def board(lab: Lab, tmp_path: Path) -> Iterator[tuple[int, list[str]]]:
    """A TensorBoard on the outputs of a run and a sweep; its port, and the names of the runs."""
    lab.run("single")
    lab("sweep")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    outputs = lab.folder("single") / "outputs"
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", "outputs",
               "--host", "127.0.0.1", "--port", str(port)]  # fmt: skip
    log = tmp_path / "tensorboard.log"
    with log.open("w") as file:
        server = subprocess.Popen(
            command, cwd=outputs.parent, stdout=file, stderr=file, start_new_session=True
        )
    try:
        deadline, runs = time.monotonic() + 90, []
        while len(runs) < 5:
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < deadline, f"{runs}\n{log.read_text()}"
            try:
                runs = ask(port, "/data/runs")
            except (OSError, http.client.HTTPException):
                time.sleep(0.1)
        yield port, runs
    finally:
        os.killpg(server.pid, signal.SIGTERM)  # and the data server that it started
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait(10)


def test_tensorboard_shows_runs_by_readable_names(lab: Lab, board: tuple[int, list[str]]) -> None:
    port, runs = board
    folders = [lab.run("single"), *lab.jobs("sweep")]
    names = [f.relative_to(lab.folder("single") / "outputs").as_posix() for f in folders]
    assert names[0].startswith("point_reach/ddpg/")
    assert names[1].startswith("sweeps/grid/buffer.k=0,seed=0_")
    assert sorted(runs) == sorted(names)  # and no sub-run beside them
    tags = ask(port, "/data/plugin/scalars/tags")
    for folder, name in zip(folders, names, strict=True):
        values = by_tag(folder)
        assert tags[name].keys() == values.keys()
        for tag in ("eval/return", "rollout/success_mean_100", "train/critic_loss"):
            query = f"run={quote(name, safe='')}&tag={quote(tag, safe='')}"
            shown = ask(port, f"/data/plugin/scalars/scalars?{query}")
            got = {step: value for _, step, value in shown}
            # Of several values at a step TensorBoard shows the last.
            assert got == pytest.approx(dict(values[tag])), tag
