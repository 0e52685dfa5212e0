"""Which actions agents can take: every agent, `check` and the check of a configuration say one thing."""

from __future__ import annotations

import re
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from her_exp.agents.ddpg import DDPG
from her_exp.agents.dqn import DQN
from her_exp.agents.qrdqn import QRDQN
from her_exp.agents.sac import SAC
from her_exp.agents.td3 import TD3
from her_exp.agents.tqc import TQC
from her_exp.config.compose import compose
from her_exp.config.validate import validate
from her_exp.envs.doctor.checker import check_goal_env
from her_exp.types import UserError, action_fault
from tests.agents.kit import ddpg, make_spaces
from tests.envs.goal_walk import Walk


def box(low: Any, high: Any, dtype: Any = np.float32) -> spaces.Box:
    return spaces.Box(np.array(low, dtype), np.array(high, dtype), dtype=dtype)


#: What no agent can take, and the words that help.
REFUSED: dict[str, tuple[spaces.Space[Any], str]] = {
    "endless": (box([-np.inf] * 2, [np.inf] * 2), "TransformAction"),
    "half endless": (box([-1, 0], [1, np.inf]), "TransformAction"),
    "too large for float32": (box([-1e39] * 2, [1e39] * 2, np.float64), "TransformAction"),
    "far away": (box([1e12], [1e12]), "TransformAction"),
    "whole numbers": (spaces.Box(-1, 1, (2,), np.int64), "OneChoice.* 9 .*agent=dqn; or .*Rounded"),
    "MultiDiscrete": (spaces.MultiDiscrete([3, 4]), "OneChoice.* 12 .*agent=dqn"),
    "a large MultiDiscrete": (spaces.MultiDiscrete([11] * 7), "Rounded.*agent=ddpg"),
    "MultiBinary": (spaces.MultiBinary(3), "OneChoice.* 8 .*agent=dqn"),
    "Dict": (spaces.Dict(a=spaces.Discrete(2)), "one Discrete or one Box"),
}
#: What agents of one kind take, and the line for those of the other.
TAKEN: dict[str, tuple[spaces.Space[Any], str]] = {
    "Discrete from -1 on": (spaces.Discrete(3, start=-1), "take agent=dqn"),
    "a Box": (box([-1, 0], [1, 5]), "take agent=ddpg"),
    "float64": (box([-1, -0.1], [3, 0.1], np.float64), "take agent=ddpg"),
    "no width": (box([-1, 0], [1, 0]), "take agent=ddpg"),
}
FOR_BOXES, FOR_NUMBERS = [DDPG, TD3, SAC, TQC], [DQN, QRDQN]


@pytest.mark.parametrize("kind", REFUSED)
def test_refused_by_all_in_the_same_words(kind: str) -> None:
    space, remedy = REFUSED[kind]
    line = str(action_fault(space))
    assert line.startswith(f"action_space is {space}"[:20])
    assert "\n" not in line
    assert re.search(remedy, line)
    assert {cls.check_spaces(make_spaces(space)) for cls in (*FOR_BOXES, *FOR_NUMBERS)} == {line}
    with pytest.raises(ValueError, match=re.escape(line)):
        ddpg(spaces=make_spaces(space))


@pytest.mark.parametrize("kind", TAKEN)
def test_taken_by_the_agents_of_its_kind(kind: str) -> None:
    space, advice = TAKEN[kind]
    assert action_fault(space) is None
    mine, others = FOR_BOXES, FOR_NUMBERS
    if isinstance(space, spaces.Discrete):
        mine, others = others, mine
    assert {cls.check_spaces(make_spaces(space)) for cls in mine} == {None}
    for cls in others:
        line = str(cls.check_spaces(make_spaces(space)))
        assert line.startswith(f"{cls.__name__} needs")
        assert line.endswith(advice)


def test_it_is_said_before_a_training_and_by_check() -> None:
    """Before the env is stepped, which need not take such actions."""
    space = REFUSED["MultiDiscrete"][0]
    gym.register("odd/Actions-v0", Walk, kwargs={"action_space": space}, disable_env_checker=True)
    line = str(action_fault(space))
    for agent in ("ddpg", "dqn"):
        with pytest.raises(UserError, match=f"^agent: {re.escape(line)}$"):
            validate(compose(["env=gym", "env.id=odd/Actions-v0", f"agent={agent}"]))
    found = check_goal_env(lambda: gym.make("odd/Actions-v0"), reward_range=(-1, 0))
    assert [finding.says for finding in found if finding.level == "error"] == [line]
    gym.registry.pop("odd/Actions-v0")


@pytest.mark.parametrize("kind", ["endless", "half endless", "far away"])
def test_the_words_for_a_box_without_bounds_work(kind: str) -> None:
    call = str(action_fault(REFUSED[kind][0])).partition("e.g. ")[2]
    env = eval(call, {"gymnasium": gym, "env": Walk(action_space=REFUSED[kind][0])})
    assert DDPG.check_spaces(make_spaces(env.action_space)) is None
