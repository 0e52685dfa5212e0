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
from tests.agents.kit import ddpg, dqn, make_spaces
from tests.envs.goal_walk import Walk

MOST32, MOST64 = float(np.finfo(np.float32).max), float(np.finfo(np.float64).max)
BOX, NUMBERED = r"take agent=ddpg", r"take agent=dqn"


def box(low: Any, high: Any, dtype: Any = np.float32) -> spaces.Box:
    return spaces.Box(np.array(low, dtype), np.array(high, dtype), dtype=dtype)


#: What no agent can take, and the words that help.
REFUSED: dict[str, tuple[spaces.Space[Any], str]] = {
    "endless": (box([-np.inf] * 2, [np.inf] * 2), "TransformAction"),
    "half endless": (box([-1, 0], [1, np.inf]), "TransformAction"),
    "float64's largest": (box([-MOST64] * 2, [MOST64] * 2, np.float64), "TransformAction"),
    "too large for float32": (box([-1e39] * 2, [1e39] * 2, np.float64), "TransformAction"),
    "far away": (box([1e12], [1e12]), "TransformAction"),
    "whole numbers": (spaces.Box(-1, 1, (2,), np.int64), "OneChoice.* 9 .*agent=dqn; or .*Rounded"),
    "unsigned": (spaces.Box(0, 255, (9,), np.uint8), "Rounded"),
    "MultiDiscrete": (spaces.MultiDiscrete([3, 4]), "OneChoice.* 12 .*agent=dqn"),
    "a large MultiDiscrete": (spaces.MultiDiscrete([11] * 7), "Rounded.*agent=ddpg"),
    "MultiBinary": (spaces.MultiBinary(3), "OneChoice.* 8 .*agent=dqn"),
    "a large MultiBinary": (spaces.MultiBinary((10, 10)), "Rounded.*agent=ddpg"),
    "Dict": (spaces.Dict(a=spaces.Discrete(2)), "one Discrete or one Box"),
}
#: What agents of one kind take, and the line for those of the other.
TAKEN: dict[str, tuple[spaces.Space[Any], str]] = {
    "Discrete from -1 on": (spaces.Discrete(3, start=-1), NUMBERED),
    "a Box": (box([-1, 0], [1, 5]), BOX),
    "2-D": (box([[-1], [0]], [[1], [5]]), BOX),
    "float64": (box([-1, -0.1], [3, 0.1], np.float64), BOX),
    "float16": (box([-1], [1], np.float16), BOX),
    "no width": (box([-1, 0], [1, 0]), BOX),
}
FOR_BOXES, FOR_NUMBERS = [DDPG, TD3, SAC, TQC], [DQN, QRDQN]


class Odd(Walk):
    """Takes whatever actions are asked for; moves on its own."""

    def __init__(self, kind: str):
        self.action_space = (REFUSED | TAKEN)[kind][0]  # type: ignore[assignment]

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action), action
        return super().step(self.np_random.uniform(-1, 1, 2))


gym.register("odd/Actions-v0", Odd, max_episode_steps=10, disable_env_checker=True)


def of_check(kind: str) -> list[str]:
    """The errors of the check command."""
    found = check_goal_env(lambda: gym.make("odd/Actions-v0", kind=kind), reward_range=(-1, 0))
    return [finding.says for finding in found if finding.level == "error"]


def of_training(kind: str, agent: str) -> str:
    """What is said before a training, or ''."""
    words = ["env=gym", "env.id=odd/Actions-v0", f"+env.kind={kind!r}", "env.reward_range=[-1,0]"]
    try:
        validate(compose([*words, f"agent={agent}"]))
    except UserError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("kind", REFUSED)
def test_refused_by_all_in_the_same_words(kind: str) -> None:
    space, remedy = REFUSED[kind]
    (line,) = of_check(kind)
    assert line.startswith(f"action_space is {space}"[:20])
    assert "\n" not in line
    assert re.search(remedy, line)
    for agent in ("ddpg", "dqn"):
        assert of_training(kind, agent) == f"agent: {line}"
    for cls in (*FOR_BOXES, *FOR_NUMBERS):
        assert cls.check_spaces(make_spaces(space)) == line
    for make in (ddpg, dqn):
        with pytest.raises(ValueError, match="action_space is") as refused:
            make(spaces=make_spaces(space))
        assert str(refused.value) == line


@pytest.mark.parametrize("kind", TAKEN)
def test_taken_by_the_agents_of_its_kind(kind: str) -> None:
    space, advice = TAKEN[kind]
    assert of_check(kind) == []
    mine, others = FOR_BOXES, FOR_NUMBERS
    if isinstance(space, spaces.Discrete):
        mine, others = others, mine
    for cls in mine:
        assert cls.check_spaces(make_spaces(space)) is None
    for cls in others:
        line = str(cls.check_spaces(make_spaces(space)))
        assert line.startswith(f"{cls.__name__} needs")
        assert line.endswith(advice)
    names = [cls.__name__.lower() for cls in (mine[0], others[0])]
    assert of_training(kind, names[0]) == ""
    assert of_training(kind, names[1]).endswith(f"take agent={names[0]}")


@pytest.mark.parametrize("kind", ["endless", "half endless", "float64's largest", "far away"])
def test_the_words_for_a_box_without_bounds_work(kind: str) -> None:
    call = str(action_fault(REFUSED[kind][0])).partition("e.g. ")[2]
    env = eval(call, {"gymnasium": gym, "env": Odd(kind)})
    assert DDPG.check_spaces(make_spaces(env.action_space)) is None
