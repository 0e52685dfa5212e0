"""Batches of n steps (`buffer.n_step`): each run discounts them by its own gamma."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from her_exp.agents.ddpg import DDPG, joined
from her_exp.types import Batch
from tests.agents.kit import ALL, BOX, MAKERS, batches, ddpg, see
from tests.agents.test_group import assert_learn_alike, given


def ahead(batch: Batch, n: int, seed: int = 0) -> tuple[Batch, list[tuple[int, bool]]]:
    """A batch of n steps, and of each row how many are taken and whether the last of them is an end."""
    rng = np.random.default_rng(seed)
    reward, terminated = np.zeros((2, len(batch.reward), n))
    terminated += 1
    told = []
    for row in range(len(reward)):
        taken, end = int(rng.integers(1, n + 1)), bool(rng.random() < 0.3)
        reward[row, :taken] = -1.0 * (rng.random(taken) < 0.7)
        terminated[row, taken - 1] = end
        told.append((taken, end))
    parts = (torch.from_numpy(part).to(batch.reward.dtype) for part in (reward, terminated))
    return batch._replace(**dict(zip(("reward", "terminated"), parts, strict=True))), told


@pytest.mark.parametrize("n", [1, 2, 3, 7])
def test_discounted_is_the_return_of_n_steps(n: int) -> None:
    """By hand, for any value of what follows."""
    batch, told = ahead(batches(ddpg, size=200)[0], n)
    one = batch.discounted(0.9)
    assert one.reward.shape == one.terminated.shape == (200,)
    value = torch.linspace(-30, 5, 200)
    got = one.reward + 0.9 * (1 - one.terminated) * value
    for row, (taken, end) in enumerate(told):
        expected = sum(0.9**i * float(batch.reward[row, i]) for i in range(taken))
        expected += 0.0 if end else 0.9**taken * float(value[row])
        assert float(got[row]) == pytest.approx(expected, rel=1e-5, abs=1e-5)


@ALL
def test_losses_see_one_step(make: Any) -> None:
    """What is learned of n steps is what is learned of the one that stands for them."""
    n_steps, one = make(gamma=0.9), make(gamma=0.9)
    for number, batch in enumerate(batches(make, 3)):
        many, _ = ahead(batch, 3, seed=number)
        told, own = n_steps.update(many), one.update(many.discounted(0.9))
        assert told == own


@pytest.mark.heavy
@pytest.mark.usefixtures("doubles")
@pytest.mark.parametrize("make", MAKERS)
def test_members_learn_as_they_would_alone(make: Any) -> None:
    """Each with a gamma of its own; and one that looks another number of steps ahead asks apart."""

    def rows(call: int, number: int) -> list[Batch]:
        one = given(make, 100 * call + number, 4)
        return one if number == 2 else [ahead(batch, 3, seed=call)[0] for batch in one]

    assert_learn_alike(make, rows, 3, ((0, 1), (2,)))


class Own(DDPG):
    """A loss that never heard of n steps, nor of `bootstrap`; and settings without gamma."""

    tunable = ("tau", "action_l2")

    def critic_loss(self, nets: Any, batch: Any, noise: Any, s: Any) -> Any:
        goes_on = 1.0 - batch.terminated
        target = batch.reward + self.gamma * goes_on * self.next_value(nets, batch, noise, s)
        q = nets.critic(joined(batch.state, batch.action)).squeeze(-1)
        return (q - target.detach()).square().mean(), {"target": target.mean()}


def test_an_agent_whose_losses_read_no_gamma_says_so() -> None:
    """With one step it needs none."""
    agent = Own(spaces=BOX, seed=np.random.SeedSequence(0))
    see(agent)
    (batch,) = batches(ddpg)
    agent.update(batch)
    with pytest.raises(AttributeError, match=r"s\.gamma: list it in the agent's class"):
        agent.update(ahead(batch, 3)[0])
