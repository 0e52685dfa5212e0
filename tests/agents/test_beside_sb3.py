"""Our updates beside those of Stable-Baselines3 and sb3-contrib: the same numbers in, the same out.

Their own `train` runs, on their own networks; only their replay buffer is ours, which gives both sides
the same batches. What they do otherwise, and what is done about it here:

- Their losses of SAC, TQC and DQN are half of ours, that of QR-DQN is `n_quantiles` times ours. Adam
  sees such a factor only beside its `eps`, which is multiplied by it.
- Their DQN has the Huber loss, ours the squared error: alike for errors up to 1, as here.
- Within the logarithm of a squashed action's density they add 1e-6: 0 here. Near the ends of the Box
  their 1 - action^2 has few digits: policies are narrow here.
- Their DQN and QR-DQN move targets at env steps (`_on_step`), which is called after each update.

Networks are small: of many units, rounding soon decides one ReLU otherwise on one side.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import sb3_contrib
import stable_baselines3 as sb3
import torch
from gymnasium import spaces
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from torch import Tensor, nn

from her_exp.types import Batch
from tests.agents.kit import (
    ACTIONS,
    BOX,
    FIRST,
    GOAL,
    OBSERVATION,
    ON_DISCRETE,
    batches,
    ddpg,
    dqn,
    qrdqn,
    sac,
    td3,
    tqc,
)

pytestmark = pytest.mark.heavy

UPDATES, SIZE, HIDDEN, QUANTILES = 20, 20, (10, 24, 8), 5
SETTINGS: dict[str, Any] = {
    "gamma": 0.9, "tau": 0.1, "layer_norm": False, "normalize": False, "clip_targets": False,
}  # fmt: skip
LRS = {"actor_lr": 1e-3, "critic_lr": 1e-3}
GREEDY = {"lr": 1e-3, "double": False}
EACH = {"target_update_interval": 1, "max_grad_norm": np.inf}
SOFT = LRS | {"entropy_lr": 1e-3, "entropy_start": 0.3}

SIMILAR = {"policy_kwargs": {"n_quantiles": QUANTILES}}
#: Ours, theirs, and the settings of both.
BESIDE: dict[str, tuple[Any, Any, dict[str, Any], dict[str, Any]]] = {
    "ddpg": (ddpg, sb3.DDPG, LRS, {}),
    "td3": (td3, sb3.TD3, LRS | {"target_noise_clip": 0.3}, {"target_noise_clip": 0.3}),
    "sac": (sac, sb3.SAC, SOFT, {"ent_coef": "auto_0.3"}),
    "tqc": (tqc, sb3_contrib.TQC, SOFT | {"n_quantiles": QUANTILES, "drop_quantiles": 2},
            SIMILAR | {"ent_coef": "auto_0.3", "top_quantiles_to_drop_per_net": 2}),
    "dqn": (dqn, sb3.DQN, GREEDY, EACH),
    "qrdqn": (qrdqn, sb3_contrib.QRDQN, GREEDY, SIMILAR | EACH),
}  # fmt: skip


class OnlySpaces(gym.Env[Any, Any]):
    """All that is asked of their env: what goes in and out."""

    observation_space = spaces.Box(-np.inf, np.inf, (OBSERVATION + GOAL,), np.float32)

    def __init__(self, action: spaces.Space[Any]):
        self.action_space = action


class Given:
    """In the place of their replay buffer: batches in turn, and a seed for the noise of each update."""

    def __init__(self, samples: list[ReplayBufferSamples]):
        self.samples, self.asked = samples, 0

    def sample(self, batch_size: int, env: Any = None) -> ReplayBufferSamples:
        torch.manual_seed(self.asked)
        self.asked += 1
        return self.samples[self.asked - 1]


class TheirNoise:
    """In the place of our noise: what torch's global stream gives them after the seed of each update.

    Args:
        order: the number, among their draws in an update, of each of ours.
    """

    def __init__(self, *order: int):
        self.order, self.asked = order, 0

    def normal(self, *shape: int) -> Tensor:
        update, which = divmod(self.asked, len(self.order))
        self.asked += 1
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(update)
            return [torch.randn(shape) for _ in self.order][self.order[which]]

    def choose(self, n: int, size: int | None) -> dict[str, Tensor]:
        """All critics, as with them."""
        return {}


@pytest.fixture(autouse=True)
def own_stream() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        yield


def small(batch: Batch) -> Batch:
    """The batch with smaller inputs and rewards, and so with smaller errors."""
    names = ("observation", "goal", "next_observation", "reward")
    return batch._replace(**{name: 0.3 * getattr(batch, name) for name in names})


def for_them(batch: Batch, model: Any) -> ReplayBufferSamples:
    """Our batch as their buffer gives it: goals within observations, columns, actions in [-1, 1]."""
    if isinstance(model.action_space, spaces.Box):
        taken = torch.from_numpy(model.policy.scale_action(batch.action.numpy()))
    else:
        taken = batch.action[:, None] - FIRST
    before, after = (
        torch.cat([part, batch.goal], 1) for part in (batch.observation, batch.next_observation)
    )
    return ReplayBufferSamples(
        before, taken, after, batch.terminated[:, None], batch.reward[:, None]
    )


def parameters(network: nn.Module) -> list[Tensor]:
    """Copies of the parameters of a network of theirs, in the order and shapes of ours.

    Their Gaussian policies have two last layers, of mean and deviation; ours has one. Their outputs for
    Discrete actions are quantile by quantile, ours action by action.
    """
    linear = [module for module in network.modules() if isinstance(module, nn.Linear)]
    parts = [part.detach().clone() for layer in linear for part in (layer.weight, layer.bias)]
    if hasattr(network, "log_std"):
        *parts, weight, bias, log_weight, log_bias = parts
        parts += [torch.cat([weight, log_weight]), torch.cat([bias, log_bias])]
    for part in parts[-2:] if hasattr(network, "quantile_net") else []:
        part.copy_(part.unflatten(0, (-1, ACTIONS)).transpose(0, 1).flatten(0, 1))
    return parts


def beside(name: str) -> tuple[Any, Any, dict[str, str]]:
    """Our agent, their model, and the networks of ours that are the same as theirs, by name."""
    make, kind, mine, its = BESIDE[name]
    agent = make(hidden_sizes=HIDDEN, **SETTINGS, **mine)
    action = spaces.Discrete(ACTIONS) if make in ON_DISCRETE else BOX.action
    policy = {"net_arch": list(HIDDEN)} | its.get("policy_kwargs", {})
    model = kind(
        "MlpPolicy", OnlySpaces(action), learning_rate=1e-3, gamma=0.9, tau=0.1, buffer_size=1,
        device="cpu", seed=1, **its | {"policy_kwargs": policy},
    )  # fmt: skip
    model.set_logger(Logger(None, []))
    if make in ON_DISCRETE:
        factor, net = (0.5, "q_net") if make is dqn else (QUANTILES, "quantile_net")
        model.policy.optimizer.param_groups[0]["eps"] = (
            1e-8 * factor
        )  # their loss, in units of ours
        return agent, model, {"q": net, "target_q": f"{net}_target"}
    names = {"actor": "actor", "critic": "critic", "target_critic": "critic_target"}
    if make in (ddpg, td3):
        agent.noise = TheirNoise(0)
        return agent, model, names | {"target_actor": "actor_target"}
    agent.noise = TheirNoise(1, 0)  # they draw for the policy first, we for the target
    model.actor.action_dist.epsilon = 0.0
    nn.init.constant_(model.actor.log_std.bias, -1.0)
    model.critic.optimizer.param_groups[0]["eps"] = 0.5e-8  # their loss is half of ours
    return agent, model, names


def flat(parts: Iterable[Tensor]) -> Tensor:
    return torch.cat([part.detach().flatten() for part in parts])


@pytest.mark.parametrize("name", BESIDE)
def test_twenty_updates(name: str) -> None:
    agent, model, names = beside(name)
    networks = {n: (getattr(agent.nets, n), getattr(model, their)) for n, their in names.items()}
    for mine, its in networks.values():
        for ours, other in zip(mine.parameters(), parameters(its), strict=True):
            ours.data.copy_(other)
    before = {name: flat(mine.parameters()) for name, (mine, _) in networks.items()}
    discretely = isinstance(model.action_space, spaces.Discrete)
    given = [small(batch) for batch in batches(dqn if discretely else ddpg, UPDATES, SIZE)]
    model.replay_buffer = Given([for_them(batch, model) for batch in given])
    for batch in given:
        agent.update(batch)
        model.train(gradient_steps=1, batch_size=SIZE)
        if discretely:
            model._on_step()
    for name, (mine, its) in networks.items():
        ours, other = flat(mine.parameters()), flat(parameters(its))
        assert (ours - other).norm() < 1e-6 * other.norm(), name
        assert (ours - before[name]).norm() > 1e-3 * other.norm(), name
    if hasattr(agent, "temperature"):
        its = model.log_ent_coef.detach().exp()
        assert float(agent.temperature) == pytest.approx(float(its), rel=1e-6)
        assert float(agent.temperature) < 0.295
