"""The real commands in processes of their own: a run, sweeps, evaluation, TensorBoard."""

from __future__ import annotations

import csv
import fcntl
import http.client
import io
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2

from her_exp import evaluate
from her_exp.build import make, make_agent
from her_exp.checkpoint import load_policy
from her_exp.config import compose
from her_exp.envs.make import GoalTask
from her_exp.evaluation import wilson_interval
from her_exp.train import train
from her_exp.types import UserError

CHECKOUT = Path(__file__).resolve().parents[1]
Done = subprocess.CompletedProcess[str]

TINY_FILE = """
# @package _global_
env: {max_steps: 10}
agent: {hidden_sizes: [16]}
trainer: {total_steps: 300, learning_starts: 100, batch_size: 32, eval_every: 150,
          eval_episodes: 4, log_every: 100}
"""


class Lab:
    """Commands by name, each run once: the one asked for, and the next one ahead (two cores)."""

    def __init__(self, root: Path, run_cli: Any, tiny: list[str]):
        self.root, self.run_cli = root, run_cli
        self.pool = ThreadPoolExecutor(2)
        self.tiny = [*tiny, "env.max_steps=10", "trainer.log_every=100"]
        (root / "mine" / "experiment").mkdir(parents=True)
        (root / "mine" / "experiment" / "tiny.yaml").write_text(TINY_FILE)
        experiment = ["--config-dir", str(root / "mine"), "experiment=tiny"]
        point = ["env=gym", "env.id=her_exp/PointReach-v0", "+env.max_steps=10"]
        self.commands: dict[str, list[str]] = {
            "single": self.tiny,
            "sweep": ["-m", *experiment, "buffer.k=0,4", "seed=0,1", "sweep=grid"],
            "again": self.tiny,
            "variants": [
                "-m", *experiment, "sweep=variants", "trainer.picture=false",
                "trainer.eval_every=150,null,16", "trainer.log_every=100,40",
            ],
            "failing": [
                "-m", *self.tiny[:-2], *point, "sweep=failing",
                "env.reward_range=[-0.5,0],[-1,0]", "env.goal_distance=0.5,null",
            ],
            "stopped": [*self.tiny, "env.distance_threshold=5", "trainer.stop_at=0.99"],
        }  # fmt: skip
        self.futures: dict[str, Future[Done]] = {}

    def folder(self, name: str) -> Path:
        """Where a command runs: the run and the sweep that TensorBoard is to show, in one."""
        return self.root / ("shown" if name in ("single", "sweep") else name)

    def start(self, name: str) -> Future[Done]:
        if name not in self.futures:
            self.folder(name).mkdir(exist_ok=True)
            words, cwd = self.commands[name], self.folder(name)
            self.futures[name] = self.pool.submit(self.run_cli, *words, cwd=cwd)
        return self.futures[name]

    def __call__(self, name: str) -> Done:
        asked = self.start(name)
        names = list(self.commands)
        for other in names[names.index(name) + 1 :][:1]:
            self.start(other)
        return asked.result()

    def run(self, name: str) -> Path:
        """The folder of a single run that went well."""
        done = self(name)
        assert done.returncode == 0, done.stderr
        return Path(done.stdout.splitlines()[-1])

    def jobs(self, name: str) -> list[Path]:
        self(name)
        folder = self.folder(name) / "outputs" / "sweeps"
        return sorted(path for path in folder.glob("*/*") if path.is_dir())


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, run_cli: Any, tiny: list[str]) -> Iterator[Lab]:
    lab = Lab(tmp_path_factory.mktemp("lab"), run_cli, tiny)
    yield lab
    lab.pool.shutdown(cancel_futures=True)


@pytest.fixture(autouse=True)
def torch_as_before() -> Iterator[None]:
    """A run sets threads and the treatment of tiny numbers for its whole process, which is ours."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    torch.set_flush_denormal(False)


def result_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "result.json").read_text())


def rows_of(folder: Path) -> list[tuple[int, str, float]]:
    with (folder / "metrics.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["env_steps", "tag", "value"]
    return [(int(step), tag, float(value)) for step, tag, value in rows[1:]]


def by_tag(folder: Path) -> dict[str, list[tuple[int, float]]]:
    tags: dict[str, list[tuple[int, float]]] = {}
    for step, tag, value in rows_of(folder):
        tags.setdefault(tag, []).append((step, value))
    return tags


def policy_of(folder: Path, name: str = "last") -> Any:
    return torch.load(folder / "checkpoints" / f"{name}.pt", weights_only=True)


def equal(one: Any, other: Any) -> bool:
    """Equal bit for bit, all the way down."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(equal, one, other))
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else bool(one == other)


# --- one run -----------------------------------------------------------------------------------


def test_the_last_line_is_the_run_folder(lab: Lab) -> None:
    folder = lab.run("single")
    name = folder.relative_to(lab.folder("single") / "outputs").as_posix()
    assert re.fullmatch(r"point_reach/ddpg/\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d-\d+", name)
    assert lab("single").stdout.count("\n") == 1
    assert "Traceback" not in lab("single").stderr
    assert os.listdir(lab.folder("single")) == ["outputs"]


def test_config_is_resolved(lab: Lab) -> None:
    text = (lab.run("single") / "config.yaml").read_text()
    assert "${" not in text
    assert "???" not in text
    written = OmegaConf.create(text)
    asked = compose(lab.tiny)
    assert asked.env.backend == "auto"
    asked.env.backend = "native"
    assert written == asked


def test_run_json_tells_what_ran(lab: Lab) -> None:
    story = json.loads((lab.run("single") / "run.json").read_text())
    assert shlex.split(story["command"])[-len(lab.tiny) :] == lab.tiny
    assert story["overrides"] == lab.tiny
    for name in ("torch", "numpy", "gymnasium", "hydra-core", "omegaconf", "tensorboard"):
        assert story["versions"][name] == metadata.version(name)
    assert story["versions"]["her_exp"] == metadata.version("her_exp")
    assert story["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))


def test_run_json_names_the_commit(lab: Lab) -> None:
    folder = lab.run("single")
    story = json.loads((folder / "run.json").read_text())
    ours = ["git", "-C", str(CHECKOUT), "ls-files", "--error-unmatch", "her_exp/train.py"]
    try:
        tracked = subprocess.run(ours, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        tracked = False
    if not tracked:
        assert story["git_commit"] is None
        return
    known = ["git", "-C", str(CHECKOUT), "cat-file", "-t", story["git_commit"]]
    assert subprocess.run(known, capture_output=True, text=True, check=True).stdout == "commit\n"
    assert story["git_changed"] == (folder / "git.patch").exists()


def test_result_json(lab: Lab) -> None:
    folder = lab.run("single")
    result, tags = result_of(folder), by_tag(folder)
    assert result.keys() == {
        "status", "reason", "env_steps", "episodes", "updates", "train_seconds", "wall_seconds",
        "eval", "reached",
    }  # fmt: skip
    assert (result["status"], result["reason"]) == ("done", None)
    assert result["env_steps"] == 304  # 38 steps of 8 lanes
    assert result["episodes"] == tags["rollout/episodes"][-1][1] == 24
    per_step = OmegaConf.load(folder / "config.yaml").trainer.updates_per_step
    assert result["updates"] == int(204 * per_step) == tags["train/updates"][-1][1]
    assert 0 < result["train_seconds"] < result["wall_seconds"]
    evaluation = result["eval"]
    assert {"success_final", "success_any", "return", "length", "episodes", "interval"} <= (
        evaluation.keys()
    )
    assert evaluation["episodes"] == 4
    wins = round(4 * evaluation["success_final"])
    assert evaluation["interval"] == pytest.approx(wilson_interval(wins, 4))
    for name in ("success_final", "success_any", "return", "length", "final_distance"):
        assert tags[f"eval/{name}"][-1] == (304, evaluation[name])
    assert evaluation["success_final"] >= 0.95 or result["reached"] == {}


def test_metrics_csv_has_all_groups(lab: Lab) -> None:
    tags = by_tag(lab.run("single"))
    groups: dict[str, set[str]] = {}
    for tag in tags:
        group, name = tag.split("/")
        groups.setdefault(group, set()).add(name)
    assert groups.keys() == {"rollout", "train", "eval", "buffer", "time"}
    assert groups["rollout"] == {
        "return", "length", "success", "success_mean_100", "final_distance", "met_at_reset",
        "episodes",
    }  # fmt: skip
    assert groups["train"] == {"critic_loss", "actor_loss", "q_mean", "updates"}
    assert groups["buffer"] >= {"relabelled_share", "rewarded_share", "goal_distance"}
    assert groups["time"] >= {
        "env_s", "act_s", "sample_s", "update_s", "evaluate_s", "log_s", "env_steps_per_s",
        "updates_per_s",
    }  # fmt: skip
    assert groups["eval"] >= {"success_final", "success_any", "return", "length"}
    assert [step for step, _ in tags["eval/return"]] == [152, 304]
    assert [step for step, _ in tags["train/critic_loss"]] == [104, 200, 304]
    steps = [step for step, _, _ in rows_of(lab.run("single"))]
    assert steps == sorted(steps)


def test_episode_numbers_fit_together(lab: Lab) -> None:
    tags = by_tag(lab.run("single"))
    success = [value for _, value in tags["rollout/success"]]
    # The 8 lanes end together: each value is the mean of 8 episodes, one value a step.
    means = [float(np.mean(success[: i + 1])) for i in range(len(success))]  # fewer than 100
    assert [value for _, value in tags["rollout/success_mean_100"]] == pytest.approx(means)
    assert {value for _, value in tags["rollout/length"]} == {10.0}
    assert all(-10 <= value <= 0 for _, value in tags["rollout/return"])
    assert [step for step, _ in tags["rollout/return"]] == [80, 160, 240]
    assert [value for _, value in tags["rollout/episodes"]] == [8, 16, 24]


def events_of(folder: Path) -> EventAccumulator:
    (file,) = folder.rglob("events.out.tfevents.*")
    assert file.parent == folder
    events = EventAccumulator(str(file), size_guidance={"scalars": 0, "images": 0})
    return events.Reload()


def test_event_file_equals_metrics_csv(lab: Lab) -> None:
    folder = lab.run("single")
    events, tags = events_of(folder), by_tag(folder)
    assert set(events.Tags()["scalars"]) == tags.keys()
    for tag, values in tags.items():
        got = [(event.step, event.value) for event in events.Scalars(tag)]
        assert got == [(step, float(np.float32(value))) for step, value in values], tag


def test_hparams_are_in_the_runs_own_event_file(lab: Lab) -> None:
    folder = lab.run("single")
    events = events_of(folder)
    data = {
        tag: plugin_data_pb2.HParamsPluginData.FromString(
            events.SummaryMetadata(tag).plugin_data.content
        )
        for tag in events.PluginTagToContent("hparams")
    }
    settings = data["_hparams_/session_start_info"].session_start_info.hparams
    assert settings["agent.gamma"].number_value == 0.98
    assert settings["buffer.strategy"].string_value == "future"
    assert settings["env.max_steps"].number_value == 10
    assert settings["seed"].number_value == 0
    metrics = data["_hparams_/experiment"].experiment.metric_infos
    assert {info.name.tag for info in metrics} == {"eval/success_final"} <= by_tag(folder).keys()
    assert {path.name for path in folder.iterdir() if path.is_dir()} == {".hydra", "checkpoints"}


def test_a_picture_at_each_evaluation(lab: Lab) -> None:
    images = events_of(lab.run("single")).Images("eval/paths")
    assert [image.step for image in images] == [152, 304]
    for image in images:
        pixels = np.asarray(Image.open(io.BytesIO(image.encoded_image_string)))
        assert pixels.shape == (image.height, image.width, 3)
        assert min(pixels.shape[:2]) >= 200
        assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 10


def test_checkpoints_are_plain_and_fit_the_agent(lab: Lab) -> None:
    folder = lab.run("single")
    cfg = OmegaConf.load(folder / "config.yaml")
    assert not list(folder.rglob("*.tmp"))
    evals = dict(by_tag(folder)["eval/success_final"])
    for name in ("last", "best"):
        about = policy_of(folder, name)["about"]
        assert about["success"] == evals[about["env_steps"]]
        agent = make_agent(cfg, make(cfg.env), "cpu")
        fresh = {n: learner.state_dict() for n, learner in agent.learners.items()}
        fresh = torch.load(_saved(fresh), weights_only=True)
        assert load_policy(agent, folder / "checkpoints" / f"{name}.pt") == about
        assert equal(agent.state_dict(), policy_of(folder, name)["agent"])
        assert not equal(
            fresh["actor"]["network"], agent.state_dict()["learners"]["actor"]["network"]
        )
    assert policy_of(folder, "last")["about"]["env_steps"] == 304
    assert policy_of(folder, "best")["about"]["success"] == max(evals.values())


def _saved(state: Any) -> io.BytesIO:
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return file


def test_stop_at(lab: Lab) -> None:
    folder = lab.run("stopped")
    result = result_of(folder)
    assert (result["status"], result["env_steps"]) == ("done", 152)
    assert result["eval"]["success_final"] == 1.0
    assert result["reached"].keys() == {"0.95", "0.99"}
    for reached in result["reached"].values():
        assert reached["env_steps"] == 152
        assert reached["updates"] == result["updates"]
        assert 0 < reached["train_seconds"] <= result["train_seconds"]
    assert [step for step, _ in by_tag(folder)["eval/return"]] == [152]
    assert policy_of(folder)["about"]["env_steps"] == 152


# --- the same numbers --------------------------------------------------------------------------


def apart_from_time(folder: Path) -> list[str]:
    lines = (folder / "metrics.csv").read_text().splitlines()
    return [line for line in lines if not line.split(",")[1].startswith("time/")]


def test_same_seed_same_numbers(lab: Lab) -> None:
    one, other = lab.run("single"), lab.run("again")
    assert one != other
    assert apart_from_time(one) == apart_from_time(other)
    assert equal(policy_of(one), policy_of(other))
    assert equal(policy_of(one, "best"), policy_of(other, "best"))


def test_a_job_of_a_sweep_equals_the_run_on_its_own(lab: Lab) -> None:
    (job,) = (
        f for f in lab.jobs("sweep") if f.name.startswith("buffer.k=4,experiment=tiny,seed=0")
    )
    assert apart_from_time(job) == apart_from_time(lab.run("single"))
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
    expected = [f"buffer.k={k},experiment=tiny,seed={seed}" for k in (0, 4) for seed in (0, 1)]
    assert names == expected
    assert len({job.name[-6:] for job in jobs}) == 4
    for job, name in zip(jobs, expected, strict=True):
        cfg = OmegaConf.load(job / "config.yaml")
        assert name == f"buffer.k={cfg.buffer.k},experiment=tiny,seed={cfg.seed}"
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


# --- one writer a folder -----------------------------------------------------------------------


def only_error(done: Done) -> str:
    lines = [line for line in done.stderr.splitlines() if "her_exp: error:" in line]
    assert len(lines) == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert done.returncode in (1, 2)
    return lines[0]


def test_a_run_is_not_written_over(lab: Lab, tmp_path: Path) -> None:
    folder = lab.run("single")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    done = lab.run_cli(*lab.tiny, f"hydra.run.dir={folder}", cwd=tmp_path)
    assert "a run is in" in only_error(done)
    after = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert before == after


def test_a_folder_that_is_held_is_left_alone(lab: Lab, tmp_path: Path) -> None:
    """As in the moment in which another run has taken the folder and written nothing yet."""
    folder = tmp_path / "mine"
    folder.mkdir()
    with (folder / "run.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = lab.run_cli(*lab.tiny, f"hydra.run.dir={folder}", cwd=tmp_path)
    assert "another process is writing to this run folder" in only_error(done)
    assert [path.name for path in folder.iterdir()] == ["run.lock"]


def test_of_two_at_once_one_is_refused(lab: Lab, tmp_path: Path) -> None:
    folder = tmp_path / "mine"

    def start(seed: int) -> Done:
        return lab.run_cli(*lab.tiny, f"hydra.run.dir={folder}", f"seed={seed}", cwd=tmp_path)

    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(start, (5, 6)))
    (winner,) = (seed for seed, done in zip((5, 6), both, strict=True) if done.returncode == 0)
    (refused,) = (done for done in both if done.returncode != 0)
    assert re.search("another process is writing|a run is (here|in)", only_error(refused))
    assert result_of(folder)["status"] == "done"
    assert OmegaConf.load(folder / "config.yaml").seed == winner
    assert f"seed={winner}" in json.loads((folder / "run.json").read_text())["overrides"]
    assert [step for step, _ in by_tag(folder)["eval/return"]] == [152, 304]


# --- evaluation --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def evaluated(lab: Lab) -> tuple[Done, Done]:
    """The same evaluation twice, the second time with a film."""
    words = [f"run={lab.run('single')}", "episodes=20"]
    film = [*words, "video=true", "video_episodes=2"]
    with ThreadPoolExecutor(2) as pool:
        plain, filmed = (
            pool.submit(lab.run_cli, *w, cwd=lab.root, module="evaluate") for w in (words, film)
        )
        return plain.result(), filmed.result()


def json_line(done: Done) -> dict[str, Any]:
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("{"))
    return json.loads(line)


def test_evaluation_ends_with_a_line_of_json(lab: Lab, evaluated: tuple[Done, Done]) -> None:
    done = evaluated[0]
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout.splitlines()[-1])
    assert summary["episodes"] == 20
    assert (summary["checkpoint"], summary["seed"]) == ("last", 0)
    wins = round(20 * summary["success_final"])
    assert summary["interval"] == pytest.approx(wilson_interval(wins, 20))
    assert summary["length"] == 10.0
    assert done.stdout.startswith("success ")
    assert json.loads((lab.run("single") / "evaluation.json").read_text()) == summary
    # Other goals than those of the training's own evaluation.
    assert summary["final_distance"] != result_of(lab.run("single"))["eval"]["final_distance"]


def test_evaluation_repeats(evaluated: tuple[Done, Done]) -> None:
    assert json_line(evaluated[0]) == json_line(evaluated[1])


def test_a_film_and_a_picture(lab: Lab, evaluated: tuple[Done, Done]) -> None:
    done = evaluated[1]
    assert done.returncode == 0, done.stderr
    film, picture = map(Path, done.stdout.splitlines()[-2:])
    assert film.parent == picture.parent == lab.run("single")
    assert film.name in ("film.mp4", "film.gif")
    assert film.stat().st_size > 2000
    if film.suffix == ".mp4":
        assert film.read_bytes()[4:8] == b"ftyp"
    assert picture.name == "paths.png"
    with Image.open(picture) as image:
        assert min(image.size) >= 200


@pytest.fixture
def run_folder(lab: Lab, tmp_path: Path) -> Path:
    """A copy of the run, to be spoilt."""
    folder = tmp_path / "run"
    (folder / "checkpoints").mkdir(parents=True)
    for name in ("config.yaml", "checkpoints/last.pt", "checkpoints/best.pt"):
        (folder / name).write_bytes((lab.run("single") / name).read_bytes())
    return folder


def test_a_film_without_imageio_is_a_gif(
    run_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "imageio.v2", None)  # type: ignore[arg-type]
    words = [f"run={run_folder}", "episodes=4", "video=true", "video_episodes=2", "checkpoint=best"]
    assert evaluate.command(words) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[1])["checkpoint"] == "best"
    with Image.open(run_folder / "film.gif") as film:
        assert film.n_frames > 10  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ([], "run is not set; give run=outputs/..."),
        (["run=nowhere"], "run=nowhere: no such folder"),
        (["run={run}", "eposides=3"], "eposides"),
        (["run={run}", "episodes=ten"], "episodes=ten: give a whole number"),
        (["run={run}", "episodes=1.5"], "episodes=1.5: give a whole number"),
        (["run={run}", "episodes=0"], "episodes=0: give 1 or more"),
        (["run={run}", "seed=-1"], "seed=-1: give 0 or more"),
        (["run={run}", "video=maybe"], "video=maybe: give true or false"),
        (["run={run}", "video_episodes=0"], "video_episodes=0: give 1 or more"),
        (["run={run}", "checkpoint=first"], "checkpoint=first: give last or best"),
        (["{run}"], "write key=value"),
    ],
)
def test_wrong_words_to_evaluate(words: list[str], line: str, run_folder: Path) -> None:
    with pytest.raises(UserError) as caught:
        evaluate.command([word.format(run=run_folder) for word in words])
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_wrong_word_is_one_line_on_the_terminal(lab: Lab) -> None:
    done = lab.run_cli("run=nowhere", cwd=lab.root, module="evaluate")
    assert done.stderr == "her_exp: error: run=nowhere: no such folder\n"
    assert (done.returncode, done.stdout) == (2, "")


def test_a_missing_or_broken_checkpoint(run_folder: Path) -> None:
    last, best = (run_folder / "checkpoints" / f"{name}.pt" for name in ("last", "best"))
    last.unlink()
    with pytest.raises(UserError, match=rf"no checkpoint at {re.escape(str(last))}"):
        evaluate.evaluate_run(run_folder)
    best.write_bytes(best.read_bytes()[:500])
    with pytest.raises(UserError, match="cannot be read as a checkpoint"):
        evaluate.evaluate_run(run_folder, checkpoint="best")


class Goals:
    """Every goal that each vector env of a task asks for, call of `reset` by call of `reset`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.envs: list[list[set[bytes]]] = []
        make_env = GoalTask.make

        def spy(task: GoalTask, *args: Any, **kwargs: Any) -> Any:
            env = make_env(task, *args, **kwargs)
            seen: list[set[bytes]] = []
            self.envs.append(seen)
            reset, step = env.reset, env.step

            def note(answer: Any) -> Any:
                seen[-1].update(row.tobytes() for row in answer[0]["desired_goal"])
                return answer

            def reset_spy(**words: Any) -> Any:
                seen.append(set())
                return note(reset(**words))

            env.reset, env.step = reset_spy, lambda actions: note(step(actions))
            return env

        monkeypatch.setattr(GoalTask, "make", spy)


def test_goals_of_training_evaluation_and_test_are_apart(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    goals = Goals(monkeypatch)
    folder = tmp_path / "run"
    train(compose([*lab.tiny, "env.num_eval_envs=4"]), folder)
    collected, watched = goals.envs
    assert len(collected) == 1  # one reset, then autoreset
    assert len(collected[0]) >= 24
    first, second = watched
    assert first == second
    assert len(first) >= 4

    evaluate.evaluate_run(folder, episodes=12)
    evaluate.evaluate_run(folder, episodes=12)
    evaluate.evaluate_run(folder, episodes=12, seed=1)
    once, again, other = (env[0] for env in goals.envs[2:])
    assert once == again
    assert len(once) >= 12
    groups = [collected[0], first, once, other]
    assert not any(a & b for i, a in enumerate(groups) for b in groups[:i])


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


def test_tensorboard_shows_runs_by_readable_names(lab: Lab, board: tuple[int, list[str]]) -> None:
    port, runs = board
    folders = [lab.run("single"), *lab.jobs("sweep")]
    names = [f.relative_to(lab.folder("single") / "outputs").as_posix() for f in folders]
    assert names[0].startswith("point_reach/ddpg/")
    assert names[1].startswith("sweeps/grid/buffer.k=0,experiment=tiny,seed=0_")
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


# --- help --------------------------------------------------------------------------------------


def cpu_seconds(words: Sequence[str], folder: Path) -> float:
    """CPU time, which is the time that it takes on a machine with nothing else to do."""
    with (folder / "out").open("w") as out:
        process = subprocess.Popen([sys.executable, *words], cwd=folder, stdout=out)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    assert "buffer" in (folder / "out").read_text()
    return usage.ru_utime + usage.ru_stime


def test_help_is_quick(tmp_path: Path) -> None:
    # Best of three; some 0.6 s are usual. A CI machine of half that speed should pass too.
    words = ["-m", "her_exp.train", "--help"]
    assert min(cpu_seconds(words, tmp_path) for _ in range(3)) < 1.5


def test_help_does_not_import_torch(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from her_exp.train import main\n"
        "sys.argv = ['her-train', '--help']\n"
        "try:\n"
        "    main()\n"
        "except SystemExit as stop:\n"
        "    assert not stop.code, stop.code\n"
        "loaded = {'torch', 'tensorboard', 'PIL'} & sys.modules.keys()\n"
        "assert not loaded, loaded\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "trainer" in done.stdout
    assert list(tmp_path.iterdir()) == []
