"""What a setting may be, by constructor and config check alike: its type, its interval, a reward range."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest

from her_exp.buffers.hindsight import HindsightReplayBuffer
from her_exp.buffers.weighted import WeightedHindsightBuffer
from her_exp.config.compose import compose
from her_exp.config.signatures import arguments
from her_exp.config.validate import validate
from her_exp.envs.make import GoalTask
from her_exp.text import written
from her_exp.training.trainer import Trainer
from her_exp.types import UserError
from tests.agents.kit import ddpg, dqn


@pytest.mark.parametrize(
    ("key", "good", "bad"),
    [
        ("seed", [0, 2**32 - 1], [-1, 2**32, float("nan"), float("inf"), True, "4"]),
        ("device", ["cpu", "auto"], ["gpu", "cuda:", 3, None]),
        ("threads", [1], ["two"]),
        ("agent.gamma", [0, 0.99], [1, -0.1, float("nan"), True, "4"]),
        ("agent.tau", [1, 1e-9], [0, 1.1]),
        ("agent.hidden_sizes", [[], [1, 2]], [[0], [1, "a"]]),
        ("agent.grad_clip_norm", [None, 0.5], [0, -1]),
        ("agent.lr_milestones", [[], [5, 9]], [[0], [9, -1]]),
        ("agent.action_l2_on", ["output"], ["outputs"]),
        ("buffer.k", [0, 4, 0.5, float("inf")], [-1, float("nan"), float("-inf"), True, "4"]),
        ("buffer.capacity", [2000], [1, 2.5]),
        ("buffer.n_step", [1, 100], [0, 1.5, None, 101]),
        ("trainer.stop_at", [None, 1.0], [0, 1.01]),
        ("trainer.eval_every", [None, 5], [0, 0.5]),
        ("env.num_envs", [1, 8], [0, 1.5]),
    ],
)
def test_limits_of_settings(key: str, good: list[Any], bad: list[Any]) -> None:
    """Written once: constructor and config check read the same annotation."""
    group, _, name = key.partition(".")
    for value in good:
        validate(compose([f"{key}={written(value)}"]))
    for value in bad:
        with pytest.raises(UserError, match=rf"^{re.escape(key)}="):
            validate(compose([f"{key}={written(value)}"]))
        if group == "agent" and not isinstance(value, bool | str):
            with pytest.raises(ValueError, match=f"DDPG: {name}="):
                ddpg(**{name: value})
    if group == "agent":
        for value in good:
            ddpg(**{name: value})


@pytest.mark.parametrize(
    ("cls", "name", "bad"),
    [
        (HindsightReplayBuffer, "k", -1), (HindsightReplayBuffer, "capacity", 1),
        (WeightedHindsightBuffer, "met_weight", 0), (WeightedHindsightBuffer, "rare_weight", 0.5),
        (GoalTask, "num_envs", 0), (GoalTask, "timeout", -1.0), (GoalTask, "reward_range", [1, 0]),
        (Trainer, "total_steps", -1), (Trainer, "stop_at", 2.0),
    ],
)  # fmt: skip
def test_constructors_refuse_as_well(cls: type, name: str, bad: Any) -> None:
    """In a notebook, where no config is checked."""
    given: dict[type, dict[str, Any]] = {GoalTask: {"id": "her_exp/PointReach-v0"}}
    rest = dict.fromkeys(arguments(cls).required, None) | given.get(cls, {})
    with pytest.raises(ValueError, match=f"^{cls.__name__}: {name}={re.escape(repr(bad))} "):
        cls(**rest | {"num_envs": 1} | {name: bad} if cls is not Trainer else rest | {name: bad})


def test_a_buffer_holds_two_rows_a_lane() -> None:
    rest = dict.fromkeys(arguments(HindsightReplayBuffer).required, None)
    with pytest.raises(ValueError, match=r"capacity=15 must be at least 2 \* num_envs = 16$"):
        HindsightReplayBuffer(**rest | {"num_envs": 8, "capacity": 15})


#: As it is written, and what that is.
WRONG: dict[str, Any] = {
    "[-1e39,0]": [-1e39, 0.0],
    "[0,1e19]": [0.0, 1e19],  # float32 holds it, and not its square
    "[-1,nan]": [-1.0, math.nan],
    "[-2,-1,0]": [-2, -1, 0],
    "[0,-1]": [0, -1],
    "[low,high]": ["low", "high"],
    "auto": "auto",
    "[0,9223372036854775808]": [0, 2**63],
}
TASK = "her_exp/PointReach-v0"


@pytest.mark.parametrize("text", WRONG)
def test_refused_alike(text: str) -> None:
    with pytest.raises(UserError, match=r"^env\.reward_range=.*: (must|each must)") as refused:
        validate(compose(["env=gym", f"env.id={TASK}", f"env.reward_range={text}"]))
    assert "\n" not in str(refused.value)
    with pytest.raises(ValueError, match=r"^GoalTask: reward_range=.* must be null or \[lowest"):
        GoalTask(TASK, reward_range=WRONG[text])


@pytest.mark.parametrize("make", [ddpg, dqn])
def test_returns_that_float32_cannot_square(make: Any) -> None:
    """The rewards fit, what an endless episode pays does not."""
    words = ["env=gym", f"env.id={TASK}", "env.reward_range=[-1e17,0]", f"agent={make.__name__}"]
    line = r"reward_range=\[-1e\+17, 0(\.0)?\]:? pays up to 1e\+19 at gamma=0.99"
    with pytest.raises(UserError, match=rf"^env\.{line}"):
        validate(compose([*words, "agent.gamma=0.99"]))
    with pytest.raises(ValueError, match=line):
        make(reward_range=(-1e17, 0.0), gamma=0.99)
    agent = make(reward_range=(-1e17, 0.0), gamma=0.8)
    assert agent.return_range == pytest.approx((-5e17, 0.0))
