"""What every agent shares: inputs, exploration's generator, clipped targets, saving."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from her_exp.agents.networks import MLP, Learner
from her_exp.agents.normalizer import InputNormalizer
from her_exp.limits import return_complaint
from her_exp.types import Agent, Array, GoalSpaces


def target_range(
    reward_range: tuple[float, float] | None, gamma: float
) -> tuple[float, float] | None:
    """Return the (lowest, highest) return that rewards in `reward_range` can pay, for gamma < 1.

    An episode may end at once or go on for ever, so both the reward itself and its endless
    discounted sum are in reach (the clipping of Andrychowicz et al. 2017, for any reward).

    Raises:
        ValueError: returns so large that float32 cannot hold their squares.
    """
    if reward_range is None:
        return None
    if wrong := return_complaint(reward_range, gamma):
        raise ValueError(f"reward_range={list(reward_range)} {wrong}")
    low, high = reward_range
    return min(low, low / (1.0 - gamma)), max(high, high / (1.0 - gamma))


class Stateful(Protocol):
    """Something that learning or drawing changes."""

    def state_dict(self) -> dict[str, Any]:
        """Return all of it."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore `state_dict`."""


class GoalAgent(Agent):
    """The skeleton of an agent. A subclass fills `self.learners` and defines `act` and `update`.

    Args:
        spaces: spaces of one lane.
        reward_range: declared (lowest, highest) reward, or None.
        seed: the agent's own branch of randomness: initialisation, exploration, updates.
        device: where the networks live.
        gamma: discount.
        tau: share by which targets move.
        target_every: updates between two moves of the targets.
        clip_targets: clip Q targets to what the rewards can pay.
        normalize, normalize_clip: see `InputNormalizer`.
    """

    def __init__(
        self,
        spaces: GoalSpaces,
        reward_range: tuple[float, float] | None,
        seed: np.random.SeedSequence,
        device: str | torch.device,
        *,
        gamma: float,
        tau: float,
        target_every: int,
        clip_targets: bool,
        normalize: bool,
        normalize_clip: float,
    ):
        self.spaces, self.device = spaces, torch.device(device)
        self.gamma, self.tau, self.target_every = gamma, tau, target_every
        #: What rewards can pay; an agent whose values hold more (an entropy bonus) widens it.
        self.return_range = target_range(reward_range, gamma)
        self.target_range = self.return_range if clip_targets else None
        self._init_seed, explore_seed, self._update_seed = seed.spawn(3)
        self._generator = np.random.default_rng(explore_seed)
        self.inputs = InputNormalizer(
            spaces.observation_dim,
            spaces.goal_dim,
            enabled=normalize,
            clip=normalize_clip,
            device=self.device,
        )
        self.learners: dict[str, Learner] = {}
        #: What else has a state to save, by name.
        self.parts: dict[str, Stateful] = {"inputs": self.inputs}
        self.env_steps = 0  #: env steps seen: the clock of exploration schedules
        self.updates = 0

    @staticmethod
    def nbytes(spaces: GoalSpaces, hidden_sizes: Sequence[int]) -> int:
        """Bytes that an agent takes at least: one network, its gradient and Adam's two moments."""
        widths = [spaces.observation_dim + spaces.goal_dim, *hidden_sizes, 1]
        return 4 * 4 * sum(i * o for i, o in itertools.pairwise(widths))

    def initialize(self, make: Callable[[], MLP]) -> MLP:
        """Return `make()`, initialised from the agent's own seed; torch's global stream is untouched."""
        (child,) = self._init_seed.spawn(1)
        with torch.random.fork_rng(devices=[]):
            # The CPU's generator alone: torch.manual_seed would reseed every GPU's as well.
            torch.default_generator.manual_seed(int(child.generate_state(1)[0]))
            return make().to(self.device)

    def input_of(self, observation: Array, goal: Array) -> Tensor:
        """Return the networks' input (n, o + g) for arrays of n lanes."""
        parts = (
            torch.as_tensor(part.reshape(len(part), -1), dtype=torch.float32, device=self.device)
            for part in (observation, goal)
        )
        return self.inputs(*parts)

    def observe(self, observation: Array, goals: Array, goal_weights: Array, steps: int) -> None:
        """See new states once each and goals with their weights; `steps` env steps were stored."""
        self.env_steps += steps
        self.inputs.observe(observation, goals, goal_weights)

    def bootstrap(self, reward: Tensor, terminated: Tensor, next_value: Tensor) -> Tensor:
        """Return the Q target (b,): only `terminated` cuts the bootstrap."""
        target = torch.addcmul(reward, (1.0 - terminated).mul_(self.gamma), next_value)
        return target if self.target_range is None else target.clamp_(*self.target_range)

    def takes_turn(self, every: int) -> bool:
        """Say whether what is done once in `every` updates is done in this one: it is the last of them."""
        return (self.updates + 1) % every == 0

    def finish_update(self) -> None:
        """Move the targets when it is their turn, and count the update."""
        if self.takes_turn(self.target_every):
            for learner in self.learners.values():
                if learner.target is not None:
                    learner.move_target(self.tau)
        self.updates += 1

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
