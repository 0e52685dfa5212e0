"""What strangers' envs give is checked where it comes in: one line that names lane and key, or it runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from her_exp.envs.make import GoalTask
from her_exp.training.evaluation import Evaluation
from her_exp.training.progress import Record
from her_exp.types import EnvFailed, UserError
from her_exp.values import add_info, numbers, readable
from tests.envs.strange_envs import Plane, play


def tells(odd: Callable[[Any], dict[Any, Any]]) -> Any:
    """Steps and resets of a plane whose info has something odd in it."""
    return lambda walk: Plane.about(walk) | odd(walk)


@pytest.mark.parametrize(
    ("success", "said"),
    [([False] * 3, r"\[.*\]"), (0.33, "0.33"), ({"a": True}, "a dict"), ("False", "'False'")],
)
def test_success_is_one_truth_value(success: Any, said: str, backend: str) -> None:
    wrong = rf"info\['is_success'\] of lane 0 is {said}; it must be one truth value$"
    with pytest.raises(EnvFailed, match=wrong):
        play("Plane", 40, backend=backend, about=tells(lambda _: {"is_success": success}))


@pytest.mark.parametrize("kind", [float, lambda met: np.array([met])])
def test_what_stands_for_a_truth_value_is_one(kind: Any, backend: str) -> None:
    about = lambda walk: {"is_success": kind(walk.met(walk.at, walk.goal))}  # noqa: E731
    plain, odd = (play("Plane", 200, backend=backend, about=a).episodes for a in (None, about))
    assert odd == plain
    assert any(episode.success_any for episode in odd)


#: What no reward could read.
NO_NUMBERS = {
    "other shapes": lambda walk: {"path": np.zeros((1 + int(walk.at[0] > 0), 2))},
    "at times": lambda walk: {"path": 3.0 if walk.at[0] > 0 else None},
    "text": lambda _: {"path": "left"},
    "nested": lambda _: {"path": {"a": {"b": [1, 2]}, 3: "x", "final_info": {"z": 1}}},
    "ragged": lambda _: {"path": [[1], [2, 3]]},
    "an object": lambda walk: {"path": walk},
}
NO_NAMES = {
    "numbers": lambda _: {0: 1.0, ("a", 1): 2},
    "a vector env's": lambda _: {"_is_success": 1, "final_obs": 3},
}


@pytest.mark.parametrize("kind", NO_NUMBERS | NO_NAMES)
def test_info_that_nobody_reads_is_no_fault(kind: str, backend: str) -> None:
    about = tells((NO_NUMBERS | NO_NAMES)[kind])
    assert play("Plane", 60, backend=backend, about=about).episodes == play("Plane", 60).episodes


@pytest.mark.parametrize("kind", NO_NUMBERS)
def test_info_that_is_read_must_be_numbers_of_one_shape(kind: str) -> None:
    task = GoalTask("strange/Plane-v0", about=tells(NO_NUMBERS[kind]))
    with pytest.raises(UserError, match=r"^buffer\.info_keys: .*info\['path'\]") as refused:
        task.goal_functions(["path"])
    assert "\n" not in str(refused.value)


#: Rewards and ends that are none, and those that stand for one.
STEPS: dict[str, tuple[list[Any], list[Any]]] = {
    "reward": ([None, "-1", 1j, np.array([-1, 0.5])], [np.float32(-1), np.array(0), -np.ones(1)]),
    "terminated": ([None, "yes", 2, [False, True]], [np.array(0)]),
    "truncated": ([None, "yes"], [np.array(0)]),
    "info": ([None], []),
}


@pytest.mark.parametrize("what", STEPS)
def test_rewards_and_ends_that_are_none(what: str, backend: str) -> None:
    def play_with(value: Any) -> None:
        def step(walk: Any, action: Any) -> Any:
            names = ("observation", "reward", "terminated", "truncated", "info")
            answer = dict(zip(names, Plane.step(walk, action), strict=True))
            return tuple((answer | {what: value}).values())

        play("Plane", 3, lanes=1, backend=backend, step=step)

    wrong, right = STEPS[what]
    for value in wrong:
        with pytest.raises(EnvFailed, match=rf"of lane 0 gave .*{what}.*; give "):
            play_with(value)
    for value in right:
        play_with(value)


def several(walk: Any, achieved: Any, desired: Any, info: Any = None) -> Any:
    return np.stack([walk.met(achieved, desired) - 1.0, achieved[..., 0]], -1)


@pytest.mark.parametrize(
    ("which", "what"), [("compute_reward", "number"), ("compute_success", "truth value")]
)
def test_functions_that_answer_with_several_values(which: str, what: str) -> None:
    step = lambda walk, action: (walk._observe(), -1.0, False, False, {})  # noqa: E731
    wrong = rf"^{which} of the env gives \[.*\] for one goal; give one {what}"
    with pytest.raises(UserError, match=wrong):
        play("Plane", step=step, **{which: several})


def test_success_that_is_none_is_not_said() -> None:
    """Where the reward is declared it tells; else nobody does, and that is refused."""
    none = tells(lambda _: {"is_success": None})
    with pytest.raises(UserError, match=r"declare \[lowest, highest\]"):
        play("Plane", about=none)
    plain, odd = (play("Plane", 200, reward_range=[-1, 0], about=a) for a in (None, none))
    assert odd.episodes == plain.episodes


@pytest.mark.parametrize("what", ["action", "observation", "achieved_goal"])
def test_instances_whose_spaces_differ(what: str, backend: str) -> None:
    task = GoalTask("strange/Differs-v0", num_envs=2, backend=backend, what=what)
    with pytest.raises(EnvFailed, match=rf"^env: the {what} space of lane 0 is Box.*every inst"):
        task.make()


def test_info_of_lanes_makes_room_for_floats() -> None:
    """A cost of 0 comes as an integer, one of 0.5 does not: the second lane's is not cut."""
    batch: dict[str, Any] = {}
    for lane, value in enumerate((0, 0.5, True, np.float32(0.25))):
        batch = add_info(batch, readable("env", {"cost": value}), lane, 5)
    assert batch["cost"].tolist() == [0, 0.5, 1, 0.25, 0]
    assert batch["_cost"].tolist() == [True, True, True, True, False]
    np.testing.assert_array_equal(numbers("cost", batch["cost"], 5), batch["cost"])


@pytest.mark.parametrize("lanes", [1, 8])
def test_goals_met_at_reset_where_only_steps_tell(lanes: int) -> None:
    """Lanes do not end together."""
    odd: dict[str, Any] = {
        "near": 0.9,
        "reset": lambda walk, seed=None, options=None: (Plane.reset(walk, seed=seed)[0], {}),
        "end": lambda walk: walk.np_random.random() < 0.3,
    }
    episodes = play("Plane", 3000 // lanes, lanes, reward_range=[-1, 0], **odd).episodes
    gaps = np.subtract(*np.random.default_rng(0).uniform(-1, 1, (2, 9999, 2)))
    share = np.mean([episode.met_at_reset for episode in episodes])
    assert share == pytest.approx((np.linalg.norm(gaps, axis=1) < 0.9).mean(), abs=0.05)
    # Where no reward means success, nobody can tell, and no number is logged.
    episodes = play("Plane", 60, lanes, **odd).episodes
    evaluation = Evaluation(episodes)
    assert evaluation.summary()["met_at_reset"] is None
    logged = Record().ended(episodes) | Record().evaluated(evaluation, 0.0)
    assert "eval/success_final" in logged
    assert not [tag for tag in logged if "met_at_reset" in tag]
