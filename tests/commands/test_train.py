"""The real command: all that one run leaves in its folder, which no second one writes over."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from her_exp.config.compose import compose
from her_exp.run import train
from her_exp.store.checkpoint import load_policy
from her_exp.store.folder import lock
from her_exp.system.machine import products
from her_exp.training.build import make, make_agent
from her_exp.training.evaluation import wilson_interval
from tests.commands.cli_kit import Done, by_tag, hparams_of, policy_of
from tests.commands.shell import Shell
from tests.equality import equal
from tests.runs.runs_kit import result_of

CHECKOUT = Path(__file__).resolve().parents[2]


def test_the_last_line_is_the_run_folder(command: Done, made: Path) -> None:
    outputs = made.parents[2]
    name = made.relative_to(outputs).as_posix()
    assert re.fullmatch(r"point_reach/ddpg/\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d-\d+", name)
    assert command.stdout.count("\n") == 1
    assert "Traceback" not in command.stderr
    assert os.listdir(outputs.parent) == ["outputs"]
    assert {path.name for path in made.iterdir() if path.is_dir()} == {".hydra", "checkpoints"}
    assert not list(made.rglob("*.tmp"))


def test_config_is_resolved(short: list[str], made: Path) -> None:
    text = (made / "config.yaml").read_text()
    assert "${" not in text
    assert "???" not in text
    asked = compose(short)
    assert (asked.env.backend, asked.products) == ("auto", "auto")
    asked.env.backend, asked.products = "native", products().float32
    assert OmegaConf.create(text) == asked


def test_run_json_tells_what_ran(short: list[str], made: Path) -> None:
    story = json.loads((made / "run.json").read_text())
    assert shlex.split(story["command"])[-len(short) :] == short
    assert story["overrides"] == short
    python = story["versions"].pop("python")
    assert python == ".".join(map(str, sys.version_info[:3]))
    needed = {"her_exp", "torch", "numpy", "gymnasium", "hydra-core", "omegaconf", "tensorboard"}
    assert story["versions"].keys() >= needed
    for name in needed:
        assert story["versions"][name] == metadata.version(name)
    if (CHECKOUT / ".git").exists():
        known = ["git", "-C", str(CHECKOUT), "cat-file", "-t", story["git_commit"]]
        assert subprocess.run(known, capture_output=True, check=True).stdout == b"commit\n"
        assert story["git_changed"] == (made / "git.patch").exists()


def test_result_json(made: Path) -> None:
    result, tags = result_of(made), by_tag(made)
    assert result.keys() == {
        "status", "reason", "env_steps", "episodes", "updates", "train_seconds", "wall_seconds",
        "eval", "reached",
    }  # fmt: skip
    assert (result["status"], result["reason"]) == ("done", None)
    assert result["env_steps"] == 304  # 38 steps of 8 lanes
    assert result["episodes"] == tags["rollout/episodes"][-1][1] == 24
    per_step = OmegaConf.load(made / "config.yaml").trainer.updates_per_step
    assert result["updates"] == int(204 * per_step) == tags["train/updates"][-1][1]
    assert 0 < result["train_seconds"] < result["wall_seconds"]
    evaluation = result["eval"]
    assert evaluation["episodes"] == 4
    wins = round(4 * evaluation["success_final"])
    assert evaluation["interval"] == pytest.approx(wilson_interval(wins, 4))
    for name in ("success_final", "success_any", "return", "length", "final_distance"):
        assert tags[f"eval/{name}"][-1] == (304, evaluation[name])
    assert evaluation["success_final"] >= 0.95 or result["reached"] == {}


def test_numbers_of_the_log_fit_together(made: Path) -> None:
    """Which tags there are is the matter of docs/tensorboard.md and its test."""
    tags = by_tag(made)
    assert [step for step, _ in tags["train/critic_loss"]] == [104, 200, 304]
    # The 8 lanes end together: each value is the mean of 8 episodes, one value a step.
    success = [value for _, value in tags["rollout/success"]]
    means = [float(np.mean(success[: i + 1])) for i in range(len(success))]  # fewer than 100
    assert [value for _, value in tags["rollout/success_mean_100"]] == pytest.approx(means)
    assert {value for _, value in tags["rollout/length"]} == {10.0}
    assert tags["rollout/episodes"] == [(80, 8), (160, 16), (240, 24)]


def test_the_event_file_has_settings_and_pictures(made: Path) -> None:
    """Its numbers are compared in test_resume_folder."""
    table, settings = hparams_of(made)
    assert settings["agent.gamma"].number_value == 0.98
    assert settings["buffer.strategy"].string_value == "future"
    assert settings["env.max_steps"].number_value == 10
    assert [info.name.tag for info in table.metric_infos] == ["eval/success_final", "eval/return"]
    assert {info.name for info in table.hparam_infos} == settings.keys()
    (file,) = made.rglob("events.out.tfevents.*")
    assert file.parent == made
    images = EventAccumulator(str(file), size_guidance={"images": 0}).Reload().Images("eval/paths")
    assert [image.step for image in images] == [152, 304]
    for image in images:
        pixels = np.asarray(Image.open(io.BytesIO(image.encoded_image_string)))
        assert pixels.shape == (image.height, image.width, 3)
        assert min(pixels.shape[:2]) >= 200
        assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 10
    with Image.open(made / "paths_last.png") as last:
        assert np.array_equal(np.asarray(last), pixels)


def test_policies_are_plain_and_fit_the_agent(made: Path) -> None:
    cfg, evals = OmegaConf.load(made / "config.yaml"), dict(by_tag(made)["eval/success_final"])
    fresh = make_agent(cfg, make(cfg.env), "cpu").state_dict()["learners"]["actor"]["network"]
    for name in ("last", "best"):
        about = policy_of(made, name)["about"]
        assert about["success"] == evals[about["env_steps"]]
        agent = make_agent(cfg, make(cfg.env), "cpu")
        assert load_policy(agent, made / "checkpoints" / f"{name}.pt") == about
        assert equal(agent.state_dict(), policy_of(made, name)["agent"])
        assert not equal(fresh, agent.state_dict()["learners"]["actor"]["network"])
    assert policy_of(made, "last")["about"]["env_steps"] == 304
    assert policy_of(made, "best")["about"]["success"] == max(evals.values())


def test_stop_at(short: list[str], folder: Path) -> None:
    train(compose([*short, "env.distance_threshold=5", "trainer.stop_at=0.99"]), folder)
    result = result_of(folder)
    assert (result["status"], result["env_steps"]) == ("done", 152)
    assert result["eval"]["success_final"] == 1.0
    assert result["reached"].keys() == {"0.95", "0.99"}
    for reached in result["reached"].values():
        assert (reached["env_steps"], reached["updates"]) == (152, result["updates"])
        assert 0 < reached["train_seconds"] <= result["train_seconds"]
    assert [step for step, _ in by_tag(folder)["eval/return"]] == [152]
    assert policy_of(folder)["about"]["env_steps"] == 152


def test_a_folder_that_is_held_is_left_alone(sh: Shell) -> None:
    """As in the moment in which another run has taken the folder and written nothing yet."""
    folder = sh.cwd / "mine"
    folder.mkdir()
    with lock(folder):
        (line,) = sh.refused("hydra.run.dir=mine")
    assert "another process is writing to this run folder" in line
