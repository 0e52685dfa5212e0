"""What the program asks of a part stands in its protocol, with the default of what need not be said."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import her_exp
from her_exp.config.compose import compose
from her_exp.config.parts import PARTS
from her_exp.config.signatures import find_class
from her_exp.run import train
from her_exp.types import Agent, Buffer, GoalFunctions, GoalSpaces, UserError

HOUSE = Path(her_exp.__file__).parent
TINY = [
    "trainer.total_steps=80", "trainer.learning_starts=20", "trainer.batch_size=8", "env.max_steps=5",
    "trainer.updates_per_step=0.1", "trainer.eval_every=null", "trainer.eval_episodes=2",
    "trainer.checkpoint_every=null", "trainer.picture=false", "buffer.capacity=160",
]  # fmt: skip


class Still(Agent):
    """The least that an agent must say: it stands still and learns nothing."""

    def __init__(self, spaces: GoalSpaces, reward_range: object, seed: object, device: object):
        self._shape = spaces.action.shape or ()

    def act(self, observation, goal, *, explore):
        return np.zeros((len(goal), *self._shape), np.float32)

    def observe(self, observation, goals, goal_weights, steps):
        pass

    def update(self, batch):
        return {}

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


class Bare:
    """As it is, but of no protocol, and without what the defaults say."""

    def __init__(self, *args, **settings):
        self._shape = settings["spaces"].action.shape or ()

    act, observe, update = Still.act, Still.observe, Still.update
    state_dict, load_state_dict = Still.state_dict, Still.load_state_dict


class Methods(Bare):
    """All methods, and none of the values."""

    @staticmethod
    def check_spaces(spaces):
        return None

    @staticmethod
    def nbytes(spaces, hidden_sizes):
        return 0


def with_agent(cls: type, folder: Path) -> float:
    words = [
        *TINY,
        "~agent",
        f"+agent._target_={cls.__module__}.{cls.__name__}",
        "+agent._convert_=all",
    ]
    return train(compose(words), folder)


@pytest.mark.heavy
def test_the_least_that_an_agent_must_say(tmp_path: Path) -> None:
    assert 0 <= with_agent(Still, tmp_path / "run") <= 1


@pytest.mark.heavy
def test_a_value_that_is_missing_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(
        UserError,
        match=r"^agent: Methods has no return_range, precision; derive it from her_exp\.types\.Agent",
    ):
        with_agent(Methods, tmp_path / "run")


def test_a_method_that_is_missing_is_one_line() -> None:
    from her_exp.config.validate import validate

    words = [*TINY, "~agent", f"+agent._target_={Bare.__module__}.Bare"]
    with pytest.raises(
        UserError,
        match=r"is no agent: it lacks check_spaces, nbytes; derive it from her_exp\.types\.Agent",
    ):
        validate(compose(words))


@pytest.mark.parametrize("slot", PARTS)
def test_our_own_classes_have_all_that_is_asked(slot: str) -> None:
    cls = find_class(slot, PARTS[slot].base)
    assert [name for name in PARTS[slot].asked if not hasattr(cls, name)] == []


def test_ours_are_of_the_protocols() -> None:
    from her_exp.agents.base import GoalAgent
    from her_exp.buffers.hindsight import HindsightReplayBuffer
    from her_exp.envs.goal_functions import EnvGoalFunctions

    assert Agent in GoalAgent.__mro__
    assert Buffer in HindsightReplayBuffer.__mro__
    assert GoalFunctions in EnvGoalFunctions.__mro__


def test_nothing_is_asked_that_may_not_be_there() -> None:
    """`getattr(part, name, None)` is a protocol that does not tell the truth."""
    found = [
        f"{path.relative_to(HOUSE)}: {line.strip()}"
        for path in sorted(HOUSE.rglob("*.py"))
        for line in path.read_text().splitlines()
        if re.search(r"getattr\((self\.)?(agent|buffer|functions|_functions|task|part)\b", line)
    ]
    assert found == []
