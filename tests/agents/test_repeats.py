"""An agent's own streams decide all that it draws; saved and restored it goes on bit for bit."""

from __future__ import annotations

import copy
import io
from typing import Any

import numpy as np
import pytest
import torch

from tests.agents.kit import ALL, batches, inputs, redq, sac, see
from tests.equality import equal


@ALL
def test_without_exploration_nothing_is_drawn_and_nothing_changes(make: Any) -> None:
    agent = make()
    see(agent, steps=5000)
    before = copy.deepcopy(agent.state_dict())
    observation, goal = inputs(6)
    first = agent.act(observation, goal, explore=False)
    np.testing.assert_array_equal(first, agent.act(observation, goal, explore=False))
    # Lanes do not depend on one another.
    alone = [agent.act(observation[i : i + 1], goal[i : i + 1], explore=False) for i in range(6)]
    np.testing.assert_allclose(np.concatenate(alone), first, rtol=1e-5)
    assert equal(before, agent.state_dict())
    assert not np.array_equal(
        agent.act(*inputs(50), explore=True), agent.act(*inputs(50), explore=True)
    )
    assert not equal(before, agent.state_dict())


@ALL
def test_the_seed_decides_everything(make: Any) -> None:
    def play(seed: int, shift: int) -> Any:
        torch.manual_seed(shift)  # of no consequence
        agent = make(seed=seed)
        see(agent, steps=1000)
        actions = [agent.act(*inputs(4), explore=True) for _ in range(3)]
        for batch in batches(make, 3):
            agent.update(batch)
        return actions, agent.state_dict()

    state = torch.get_rng_state()
    assert equal(play(1, 0), play(1, 1))
    one, other = play(1, 0), play(2, 0)
    assert not equal(one[0], other[0])
    assert not equal(one[1]["learners"], other[1]["learners"])
    torch.set_rng_state(state)


def test_choices_are_uniform_and_without_repetition() -> None:
    noise = redq().noise
    drawn = [tuple(noise.choose(4, 2)["which"].tolist()) for _ in range(3000)]
    pairs, counts = np.unique(drawn, axis=0, return_counts=True)
    assert pairs.tolist() == [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]]
    np.testing.assert_allclose(counts / 3000, 1 / 6, atol=0.03)
    assert noise.choose(4, None) == noise.choose(4, 4) == {}


def test_noise_is_standard_normal() -> None:
    noise = sac().noise
    values = noise.normal(20_000)
    assert float(values.mean()) == pytest.approx(0.0, abs=0.03)
    assert float(values.std()) == pytest.approx(1.0, abs=0.03)
    # A policy that was trained elsewhere can be loaded: the stream of another device is left out.
    elsewhere = {"device": "cuda", "numbers": torch.zeros(16, dtype=torch.uint8)}
    sac(seed=5).noise.load_state_dict(noise.state_dict() | elsewhere)


@ALL
@pytest.mark.parametrize("settings", [{}, {"target_every": 4, "layer_norm": True}])
def test_saved_and_restored_goes_on_bit_for_bit(make: Any, settings: dict[str, Any]) -> None:
    def go_on(agent: Any, part: int) -> list[Any]:
        actions = []
        for number, batch in enumerate(batches(make, 5, seed=part)):
            see(agent, 20, steps=300, seed=10 * part + number)
            actions.append(agent.act(*inputs(4, seed=number), explore=True))
            agent.update(batch)
        return actions

    agent = make(**settings)
    go_on(agent, 0)
    file = io.BytesIO()
    torch.save(agent.state_dict(), file)
    file.seek(0)
    other = make(seed=9, **settings)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert equal(agent.state_dict(), other.state_dict())
    assert equal(go_on(agent, 1), go_on(other, 1))
    assert equal(agent.state_dict(), other.state_dict())
