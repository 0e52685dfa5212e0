"""Behaviour cloning: beside what a policy climbs, beside a reference of loops, and alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from her_exp.learning.replays import Replays
from her_exp.together.alike import groups
from her_exp.types import Batch
from tests.agents.kit import OBSERVATION, batches, crl, ddpg, gcbc, redq, sac, see, td3, tqc
from tests.agents.reference import drawn
from tests.agents.test_group import assert_learn_alike, given, plain
from tests.agents.test_replays import Recorder
from tests.equality import equal

CLONING = [ddpg, td3, sac, redq, tqc, crl]


def shown(batch: Batch, share: float = 0.5, seed: int = 0) -> Batch:
    """The batch, some of its steps demonstrations."""
    rng = np.random.default_rng(seed)
    some = torch.from_numpy((rng.random(len(batch.action)) < share).astype(np.float64))
    return batch._replace(demonstrated=some.to(batch.reward.dtype))


def term_by_rows(make: Any, agent: Any, batch: Batch, noise: Any) -> tuple[Any, float]:
    """Eq. 5 of the paper behind its filter, one demonstrated step after the other; and who passes."""
    total, kept, seen = torch.zeros(()), [], agent.learned(batch)

    def q(state: torch.Tensor, action: torch.Tensor) -> float:
        if make is crl:
            step = torch.cat([state[:, :OBSERVATION], action], 1)
            return -(agent.nets.phi(step) - agent.nets.psi(state[:, OBSERVATION:])).norm().item()
        values = agent.nets.critic(torch.cat([state, action], 1))
        judged = {td3: lambda: values[0], sac: values.min}.get(make, values.mean)()
        return float(judged.detach())

    for i in seen.demonstrated.nonzero()[:, 0].tolist():
        state, asked = seen.state[i : i + 1], seen.action[i : i + 1]
        raw = agent.nets.actor(state)
        own = drawn(raw, noise["now"][i : i + 1])[0] if "now" in noise else torch.tanh(raw)
        kept.append(not agent.q_filter or q(state, asked) > q(state, own))
        total = total + kept[-1] * sum((own[0, j] - asked[0, j]) ** 2 for j in range(2))
    return total / len(batch.action), float(np.mean(kept))


@pytest.mark.usefixtures("doubles")
@pytest.mark.parametrize("q_filter", [True, False])
@pytest.mark.parametrize("make", CLONING)
def test_loss_and_gradient_are_those_of_a_loop(make: Any, q_filter: bool) -> None:
    """Of networks whose first critic, smallest and mean let other rows pass."""
    batch, found = shown(*given(make, 0, 1)), []
    for weight in (0.7, 0.0):
        agent = make(4, cloning_weight=weight, q_filter=q_filter, network=plain)
        see(agent)
        noise, own = agent.draw(32, ()), list(agent.nets.actor.requires_grad_().parameters())
        loss, told = agent.actor_loss(agent.nets, agent.learned(batch), noise, agent.settings)
        found.append((loss.item(), told, torch.autograd.grad(loss, own)))
        term, share = term_by_rows(make, agent, batch, noise)
        wanted = torch.autograd.grad(0.7 * term, own)
    (loss, told, slopes), (bare, others, bare_slopes) = found
    assert (0.1 < share < 0.9) if q_filter else share == 1
    assert told.keys() - others.keys() == {"cloning_loss", "cloned_share"}
    assert told["cloned_share"].item() == pytest.approx(share)
    assert told["cloning_loss"].item() == pytest.approx(term.item(), rel=1e-6)
    assert loss - bare == pytest.approx(0.7 * term.item(), rel=1e-6)
    for slope, bare_slope, more in zip(slopes, bare_slopes, wanted, strict=True):
        torch.testing.assert_close(slope - bare_slope, more, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("make", CLONING)
def test_without_weight_or_demonstrations_no_bit_changes_and_no_critic_is_asked(make: Any) -> None:
    """Nor where none of a batch's steps happens to be one."""

    def learn(weight: float, share: float | None) -> tuple[Any, int]:
        # Who asks others' goals, demonstrations change.
        own_goals = {"other_goals": 0.0} if make is crl else {}
        agent, asked = make(cloning_weight=weight, **own_goals), []
        see(agent)
        judge = agent.nets.phi if make is crl else agent.nets.critic
        judge.register_forward_hook(lambda *_: asked.append(1))
        for batch in batches(make, 4):
            agent.update(batch if share is None else shown(batch, share))
        return {name: one.vector for name, one in agent.learners.items()}, len(asked)

    plain = learn(0.0, None)
    assert equal(plain, learn(0.0, 0.5))
    assert equal(plain, learn(0.5, None))
    none, some = learn(0.5, 0.0), learn(0.5, 0.5)
    assert all(torch.equal(plain[0][name], none[0][name]) for name in none[0])
    assert some[1] > plain[1]
    assert not torch.equal(plain[0]["actor"], some[0]["actor"])


@pytest.mark.usefixtures("doubles")
@pytest.mark.parametrize("make", [td3, redq, crl, gcbc])
def test_members_clone_as_they_would_alone(make: Any) -> None:
    """Each with a weight of its own; one without demonstrations asks apart."""

    def rows(call: int, number: int) -> list[Batch]:
        plain = given(make, 9 * call + number, 2)
        return plain if number == 2 else [shown(batch, seed=number) for batch in plain]

    assert_learn_alike(make, rows, 2, ((0, 1), (2,)))


def test_runs_that_clone_and_runs_that_do_not_learn_apart() -> None:
    node = {"_target_": "her_exp.agents.sac.SAC"}
    rest: dict[str, Any] = dict.fromkeys(("env", "device", "threads", "products")) | {"trainer": {}}
    jobs = [rest | {"agent": node | {"cloning_weight": weight}} for weight in (0.0, 0.1, 0, 2)]
    assert groups(jobs) == [[0, 2], [1, 3]]


@pytest.mark.parametrize("make", [ddpg, gcbc])
def test_updates_with_and_without_demonstrations_are_recorded_apart(make: Any) -> None:
    settings, recorder = {"cloning_weight": 0.5} if make is ddpg else {}, Recorder()
    agents = [make(**settings) for _ in range(2)]
    agents[1].replays = Replays(recorder)
    for i, batch in enumerate(batches(make, 12)):
        told = [agent.update(shown(batch, seed=i) if i % 2 else batch) for agent in agents]
        assert told[0].keys() == told[1].keys()
    assert equal(*(agent.state_dict() for agent in agents))
    assert recorder.recorded == 2


# --- cloning alone -------------------------------------------------------------------------------


def test_rows_that_count() -> None:
    """All, or the demonstrated ones alone; and none of rewards, ends and next states."""
    (batch,) = batches(gcbc)
    unseen = ("reward", "terminated", "next_observation")
    blank = {name: torch.full_like(batch.parts[name], torch.nan) for name in unseen}
    for some in (batch, shown(batch), shown(batch, 0.0)):
        agent, other = gcbc(), gcbc(gamma=0.1)
        see(agent), see(other)
        rows = some.demonstrated
        rows = torch.arange(32) if rows is None else rows.nonzero()[:, 0]
        seen = agent.learned(some)
        gaps = (torch.tanh(agent.nets.actor(seen.state)) - seen.action)[rows]
        wanted = float((gaps**2).sum() / max(1, gaps.numel()))
        assert float(agent.update(some)["actor_loss"]) == pytest.approx(wanted, rel=1e-5)
        other.update(some._replace(**blank))
        assert equal(agent.state_dict(), other.state_dict())
    again = [float(agent.update(batch)["actor_loss"]) for _ in range(50)]
    assert again[-1] < 0.8 * again[0]
