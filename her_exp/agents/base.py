"""What every agent shares: its contract, inputs, exploration's generator, clipped targets, saving.

An agent is its losses. It names its networks, says which of them have a target, which loss moves which,
and when; each loss is a method `loss(nets, batch, noise, s) -> (0-d, metrics)`:

- `nets` holds the networks by name (`nets.critic`, `nets.target_critic`), each a function of its inputs;
- `batch` is a `Learned`: states as the networks see them;
- `noise` holds every random number of the update, drawn before (`draw`);
- `s` holds the settings that may differ between runs that learn at once, a float or a 0-d tensor each.

In a loss: no Python `if` on `s`, nothing in place on inputs, no generator, no `.item()`, and of the agent
only what never changes. Then the engine can take its gradient for one run, or for many at once, and a GPU
can record an update and replay it.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from her_exp.agents.engine import Engine, Move, Settings, as_one_step
from her_exp.agents.networks import MLP, check_network
from her_exp.agents.normalizer import InputNormalizer
from her_exp.agents.products import Precision, resolve_precision
from her_exp.learning.learner import Learner
from her_exp.learning.replays import Replays
from her_exp.limits import Count, Gamma, Positive, Tau, check_settings, target_range
from her_exp.types import Agent, Array, Batch, GoalSpaces, Metrics, Stateful

log = logging.getLogger(__name__)


class Learned(NamedTuple):
    """A batch as losses see it."""

    state: Tensor  #: (b, o + g): observation and goal, normalised
    action: Tensor  #: (b, action_dim) in units of half the Box, or (b,) int64 from 0 on
    reward: Tensor  #: (b,) of n steps their discounted sum
    terminated: Tensor  #: (b,) 1.0 where the bootstrap is cut; of m steps it keeps gamma^(m - 1)
    next_state: Tensor  #: (b, o + g)
    demonstrated: Tensor | None = None  #: (b,) 1.0: a demonstration's step; None: none is


@dataclass(kw_only=True, eq=False, repr=False)
class GoalAgent(Agent):
    """The skeleton of an agent. A subclass says what it learns by, and how it acts.

    It defines `moves`, `targets`, `networks`, losses and `decide`; `draw` where losses need random numbers.
    A setting is a field: its default, type and limits stand there alone; `conf/agent/` says what it does.

    Args:
        spaces: spaces of one lane.
        reward_range: declared (lowest, highest) reward, or None.
        seed: the agent's own branch of randomness: initialisation, exploration, updates.
        device: where the networks live.
        network: makes a network of (inputs, outputs); None: an `MLP` of `hidden_sizes`.
        hidden_sizes, layer_norm, precision: of that MLP; precision may be 'auto'.
        gamma: discount of each env step.
        tau, target_every: share by which targets move, and updates between two moves.
        clip_targets: clip Q targets to what the rewards can pay; 'value': clip the value of what follows,
            before what entropy adds to it (Bounded Q, arXiv:2312.05787).
        normalize, normalize_clip: see `InputNormalizer`.
        grad_clip_norm: largest norm of the gradient of each network, or None.
        lr_milestones: env steps from each of which on all learning rates are a tenth of what they were.
        replay_updates: on a GPU, record each kind of update once and replay it (see `Replays`).
    """

    targets: ClassVar[tuple[str, ...]] = ()  #: networks that a target follows
    policy: ClassVar[str] = "actor"  #: the network that acts
    #: Settings of acting or of the beginning, in which runs that learn at once may differ too.
    apart: ClassVar[tuple[str, ...]] = ()
    #: Settings that losses and engine read from `s`, beside the learning rates.
    tunable: ClassVar[tuple[str, ...]] = ("gamma", "tau")
    #: Those of them that at 0 leave work out: runs with and without it do not learn at once.
    switches: ClassVar[tuple[str, ...]] = ()

    hidden_sizes: Sequence[Count] = (64, 64)
    layer_norm: bool = True
    network: Callable[[int, int], nn.Module] | None = None
    gamma: Gamma = 0.98
    tau: Tau = 0.05
    target_every: Count = 1
    grad_clip_norm: Positive | None = None
    lr_milestones: Sequence[Count] = ()
    clip_targets: bool | Literal["value"] = True
    normalize: bool = True
    normalize_clip: Positive = 5.0
    precision: Precision = "float32"
    replay_updates: bool = True
    spaces: GoalSpaces
    reward_range: tuple[float, float] | None = None
    seed: np.random.SeedSequence = field(default_factory=np.random.SeedSequence)
    device: str | torch.device = "cpu"

    def __post_init__(self) -> None:
        check_settings(self)
        if complaint := self.check_spaces(self.spaces):
            raise ValueError(complaint)
        self.device = torch.device(self.device)
        wide = self.hidden_sizes if self.network is None else ()
        if self.network is not None and self.precision == "bfloat16":
            raise ValueError(
                "precision=bfloat16 goes with our own networks alone; take precision=auto"
            )
        self.precision = resolve_precision(self.precision, self.device, wide)
        #: What rewards can pay; an agent whose values hold more (an entropy bonus) widens it.
        self.return_range = target_range(self.reward_range, self.gamma)
        self.target_range = self.return_range if self.clip_targets else None
        self._init_seed, explore_seed, self._update_seed = self.seed.spawn(3)
        self._generator = np.random.default_rng(explore_seed)
        self.state_dim = self.spaces.observation_dim + self.spaces.goal_dim
        self.inputs = InputNormalizer(
            self.spaces.observation_dim, self.spaces.goal_dim,
            enabled=self.normalize, clip=self.normalize_clip, device=self.device,
        )  # fmt: skip
        #: What else has a state to save, by name.
        self.parts: dict[str, Stateful] = {"inputs": self.inputs}
        self.env_steps = self.updates = 0  #: env steps seen, the clock of schedules; updates taken
        self.prepare()
        self.learners = {
            name: Learner([network.to(self.device)], name in self.targets, many=False)
            for name, network in self.networks().items()
        }
        moves = self.moves()
        self.engine = Engine(self, moves, self.learners, self.grad_clip_norm)
        self._rates = {rate for move in moves for rate in move.rates.values()}
        self.nets = self.engine.nets  #: networks and targets, by name
        self.replays = Replays() if self.device.type == "cuda" and self.replay_updates else None

    # -- what a subclass says --------------------------------------------------------------------

    def prepare(self) -> None:
        """Set what `networks` and `draw` need; called once, before them."""

    def networks(self) -> dict[str, nn.Module]:
        """Return new networks, by name."""
        raise NotImplementedError

    def moves(self) -> Sequence[Move]:
        """Return the losses in their order, each with the networks that it moves."""
        raise NotImplementedError

    def decide(self, raw: Tensor | None, n: int, explore: bool) -> Array:
        """Return actions (n, ...) by what the network `policy` says of n inputs; without it blindly."""
        raise NotImplementedError

    def is_blind(self, explore: bool) -> bool:
        """Say whether it acts without a look at the state."""
        return False

    def draw(self, size: int, skip: Sequence[str]) -> dict[str, Any]:
        """Return the random numbers of an update of `size` rows, but for the losses to `skip`."""
        return {}

    def units(self, action: Tensor) -> Tensor:
        """Return actions of the env as losses see them."""
        return action

    @staticmethod
    def nbytes(spaces: GoalSpaces, hidden_sizes: Sequence[int]) -> int:
        """Bytes that an agent takes at least: one network, its gradient and Adam's two moments."""
        widths = [spaces.observation_dim + spaces.goal_dim, *hidden_sizes, 1]
        return 4 * 4 * sum(i * o for i, o in itertools.pairwise(widths))

    def make_network(self, inputs: int, outputs: int) -> nn.Module:
        """Return a new network, initialised from the agent's own seed; torch's global stream is untouched."""
        (child,) = self._init_seed.spawn(1)
        with torch.random.fork_rng(devices=[]):
            # The CPU's generator alone: torch.manual_seed would reseed every GPU's as well.
            torch.default_generator.manual_seed(int(child.generate_state(1)[0]))
            if self.network is None:
                return MLP(
                    inputs,
                    outputs,
                    self.hidden_sizes,
                    layer_norm=self.layer_norm,
                    precision=self.precision,
                )
            made = self.network(inputs, outputs)
            check_network(made, inputs, outputs, "agent.network")
        return made

    @property
    def settings(self) -> Settings:
        """The settings that losses and engine read, as they are now."""
        fallen = 0.1 ** sum(self.env_steps >= steps for steps in self.lr_milestones)
        values = {name: getattr(self, name) for name in self.tunable}
        values |= {name: getattr(self, name) * fallen for name in self._rates}
        values["lowest"], values["highest"] = self.target_range or (None, None)
        return Settings(**values)

    def input_of(self, observation: Array, goal: Array) -> Tensor:
        """Return the networks' input (n, o + g) for arrays of n lanes."""
        parts = (
            torch.as_tensor(part.reshape(len(part), -1), dtype=torch.float32, device=self.device)
            for part in (observation, goal)
        )
        return self.inputs(*parts)

    def output(self, network: nn.Module, state: Tensor) -> Tensor:
        """Return what a network says of inputs (n, o + g), in float32 whatever the precision: for acting."""
        told: Tensor = network.exact(state) if isinstance(network, MLP) else network(state)
        return told

    @torch.no_grad()
    def act(self, observation: Array, goal: Array, *, explore: bool) -> Array:
        """Return actions (n, ...) for observations (n, o) and goals (n, g)."""
        raw = None
        if not self.is_blind(explore):
            raw = self.output(getattr(self.nets, self.policy), self.input_of(observation, goal))
        return self.decide(raw, len(observation), explore)

    def observe(self, observation: Array, goals: Array, goal_weights: Array, steps: int) -> None:
        """See new states once each and goals with their weights; `steps` env steps were stored."""
        self.env_steps += steps
        self.inputs.observe(observation, goals, goal_weights)

    def learned(self, batch: Batch) -> Learned:
        """Return a batch as losses see it."""
        return Learned(
            self.inputs(batch.observation, batch.goal),
            self.units(batch.action),
            batch.reward,
            batch.terminated,
            self.inputs(batch.next_observation, batch.goal),
            batch.demonstrated,
        )

    def bootstrap(
        self, batch: Learned, next_value: Tensor, s: Any, bonus: Tensor | float = 0.0
    ) -> Tensor:
        """Return the Q target, (b,) or (b, n) as `next_value` is: only `terminated` cuts the bootstrap.

        `bonus` is what entropy adds to the next value.
        """
        values = self.target_range is not None and self.clip_targets == "value"
        if values:
            next_value = next_value.clamp(s.lowest, s.highest)
        reward, goes_on = batch.reward, 1.0 - batch.terminated
        if next_value.dim() > reward.dim():
            reward, goes_on = reward.unsqueeze(-1), goes_on.unsqueeze(-1)
        target: Tensor = reward + s.gamma * goes_on * (next_value + bonus)
        if self.target_range is not None and not values:
            target = target.clamp(s.lowest, s.highest)
        return target.detach()

    def takes_turn(self, every: int) -> bool:
        """Say whether what is done once in `every` updates is done in this one: it is the last of them."""
        return (self.updates + 1) % every == 0

    def skipped(self) -> Sequence[str]:
        """Return the losses whose turn this update is not."""
        return ()

    @torch.no_grad()
    def update(self, batch: Batch) -> Metrics:
        """Take one gradient step by each loss whose turn it is; then move the targets, if it is theirs."""
        if self.updates == self.env_steps == 0 and batch.demonstrated is None:  # one's own loop
            log.warning(
                "the agent learns and was never told of a step: call observe(...) for each, or its inputs "
                "are not normalised and its first, random steps never end"
            )
        skip = self.skipped()
        noise, targets = self.draw(len(batch.reward), skip), self.takes_turn(self.target_every)
        self.inputs.refresh()
        given = batch, noise, self.settings, tuple(skip), targets
        metrics = self.replays(self._apply, *given) if self.replays else self._apply(*given)
        self.updates += 1
        return metrics

    def _apply(
        self, batch: Batch, noise: Mapping[str, Any], s: Settings, skip: Sequence[str], targets: bool
    ) -> Metrics:  # fmt: skip
        return self.engine.update(self.learned(as_one_step(batch, s)), noise, s, skip, targets)

    def state_dict(self) -> dict[str, Any]:
        """Return networks, targets, optimisers, normaliser, streams of randomness and counters."""
        return {
            "learners": {name: learner.state_dict() for name, learner in self.learners.items()},
            **{name: part.state_dict() for name, part in self.parts.items()},
            "generator": self._generator.bit_generator.state,
            "env_steps": self.env_steps,
            "updates": self.updates,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore `state_dict`."""
        for name, learner in self.learners.items():
            learner.load_state_dict(state["learners"][name])
        for name, part in self.parts.items():
            part.load_state_dict(state[name])
        self._generator.bit_generator.state = state["generator"]
        self.env_steps, self.updates = int(state["env_steps"]), int(state["updates"])
