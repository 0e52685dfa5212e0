"""`env.reward_range`: what is no pair of usable numbers is refused, in a config and by the classes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from her_exp.config.compose import compose
from her_exp.config.validate import validate
from her_exp.envs.make import GoalTask
from her_exp.types import UserError
from tests.agents.kit import ddpg, dqn

#: As it is written, and what that is.
WRONG: dict[str, Any] = {
    "[-1e39,0]": [-1e39, 0.0],
    "[0,1e19]": [0.0, 1e19],  # float32 holds it, and not its square
    "[-1,nan]": [-1.0, math.nan],
    "[-inf,0]": [-math.inf, 0.0],
    "[0,1e400]": [0.0, math.inf],
    "[-2,-1,0]": [-2, -1, 0],
    "[]": [],
    "[0,-1]": [0, -1],
    "[low,high]": ["low", "high"],
    "[true,false]": [True, False],
    "[[-1,0],[0,1]]": [[-1, 0], [0, 1]],
    "auto": "auto",
    "-1": -1,
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


@pytest.mark.parametrize(
    "pair", [None, (-1, 0), [-1.0, 0.0], (-1e15, 1e15), (np.float32(-1), np.int64(3)), [-1e-9, 0]]
)
def test_what_is_right(pair: Any) -> None:
    expected = None if pair is None else (float(pair[0]), float(pair[1]))
    assert GoalTask(TASK, reward_range=pair).reward_range == expected


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
