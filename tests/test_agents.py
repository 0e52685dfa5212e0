"""DDPG and DQN against values computed by hand and a plain reference; what holds of every agent."""

from __future__ import annotations

import copy
import io
import math
import random
from typing import Any

import numpy as np
import pytest
import torch
from agents_kit import (
    ACTIONS,
    BOX,
    DISCRETE,
    FIRST,
    GOAL,
    HALF,
    HIGH,
    LOW,
    MIDDLE,
    OBSERVATION,
    SETTINGS,
    Reference,
    answer,
    batches,
    ddpg,
    dqn,
    dueling,
    equal,
    inputs,
    make_spaces,
    one_row,
    qrdqn,
    redq,
    sac,
    same_parameters,
    see,
    td3,
    tqc,
)
from gymnasium import spaces
from torch import nn

from her_exp.agents.base import target_range
from her_exp.agents.ddpg import DDPG
from her_exp.agents.dqn import DQN
from her_exp.agents.normalizer import InputNormalizer, RunningMoments
from her_exp.types import Batch, GoalSpaces

BOTH = pytest.mark.parametrize("make", [ddpg, dqn])
ALL = pytest.mark.parametrize("make", [ddpg, dqn, td3, sac, redq, tqc, dueling, qrdqn])


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Any:
    """Networks this small are slower on several."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


# --- targets -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reward_range", "gamma", "expected"),
    [
        ((-1.0, 0.0), 0.98, (-50.0, 0.0)),
        ((0.0, 1.0), 0.98, (0.0, 50.0)),
        ((-2.0, 3.0), 0.9, (-20.0, 30.0)),
        ((0.5, 1.0), 0.5, (0.5, 2.0)),  # an episode may end at once with 0.5
        ((-3.0, -1.0), 0.5, (-6.0, -1.0)),
        ((-1.0, 0.0), 0.0, (-1.0, 0.0)),
        (None, 0.98, None),
    ],
)
def test_target_range(reward_range: Any, gamma: float, expected: Any) -> None:
    got = target_range(reward_range, gamma)
    assert got == (None if expected is None else pytest.approx(expected))


@BOTH
@pytest.mark.parametrize(
    ("reward_range", "reward", "terminated", "next_value", "target"),
    [
        ((-1.0, 0.0), -1.0, 0.0, -2.0, -1.0 + 0.9 * -2.0),
        ((-1.0, 0.0), -1.0, 1.0, -2.0, -1.0),  # terminated: nothing follows
        ((-1.0, 0.0), 0.0, 1.0, -2.0, 0.0),
        ((-1.0, 0.0), -1.0, 0.0, -30.0, -10.0),  # clipped to -1 / (1 - 0.9)
        ((-1.0, 0.0), 0.0, 0.0, 30.0, 0.0),
        ((0.0, 1.0), 1.0, 0.0, 30.0, 10.0),
        ((0.0, 1.0), 0.0, 0.0, -30.0, 0.0),
        (None, -1.0, 0.0, -30.0, -28.0),  # undeclared: as it is
        (None, 1.0, 0.0, 30.0, 28.0),
    ],
)
def test_targets(
    make: Any, reward_range: Any, reward: float, terminated: float, next_value: float, target: float
) -> None:
    agent = make(reward_range=reward_range, gamma=0.9)
    now = -3.0
    many = ACTIONS if make is dqn else 1
    online, follower = ("q", "target_q") if make is dqn else ("critic", "target_critic")
    answer(getattr(agent, online), *[now] * many)
    answer(getattr(agent, follower), *[next_value] * many)
    row = one_row(batches(make)[0], reward=reward, terminated=terminated)
    metrics = agent.update(row)
    assert float(metrics["q_mean"]) == pytest.approx(now)
    assert float(metrics["critic_loss"]) == pytest.approx((now - target) ** 2, rel=1e-5)


@BOTH
def test_clipping_of_targets_can_be_switched_off(make: Any) -> None:
    agent = make(clip_targets=False, gamma=0.9)
    follower = agent.target_q if make is dqn else agent.target_critic
    answer(agent.q if make is dqn else agent.critic, *[0.0] * (ACTIONS if make is dqn else 1))
    answer(follower, *[-30.0] * (ACTIONS if make is dqn else 1))
    metrics = agent.update(one_row(batches(make)[0], reward=-1.0, terminated=0.0))
    assert float(metrics["critic_loss"]) == pytest.approx(28.0**2, rel=1e-5)


@pytest.mark.parametrize(("double", "value"), [(True, -2.0), (False, 7.0)])
def test_double_dqn_chooses_by_the_network_and_values_by_the_target(
    double: bool, value: float
) -> None:
    agent = dqn(double=double, reward_range=None, gamma=0.5)
    answer(agent.q, 0.0, 5.0, 1.0)
    answer(agent.target_q, 7.0, -2.0, 3.0)
    row = one_row(batches(dqn)[0], reward=0.0, terminated=0.0, action=FIRST + 2)
    metrics = agent.update(row)
    assert float(metrics["q_mean"]) == 1.0  # the value of the action taken
    assert float(metrics["critic_loss"]) == pytest.approx((1.0 - 0.5 * value) ** 2)


# --- one update against plain torch ------------------------------------------------------------


VARIANTS = pytest.mark.parametrize(
    "changes",
    [
        {},
        {"layer_norm": True},
        {"grad_clip_norm": 0.05},
        {"tau": 1.0, "gamma": 0.5},
        {"layer_norm": True, "grad_clip_norm": 0.3},
    ],
    ids=["plain", "layer_norm", "clip", "tau", "both"],
)


@VARIANTS
@pytest.mark.parametrize(
    ("action_l2", "on"), [(0.0, "output"), (0.7, "output"), (0.7, "preactivation")]
)
def test_ddpg_updates_equal_the_reference(
    changes: dict[str, Any], action_l2: float, on: str
) -> None:
    settings = {"gamma": 0.9, "tau": 0.1, "layer_norm": False, "grad_clip_norm": None} | changes
    rates = {"critic": 2e-3, "actor": 1e-3}
    agent = ddpg(action_l2=action_l2, action_l2_on=on, actor_lr=1e-3, critic_lr=2e-3, **settings)
    reference = Reference(agent, rates, settings)
    see(agent)

    def q(net: nn.Module, state: Any, action: Any) -> Any:
        return net(torch.cat([state, action], 1))[:, 0]

    for batch in batches(ddpg, 4):
        metrics = agent.update(batch)
        net, target = reference.net, reference.target
        state = reference.normalise(batch.observation, batch.goal)
        after = reference.normalise(batch.next_observation, batch.goal)
        action = (batch.action - torch.from_numpy(MIDDLE)) / torch.from_numpy(HALF)
        with torch.no_grad():
            y = reference.y(batch, q(target["critic"], after, torch.tanh(target["actor"](after))))
        value = q(net["critic"], state, action)
        critic_loss = ((value - y) ** 2).mean()
        reference.step("critic", critic_loss)
        raw = net["actor"](state)
        choice = torch.tanh(raw)
        large = choice if on == "output" else raw
        actor_loss = -q(net["critic"], state, choice).mean() + action_l2 * (large**2).mean()
        reference.step("actor", actor_loss)
        reference.follow()
        assert float(metrics["critic_loss"]) == pytest.approx(critic_loss.item(), rel=1e-4)
        assert float(metrics["actor_loss"]) == pytest.approx(actor_loss.item(), abs=1e-5)
        assert float(metrics["q_mean"]) == pytest.approx(value.mean().item(), abs=1e-5)
    same_parameters(agent, reference)


@pytest.mark.parametrize(("on", "size"), [("output", math.tanh(2.0)), ("preactivation", 2.0)])
def test_what_action_l2_is_on(on: str, size: float) -> None:
    """Where the critic is flat, the actor's loss and slope are the penalty's alone."""
    agent = ddpg(action_l2=0.3, action_l2_on=on, hidden_sizes=(), critic_lr=1e-9)
    answer(agent.critic, 0.0)
    answer(agent.actor, 2.0, -2.0)
    metrics = agent.update(batches(ddpg)[0])
    assert float(metrics["actor_loss"]) == pytest.approx(0.3 * size**2, rel=1e-4)
    inner = 1.0 if on == "preactivation" else 1.0 - math.tanh(2.0) ** 2
    by_bias = agent.learners["actor"].gradient[-2:]
    slope = 0.3 * 2 * size * inner / 2  # the mean is over both coordinates
    torch.testing.assert_close(by_bias, torch.tensor([slope, -slope]), rtol=1e-4, atol=0)


def test_an_action_l2_on_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="action_l2_on='outputs' must be output or preactivation"):
        ddpg(action_l2_on="outputs")


@VARIANTS
@pytest.mark.parametrize("double", [True, False])
def test_dqn_updates_equal_the_reference(changes: dict[str, Any], double: bool) -> None:
    settings = {"gamma": 0.9, "tau": 0.1, "layer_norm": False, "grad_clip_norm": None} | changes
    agent = dqn(lr=2e-3, double=double, **settings)
    reference = Reference(agent, {"q": 2e-3}, settings)
    see(agent)
    for batch in batches(dqn, 4):
        metrics = agent.update(batch)
        net, target = reference.net["q"], reference.target["q"]
        state = reference.normalise(batch.observation, batch.goal)
        after = reference.normalise(batch.next_observation, batch.goal)
        rows = torch.arange(len(batch.action))
        with torch.no_grad():
            values = target(after)
            best = (net(after) if double else values).argmax(1)
            y = reference.y(batch, values[rows, best])
        q = net(state)[rows, batch.action - FIRST]
        loss = ((q - y) ** 2).mean()
        reference.step("q", loss)
        reference.follow()
        assert float(metrics["critic_loss"]) == pytest.approx(loss.item(), rel=1e-4)
    same_parameters(agent, reference)


@ALL
def test_an_update_leaves_the_batch_and_the_normaliser_alone(make: Any) -> None:
    agent = make()
    see(agent)
    (batch,) = batches(make)
    kept = Batch(*(part.clone() for part in batch))
    moments = copy.deepcopy(agent.inputs.state_dict())
    agent.update(batch)
    assert equal(tuple(batch), tuple(kept))
    assert equal(agent.inputs.state_dict(), moments)


@ALL
def test_metrics_are_detached_scalars(make: Any) -> None:
    metrics = make().update(batches(make)[0])
    assert {"critic_loss", "q_mean"} <= metrics.keys()
    for value in metrics.values():
        assert isinstance(value, torch.Tensor)
        assert value.ndim == 0
        assert not value.requires_grad


def test_the_actors_step_crosses_the_critic_without_touching_it() -> None:
    agent = ddpg()
    see(agent)
    learner, seen = agent.learners["actor"], []
    minimize = learner.step

    def spy(loss: Any) -> None:
        def critic() -> list[Any]:
            both = [*agent.critic.parameters(), *agent.target_critic.parameters()]
            return [(p.detach().clone(), None if p.grad is None else p.grad.clone()) for p in both]

        before, actor = critic(), [p.detach().clone() for p in agent.actor.parameters()]
        minimize(loss)
        seen.append(equal(before, critic()))
        assert not equal(actor, [p.detach() for p in agent.actor.parameters()])

    learner.step = spy  # type: ignore[method-assign]
    for batch in batches(ddpg, 3):
        agent.update(batch)
    assert seen == [True] * 3


def test_gradients_are_clipped_by_their_norm_over_all_parameters() -> None:
    def norm(**settings: Any) -> float:
        agent = ddpg(**settings)
        agent.update(batches(ddpg)[0])
        return float(agent.learners["critic"].gradient.norm())

    free = norm()
    assert free > 0.1
    assert norm(grad_clip_norm=0.01) == pytest.approx(0.01, rel=1e-3)
    assert norm(grad_clip_norm=1e6) == pytest.approx(free)


# --- targets that follow -----------------------------------------------------------------------


def networks(agent: Any) -> dict[str, tuple[list[Any], list[Any]]]:
    return {
        name: (
            [p.detach().clone() for p in learner.network.parameters()],
            [p.detach().clone() for p in learner.target.parameters()],
        )
        for name, learner in agent.learners.items()
        if learner.target is not None
    }


@ALL
def test_targets_start_as_copies_and_move_by_tau(make: Any) -> None:
    agent = make(tau=0.3, target_every=1)
    before = networks(agent)
    for network, target in before.values():
        assert equal(network, target)
    agent.update(batches(make)[0])
    for name, (network, target) in networks(agent).items():
        for new, old, now in zip(network, before[name][1], target, strict=True):
            torch.testing.assert_close(now, 0.7 * old + 0.3 * new, atol=1e-7, rtol=1e-6)
        assert not equal(network, before[name][0])


@ALL
def test_target_every(make: Any) -> None:
    agent = make(tau=1.0, target_every=3)
    before = networks(agent)
    for number, batch in enumerate(batches(make, 7), start=1):
        agent.update(batch)
        for name, (network, target) in networks(agent).items():
            if number % 3 == 0:
                assert equal(target, network)
                before[name] = (network, target)
            else:
                assert equal(target, before[name][1])


@BOTH
def test_layer_norm_is_there(make: Any) -> None:
    without = sum(1 for _ in next(iter(make().learners.values())).network.parameters())
    agent = make(layer_norm=True)
    network = next(iter(agent.learners.values())).network
    assert sum(1 for _ in network.parameters()) == without + 4  # weight and bias, twice
    # A hidden layer's scale does not matter any more.
    x = torch.randn(5, network.layers[0].in_features, generator=torch.Generator().manual_seed(0))
    first = network(x)
    with torch.no_grad():
        network.layers[0].weight.mul_(1000.0)
        network.layers[0].bias.mul_(1000.0)
    torch.testing.assert_close(network(x), first, atol=1e-3, rtol=1e-3)


# --- actions -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("inside", "outside"), [(50.0, HIGH), (-50.0, LOW), (0.0, MIDDLE)])
def test_actions_reach_the_corners_of_the_box(inside: float, outside: np.ndarray) -> None:
    agent = ddpg()
    answer(agent.actor, inside, inside)
    action = agent.act(*inputs(3), explore=False)
    assert action.dtype == np.float32
    np.testing.assert_allclose(action, np.tile(outside, (3, 1)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_actions_have_the_shape_and_type_of_the_box(dtype: Any) -> None:
    low = np.arange(6, dtype=dtype).reshape(2, 3) - 3.0
    box = spaces.Box(low.astype(dtype), (low + 2.0).astype(dtype), dtype=dtype)
    agent = ddpg(spaces=make_spaces(box), random_steps=5)
    for steps in (0, 10):
        agent.observe(np.zeros((1, OBSERVATION)), np.zeros((1, GOAL)), np.ones(1), steps)
        for explore in (True, False):
            action = agent.act(*inputs(7), explore=explore)
            assert action.shape == (7, 2, 3)
            assert action.dtype == dtype
            assert all(box.contains(row) for row in action)
    answer(agent.actor, *[0.0] * 6)
    np.testing.assert_allclose(agent.act(*inputs(1), explore=False)[0], low + 1.0)


def test_actions_lie_in_the_box_to_the_last_bit() -> None:
    rng = np.random.default_rng(0)
    outside = 0
    for _ in range(60):
        low = rng.uniform(-3.0, 2.0, 8).astype(np.float32)
        box = spaces.Box(low, (low + rng.uniform(0.1, 3.0, 8)).astype(np.float32))
        agent = ddpg(spaces=make_spaces(box), random_steps=0, noise_std=1.0, hidden_sizes=(4,))
        actions = [*agent.act(*inputs(8), explore=True)]
        for end in (50.0, -50.0):
            answer(agent.actor, *[end] * 8)
            actions += [*agent.act(*inputs(1), explore=False)]
        outside += sum(not box.contains(action) for action in actions)
    assert outside == 0


@pytest.mark.parametrize(("low", "high"), [(-np.inf, np.inf), (-1.0, np.inf), (-np.inf, 1.0)])
def test_unbounded_actions_are_refused(low: float, high: float) -> None:
    with pytest.raises(ValueError, match="bounded"):
        ddpg(spaces=make_spaces(spaces.Box(low, high, (2,))))


def test_agents_refuse_the_other_kind_of_actions() -> None:
    with pytest.raises(ValueError, match="DDPG needs Box"):
        ddpg(spaces=DISCRETE)
    with pytest.raises(ValueError, match="DQN needs Discrete"):
        dqn(spaces=BOX)
    assert DDPG.check_spaces(BOX) is None
    assert DQN.check_spaces(DISCRETE) is None


@pytest.mark.parametrize(
    ("make", "setting"),
    [
        (ddpg, {"gamma": 1.0}), (ddpg, {"tau": 0.0}), (ddpg, {"noise_std": -1.0}),
        (ddpg, {"random_action": 1.5}), (ddpg, {"actor_lr": 0.0}), (dqn, {"lr": float("nan")}),
        (dqn, {"epsilon_start": 2.0}), (dqn, {"epsilon_steps": 0}), (dqn, {"target_every": 0}),
    ],
)  # fmt: skip
def test_wrong_settings_are_named(make: Any, setting: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(setting))):
        make(**setting)


# --- exploration -------------------------------------------------------------------------------


def explored(agent: DDPG, n: int = 20_000) -> np.ndarray:
    """Exploring actions in units of half the Box, of a policy that answers the middle."""
    answer(agent.actor, 0.0, 0.0)
    return (agent.act(*inputs(n), explore=True) - MIDDLE) / HALF


def uniform(values: np.ndarray) -> bool:
    """Uniform on [-1, 1], to the precision of the sample: its largest gap to the distribution."""
    ordered = (np.sort(values) + 1.0) / 2.0
    gap = np.abs(ordered - (np.arange(len(ordered)) + 0.5) / len(ordered)).max()
    return bool(gap < 2.0 / np.sqrt(len(values)))


def test_gaussian_noise() -> None:
    noise = explored(ddpg(random_steps=0, random_action=0.0, noise_std=0.2))
    np.testing.assert_allclose(noise.mean(0), 0.0, atol=0.01)
    np.testing.assert_allclose(noise.std(0), 0.2, rtol=0.03)
    assert abs(np.corrcoef(noise.T)[0, 1]) < 0.03
    # Not cut short: some 4.6 % of a normal lies beyond two deviations.
    assert np.mean(np.abs(noise) > 0.4) == pytest.approx(0.0455, abs=0.005)


def test_noise_is_clipped_to_the_box() -> None:
    noise = explored(ddpg(random_steps=0, random_action=0.0, noise_std=1.0))
    assert np.abs(noise).max() <= 1.0 + 1e-6
    assert np.mean(np.abs(noise) > 0.999) == pytest.approx(0.317, abs=0.02)


def test_the_share_of_random_actions() -> None:
    actions = explored(ddpg(random_steps=0, random_action=0.3, noise_std=0.0))
    drawn = np.abs(actions) > 1e-6
    assert (drawn[:, 0] == drawn[:, 1]).all()  # a whole action is drawn, or none of it
    assert drawn[:, 0].mean() == pytest.approx(0.3, abs=0.01)
    assert all(uniform(actions[drawn[:, 0], i]) for i in (0, 1))


def test_random_steps_are_counted_in_env_steps() -> None:
    agent = ddpg(random_steps=100, random_action=0.0, noise_std=0.1)
    see(agent, 8, steps=99)  # 8 states, 99 env steps
    first = explored(agent)
    assert all(uniform(first[:, i]) for i in (0, 1))
    see(agent, 8, steps=1)
    np.testing.assert_allclose(explored(agent).std(0), 0.1, rtol=0.03)


def test_epsilon_falls_in_env_steps() -> None:
    agent = dqn(epsilon_start=0.9, epsilon_end=0.1, epsilon_steps=1000)
    answer(agent.q, 0.0, 1.0, 0.0)
    passed = 0
    for steps, epsilon in ((0, 0.9), (8, 0.8936), (492, 0.5), (500, 0.1), (10_000, 0.1)):
        see(agent, 4, steps=steps)
        passed += steps
        assert agent.env_steps == passed
        assert agent.epsilon == pytest.approx(epsilon)
        share = np.mean(agent.act(*inputs(20_000), explore=True) != FIRST + 1)
        assert share == pytest.approx(epsilon * 2 / 3, abs=0.012)  # one draw in three hits the best


def test_discrete_actions_are_uniform_and_start_where_the_space_does() -> None:
    agent = dqn(epsilon_start=1.0)
    actions = agent.act(*inputs(30_000), explore=True)
    assert np.issubdtype(actions.dtype, np.integer)
    values, counts = np.unique(actions, return_counts=True)
    assert values.tolist() == [10, 11, 12]
    np.testing.assert_allclose(counts / len(actions), 1 / 3, atol=0.012)


def test_greedy_dqn() -> None:
    agent = dqn()
    see(agent)
    observation, goal = inputs(50)
    values = agent.q(agent.input_of(observation, goal)).detach().numpy()
    np.testing.assert_array_equal(
        agent.act(observation, goal, explore=False), FIRST + values.argmax(1)
    )


# --- randomness --------------------------------------------------------------------------------


@ALL
def test_without_exploration_nothing_is_drawn_and_nothing_changes(make: Any) -> None:
    agent = make()
    see(agent, steps=5000)
    before = copy.deepcopy(agent.state_dict())
    observation, goal = inputs(6)
    first = agent.act(observation, goal, explore=False)
    np.testing.assert_array_equal(first, agent.act(observation, goal, explore=False))
    # Lanes do not depend on one another.
    alone = [agent.act(observation[i : i + 1], goal[i : i + 1], explore=False) for i in range(6)]
    np.testing.assert_allclose(np.concatenate(alone), first, rtol=1e-5)
    assert equal(before, agent.state_dict())
    assert not np.array_equal(
        agent.act(*inputs(50), explore=True), agent.act(*inputs(50), explore=True)
    )
    assert not equal(before, agent.state_dict())


@ALL
def test_the_global_streams_are_left_alone(make: Any) -> None:
    def streams() -> Any:
        return torch.get_rng_state(), np.random.get_state()[1:], random.getstate()  # noqa: NPY002

    before = streams()
    agent = make()
    see(agent)
    for explore in (True, False):
        agent.act(*inputs(4), explore=explore)
    agent.update(batches(make)[0])
    assert equal(before, streams())


@ALL
def test_the_seed_decides_everything(make: Any) -> None:
    def play(seed: int, shift: int) -> Any:
        torch.manual_seed(shift)  # of no consequence
        agent = make(seed=seed)
        see(agent, steps=1000)
        actions = [agent.act(*inputs(4), explore=True) for _ in range(3)]
        for batch in batches(make, 3):
            agent.update(batch)
        return actions, agent.state_dict()

    state = torch.get_rng_state()
    assert equal(play(1, 0), play(1, 1))
    one, other = play(1, 0), play(2, 0)
    assert not equal(one[0], other[0])
    assert not equal(one[1]["learners"], other[1]["learners"])
    torch.set_rng_state(state)


def test_actor_and_critic_are_initialised_apart() -> None:
    square = make_spaces(spaces.Box(-1.0, 1.0, (1,)))
    agent = ddpg(spaces=square)
    actor, critic = agent.actor.layers[0].weight, agent.critic.layers[0].weight
    assert not torch.equal(actor, critic[:, : actor.shape[1]])
    assert not torch.equal(agent.actor.layers[1].weight, agent.critic.layers[1].weight)


# --- saving ------------------------------------------------------------------------------------


@ALL
@pytest.mark.parametrize("settings", [{}, {"target_every": 4, "layer_norm": True}])
def test_saved_and_restored_goes_on_bit_for_bit(make: Any, settings: dict[str, Any]) -> None:
    def go_on(agent: Any, part: int) -> list[Any]:
        actions = []
        for number, batch in enumerate(batches(make, 5, seed=part)):
            see(agent, 20, steps=300, seed=10 * part + number)
            actions.append(agent.act(*inputs(4, seed=number), explore=True))
            agent.update(batch)
        return actions

    agent = make(**settings)
    go_on(agent, 0)
    file = io.BytesIO()
    torch.save(agent.state_dict(), file)
    file.seek(0)
    other = make(seed=9, **settings)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert equal(agent.state_dict(), other.state_dict())
    assert equal(go_on(agent, 1), go_on(other, 1))
    assert equal(agent.state_dict(), other.state_dict())


@ALL
def test_a_state_holds_plain_things_only(make: Any) -> None:
    def plain(value: Any) -> bool:
        if isinstance(value, dict):
            return all(type(k) in (str, int) and plain(v) for k, v in value.items())
        if type(value) is list or type(value) is tuple:
            return all(map(plain, value))
        return value is None or type(value) in (torch.Tensor, str, int, float, bool)

    agent = make()
    see(agent, steps=10)
    agent.update(batches(make)[0])
    state = agent.state_dict()
    for learner in state["learners"].values():
        for name in {"network", "target"} & learner.keys():
            learner[name] = dict(learner[name])  # torch gives an OrderedDict
    assert plain(state)


# --- the normaliser ----------------------------------------------------------------------------


def test_moments_equal_numpys_of_all_values_seen() -> None:
    rng = np.random.default_rng(0)
    values, weights = rng.normal([5.0, -300.0, 1e6], [2.0, 40.0, 3.0], (500, 3)), rng.random(500)
    weights[::7] = 0.0
    plain, weighted = RunningMoments(3), RunningMoments(3)
    for part in np.array_split(np.arange(500), 37):
        plain.update(values[part])
        weighted.update(values[part], weights[part])
    np.testing.assert_allclose(plain.mean, values.mean(0))
    np.testing.assert_allclose(plain.std, values.std(0))
    mean = np.average(values, axis=0, weights=weights)
    np.testing.assert_allclose(weighted.mean, mean)
    deviation = np.sqrt(np.average((values - mean) ** 2, axis=0, weights=weights))
    np.testing.assert_allclose(weighted.std, deviation)


def test_moments_before_anything_and_of_nothing() -> None:
    moments = RunningMoments(2)
    np.testing.assert_array_equal(moments.std, [1.0, 1.0])
    moments.update(np.zeros((0, 2)))
    moments.update(np.full((3, 2), 7.0), np.zeros(3))
    assert moments.weight == 0.0
    np.testing.assert_array_equal(moments.mean, [0.0, 0.0])
    moments.update(np.full((3, 2), 7.0))
    np.testing.assert_array_equal(moments.std, [0.01, 0.01])  # not blown up


def test_integers_are_counted_as_numbers() -> None:
    moments = RunningMoments(2)
    moments.update(np.full((300, 2), 127, np.int8))
    moments.update(np.full((100, 2), -127, np.int8))
    np.testing.assert_allclose(moments.mean, 63.5)


def test_inputs_are_normalised_and_clipped() -> None:
    normalizer = InputNormalizer(1, 1, clip=2.0)
    normalizer.observe(np.array([[1.0], [3.0]]), np.array([[0.0], [10.0]]), np.array([0.75, 0.25]))
    observation = torch.tensor([[2.0], [3.5], [100.0], [-100.0]])
    goal = torch.tensor([[2.5], [0.0], [-100.0], [100.0]])
    kept = observation.clone(), goal.clone()
    deviation = np.sqrt(0.75 * 2.5**2 + 0.25 * 7.5**2)
    expected = [[0.0, 0.0], [1.5, -2.5 / deviation], [2.0, -2.0], [-2.0, 2.0]]
    torch.testing.assert_close(normalizer(observation, goal), torch.tensor(expected).float())
    assert torch.equal(observation, kept[0])
    assert torch.equal(goal, kept[1])


def test_switched_off_the_inputs_pass_as_they_are() -> None:
    normalizer = InputNormalizer(2, 1, enabled=False)
    normalizer.observe(np.ones((9, 2)), np.ones((9, 1)), np.ones(9))
    observation, goal = torch.tensor([[100.0, -3.0]]), torch.tensor([[7.0]])
    assert normalizer(observation, goal).tolist() == [[100.0, -3.0, 7.0]]


@ALL
def test_only_what_is_observed_moves_the_normaliser(make: Any) -> None:
    agent = make()
    see(agent)
    before = copy.deepcopy(agent.inputs.state_dict())
    for explore in (True, False):
        agent.act(*inputs(30), explore=explore)
    agent.update(batches(make)[0])
    assert equal(before, agent.inputs.state_dict())
    see(agent, seed=4)
    assert not equal(before, agent.inputs.state_dict())


@ALL
def test_what_was_observed_counts_at_once(make: Any) -> None:
    agent = make(normalize_clip=1e9)
    observation, goal = inputs(5)
    first = agent.input_of(observation, goal)
    torch.testing.assert_close(first, torch.from_numpy(np.hstack([observation, goal])).float())
    see(agent)
    moments = agent.inputs
    mean = np.concatenate([moments.observation.mean, moments.goal.mean])
    std = np.concatenate([moments.observation.std, moments.goal.std])
    expected = (np.hstack([observation, goal]) - mean) / std
    np.testing.assert_allclose(agent.input_of(observation, goal).numpy(), expected, atol=1e-5)


def test_images_and_bits_are_flattened() -> None:
    space = spaces.MultiBinary((2, 3))
    agent = dqn(spaces=GoalSpaces(space, space, spaces.Discrete(ACTIONS)))
    bits = np.random.default_rng(0).integers(0, 2, (5, 2, 3), np.int8)
    agent.observe(bits, bits, np.ones(5), 5)
    assert agent.act(bits, bits, explore=False).shape == (5,)
    assert agent.input_of(bits, bits).shape == (5, 12)


@BOTH
def test_nbytes_is_a_little_less_than_the_smallest_network_takes(make: Any) -> None:
    """Weights, gradient and Adam's two moments, without biases."""
    agent = make()
    networks = [learner.network for learner in agent.learners.values()]
    smallest = 4 * min(sum(p.nbytes for p in network.parameters()) for network in networks)
    assert 0.8 * smallest < agent.nbytes(agent.spaces, SETTINGS["hidden_sizes"]) < smallest
