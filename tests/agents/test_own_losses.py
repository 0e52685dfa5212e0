"""What is said of a loss of one's own that cannot be taken."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from torch import Tensor

from her_exp.agents.base import Learned
from her_exp.agents.ddpg import DDPG
from her_exp.types import Metrics, UserError
from tests.agents.kit import batches, ddpg, see

Loss = tuple[Tensor, Metrics]


class Deaf(DDPG):
    """Its loss has no gradient."""

    def actor_loss(self, nets: Any, batch: Learned, noise: Mapping[str, Any], s: Any) -> Loss:
        return nets.actor(batch.state).detach().mean(), {}


class Astray(DDPG):
    """Its loss is of another network than the one that it moves."""

    def actor_loss(self, nets: Any, batch: Learned, noise: Mapping[str, Any], s: Any) -> Loss:
        return nets.target_actor(batch.state).mean(), {}


class Unlisted(DDPG):
    """Reads a setting that its class does not list."""

    def actor_loss(self, nets: Any, batch: Learned, noise: Mapping[str, Any], s: Any) -> Loss:
        return s.warmth * nets.actor(batch.state).mean(), {}


@pytest.mark.parametrize("kind", [Deaf, Astray])
def test_a_loss_that_does_not_depend_on_what_it_moves(kind: type[DDPG]) -> None:
    agent = kind(spaces=ddpg().spaces)
    see(agent)
    with pytest.raises(
        UserError, match=r"^agent: actor_loss must depend on each parameter of actor"
    ):
        agent.update(batches(ddpg)[0])


def test_a_setting_that_is_not_listed_says_where_to() -> None:
    agent = Unlisted(spaces=ddpg().spaces)
    see(agent)
    with pytest.raises(
        AttributeError, match=r"^s\.warmth: list it .* tunable = \(\.\.\., 'warmth'\)"
    ):
        agent.update(batches(ddpg)[0])
