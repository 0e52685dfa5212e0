"""The words that the parts of her_exp speak to one another: shapes, dtypes and protocols.

Shapes: `n` is the number of lanes (parallel environments), `b` a batch. Nothing here imports torch
at run time, so that configuration and environments stay light.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

    from her_exp.distance import DistanceGoal

Array = NDArray[Any]
#: A goal observation of all lanes: keys `observation`, `achieved_goal`, `desired_goal`, arrays (n, ...).
Observation = dict[str, Array]
#: Numbers to log: a 0-d tensor or a float for each tag.
Metrics = dict[str, Any]

KEYS = ("observation", "achieved_goal", "desired_goal")


class UserError(Exception):
    """Something the user can mend. Shown as one line, without a traceback."""


class EnvFailed(UserError):
    """The env raised, hung, died, or gave what cannot be used.

    Attributes:
        trace: the traceback of what the env raised, or ''.
    """

    def __init__(self, line: str, trace: str = ""):
        super().__init__(line)
        self.trace = trace


@dataclass(frozen=True)
class GoalSpaces:
    """The spaces of one lane: `observation` and `goal` are flattened by the networks."""

    observation: spaces.Space[Any]
    goal: spaces.Space[Any]
    action: spaces.Space[Any]

    @property
    def observation_dim(self) -> int:
        """Length of the flattened observation."""
        return int(np.prod(self.observation.shape or ()))

    @property
    def goal_dim(self) -> int:
        """Length of the flattened goal."""
        return int(np.prod(self.goal.shape or ()))


#: An action's bound beyond this one is no bound: some envs write float32's largest number, or 1e10.
_FARTHEST = 1e9
#: Combinations of whole numbers that are worth a Q-value each.
_MOST_CHOICES = 1000


def action_fault(action: spaces.Space[Any]) -> str | None:
    """Say in one line why none of our agents takes such actions, and what helps; None: some do."""
    line = f"action_space is {' '.join(str(action).split())}: "
    if isinstance(action, spaces.Discrete):
        return None
    if isinstance(action, spaces.Box) and np.issubdtype(action.dtype, np.floating):
        if (np.abs(np.array([action.low, action.high], np.float64)) <= _FARTHEST).all():
            return None
        return line + (
            f"bounds beyond {_FARTHEST:g} are none; for agent=ddpg give those that make sense, e.g. "
            "gymnasium.wrappers.TransformAction(env, lambda action: action, "
            f"gymnasium.spaces.Box(-1, 1, {action.shape}))"
        )
    if isinstance(action, spaces.Box):
        counts = 1 + action.high.astype(object) - action.low.astype(object)
    elif isinstance(action, spaces.MultiDiscrete):
        counts = action.nvec.astype(object)
    elif isinstance(action, spaces.MultiBinary):
        counts = np.full(action.shape, 2, object)
    else:
        return line + "agents take one Discrete or one Box of floats; wrap the env to take that"
    number = math.prod(counts.ravel())
    rounded = "round floats to it (Rounded in docs/add_env.md) and take agent=ddpg"
    if number > _MOST_CHOICES:
        return line + rounded
    return line + (
        f"number its combinations (OneChoice in docs/add_env.md), {number} of them, and take "
        f"agent=dqn; or {rounded}"
    )


class Step(NamedTuple):
    """One step of all lanes, as the environment gave it."""

    observation: Observation  #: before the action
    action: Array  #: (n, action_dim) float or (n,) int
    reward: Array  #: (n,) float64
    terminated: Array  #: (n,) bool: the task ended here, nothing follows
    truncated: Array  #: (n,) bool: cut by a time limit; the value of what follows still counts
    next_observation: (
        Observation  #: after the action; of an episode that ended, its true last state
    )
    valid: Array  #: (n,) bool: False on a lane's autoreset step, which is no transition
    info: Mapping[str, Array]  #: vector info, each value (n, ...)
    success: Array  #: (n,) bool: the goal that the action was chosen for is met


class Batch(NamedTuple):
    """A relabelled batch, float32 unless said otherwise, on the device of the buffer.

    The tensors are the buffer's workspace: they hold until the next call of `sample`.

    With `buffer.n_step` = n > 1 reward and terminated are (b, n), step by step from the first on: a step that
    is not taken pays 0, and terminated is 0.0 only after the last one that is, unless it is an end.
    `next_observation` is what that one leads to. `discounted` makes one of them.
    """

    observation: torch.Tensor  #: (b, observation_dim)
    goal: torch.Tensor  #: (b, goal_dim): the goal after relabelling
    action: torch.Tensor  #: (b, action_dim), or (b,) int64 for Discrete
    reward: torch.Tensor  #: (b,)
    terminated: torch.Tensor  #: (b,) 1.0 where the bootstrap is cut
    next_observation: torch.Tensor  #: (b, observation_dim)
    demonstrated: torch.Tensor | None = (
        None  #: (b,) 1.0 where the step is a demonstration's; None: there are none
    )

    @property
    def parts(self) -> dict[str, torch.Tensor]:
        """The tensors that there are, by name."""
        return {name: part for name, part in self._asdict().items() if part is not None}

    def discounted(self, gamma: float | torch.Tensor) -> Batch:
        """Return what n steps pay as one, reward and terminated (b,); a batch of one step as it is.

        `reward + gamma * (1 - terminated) * value`, the target of one step, is then that of n: terminated
        is 1 - gamma^(m - 1) where m steps are taken and something follows. Leading axes are kept, where
        gamma has an axis for each and one of length 1.
        """
        if self.reward.dim() < self.observation.dim():
            return self
        rewards, follows = self.reward.unbind(-1), (1.0 - self.terminated).unbind(-1)
        paid, kept = rewards[-1], follows[-1]
        for reward, follow in zip(rewards[-2::-1], follows[-2::-1], strict=True):
            paid, kept = reward + gamma * paid, follow + gamma * kept
        return self._replace(reward=paid, terminated=1.0 - kept)


# The protocols of the parts: the program asks for nothing else. A class of one's own derives from its
# protocol, and so has the defaults of what it does not say itself.


class GoalFunctions(Protocol):
    """Reward, termination and success of a batch of goals. `info` maps names to arrays (b, ...).

    Attributes:
        distance: the task as tensor code, where it is proven to be a distance with a threshold.
        sources: in words, where each answer comes from.
    """

    distance: DistanceGoal | None = None
    sources: Sequence[str] = ()

    def reward(self, achieved: Array, desired: Array, info: Mapping[str, Array]) -> Array:
        """Return the rewards (b,) float64 of having achieved `achieved` (b, g) when `desired` was asked."""

    def terminated(self, achieved: Array, desired: Array, info: Mapping[str, Array]) -> Array:
        """Return (b,) bool: does an episode with this goal end here?"""

    def success(self, achieved: Array, desired: Array, info: Mapping[str, Array]) -> Array:
        """Return (b,) bool: is the goal met?"""

    def knows_success(self, info: Mapping[str, Array], n: int) -> Array:
        """Return (n,) bool: for which of n lanes with this info `success` can tell; else it says no."""
        return np.ones(n, np.bool_)

    def watch(self, success: Array, terminated: Array) -> None:
        """See what the env did (n,); UserError if that contradicts what was declared of it."""

    def watch_distance(self, achieved: Array, desired: Array) -> None:
        """See goals (b, ...) that `distance` judged; UserError if the env's own functions disagree."""

    def state_dict(self) -> dict[str, Any]:
        """Return what was learned of the env while it ran."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""

    def close(self) -> None:
        """Close what is open."""


class Stateful(Protocol):
    """Something that learning or drawing changes."""

    def state_dict(self) -> dict[str, Any]:
        """Return all of it."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore `state_dict`."""


class Agent(Protocol):
    """What the trainer asks of an agent.

    Attributes:
        return_range: the (lowest, highest) return that its values can stand for. Values far beyond end the
            run as diverged; with None only NaN and inf do.
        precision: the format in which it multiplies, where that was left to it.
    """

    return_range: tuple[float, float] | None = None
    precision: str = "float32"

    def act(self, observation: Array, goal: Array, *, explore: bool) -> Array:
        """Choose an action for each of n lanes: (n, o) and (n, g) to (n, action_dim) or (n,) int."""

    def observe(self, observation: Array, goals: Array, goal_weights: Array, steps: int) -> None:
        """See new states once each and goals with weights; `steps` env steps were stored."""

    def update(self, batch: Batch) -> Metrics:
        """Take one gradient step; return metrics as 0-d tensors, without waiting for the device."""

    def update_all(self, batches: Sequence[Batch]) -> list[Metrics]:
        """Take a step by each of the batches in turn; a metric may be told of several at once, as (n,)."""
        return [self.update(batch) for batch in batches]

    def state_dict(self) -> dict[str, Any]:
        """Return everything that learning changes: tensors, numbers, strings, dicts and lists only."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""

    @staticmethod
    def check_spaces(spaces: GoalSpaces) -> str | None:
        """Say in one line why it cannot act in such spaces; None: it can."""
        return None

    @staticmethod
    def nbytes(spaces: GoalSpaces, hidden_sizes: Sequence[int]) -> int:
        """Return how many bytes it takes at least."""
        return 0


class Buffer(Protocol):
    """What the trainer asks of a replay buffer.

    Attributes:
        achieved_share: the share of a batch whose goal is one that was achieved, with which the agent's
            normaliser weighs those goals; 0: no goal is relabelled.
    """

    achieved_share: float = 0.0

    def begin(self, observation: Observation) -> None:
        """Start new episodes in all lanes at `observation` (after `env.reset`)."""

    def add(self, step: Step) -> None:
        """Store one step of all lanes."""

    def sample(self, batch_size: int, n_batches: int = 1) -> list[Batch]:
        """Draw and relabel `n_batches` batches in one go."""

    def metrics(self) -> dict[str, float]:
        """Return numbers for the log, by name."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """Return everything that later draws depend on, generator included."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""

    @staticmethod
    def nbytes(spaces: GoalSpaces, capacity: int, num_envs: int) -> int:
        """Return how many bytes it takes at least."""
        return 0
