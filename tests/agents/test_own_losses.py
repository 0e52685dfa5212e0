"""What is said of a loss of one's own that cannot be taken."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from her_exp.agents.ddpg import DDPG
from her_exp.types import UserError
from tests.agents.kit import batches, ddpg

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
