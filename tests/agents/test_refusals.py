"""What agents refuse, and in which words: losses of one's own, and wrong settings."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from her_exp.agents.ddpg import DDPG
from her_exp.types import UserError
from tests.agents.kit import batches, ddpg, dqn, qrdqn, sac, tqc

GIVES = "^agent: actor_loss must return a 0-d tensor and a dict"
DEPENDS = "^agent: actor_loss must depend on each parameter of actor"


def update(actor_loss: Any) -> Any:
    """One update of an agent with this loss of (agent, nets, batch, noise, s)."""
    own = type("Own", (DDPG,), {"actor_loss": actor_loss})
    return own(spaces=ddpg().spaces, hidden_sizes=(8,)).update(batches(ddpg)[0])


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        (lambda *_: torch.zeros(()), GIVES),
        (lambda *_: (torch.zeros(3), {}), GIVES),
        (lambda *_: (torch.zeros(()), None), GIVES),
        (lambda _, nets, batch, *__: (nets.actor(batch.state).detach().mean(), {}), DEPENDS),
        (lambda _, nets, batch, *__: (nets.target_actor(batch.state).mean(), {}), DEPENDS),
        (lambda *given: given[-1].warmth, r"^s\.warmth: list it .* tunable = \(\.\.\., 'warmth'\)"),
    ],
    ids=["alone", "many", "no dict", "detached", "astray", "unlisted"],
)
def test_a_loss_that_cannot_be_taken(loss: Any, words: str) -> None:
    with pytest.raises((UserError, AttributeError), match=words):
        update(loss)


@pytest.mark.parametrize(
    ("make", "settings", "words"),
    [
        (ddpg, {"noise_std": -1.0}, "DDPG: noise_std"),
        (ddpg, {"action_l2_on": "x"}, "action_l2_on='x' must be output or preactivation"),
        (dqn, {"lr": math.nan}, "DQN: lr"),
        (qrdqn, {"n_quantiles": 0}, "QRDQN: n_quantiles=0"),
        (sac, {"target_critics": 3}, "SAC: target_critics=3 must be at most n_critics=2"),
        (sac, {"target_entropy": math.inf}, "target_entropy"),
        (tqc, {"drop_quantiles": 5}, "drop_quantiles=5 must be less than n_quantiles=5"),
    ],
)
def test_wrong_settings_are_named(make: Any, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make(**settings)
