"""The real command: all that one run leaves in its folder, which no second one writes over."""

from __future__ import annotations

import fcntl
import io
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from her_exp.config.compose import compose
from her_exp.store.checkpoint import load_policy
from her_exp.system.machine import products
from her_exp.training.build import make, make_agent
from her_exp.training.evaluation import wilson_interval
from tests.commands.cli_kit import Done, Lab, by_tag, hparams_of, policy_of, rows_of
from tests.equality import equal
from tests.runs.runs_kit import result_of

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, run_cli: Any, tiny: list[str]) -> Iterator[Lab]:
    lab = Lab(tmp_path_factory.mktemp("lab"), run_cli, tiny, ("single", "stopped"))
    yield lab
    lab.pool.shutdown(cancel_futures=True)


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
    assert asked.products == "auto"
    asked.products = products().float32
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
    table, settings = hparams_of(folder)
    assert settings["agent.gamma"].number_value == 0.98
    assert settings["buffer.strategy"].string_value == "future"
    assert settings["env.max_steps"].number_value == 10
    assert settings["seed"].number_value == 0
    assert [info.name.tag for info in table.metric_infos] == ["eval/success_final", "eval/return"]
    assert {info.name.tag for info in table.metric_infos} <= by_tag(folder).keys()
    assert {info.name for info in table.hparam_infos} == settings.keys()
    assert {path.name for path in folder.iterdir() if path.is_dir()} == {".hydra", "checkpoints"}


def test_a_picture_at_each_evaluation(lab: Lab) -> None:
    images = events_of(lab.run("single")).Images("eval/paths")
    assert [image.step for image in images] == [152, 304]
    for image in images:
        pixels = np.asarray(Image.open(io.BytesIO(image.encoded_image_string)))
        assert pixels.shape == (image.height, image.width, 3)
        assert min(pixels.shape[:2]) >= 200
        assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 10
    with Image.open(lab.run("single") / "paths_last.png") as last:
        assert np.array_equal(np.asarray(last), pixels)


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
