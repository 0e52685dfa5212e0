"""What agents refuse, and in which words: losses of one's own, and wrong settings."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from her_exp.agents.ddpg import DDPG
from her_exp.types import UserError
from tests.agents.kit import batches, ddpg, dqn, qrdqn, sac, td3, tqc

GIVES = "^agent: actor_loss must return a 0-d tensor and a dict"
DEPENDS = "^agent: actor_loss must depend on each parameter of actor"


def update(actor_loss: Any) -> Any:
    """One update of an agent with this loss of (agent, nets, batch, noise, s)."""
    own = type("Own", (DDPG,), {"actor_loss": actor_loss})
    return own(spaces=ddpg().spaces, hidden_sizes=(8,)).update(batches(ddpg)[0])


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        (lambda *_: 0.0, GIVES),
        (lambda *_: torch.zeros(3), GIVES),
        (lambda *_: (torch.zeros(3), {}), GIVES),
        (lambda *_: (torch.zeros(()), None), GIVES),
        (lambda _, nets, batch, *__: (nets.actor(batch.state).detach().mean(), {}), DEPENDS),
        (lambda _, nets, batch, *__: (nets.target_actor(batch.state).mean(), {}), DEPENDS),
        (lambda *given: given[-1].warmth, r"^s\.warmth: list it .* tunable = \(\.\.\., 'warmth'\)"),
    ],
    ids=["number", "many", "many and a dict", "no dict", "detached", "astray", "unlisted"],
)
def test_a_loss_that_cannot_be_taken(loss: Any, words: str) -> None:
    with pytest.raises((UserError, AttributeError), match=words):
        update(loss)


def test_numbers_to_log_may_be_plain() -> None:
    told = update(lambda *given: (DDPG.actor_loss(*given)[0], {"plain": 0.5}))
    assert float(told["plain"]) == 0.5


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
