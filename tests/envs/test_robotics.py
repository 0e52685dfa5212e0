"""Gymnasium-Robotics through conf/env: what is found out about each task, and what its docs say of it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from her_exp.check import check
from her_exp.config.compose import compose
from her_exp.config.validate import validate
from her_exp.envs.make import GoalTask
from her_exp.evaluate import command, evaluate_run
from her_exp.run import train
from her_exp.training.build import make
from her_exp.types import UserError

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(
        importlib.util.find_spec("gymnasium_robotics") is None,
        reason="gymnasium-robotics is not installed: pip install 'her_exp[robotics]'",
    ),
]

VARIANTS = {
    "block": ("full", "rotate_z", "rotate_parallel", "rotate_xyz"),
    "egg": ("full", "rotate"), "pen": ("full", "rotate"),
}  # fmt: skip
MAZES = {
    "point": ((4, 2, 2), {"umaze": 300, "open": 300, "medium": 600, "large": 800}),
    "ant": ((105, 2, 8), {"umaze": 700, "open": 700, "medium": 1000, "large": 1000}),
}
#: Words of a task: shapes of observation, goal and action, steps, the distance that is a success.
TASKS: dict[str, tuple[int, int, int, int, float | None]] = {
    "env=fetch_reach": (10, 3, 4, 50, 0.05),
    **{f"env=fetch_{n}": (25, 3, 4, 50, 0.05) for n in ("push", "slide", "pick_and_place")},
    "env=hand_reach": (63, 15, 20, 50, 0.01),
    **{
        f"env=hand_{thing} env.variant={variant} env.touch={touch}": (values, 7, 20, 100, None)
        for thing, variants in VARIANTS.items()
        for variant in variants
        for touch, values in (("none", 61), ("boolean", 153), ("continuous", 153))
    },
    **{
        f"env={animal}_maze env.map={map}{goals}": (*shape, steps, 0.45)
        for animal, (shape, maps) in MAZES.items()
        for map, steps in maps.items()
        for goals in ("", *([] if map == "umaze" else ["_diverse_g", "_diverse_gr"]))
    },
}


def task_of(words: str) -> GoalTask:
    task: GoalTask = make(compose(words.split()).env)
    return task


@pytest.mark.parametrize("words", TASKS)
def test_what_is_found_out(words: str) -> None:
    observation, goal, action, steps, distance = TASKS[words]
    task = task_of(words)
    spaces = task.spaces
    assert (spaces.observation_dim, spaces.goal_dim) == (observation, goal)
    assert spaces.action.shape == (action,)
    spec = task.make_single().spec
    assert spec is not None
    assert spec.max_episode_steps == steps
    functions = task.goal_functions()
    key = "success" if "maze" in words else "is_success"
    assert functions.sources[0] == f"success: info['{key}'] of the step"
    assert functions.sources[1] == "termination: compute_terminated"
    assert (functions.distance and functions.distance.threshold) == distance
    assert ("compute_reward" in functions.row_by_row) == ("hand_pen" in words)


@pytest.mark.parametrize("goes_on", [True, False])
@pytest.mark.parametrize("env", ["point_maze", "ant_maze"])
def test_mazes_end_at_success_or_judge_the_last_step(env: str, goes_on: bool) -> None:
    ends = f"env.continuing_task={str(goes_on).lower()} env.max_episode_steps=4"
    task = task_of(f"env={env} {ends} env.backend=sync")
    functions = task.goal_functions()
    lanes = task.make(1)
    observation, _ = lanes.reset(seed=0)
    assert not functions.success(observation["achieved_goal"], observation["desired_goal"], {})
    body: Any = lanes.envs[0].unwrapped
    body.goal = observation["achieved_goal"][0] + [0.3, 0.0]
    seen = []
    for _ in range(4):
        still = np.zeros((1, *(task.spaces.action.shape or ())), np.float32)
        observation, *answer, info = lanes.step(still)
        met = functions.success(observation["achieved_goal"], observation["desired_goal"], info)
        seen.append([float(value[0]) for value in (*answer, met)])  # reward, ends, success
        if answer[1].any():
            break
    lanes.close()
    assert seen == ([[1, 0, 0, 1]] * 3 + [[1, 0, 1, 1]] if goes_on else [[1, 1, 0, 1]])


WRONG = {
    "env=hand_block env.variant=rotate": "env.variant=rotate: must be one of full, rotate_z, ",
    "env=point_maze env.map=larg": "did you mean large?",
    "env=hand_egg env.varant=full": "unknown key env.varant: did you mean env.variant?",
    "env=hand_egg env.choices=3": "env.choices=3: must be a mapping",
    "env=hand_egg env.id='Egg{x}-v1'": "env.id=Egg{x}-v1: its places must be those of",
    "env=point_maze env.continuing_task=3": "env.continuing_task=3: must be true or false",
    "+env.training_kwargs.max_step=9": "did you mean env.training_kwargs.max_steps?",
    "env=bit_flip agent=dqn +env.training_kwargs.n_bits=3": "env.training_kwargs: other spaces (",
}


@pytest.mark.parametrize("words", WRONG)
def test_a_wrong_word_is_one_line(words: str) -> None:
    with pytest.raises(UserError) as refused:
        validate(compose(words.split()))
    assert WRONG[words] in str(refused.value)
    assert "\n" not in str(refused.value)


SOON = (
    "env=fetch_push",
    "env=point_maze env.map=umaze",
    "env=hand_egg env.variant=full env.touch=none",
)


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "words",
    [*SOON, *(pytest.param(words, marks=pytest.mark.slow) for words in TASKS if words not in SOON)],
)
def test_check_finds_nothing_wrong_but_of_pens(words: str) -> None:
    odd = [finding for finding in check(words.split()) if finding.level != "ok"]
    faults = [finding.says[:12] for finding in odd if finding.level == "error"]
    assert faults == (["mixes rows: "] if "hand_pen" in words else [])
    assert odd == [] or words not in SOON


def test_a_run_folder_is_judged_without_trust_and_filmed_or_not(
    tiny: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    words = ["env=fetch_reach", "env.num_envs=2", "env.num_eval_envs=2", *tiny]
    train(compose(words), tmp_path / "run", words)
    asked = [f"run={tmp_path / 'run'}", "episodes=2", "video=true", "video_episodes=1"]

    def cannot(env: Any) -> Any:
        raise RuntimeError("no\ncontext")

    from gymnasium_robotics.envs.robot_env import MujocoRobotEnv

    monkeypatch.setattr(MujocoRobotEnv, "render", cannot)
    assert command(asked) == 0
    told = capsys.readouterr()
    assert told.out.splitlines()[2:] == [str(tmp_path / "run" / "paths.png")]
    line = "no film, only the picture: this env cannot draw here (no context)"
    assert told.err.splitlines()[-1] == line


def test_a_run_collects_in_one_env_and_is_judged_in_another(tmp_path: Path, tiny: Any) -> None:
    task = task_of("env=point_maze env.training_kwargs={continuing_task:false}")
    goal = np.zeros((1, 2))
    ends = [one.goal_functions().terminated(goal, goal, {}) for one in (task, task.collecting)]
    assert np.concatenate(ends).tolist() == [False, True]
    words = ["+env.training_kwargs.max_steps=3", "env.max_steps=5", *tiny]
    train(compose(words), tmp_path, words)
    lines = [line.split(",") for line in (tmp_path / "metrics.csv").read_text().splitlines()]
    lengths = {tag: float(value) for _, tag, value in lines if tag.endswith("/length")}
    assert lengths == {"rollout/length": 3.0, "eval/length": 5.0}
    assert evaluate_run(tmp_path, 4)["length"] == 5.0
