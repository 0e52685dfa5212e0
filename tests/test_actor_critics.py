"""TD3, SAC and TQC against values computed by hand and against autograd on the papers' losses."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from agents_kit import (
    BOX,
    DISCRETE,
    HALF,
    MIDDLE,
    Reference,
    answer,
    batches,
    ddpg,
    inputs,
    one_row,
    redq,
    sac,
    same_parameters,
    see,
    td3,
    tqc,
)
from torch.distributions import Independent, Normal, TanhTransform, TransformedDistribution

from her_exp.agents.gaussian import LOG_STD, squash, squash_slope

VARIANTS = pytest.mark.parametrize(
    "changes",
    [{}, {"layer_norm": True}, {"grad_clip_norm": 0.05}, {"tau": 1.0, "gamma": 0.5}],
    ids=["plain", "layer_norm", "clip", "tau"],
)
SETTINGS: dict[str, Any] = {"gamma": 0.9, "tau": 0.1, "layer_norm": False, "grad_clip_norm": None}


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Any:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class Script:
    """Noise and choices written down beforehand, in the place of an agent's own."""

    def __init__(self, which: list[list[int] | None] | None = None, size: int = 0):
        generator = torch.Generator().manual_seed(3)
        self.all = [torch.randn(32, 2, generator=generator) for _ in range(64)]
        self.which, self.drawn, self.read, self.asked = which, 0, 0, size

    def normal_like(self, x: torch.Tensor) -> torch.Tensor:
        self.drawn += 1
        return self.all[self.drawn - 1][: len(x)].clone()

    def choose(self, n: int, size: int | None) -> list[int] | None:
        return self.which.pop(0) if self.which else None

    def again(self) -> torch.Tensor:
        """The same noise, for the reference."""
        self.read += 1
        return self.all[self.read - 1]


def both(net: Any, names: list[str], state: Any, action: Any) -> torch.Tensor:
    """Outputs (n, b, o) of some of the reference's critics."""
    return torch.stack([net[name](torch.cat([state, action], 1)) for name in names])


def act(batch: Any) -> torch.Tensor:
    return (batch.action - torch.from_numpy(MIDDLE)) / torch.from_numpy(HALF)


def policy(raw: torch.Tensor) -> TransformedDistribution:
    """torch's own squashed Gaussian of a network's output."""
    mean, log_std = raw.chunk(2, 1)
    return TransformedDistribution(
        Independent(Normal(mean, log_std.clamp(*LOG_STD).exp()), 1), [TanhTransform(cache_size=1)]
    )


def drawn(raw: torch.Tensor, noise: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """An action (b, a) and its log-density (b,), with that noise."""
    mean, log_std = raw.chunk(2, 1)
    there = policy(raw)
    (squashing,) = there.transforms
    action = squashing(mean + log_std.clamp(*LOG_STD).exp() * noise)  # remembers what it came from
    return action, there.log_prob(action)


def test_a_slower_policy_is_td3s_of_one_critic_without_noise() -> None:
    settings = {"policy_every": 2, "target_every": 3, "actor_lr": 1e-3, "critic_lr": 2e-3}
    slow = ddpg(**settings)
    twin = td3(**settings, n_critics=1, target_noise_std=0.0)
    for mine, its in (
        (slow.actor, twin.actor), (slow.target_actor, twin.target_actor),
        (slow.critic, twin.critic.networks[0]), (slow.target_critic, twin.target_critic.networks[0]),
    ):  # fmt: skip
        its.load_state_dict(mine.state_dict())
    see(slow)
    see(twin)
    for number, batch in enumerate(batches(ddpg, 7)):
        before = [p.clone() for p in slow.actor.parameters()]
        metrics = slow.update(batch)
        twin.update(batch)
        moved = any(
            not torch.equal(a, b) for a, b in zip(before, slow.actor.parameters(), strict=True)
        )
        assert moved == ("actor_loss" in metrics) == (number % 2 == 0)
    for mine, its in zip(slow.actor.parameters(), twin.actor.parameters(), strict=True):
        torch.testing.assert_close(mine, its, rtol=1e-4, atol=1e-6)


# --- TD3 ---------------------------------------------------------------------------------------


@VARIANTS
@pytest.mark.parametrize(
    "more",
    [{}, {"n_critics": 3, "target_critics": 2, "action_l2": 0.7}, {"n_critics": 1}],
    ids=["twins", "two of three", "one"],
)
def test_td3_updates_equal_the_reference(changes: dict[str, Any], more: dict[str, Any]) -> None:
    settings = SETTINGS | changes
    agent = td3(actor_lr=1e-3, critic_lr=2e-3, policy_every=2, target_every=3, **settings, **more)
    names = [f"critic.{i}" for i in range(agent.n_critics)]
    reference = Reference(agent, dict.fromkeys(names, 2e-3) | {"actor": 1e-3}, settings)
    which = [[0, 2], [0, 1], [1, 2], [0, 2], [0, 1]] if "target_critics" in more else [None] * 5
    script = agent.noise = Script([list(w) if w else None for w in which])
    see(agent)
    for number, batch in enumerate(batches(td3, 5)):
        metrics = agent.update(batch)
        net, target = reference.net, reference.target
        state = reference.normalise(batch.observation, batch.goal)
        after = reference.normalise(batch.next_observation, batch.goal)
        with torch.no_grad():
            noise = (0.2 * script.again()).clamp(-0.5, 0.5)
            next_action = (torch.tanh(target["actor"](after)) + noise).clamp(-1, 1)
            asked = [names[i] for i in which[number] or range(len(names))]
            y = reference.y(batch, both(target, asked, after, next_action).amin(0)[:, 0])
        values = both(net, names, state, act(batch))[..., 0]
        losses = ((values - y) ** 2).mean(1)
        reference.step("critic", losses.sum())
        assert float(metrics["critic_loss"]) == pytest.approx(losses.mean().item(), rel=1e-4)
        assert float(metrics["q_mean"]) == pytest.approx(values.mean().item(), abs=1e-5)
        assert ("actor_loss" in metrics) == (number % 2 == 0)
        if number % 2 == 0:
            choice = torch.tanh(net["actor"](state))
            actor_loss = -both(net, ["critic.0"], state, choice).mean()
            actor_loss = actor_loss + more.get("action_l2", 0.0) * (choice**2).mean()
            reference.step("actor", actor_loss)
            assert float(metrics["actor_loss"]) == pytest.approx(actor_loss.item(), abs=1e-5)
        if number % 3 == 2:
            reference.follow()
    same_parameters(agent, reference)


@pytest.mark.parametrize(
    ("which", "value"), [(None, -5.0), ([0, 1], -4.0), ([0, 2], -5.0), ([1], -3.0)]
)
def test_the_smallest_of_the_chosen_critics_is_the_target(which: Any, value: float) -> None:
    for make in (td3, sac):
        agent = make(n_critics=3, gamma=0.5, **({"entropy": 0.0} if make is sac else {}))
        for critic, bias in zip(agent.critic.networks, (0.0, 1.0, 2.0), strict=True):
            answer(critic, bias)
        for critic, bias in zip(agent.target_critic.networks, (-4.0, -3.0, -5.0), strict=True):
            answer(critic, bias)
        agent.noise = Script([which])
        metrics = agent.update(one_row(batches(make)[0], reward=0.0, terminated=0.0))
        target = max(0.5 * value, -2.0) if make is td3 else 0.5 * value  # TD3's is clipped
        loss = np.mean([(q - target) ** 2 for q in (0.0, 1.0, 2.0)])
        assert float(metrics["critic_loss"]) == pytest.approx(loss, rel=1e-5)
        assert float(metrics["q_mean"]) == pytest.approx(1.0)


def test_smoothing_noise_is_cut_and_stays_in_the_box() -> None:
    agent = td3(target_noise_std=50.0, target_noise_clip=0.3)
    answer(agent.target_actor, 0.0, math.atanh(0.9))
    seen = []
    agent.target_critic.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    agent.update(batches(td3)[0])
    action = seen[0][:, -2:]
    assert set(np.round(action[:, 0].tolist(), 5)) == {-0.3, 0.3}
    assert set(np.round(action[:, 1].tolist(), 5)) == {0.6, 1.0}


# --- what is drawn for updates -----------------------------------------------------------------


def test_choices_are_uniform_and_without_repetition() -> None:
    agent = redq()
    drawn = [tuple(agent.noise.choose(4, 2)) for _ in range(3000)]
    pairs, counts = np.unique(drawn, axis=0, return_counts=True)
    assert pairs.tolist() == [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]]
    np.testing.assert_allclose(counts / 3000, 1 / 6, atol=0.03)
    before = agent.noise.state_dict()["choices"]
    assert agent.noise.choose(4, None) is None
    assert agent.noise.choose(4, 4) is None
    assert agent.noise.state_dict()["choices"] == before  # nothing to choose, nothing drawn


def test_noise_is_standard_normal_and_goes_on_where_it_was_saved() -> None:
    noise = sac().noise
    values = noise.normal_like(torch.zeros(20_000))
    assert float(values.mean()) == pytest.approx(0.0, abs=0.03)
    assert float(values.std()) == pytest.approx(1.0, abs=0.03)
    state, other = noise.state_dict(), sac(seed=5).noise
    other.load_state_dict(state)
    one, two = (n.normal_like(torch.zeros(7)) for n in (noise, other))
    assert torch.equal(one, two)
    # A policy that was trained elsewhere can be loaded: the stream of another device is left out.
    other.load_state_dict(state | {"device": "cuda", "numbers": torch.zeros(16, dtype=torch.uint8)})


def test_exploring_and_updating_draw_from_streams_apart() -> None:
    first, second = sac(random_steps=0), sac(random_steps=0)
    for _ in range(3):
        first.act(*inputs(5), explore=True)
    for agent in (first, second):
        agent.update(batches(sac)[0])
    for one, two in zip(first.critic.parameters(), second.critic.parameters(), strict=True):
        assert torch.equal(one, two)


# --- the squashed Gaussian ---------------------------------------------------------------------


def some_policy(rows: int = 200) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    raw = torch.randn(rows, 6, generator=generator, dtype=torch.float64) * 2.0
    raw[:20, 3:] = torch.linspace(-25.0, 4.0, 20, dtype=torch.float64)[:, None]  # past both bounds
    return raw, torch.randn(rows, 3, generator=generator, dtype=torch.float64)


def test_log_density_is_torchs() -> None:
    raw, noise = some_policy()
    raw[:20, 3:] = 0.0
    raw[:, :3] = raw[:, :3].clamp(-3.0, 3.0)
    mine = squash(raw, noise)
    action, log_prob = drawn(raw, noise)
    torch.testing.assert_close(mine.action, action)
    torch.testing.assert_close(mine.log_prob, log_prob)


def test_the_density_sums_to_one() -> None:
    raw, grid = torch.tensor([[0.4, -0.5]], dtype=torch.float64), torch.linspace(-1, 1, 200_001)
    action = grid[1:-1].double()[:, None]
    noise = (torch.atanh(action) - raw[0, 0]) / raw[0, 1].exp()
    density = squash(raw.expand(len(noise), 2), noise).log_prob.exp()
    assert float(density.sum() * 1e-5) == pytest.approx(1.0, abs=1e-4)


def test_log_density_far_out_is_finite() -> None:
    raw = torch.tensor([[30.0, 2.0], [-30.0, 2.0]])  # tanh is 1.0 to the last bit there
    assert torch.isfinite(squash(raw, torch.full((2, 1), 3.0)).log_prob).all()


def test_slope_of_the_squashed_gaussian_is_autograds() -> None:
    raw, noise = some_policy()
    generator = torch.Generator().manual_seed(1)
    by_action = torch.randn(200, 3, generator=generator, dtype=torch.float64)
    by_log_prob = torch.randn(200, generator=generator, dtype=torch.float64)
    leaf = raw.clone().requires_grad_()
    there = squash(leaf, noise)
    ((there.action * by_action).sum() + (there.log_prob * by_log_prob).sum()).backward()
    assert leaf.grad is not None
    torch.testing.assert_close(squash_slope(squash(raw, noise), by_action, by_log_prob), leaf.grad)


# --- SAC and TQC against the losses of their papers --------------------------------------------


def pinball(values: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """The quantile Huber loss of each critic (n,), pair by pair as the paper writes it."""
    n, _, m = values.shape
    out = []
    for critic in range(n):
        total = torch.zeros(())
        for i in range(m):
            error = target - values[critic, :, i : i + 1]
            huber = torch.where(error.abs() <= 1, 0.5 * error**2, error.abs() - 0.5)
            total = total + (((i + 0.5) / m - (error < 0).float()).abs() * huber).mean()
        out.append(total / m)
    return torch.stack(out)


@VARIANTS
@pytest.mark.parametrize(
    ("make", "more"),
    [
        (sac, {}),
        (sac, {"entropy": 0.2, "action_l2": 0.7}),
        (sac, {"n_critics": 3, "target_critics": 2, "target_entropy": -1.5}),
        (sac, {"policy_every": 2, "clip_targets": True}),
        (tqc, {"drop_quantiles": 2}),
        (tqc, {"drop_quantiles": 0, "entropy": 0.2}),
    ],
    ids=["sac", "fixed", "redq", "delayed", "tqc", "tqc fixed"],
)
def test_soft_updates_equal_the_reference(
    make: Any, more: dict[str, Any], changes: dict[str, Any]
) -> None:
    settings = SETTINGS | changes
    agent = make(
        actor_lr=1e-3, critic_lr=2e-3, entropy_lr=5e-3, entropy_start=0.3, **settings, **more
    )
    names = [f"critic.{i}" for i in range(agent.n_critics)]
    reference = Reference(agent, dict.fromkeys(names, 2e-3) | {"actor": 1e-3}, settings)
    log_alpha = torch.tensor(math.log(more.get("entropy", 0.3)), requires_grad=True)
    adam = torch.optim.Adam([log_alpha], lr=5e-3)
    which = [[0, 2], [0, 1], [1, 2], [0, 2]] if "target_critics" in more else [None] * 4
    script = agent.noise = Script([list(w) if w else None for w in which])
    see(agent)
    for number, batch in enumerate(batches(make, 4)):
        metrics = agent.update(batch)
        net, target, alpha = reference.net, reference.target, log_alpha.exp().detach()
        state = reference.normalise(batch.observation, batch.goal)
        after = reference.normalise(batch.next_observation, batch.goal)
        with torch.no_grad():
            action, log_prob = drawn(net["actor"](after), script.again())
            asked = [names[i] for i in which[number] or range(len(names))]
            values = both(target, asked, after, action)
            if make is tqc:
                pooled = torch.cat(list(values), 1).sort(1).values
                best = pooled[:, : len(names) * (5 - more["drop_quantiles"])]
            else:
                best = values.amin(0)
            soft = best - alpha * log_prob[:, None]
            y = batch.reward[:, None] + agent.gamma * (1 - batch.terminated[:, None]) * soft
            if more.get("clip_targets"):
                y = y.clamp(*reference.range)
        values = both(net, names, state, act(batch))
        losses = pinball(values, y) if make is tqc else ((values - y) ** 2).mean((1, 2))
        reference.step("critic", losses.sum())
        assert float(metrics["critic_loss"]) == pytest.approx(losses.mean().item(), rel=1e-4)
        assert float(metrics["q_mean"]) == pytest.approx(values.mean().item(), abs=1e-5)
        if number % more.get("policy_every", 1):
            assert "actor_loss" not in metrics
        else:
            action, log_prob = drawn(net["actor"](state), script.again())
            values = both(net, names, state, action)
            mean = make is tqc or "target_critics" in more
            worth = values.mean((0, 2)) if mean else values.amin(0)[:, 0]
            l2 = more.get("action_l2", 0.0) * (action**2).mean()
            actor_loss = (alpha * log_prob - worth).mean() + l2
            reference.step("actor", actor_loss)
            assert float(metrics["actor_loss"]) == pytest.approx(actor_loss.item(), abs=1e-5)
            assert float(metrics["entropy"]) == pytest.approx(-log_prob.mean().item(), abs=1e-5)
            assert float(metrics["entropy_temperature"]) == pytest.approx(float(alpha), rel=1e-5)
            if "entropy" not in more:
                aim = more.get("target_entropy", -2.0)
                log_alpha.grad = None
                (-log_alpha * (log_prob.detach() + aim).mean()).backward()
                adam.step()
        reference.follow()
    same_parameters(agent, reference)
    assert float(agent.temperature) == pytest.approx(math.exp(log_alpha.item()), rel=1e-5)


def test_a_soft_target_by_hand() -> None:
    agent = sac(entropy=0.5, gamma=0.9, random_steps=0)
    answer(agent.actor, 0.0, 0.0, math.log(0.5), 0.0)  # means 0 and 0, deviations 0.5 and 1
    for critic in agent.critic.networks:
        answer(critic, 0.0)
    for critic in agent.target_critic.networks:
        answer(critic, -2.0)
    script = agent.noise = Script()
    script.all[0] = torch.tensor([[1.0, 0.0]])
    metrics = agent.update(one_row(batches(sac)[0], reward=-1.0, terminated=0.0))
    # u = (0.5, 0): two normal densities, divided by 1 - tanh(u)^2
    log_prob = (
        -0.5 - math.log(0.5) - 0.5 * math.log(2 * math.pi) - math.log(1 - math.tanh(0.5) ** 2)
    )
    log_prob += -0.5 * math.log(2 * math.pi)
    target = -1.0 + 0.9 * (-2.0 - 0.5 * log_prob)
    assert float(metrics["critic_loss"]) == pytest.approx(target**2, rel=1e-5)
    agent.update(one_row(batches(sac)[0], reward=-1.0, terminated=1.0))


def test_terminated_cuts_value_and_entropy_alike() -> None:
    agent = sac(entropy=5.0)
    for critic in agent.critic.networks:
        answer(critic, 0.0)
    metrics = agent.update(one_row(batches(sac)[0], reward=-1.0, terminated=1.0))
    assert float(metrics["critic_loss"]) == pytest.approx(1.0)


def test_the_truncated_target_by_hand() -> None:
    agent = tqc(n_quantiles=3, drop_quantiles=1)
    values = torch.tensor([[[-3.0, -1.0, 9.0]], [[-2.0, 8.0, -4.0]]])  # two critics, one row
    assert sorted(agent.pool(values)[0].tolist()) == [-4.0, -3.0, -2.0, -1.0]
    agent = tqc(n_quantiles=3, drop_quantiles=0)
    assert sorted(agent.pool(values)[0].tolist()) == [-4.0, -3.0, -2.0, -1.0, 8.0, 9.0]


def test_the_temperature_moves_the_entropy_to_its_aim() -> None:
    agent = sac(entropy_lr=0.01, entropy_start=0.2)
    answer(agent.actor, 0.0, 0.0, 0.0, 0.0)  # an entropy above minus two
    agent.update(batches(sac)[0])
    assert float(agent.temperature) == pytest.approx(0.2 * math.exp(-0.01), rel=1e-4)
    agent = sac(entropy_lr=0.01, entropy_start=0.2)
    answer(agent.actor, 0.0, 0.0, -6.0, -6.0)
    agent.update(batches(sac)[0])
    assert float(agent.temperature) == pytest.approx(0.2 * math.exp(0.01), rel=1e-4)


# --- actions -----------------------------------------------------------------------------------


def test_soft_actions() -> None:
    agent = sac(random_steps=0)
    answer(agent.actor, 0.3, -0.2, math.log(0.5), math.log(0.1))
    mean = np.tanh([0.3, -0.2])
    np.testing.assert_allclose(
        agent.act(*inputs(3), explore=False), np.tile(mean * HALF + MIDDLE, (3, 1)), rtol=1e-6
    )
    tried = (agent.act(*inputs(20_000), explore=True) - MIDDLE) / HALF
    before = np.arctanh(tried.clip(-0.99999, 0.99999))
    np.testing.assert_allclose(before.mean(0), [0.3, -0.2], atol=0.02)
    np.testing.assert_allclose(before.std(0), [0.5, 0.1], rtol=0.03)
    assert abs(np.corrcoef(before.T)[0, 1]) < 0.03


def test_a_share_of_soft_actions_is_uniform() -> None:
    agent = sac(random_steps=0, random_action=0.3)
    answer(agent.actor, 0.0, 0.0, -20.0, -20.0)
    tried = (agent.act(*inputs(20_000), explore=True) - MIDDLE) / HALF
    assert (np.abs(tried) > 1e-6).all(1).mean() == pytest.approx(0.3, abs=0.01)


# --- refusals ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "settings", "words"),
    [
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


@pytest.mark.parametrize("make", [td3, sac, tqc])
def test_discrete_actions_are_refused(make: Any) -> None:
    with pytest.raises(ValueError, match=rf"{make.__name__.upper()} needs Box .* take agent=dqn"):
        make(spaces=DISCRETE)
    assert type(make()).check_spaces(BOX) is None
