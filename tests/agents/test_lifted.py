"""Every agent's losses run for many at once, and each of the many learns as it would have alone."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from her_exp.agents.engine import Engine, Learner
from tests.agents.kit import batches, ddpg, dqn, dueling, qrdqn, redq, sac, see, td3, tqc

pytestmark = pytest.mark.usefixtures("one_thread")

#: What the two runs differ in, where the agent has it.
DIFFERENT: dict[str, tuple[float, float]] = {
    "gamma": (0.98, 0.9), "tau": (0.05, 0.2), "actor_lr": (1e-3, 3e-3), "critic_lr": (2e-3, 1e-3),
    "lr": (1e-3, 2e-3), "action_l2": (0.0, 0.3), "target_noise_std": (0.2, 0.4),
    "target_noise_clip": (0.5, 0.3), "entropy_lr": (1e-3, 5e-3), "target_entropy": (-2.0, -1.0),
}  # fmt: skip


def fixed(seed: int = 0, **settings: Any) -> Any:
    return sac(seed, **{"entropy": (0.1, 0.3)[seed]} | settings)


def preactivation(seed: int = 0, **settings: Any) -> Any:
    return ddpg(seed, action_l2_on="preactivation", **settings)


def together(agents: list[Any]) -> Engine:
    """One engine for several agents, each as it stands."""
    first = agents[0]
    learners = {
        name: Learner([a.learners[name].network for a in agents], name in first.targets, many=True)
        for name in first.learners
    }
    for name, learner in learners.items():
        states = [agent.learners[name].state_dict() for agent in agents]
        stacked = {
            part: {key: torch.stack([s[part][key] for s in states]) for key in states[0][part]}
            for part in states[0]
        }
        stacked["optimizer"]["steps"] = states[0]["optimizer"]["steps"]
        learner.load_state_dict(stacked)
    return Engine(first, first.moves(), learners, first.grad_clip_norm, runs=len(agents))


def stack(parts: list[Any]) -> Any:
    """Tensors and numbers of several runs with a leading axis; what is None of none of them."""
    if isinstance(parts[0], dict):
        return {key: stack([part[key] for part in parts]) for key in parts[0]}
    if isinstance(parts[0], tuple):
        return type(parts[0])(*(stack(list(each)) for each in zip(*parts, strict=True)))
    return torch.stack([torch.as_tensor(part) for part in parts])


@pytest.mark.parametrize(
    "more", [{}, {"layer_norm": True, "grad_clip_norm": 0.3}], ids=["plain", "norm"]
)
@pytest.mark.parametrize(
    "make", [ddpg, preactivation, td3, sac, fixed, redq, tqc, dqn, dueling, qrdqn]
)
def test_each_of_many_learns_as_it_would_alone(make: Any, more: dict[str, Any]) -> None:
    """Update by update, from equal states: Adam magnifies rounding where gradients are tiny."""
    fields = type(make()).__dataclass_fields__
    agents = [
        make(
            seed, **more, **{name: pair[seed] for name, pair in DIFFERENT.items() if name in fields}
        )
        for seed in range(2)
    ]
    for number, agent in enumerate(agents):
        see(agent, seed=3 + number)  # normalisers of their own
    kind = {fixed: sac, preactivation: ddpg}.get(make, make)
    given = [batches(kind, 4, seed=seed) for seed in range(2)]
    for pair in zip(*given, strict=True):
        many = together(agents)
        skip, targets = agents[0].skipped(), agents[0].takes_turn(agents[0].target_every)
        noise = [
            agent.draw(len(batch.reward), skip) for agent, batch in zip(agents, pair, strict=True)
        ]
        seen = [agent.learned(batch) for agent, batch in zip(agents, pair, strict=True)]
        values = [vars(agent.settings) for agent in agents]
        s = SimpleNamespace(
            **{k: stack([v[k] for v in values]) for k in values[0] if values[0][k] is not None}
        )
        told = many.update(stack(seen), stack(noise), s, skip, targets)
        for number, agent in enumerate(agents):
            alone = agent.engine.update(seen[number], noise[number], agent.settings, skip, targets)
            agent.updates += 1
            assert told.keys() == alone.keys()
            for name, value in alone.items():
                torch.testing.assert_close(told[name][number], value, rtol=1e-5, atol=1e-6)
            for name, learner in agent.learners.items():
                other = many.learners[name]
                step = (
                    other.vector[number] - learner.vector
                ).abs().max() / learner.vector.abs().max()
                assert float(step) < 1e-6, name
                if learner.target_vector is not None:
                    gap = (other.target_vector[number] - learner.target_vector).abs().max()
                    assert float(gap) < 1e-6, name


def test_the_runs_do_differ() -> None:
    """Or the test above would show nothing."""
    agents = [ddpg(seed, gamma=gamma) for seed, gamma in enumerate((0.98, 0.5))]
    many = together(agents)
    assert not torch.equal(many.learners["critic"].vector[0], many.learners["critic"].vector[1])


@pytest.mark.parametrize("make", [ddpg, td3, sac, redq, tqc, dqn, dueling, qrdqn])
def test_a_loss_draws_nothing_and_leaves_its_inputs(make: Any) -> None:
    agent = make()
    see(agent)
    (batch,) = batches(make)
    seen, noise = agent.learned(batch), agent.draw(len(batch.reward), ())
    kept = [part.clone() for part in (*seen, *noise.values())]
    before = torch.random.get_rng_state()
    for move in agent.moves():
        with torch.no_grad():
            first, _ = getattr(agent, move.loss)(agent.nets, seen, noise, agent.settings)
            second, _ = getattr(agent, move.loss)(agent.nets, seen, noise, agent.settings)
        assert torch.equal(first, second)
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(kept, (*seen, *noise.values()), strict=True))
