"""What strangers' envs give is checked where it comes in: one line that names lane and key, or it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from her_exp.config.compose import compose
from her_exp.envs.make import GoalTask
from her_exp.run import train
from her_exp.training.evaluation import Evaluation
from her_exp.training.progress import Record
from her_exp.types import EnvFailed, UserError
from her_exp.values import add_info, numbers, readable
from tests.envs.strange_envs import Plane
from tests.envs.strange_kit import play
from tests.runs.runs_kit import result_of

TOLD = {
    "array": r"\[.*\]", "share": "0.33", "dict": "a dict", "list": r"\[.*\]", "text": "'False'", "two": "2"
}  # fmt: skip


@pytest.mark.parametrize("kind", TOLD)
def test_success_is_one_truth_value(kind: str, backend: str) -> None:
    wrong = rf"info\['is_success'\] of lane 0 is {TOLD[kind]}; it must be one truth value$"
    with pytest.raises(EnvFailed, match=wrong):
        play("Tells", 40, backend=backend, success=kind)


@pytest.mark.parametrize("kind", ["one", "number"])
def test_what_stands_for_a_truth_value_is_one(kind: str, backend: str) -> None:
    plain, odd = (play("Tells", 200, backend=backend, **k) for k in ({}, {"success": kind}))
    assert odd.episodes == plain.episodes
    assert any(episode.success_any for episode in odd.episodes)


NO_NUMBERS = ("shape", "none", "text", "objects", "nested", "ragged")


@pytest.mark.parametrize("kind", [*NO_NUMBERS, "type", "function", "set", "keys", "under"])
def test_info_that_nobody_reads_is_no_fault(kind: str, backend: str) -> None:
    assert play("Tells", 60, backend=backend, info=kind).episodes == play("Tells", 60).episodes


@pytest.mark.heavy
@pytest.mark.parametrize("kind", NO_NUMBERS)
def test_info_that_is_read_must_be_numbers_of_one_shape(
    kind: str, backend: str, tiny: list[str], tmp_path: Path
) -> None:
    words = [*tiny, "env=gym", "env.id=strange/Tells-v0", f"env.backend={backend}"]
    words += [f"+env.info={kind}", "buffer.info_keys=[path]", "env.reward_range=[-1,0]"]
    with pytest.raises(UserError, match=r"info\['path'\]"):
        train(compose(words), tmp_path / "run")
    assert "\n" not in result_of(tmp_path / "run")["reason"]


#: Rewards and ends that are none, and those that stand for one.
STEPS = {
    "reward": ("none text complex vector many", "one zero column"),
    "terminated": ("none yes many two vector", "zero"),
    "truncated": ("none yes many two complex", "zero"),
    "info": ("nothing", ""),
}


@pytest.mark.parametrize("what", STEPS)
def test_rewards_and_ends_that_are_none(what: str, backend: str) -> None:
    wrong, right = STEPS[what]
    for kind in wrong.split():
        with pytest.raises(EnvFailed, match=rf"of lane 0 gave .*{what}.*; give "):
            play("Tells", 1, lanes=1, backend=backend, **{what: kind})
    for kind in right.split():
        play("Tells", 3, lanes=1, backend=backend, **{what: kind})


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
    assert readable("env", {"is_success": None, "cost": 1.0}) == {"cost": 1.0}
    with pytest.raises(UserError, match=r"declare \[lowest, highest\]"):
        play("Tells", success="none")
    plain, none = (play("Tells", 200, reward_range=[-1, 0], **k) for k in ({}, {"success": "none"}))
    assert none.episodes == plain.episodes


@pytest.mark.parametrize("what", ["action", "observation", "achieved_goal"])
@pytest.mark.parametrize("lanes", [1, 3])
def test_instances_whose_spaces_differ(what: str, lanes: int, backend: str) -> None:
    with pytest.raises(
        EnvFailed, match=rf"^env: the {what} space of lane 0 is Box.*every instance"
    ):
        GoalTask("strange/Differs-v0", num_envs=lanes, backend=backend, what=what).make()


def test_info_of_lanes_makes_room_for_floats() -> None:
    """A cost of 0 comes as an integer, one of 0.5 does not: the second lane's is not cut."""
    batch: dict[str, Any] = {}
    for lane, value in enumerate((0, 0.5, True, np.float32(0.25))):
        batch = add_info(batch, readable("env", {"cost": value}), lane, 5)
    assert batch["cost"].tolist() == [0, 0.5, 1, 0.25, 0]
    assert batch["_cost"].tolist() == [True, True, True, True, False]
    np.testing.assert_array_equal(numbers("cost", batch["cost"], 5), batch["cost"])


def silent_reset(walk: Any, seed: int | None = None, options: Any = None) -> Any:
    return Plane.reset(walk, seed=seed)[0], {}


@pytest.mark.parametrize("lanes", [1, 3, 8])
def test_goals_met_at_reset_where_only_steps_tell(lanes: int) -> None:
    """Lanes do not end together."""
    odd = {"near": 0.9, "reset": silent_reset, "end": lambda walk: walk.np_random.random() < 0.3}
    episodes = play("Plane", 6000 // lanes, lanes, reward_range=[-1, 0], **odd).episodes
    near = np.linalg.norm(
        np.diff(np.random.default_rng(0).uniform(-1, 1, (2, 9999, 2)), axis=0), axis=2
    )
    share = np.mean([episode.met_at_reset for episode in episodes])
    assert share == pytest.approx((near < 0.9).mean(), abs=0.05)
    # Where no reward means success, nobody can tell, and no number is logged.
    episodes = play("Plane", 60, lanes, **odd).episodes
    assert not [tag for tag in Record().ended(episodes) if "met_at_reset" in tag]
    evaluation = Evaluation(episodes)
    assert evaluation.summary()["met_at_reset"] is None
    logged = Record().evaluated(evaluation, 0.0)
    assert "eval/success_final" in logged
    assert "eval/met_at_reset" not in logged
