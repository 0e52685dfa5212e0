"""What the tests of agents share: agents of a few units, what they see, batches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from her_exp.agents.crl import CRL
from her_exp.agents.ddpg import DDPG
from her_exp.agents.dqn import DQN
from her_exp.agents.gcbc import GCBC
from her_exp.agents.qrdqn import QRDQN
from her_exp.agents.sac import SAC
from her_exp.agents.td3 import TD3
from her_exp.agents.tqc import TQC
from her_exp.types import Batch, GoalSpaces

#: An asymmetric Box: middle (1, 1), half (3, 0.5).
LOW, HIGH = np.array([-2.0, 0.5], np.float32), np.array([4.0, 1.5], np.float32)
MIDDLE, HALF = (LOW + HIGH) / 2, (HIGH - LOW) / 2
OBSERVATION, GOAL, ACTIONS = 4, 2, 3
FIRST = 10  # the first of the discrete actions


def make_spaces(action: spaces.Space[Any]) -> GoalSpaces:
    return GoalSpaces(
        spaces.Box(-np.inf, np.inf, (OBSERVATION,)), spaces.Box(-np.inf, np.inf, (GOAL,)), action
    )


BOX = make_spaces(spaces.Box(LOW, HIGH))
DISCRETE = make_spaces(spaces.Discrete(ACTIONS, start=FIRST))


SETTINGS: dict[str, Any] = {
    "hidden_sizes": (16, 12), "layer_norm": False, "reward_range": (-1.0, 0.0),
}  # fmt: skip


def maker(name: str, kind: type, spaces: GoalSpaces, **defaults: Any) -> Any:
    """A maker of agents of one class, small ones, with these settings where it is given no others."""

    def make(seed: int = 0, spaces: GoalSpaces = spaces, **settings: Any) -> Any:
        settings = SETTINGS | defaults | settings
        return kind(spaces=spaces, seed=np.random.SeedSequence(seed), **settings)

    make.__name__ = name
    return make


ddpg = maker("ddpg", DDPG, BOX)
td3 = maker("td3", TD3, BOX)
sac = maker("sac", SAC, BOX)
redq = maker("redq", SAC, BOX, n_critics=4, target_critics=2, policy_every=2)
tqc = maker("tqc", TQC, BOX, n_quantiles=5)
crl = maker("crl", CRL, BOX, width=8)
gcbc = maker("gcbc", GCBC, BOX)
dqn = maker("dqn", DQN, DISCRETE)
dueling = maker("dueling", DQN, DISCRETE, dueling=True)
qrdqn = maker("qrdqn", QRDQN, DISCRETE, n_quantiles=5)

#: Makers of agents for Discrete actions; the others are for a Box.
ON_DISCRETE = (dqn, dueling, qrdqn)

BOTH = pytest.mark.parametrize("make", [ddpg, dqn])
MAKERS = [ddpg, dqn, td3, sac, redq, tqc, crl, dueling, qrdqn]
ALL = pytest.mark.parametrize("make", [*MAKERS, gcbc])


def batches(make: Any, n: int = 1, size: int = 32, seed: int = 0) -> list[Batch]:
    rng = np.random.default_rng(seed)
    out = []
    for _ in range(n):
        if make in ON_DISCRETE:
            action = torch.from_numpy(FIRST + rng.integers(ACTIONS, size=size))
        else:
            action = torch.from_numpy(rng.uniform(LOW, HIGH, (size, 2)).astype(np.float32))
        arrays = [rng.normal(2.0, 3.0, (size, d)) for d in (OBSERVATION, GOAL, OBSERVATION)]
        observation, goal, after = (torch.from_numpy(a.astype(np.float32)) for a in arrays)
        reward = torch.from_numpy(-(rng.random(size) < 0.7).astype(np.float32))
        terminated = torch.from_numpy((rng.random(size) < 0.3).astype(np.float32))
        out.append(Batch(observation, goal, action, reward, terminated, after))
    return out


def see(agent: Any, n: int = 200, steps: int = 0, seed: int = 3) -> None:
    rng = np.random.default_rng(seed)
    goals = rng.normal(-1.0, 4.0, (2 * n, GOAL))
    agent.observe(rng.normal(2.0, 3.0, (n, OBSERVATION)), goals, np.repeat([0.2, 0.8], n), steps)


def inputs(n: int, seed: int = 5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, OBSERVATION)), rng.normal(size=(n, GOAL))


def answer(network: nn.Module, *values: float) -> None:
    """Make a network give `values` whatever goes in."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        network.layers[-1].bias.copy_(torch.tensor(values))  # type: ignore[union-attr, index]


def one_row(batch: Batch, **changes: float) -> Batch:
    row = Batch(**{name: part[:1].clone() for name, part in batch.parts.items()})
    for name, value in changes.items():
        getattr(row, name).fill_(value)
    return row
