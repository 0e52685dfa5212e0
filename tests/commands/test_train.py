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
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from her_exp.config.compose import compose
from her_exp.store.checkpoint import load_policy
from her_exp.system.machine import products
from her_exp.training.build import make, make_agent
from her_exp.training.evaluation import wilson_interval
from tests.commands.cli_kit import Done, Lab, by_tag, hparams_of, policy_of
from tests.equality import equal
from tests.runs.runs_kit import result_of

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture
def run(lab: Lab) -> Path:
    """The folder of one run."""
    return lab.run("single")


def test_the_last_line_is_the_run_folder(lab: Lab, run: Path) -> None:
    name = run.relative_to(lab.folder("single") / "outputs").as_posix()
    assert re.fullmatch(r"point_reach/ddpg/\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d-\d+", name)
    assert lab("single").stdout.count("\n") == 1
    assert "Traceback" not in lab("single").stderr
    assert os.listdir(lab.folder("single")) == ["outputs"]
    assert {path.name for path in run.iterdir() if path.is_dir()} == {".hydra", "checkpoints"}
    assert not list(run.rglob("*.tmp"))


def test_config_is_resolved(lab: Lab, run: Path) -> None:
    text = (run / "config.yaml").read_text()
    assert "${" not in text
    assert "???" not in text
    asked = compose(lab.tiny)
    assert (asked.env.backend, asked.products) == ("auto", "auto")
    asked.env.backend, asked.products = "native", products().float32
    assert OmegaConf.create(text) == asked


def test_run_json_tells_what_ran(lab: Lab, run: Path) -> None:
    story = json.loads((run / "run.json").read_text())
    assert shlex.split(story["command"])[-len(lab.tiny) :] == lab.tiny
    assert story["overrides"] == lab.tiny
    python = story["versions"].pop("python")
    assert python == ".".join(map(str, sys.version_info[:3]))
    needed = {"her_exp", "torch", "numpy", "gymnasium", "hydra-core", "omegaconf", "tensorboard"}
    assert story["versions"].keys() >= needed
    for name in needed:
        assert story["versions"][name] == metadata.version(name)
    git = ["git", "-C", str(CHECKOUT)]
    ours = [*git, "ls-files", "--error-unmatch", "her_exp/train.py"]
    try:
        tracked = subprocess.run(ours, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        tracked = False
    if not tracked:
        assert story["git_commit"] is None
        return
    known = [*git, "cat-file", "-t", story["git_commit"]]
    assert subprocess.run(known, capture_output=True, text=True, check=True).stdout == "commit\n"
    assert story["git_changed"] == (run / "git.patch").exists()


def test_result_json(run: Path) -> None:
    result, tags = result_of(run), by_tag(run)
    assert result.keys() == {
        "status", "reason", "env_steps", "episodes", "updates", "train_seconds", "wall_seconds",
        "eval", "reached",
    }  # fmt: skip
    assert (result["status"], result["reason"]) == ("done", None)
    assert result["env_steps"] == 304  # 38 steps of 8 lanes
    assert result["episodes"] == tags["rollout/episodes"][-1][1] == 24
    per_step = OmegaConf.load(run / "config.yaml").trainer.updates_per_step
    assert result["updates"] == int(204 * per_step) == tags["train/updates"][-1][1]
    assert 0 < result["train_seconds"] < result["wall_seconds"]
    evaluation = result["eval"]
    assert evaluation["episodes"] == 4
    wins = round(4 * evaluation["success_final"])
    assert evaluation["interval"] == pytest.approx(wilson_interval(wins, 4))
    for name in ("success_final", "success_any", "return", "length", "final_distance"):
        assert tags[f"eval/{name}"][-1] == (304, evaluation[name])
    assert evaluation["success_final"] >= 0.95 or result["reached"] == {}


def test_numbers_of_the_log_fit_together(run: Path) -> None:
    """Which tags there are is the matter of docs/tensorboard.md and its test."""
    tags = by_tag(run)
    assert {tag.split("/")[0] for tag in tags} == {"rollout", "train", "eval", "buffer", "time"}
    assert [step for step, _ in tags["eval/return"]] == [152, 304]
    assert [step for step, _ in tags["train/critic_loss"]] == [104, 200, 304]
    # The 8 lanes end together: each value is the mean of 8 episodes, one value a step.
    success = [value for _, value in tags["rollout/success"]]
    means = [float(np.mean(success[: i + 1])) for i in range(len(success))]  # fewer than 100
    assert [value for _, value in tags["rollout/success_mean_100"]] == pytest.approx(means)
    assert {value for _, value in tags["rollout/length"]} == {10.0}
    assert all(-10 <= value <= 0 for _, value in tags["rollout/return"])
    assert tags["rollout/episodes"] == [(80, 8), (160, 16), (240, 24)]


def test_the_event_file_has_settings_and_pictures(run: Path) -> None:
    """Its numbers are compared in test_resume_folder and where TensorBoard shows them."""
    table, settings = hparams_of(run)
    assert settings["agent.gamma"].number_value == 0.98
    assert settings["buffer.strategy"].string_value == "future"
    assert settings["env.max_steps"].number_value == 10
    assert [info.name.tag for info in table.metric_infos] == ["eval/success_final", "eval/return"]
    assert {info.name for info in table.hparam_infos} == settings.keys()
    (file,) = run.rglob("events.out.tfevents.*")
    assert file.parent == run
    images = EventAccumulator(str(file), size_guidance={"images": 0}).Reload().Images("eval/paths")
    assert [image.step for image in images] == [152, 304]
    for image in images:
        pixels = np.asarray(Image.open(io.BytesIO(image.encoded_image_string)))
        assert pixels.shape == (image.height, image.width, 3)
        assert min(pixels.shape[:2]) >= 200
        assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 10
    with Image.open(run / "paths_last.png") as last:
        assert np.array_equal(np.asarray(last), pixels)


def test_policies_are_plain_and_fit_the_agent(run: Path) -> None:
    cfg, evals = OmegaConf.load(run / "config.yaml"), dict(by_tag(run)["eval/success_final"])
    fresh = make_agent(cfg, make(cfg.env), "cpu").state_dict()["learners"]["actor"]["network"]
    for name in ("last", "best"):
        about = policy_of(run, name)["about"]
        assert about["success"] == evals[about["env_steps"]]
        agent = make_agent(cfg, make(cfg.env), "cpu")
        assert load_policy(agent, run / "checkpoints" / f"{name}.pt") == about
        assert equal(agent.state_dict(), policy_of(run, name)["agent"])
        assert not equal(fresh, agent.state_dict()["learners"]["actor"]["network"])
    assert policy_of(run, "last")["about"]["env_steps"] == 304
    assert policy_of(run, "best")["about"]["success"] == max(evals.values())


def test_stop_at(lab: Lab) -> None:
    folder = lab.run("stopped")
    result = result_of(folder)
    assert (result["status"], result["env_steps"]) == ("done", 152)
    assert result["eval"]["success_final"] == 1.0
    assert result["reached"].keys() == {"0.95", "0.99"}
    for reached in result["reached"].values():
        assert (reached["env_steps"], reached["updates"]) == (152, result["updates"])
        assert 0 < reached["train_seconds"] <= result["train_seconds"]
    assert [step for step, _ in by_tag(folder)["eval/return"]] == [152]
    assert policy_of(folder)["about"]["env_steps"] == 152


# --- one writer a folder -----------------------------------------------------------------------


def only_error(done: Done) -> str:
    (line,) = (line for line in done.stderr.splitlines() if "her_exp: error:" in line)
    assert "Traceback" not in done.stderr
    assert done.returncode in (1, 2)
    return line


def test_a_folder_that_is_held_is_left_alone(lab: Lab, tmp_path: Path) -> None:
    """As in the moment in which another run has taken the folder and written nothing yet."""
    folder = tmp_path / "mine"
    folder.mkdir()
    with (folder / "run.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = lab.run_cli(*lab.tiny, f"hydra.run.dir={folder}", cwd=tmp_path)
    assert "another process is writing to this run folder" in only_error(done)
    assert [path.name for path in folder.iterdir()] == ["run.lock"]


def test_of_two_at_once_one_is_refused_and_a_third_as_well(lab: Lab, tmp_path: Path) -> None:
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

    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert "a run is in" in only_error(start(7))
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
