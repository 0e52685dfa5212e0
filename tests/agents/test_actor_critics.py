"""What agents draw for updates, and the settings that they refuse."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from tests.agents.kit import batches, ddpg, dqn, inputs, qrdqn, redq, sac, td3, tqc

pytestmark = pytest.mark.usefixtures("one_thread")

# --- what is drawn for updates -----------------------------------------------------------------


def test_choices_are_uniform_and_without_repetition() -> None:
    agent = redq()
    drawn = [tuple(agent.noise.choose(4, 2)["which"].tolist()) for _ in range(3000)]
    pairs, counts = np.unique(drawn, axis=0, return_counts=True)
    assert pairs.tolist() == [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]]
    np.testing.assert_allclose(counts / 3000, 1 / 6, atol=0.03)
    before = agent.noise.state_dict()["choices"]
    assert agent.noise.choose(4, None) == {}
    assert agent.noise.choose(4, 4) == {}
    assert agent.noise.state_dict()["choices"] == before  # nothing to choose, nothing drawn


def test_noise_is_standard_normal_and_goes_on_where_it_was_saved() -> None:
    noise = sac().noise
    values = noise.normal(20_000)
    assert float(values.mean()) == pytest.approx(0.0, abs=0.03)
    assert float(values.std()) == pytest.approx(1.0, abs=0.03)
    state, other = noise.state_dict(), sac(seed=5).noise
    other.load_state_dict(state)
    one, two = (n.normal(7) for n in (noise, other))
    assert torch.equal(one, two)
    # A policy that was trained elsewhere can be loaded: the stream of another device is left out.
    other.load_state_dict(state | {"device": "cuda", "numbers": torch.zeros(16, dtype=torch.uint8)})


def test_exploring_and_updating_draw_from_streams_apart() -> None:
    first, second = sac(random_steps=0), sac(random_steps=0)
    for _ in range(3):
        first.act(*inputs(5), explore=True)
    for agent in (first, second):
        agent.update(batches(sac)[0])
    for one, two in zip(
        first.nets.critic.parameters(), second.nets.critic.parameters(), strict=True
    ):
        assert torch.equal(one, two)


# --- refusals ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "settings", "words"),
    [
        (ddpg, {"noise_std": -1.0}, "DDPG: noise_std"),
        (ddpg, {"random_action": 1.5}, "DDPG: random_action"),
        (ddpg, {"actor_lr": 0.0}, "DDPG: actor_lr"),
        (dqn, {"lr": math.nan}, "DQN: lr"),
        (dqn, {"epsilon_start": 2.0}, "DQN: epsilon_start"),
        (dqn, {"epsilon_steps": 0}, "DQN: epsilon_steps"),
        (dqn, {"target_every": 0}, "DQN: target_every"),
        (qrdqn, {"n_quantiles": 0}, "QRDQN: n_quantiles=0"),
        (td3, {"n_critics": 0}, "TD3: n_critics=0 must be >= 1"),
        (td3, {"target_critics": 3}, "target_critics=3 must be at most n_critics=2"),
        (sac, {"target_critics": 3}, "SAC: target_critics=3 must be at most n_critics=2"),
        (td3, {"policy_every": 0}, "policy_every"),
        (td3, {"target_noise_std": -1.0}, "target_noise_std"),
        (sac, {"entropy": -0.1}, "SAC: entropy"),
        (sac, {"entropy_start": 0.0}, "entropy_start"),
        (sac, {"target_entropy": math.inf}, "target_entropy"),
        (tqc, {"drop_quantiles": 5}, "drop_quantiles=5 must be less than n_quantiles=5"),
        (tqc, {"n_quantiles": 0}, "TQC: n_quantiles"),
        (tqc, {"gamma": 1.0}, "TQC: gamma"),
        (td3, {"gamma": 1.0}, "TD3: gamma"),
    ],
)
def test_wrong_settings_are_named(make: Any, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make(**settings)
