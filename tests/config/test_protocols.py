"""What the program asks of a part stands in its protocol, with the default of what need not be said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from omegaconf import DictConfig

from her_exp.agents.ddpg import DDPG
from her_exp.config.compose import compose
from her_exp.config.validate import validate
from her_exp.run import train
from her_exp.types import Agent, Buffer, GoalSpaces, UserError

TINY = [
    "trainer.total_steps=80", "trainer.learning_starts=20", "trainer.batch_size=8", "env.max_steps=5",
    "trainer.updates_per_step=0.1", "trainer.eval_episodes=2", "trainer.picture=false", "~agent",
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

    __init__ = Still.__init__
    act, observe, update = Still.act, Still.observe, Still.update
    state_dict, load_state_dict = Still.state_dict, Still.load_state_dict


class Methods(Bare):
    """All methods, and none of the values."""

    check_spaces = staticmethod(lambda spaces: None)
    nbytes = staticmethod(lambda spaces, hidden_sizes: 0)


class OwnLoss(DDPG):
    critic_loss = Still.update


def with_agent(cls: type) -> DictConfig:
    target = f"+agent._target_={cls.__module__}.{cls.__name__}"
    return compose([*TINY, target, "+agent._convert_=all"])


@pytest.mark.heavy
def test_the_least_that_an_agent_must_say(tmp_path: Path) -> None:
    assert 0 <= train(with_agent(Still), tmp_path / "run") <= 1


@pytest.mark.heavy
def test_what_is_missing_is_one_line(tmp_path: Path) -> None:
    derive = r"; derive it from her_exp\.types\.Agent"
    lacks = "it lacks update_all, check_spaces, nbytes"
    with pytest.raises(UserError, match=f"is no agent: {lacks}{derive}"):
        validate(with_agent(Bare))
    line = rf"^agent: Methods has no return_range, precision{derive}"
    with pytest.raises(UserError, match=line):
        train(with_agent(Methods), tmp_path / "run")
    assert Buffer.achieved_share == 0.0  # nor need a buffer of one's own say its share


def test_an_update_of_ones_own_is_refused_n_steps() -> None:
    """It would take them for one; a loss of one's own need not know of them."""
    own_update, own_loss = with_agent(Still), with_agent(OwnLoss)
    validate(own_update)
    own_update.buffer.n_step = own_loss.buffer.n_step = 3
    validate(own_loss)
    with pytest.raises(UserError, match=r"^buffer\.n_step=3: Still has an update of its own"):
        validate(own_update)
