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

from tests.commands.cli_kit import Lab, by_tag, hparams_of, policy_of, rows_of
from tests.equality import equal
from tests.runs.runs_kit import numbers, result_of


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, run_cli: Any, tiny: list[str]) -> Iterator[Lab]:
    names = ("single", "sweep", "again", "variants", "failing")
    lab = Lab(tmp_path_factory.mktemp("lab"), run_cli, tiny, names)
    yield lab
    lab.pool.shutdown(cancel_futures=True)


# --- the same numbers --------------------------------------------------------------------------


def test_same_seed_same_numbers(lab: Lab) -> None:
    one, other = lab.run("single"), lab.run("again")
    assert one != other
    assert numbers(one) == numbers(other)
    assert equal(policy_of(one), policy_of(other))
    assert equal(policy_of(one, "best"), policy_of(other, "best"))


def test_a_job_of_a_sweep_equals_the_run_on_its_own(lab: Lab) -> None:
    (job,) = (f for f in lab.jobs("sweep") if f.name.startswith("buffer.k=4,seed=0"))
    assert numbers(job) == numbers(lab.run("single"))
    assert equal(policy_of(job), policy_of(lab.run("single")))


def test_watching_changes_nothing(lab: Lab) -> None:
    """Evaluations off or nine times as many, no pictures, other lines of the log: same training."""
    base = rows_of(lab.run("single"))
    jobs = lab.jobs("variants")
    assert len(jobs) == 6
    counts = set()
    for job in jobs:
        rows = rows_of(job)
        counts.add(sum(tag == "eval/return" for _, tag, _ in rows))
        assert [r for r in rows if r[1][:8] == "rollout/"] == [
            r for r in base if r[1][:8] == "rollout/"
        ]
        settings = OmegaConf.load(job / "config.yaml").trainer
        # A loss is the mean since the last line: comparable where the lines are the same.
        same_lines = settings.log_every == 100
        groups = ("train/", "buffer/") if same_lines else ("train/updates", "buffer/")
        mine, others = (
            {(step, tag): value for step, tag, value in part if tag.startswith(groups)}
            for part in (rows, base)
        )
        common = mine.keys() & others.keys()
        assert {step for step, _ in common} == ({104, 200, 304} if same_lines else {200, 304})
        if same_lines:
            assert mine.keys() == others.keys()
        assert {key: mine[key] for key in common} == {key: others[key] for key in common}
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
    expected = [f"buffer.k={k},seed={seed}" for k in (0, 4) for seed in (0, 1)]
    assert names == expected
    assert len({job.name[-6:] for job in jobs}) == 4
    assert done.stderr.count("success: compute_success") == 1  # by the first job
    for job, name in zip(jobs, expected, strict=True):
        cfg = OmegaConf.load(job / "config.yaml")
        assert name == f"buffer.k={cfg.buffer.k},seed={cfg.seed}"
        assert result_of(job)["status"] == "done"
        assert result_of(job)["env_steps"] == 304
        assert str(job) in done.stdout.splitlines()
        shares = {value for _, value in by_tag(job)["buffer/relabelled_share"]}
        assert (shares == {0.0}) == (cfg.buffer.k == 0)


def test_jobs_differ_in_what_they_compute(lab: Lab) -> None:
    policies = [policy_of(job) for job in lab.jobs("sweep")]
    assert not any(equal(a, b) for i, a in enumerate(policies) for b in policies[:i])


def failing_jobs(lab: Lab) -> dict[tuple[float, float | None], Path]:
    jobs = {}
    for job in lab.jobs("failing"):
        env = OmegaConf.load(job / ".hydra" / "config.yaml").env
        jobs[env.reward_range[0], env.goal_distance] = job
    assert len(jobs) == 4
    return jobs


def test_a_failing_job_does_not_stop_the_others(lab: Lab) -> None:
    jobs = failing_jobs(lab)
    assert lab("failing").returncode == 1
    assert result_of(jobs[-1, None])["status"] == "done"  # the last of the four
    errors = lab("failing").stderr.splitlines()[-4:]
    assert all(line.startswith("her_exp: error: ") for line in errors)
    assert "3 of the sweep's jobs failed" in errors[-1]
    assert [str(jobs[key]) in line for key, line in zip(
        [(-0.5, 0.5), (-0.5, None), (-1, 0.5)], errors, strict=False)] == [True] * 3  # fmt: skip
    assert "env.reward_range=[-0.5, 0.0]" in errors[1]
    assert "Traceback" not in lab("failing").stderr


def test_a_job_that_failed_while_training_says_why(lab: Lab) -> None:
    job = failing_jobs(lab)[-0.5, None]
    result = result_of(job)
    assert result["status"] == "failed"
    assert result["reason"].startswith("env.reward_range=[-0.5, 0.0]: the env gave a reward of -1")
    assert "env.reward_range" in (job / "run.log").read_text()


def test_a_job_that_failed_while_it_was_made_says_why(lab: Lab) -> None:
    jobs = failing_jobs(lab)
    for key in ((-0.5, 0.5), (-1, 0.5)):
        result = result_of(jobs[key])
        assert result["status"] == "failed"
        assert result["reason"].startswith("env.goal_distance=0.5: ")
        assert result["env_steps"] == 0


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


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture
def board(lab: Lab, tmp_path: Path) -> Iterator[tuple[int, list[str]]]:
    """A TensorBoard on the outputs of a run and a sweep; its port, and the names of the runs."""
    lab.run("single")
    lab("sweep")
    port = free_port()
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


def test_hparams_open_on_what_is_swept(lab: Lab) -> None:
    for job in lab.jobs("sweep"):
        table, values = hparams_of(job)
        assert {info.name for info in table.hparam_infos} == {"buffer.k", "seed"}
        assert table.metric_infos[0].name.tag == "eval/success_final"
        assert values["agent.gamma"].number_value == 0.98  # the others are there to be chosen


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
