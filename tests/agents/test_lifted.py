"""Every agent's losses run for many at once, and each of the many learns as it would have alone."""

from __future__ import annotations

import copy
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from her_exp.agents.engine import Engine
from her_exp.agents.residual import Residual
from her_exp.learning.learner import Learner
from tests.agents.kit import batches, crl, ddpg, dqn, dueling, qrdqn, redq, sac, see, td3, tqc

#: What the two runs differ in, where the agent has it.
DIFFERENT: dict[str, tuple[float, float]] = {
    "gamma": (0.98, 0.9), "tau": (0.05, 0.2), "actor_lr": (1e-3, 3e-3), "critic_lr": (2e-3, 1e-3),
    "lr": (1e-3, 2e-3), "action_l2": (0.0, 0.3), "target_noise_std": (0.2, 0.4),
    "target_noise_clip": (0.5, 0.3), "entropy_lr": (1e-3, 5e-3), "target_entropy": (-2.0, -1.0),
    "logsumexp_penalty": (0.1, 1.0),
}  # fmt: skip


def together(agents: list[Any]) -> Engine:
    """One engine for several agents, each as it stands."""
    first = agents[0]
    learners = {
        name: Learner([a.learners[name].network for a in agents], name in first.targets, many=True)
        for name in first.learners
    }
    for name, learner in learners.items():
        for number, agent in enumerate(agents):
            learner.adopt(copy.copy(agent.learners[name]), number)
    return Engine(first, first.moves(), learners, first.grad_clip_norm, runs=len(agents))


def stack(parts: list[Any]) -> Any:
    """Tensors and numbers of several runs with a leading axis."""
    if isinstance(parts[0], dict):
        return {k: stack([part[k] for part in parts]) for k, v in parts[0].items() if v is not None}
    if isinstance(parts[0], tuple):
        return type(parts[0])(*(stack(list(each)) for each in zip(*parts, strict=True)))
    return torch.stack([torch.as_tensor(part) for part in parts])


@pytest.mark.parametrize(
    "more", [{}, {"layer_norm": True, "grad_clip_norm": 0.3}], ids=["plain", "norm"]
)
@pytest.mark.parametrize(
    ("make", "own"),
    [
        *((make, {}) for make in (ddpg, td3, sac, redq, tqc, crl, dqn, dueling, qrdqn)),
        (ddpg, {"action_l2_on": ("preactivation", "preactivation")}),
        (sac, {"entropy": (0.1, 0.3)}),
        (ddpg, {"network": (partial(Residual, width=8),) * 2}),
    ],
)
def test_each_of_many_learns_as_it_would_alone(make: Any, own: Any, more: dict[str, Any]) -> None:
    """Update by update, from equal states: Adam magnifies rounding where gradients are tiny."""
    fields = type(make()).__dataclass_fields__
    pairs = {name: pair for name, pair in DIFFERENT.items() if name in fields} | own
    agents = [
        make(seed, **more, **{name: pair[seed] for name, pair in pairs.items()}) for seed in (0, 1)
    ]
    for number, agent in enumerate(agents):
        see(agent, seed=3 + number)  # normalisers of their own
    given = [batches(make, 4, seed=seed) for seed in (0, 1)]
    for pair in zip(*given, strict=True):
        many = together(agents)
        for learner in many.learners.values():
            assert learner.vector[0].numel() == 1 or not torch.equal(*learner.vector)
        skip, targets = agents[0].skipped(), agents[0].takes_turn(agents[0].target_every)
        both = list(zip(agents, pair, strict=True))
        noise = [agent.draw(len(batch.reward), skip) for agent, batch in both]
        seen = [agent.learned(batch) for agent, batch in both]
        s = SimpleNamespace(**stack([vars(agent.settings) for agent in agents]))
        told = many.update(stack(seen), stack(noise), s, skip, targets)
        for number, agent in enumerate(agents):
            alone = agent.engine.update(seen[number], noise[number], agent.settings, skip, targets)
            agent.updates += 1
            assert told.keys() == alone.keys()
            for name, value in alone.items():
                torch.testing.assert_close(told[name][number], value, rtol=1e-5, atol=1e-6)
            for name, learner in agent.learners.items():
                other = many.learners[name]
                gap = (other.vector[number] - learner.vector).abs().max()
                assert float(gap / learner.vector.abs().max()) < 1e-6, name
                if learner.target_vector is not None:
                    gap = (other.target_vector[number] - learner.target_vector).abs().max()
                    assert float(gap) < 1e-6, name
