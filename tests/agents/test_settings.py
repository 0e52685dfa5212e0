"""The settings that agents refuse, each by its name."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tests.agents.kit import ddpg, dqn, qrdqn, sac, td3, tqc


@pytest.mark.parametrize(
    ("make", "settings", "words"),
    [
        (ddpg, {"noise_std": -1.0}, "DDPG: noise_std"),
        (ddpg, {"random_action": 1.5}, "DDPG: random_action"),
        (ddpg, {"actor_lr": 0.0}, "DDPG: actor_lr"),
        (ddpg, {"action_l2_on": "x"}, "action_l2_on='x' must be output or preactivation"),
        (dqn, {"lr": math.nan}, "DQN: lr"),
        (dqn, {"epsilon_start": 2.0}, "DQN: epsilon_start"),
        (dqn, {"epsilon_steps": 0}, "DQN: epsilon_steps"),
        (qrdqn, {"n_quantiles": 0}, "QRDQN: n_quantiles=0"),
        (td3, {"n_critics": 0}, "TD3: n_critics=0 must be >= 1"),
        (td3, {"target_critics": 3}, "target_critics=3 must be at most n_critics=2"),
        (td3, {"policy_every": 0}, "policy_every"),
        (td3, {"target_noise_std": -1.0}, "target_noise_std"),
        (sac, {"target_critics": 3}, "SAC: target_critics=3 must be at most n_critics=2"),
        (sac, {"entropy": -0.1}, "SAC: entropy"),
        (sac, {"entropy_start": 0.0}, "entropy_start"),
        (sac, {"target_entropy": math.inf}, "target_entropy"),
        (tqc, {"drop_quantiles": 5}, "drop_quantiles=5 must be less than n_quantiles=5"),
        (tqc, {"n_quantiles": 0}, "TQC: n_quantiles"),
        (tqc, {"gamma": 1.0}, "TQC: gamma"),
    ],
)
def test_wrong_settings_are_named(make: Any, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make(**settings)
