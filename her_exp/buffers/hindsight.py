"""Hindsight experience replay (Andrychowicz et al. 2017, arXiv:1707.01495): draw and relabel.

Goal, reward and `terminated` are relabelled as one, at the moment of drawing; what is stored never
changes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np
import torch
from gymnasium import spaces as gym_spaces

from her_exp.buffers import goals
from her_exp.buffers.batches import Workspace, first_of_each
from her_exp.buffers.goals import STRATEGIES, DrawnSteps, Index, LastDraw, MixedGoals, as_mixed
from her_exp.buffers.n_step import look_ahead
from her_exp.buffers.recorder import CRASH, EXTRA, REWARD, TERMINATED, StoredSteps, stored_fields
from her_exp.buffers.ring import StepRing
from her_exp.limits import Count, Range, Ratio, check_arguments, rows_complaint
from her_exp.types import Batch, Buffer, GoalFunctions, GoalSpaces, Observation, Step, UserError


class HindsightReplayBuffer(Buffer):
    """A ring of steps that relabels a share k/(k+1) of what is drawn with goals achieved later on.

    Args:
        capacity: rows over all lanes; an episode of T steps takes T + 1. Rounded down to whole lanes.
        k: relabelled steps for each one kept. 0 is plain replay; infinity keeps none.
        strategy: 'future', 'final', 'episode', 'random', 'future_actual', 'geometric', or a callable (see
            `goals.Strategy`).
        info_keys: info fields that `compute_reward` reads; stored with each step.
        spaces: spaces of one lane.
        goal_functions: reward and termination of a batch of goals.
        num_envs: lanes.
        generator: the stream that draws steps and goals.
        reward_range: (lowest, highest) reward of a step, or None; a reward outside raises UserError.
        device: where batches are handed over.
        storage: 'cpu' keeps the rows in the host's memory alone; None: a copy of them is on `device`, where
            they are read and relabelled.
        n_step: steps whose rewards are handed over with each drawn one, under its goal: see `Batch`.

    Attributes:
        relabel_share: k / (k + 1) or, with an infinite k, 1: the share of a batch with another row's goal.
        achieved_share: share of a batch whose goal is one that was achieved.
    """

    def __init__(
        self,
        capacity: Annotated[int, Range(2)] = 100_000,
        k: Ratio = 4,
        strategy: str | goals.Strategy = "future",
        info_keys: Sequence[str] = (),
        storage: Literal["cpu"] | None = None,
        n_step: Annotated[int, Range(1, 100)] = 1,
        *,
        spaces: GoalSpaces,
        goal_functions: GoalFunctions,
        num_envs: Count,
        generator: np.random.Generator,
        reward_range: tuple[float, float] | None = None,
        device: str | torch.device = "cpu",
    ):
        check_arguments(HindsightReplayBuffer, locals())
        if few := rows_complaint(capacity, num_envs, "num_envs"):
            raise ValueError(f"HindsightReplayBuffer: capacity={capacity} {few}")
        if isinstance(strategy, str) and strategy not in STRATEGIES:
            raise ValueError(
                f"HindsightReplayBuffer: strategy={strategy!r} is none of {', '.join(STRATEGIES)}"
            )
        self.relabel_share = 1.0 if math.isinf(k) else k / (k + 1)
        self._strategy = STRATEGIES[strategy] if isinstance(strategy, str) else strategy
        self.achieved_share = self.relabel_share * getattr(self._strategy, "achieved_share", 1.0)
        self._generator, self._n_step = generator, n_step
        rows, device = capacity // num_envs, torch.device(device)
        there = torch.device("cpu") if storage == "cpu" else device
        self._steps = StoredSteps(
            spaces, goal_functions, num_envs, rows, info_keys, reward_range, there
        )
        self._ring = self._steps.ring
        discrete = isinstance(spaces.action, gym_spaces.Discrete)
        self._room = Workspace(self._steps.tensors, discrete, device, n_step)
        self._last: tuple[Index, MixedGoals, int, tuple[int, int]] | None = None
        self._metrics: dict[str, float] = {}  # of the last draw before a state was loaded
        #: (2,) lowest and highest relabelled reward that nobody has checked yet.
        self._paid: torch.Tensor | None = None

    @staticmethod
    def nbytes(spaces: GoalSpaces, capacity: int, num_envs: int) -> int:
        """Bytes that a buffer of this capacity takes."""
        return StepRing.nbytes(stored_fields(spaces), num_envs, capacity // num_envs)

    @property
    def size(self) -> int:
        """Rows filled over all lanes."""
        return self._ring.filled * self._ring.lanes

    def begin(self, observation: Observation) -> None:
        """Start new episodes in all lanes; episodes still open are closed as they are."""
        self._steps.begin(observation)

    def add(self, step: Step) -> None:
        """Store one step of all lanes; on a lane's autoreset step only the new first state.

        Raises:
            UserError: a reward outside `reward_range`, or an info field of `info_keys` is missing.
        """
        self._steps.add(step)

    def sample(self, batch_size: int, n_batches: int = 1) -> list[Batch]:
        """Draw `n_batches` batches of `batch_size` steps, uniformly with replacement, and relabel.

        The batches are views of one workspace that the next call overwrites.

        Raises:
            ValueError: nothing has been stored yet.
            UserError: a relabelled reward lies outside `reward_range`, or the strategy leaves an episode.
        """
        n = batch_size * n_batches
        rows, left = self._draw(n)
        # The first rows of each batch are relabelled. The share is exact in the mean: what is left
        # after rounding down is drawn, once a call.
        virtual = int(self.relabel_share * batch_size + self._generator.random())
        virtual = min(virtual, batch_size)  # a sum may be rounded up to the next whole number
        shape = (n_batches, batch_size)
        relabelled = np.arange(n).reshape(shape)[:, :virtual].reshape(-1)
        goals = MixedGoals(rows[:0], np.zeros(0, bool))
        if virtual:  # a strategy is never asked for nothing
            goals = self._choose(rows, left, relabelled)
        self._steps.tensors.follow()
        self._room.read(self._steps.tensors.index(rows))
        if virtual:
            self._relabel(rows[relabelled], goals, shape, virtual)
        if self._n_step > 1:
            reward = look_ahead(self._n_step, self._steps, self._room, rows, relabelled, goals)
            if self._steps.reward_range is not None:
                self._note_paid(reward)
        self._last = (rows, goals, virtual, shape)
        return self._room.batches(shape)

    def _draw(self, n: int) -> tuple[Index, Index]:
        """Draw `n` steps uniformly; returns their rows and the steps left in their episodes."""
        if not self._ring.steps:
            raise ValueError("the buffer holds no step yet: add one before drawing")
        rows, left = self._candidates(n)
        # The last state of an episode starts no step: draw again where it was hit (1 in T + 1).
        miss = np.flatnonzero(left == 0)
        while miss.size:
            rows[miss], left[miss] = self._candidates(miss.size)
            miss = miss[left[miss] == 0]
        return rows, left

    def _candidates(self, n: int) -> tuple[Index, Index]:
        ring = self._ring
        span = ring.filled - 1  # the newest row of a lane starts no step yet
        age = self._generator.integers(ring.lanes * span, size=n)
        lane: Index | int = 0
        if ring.lanes > 1:
            lane = age // span
            age -= lane * span
        age += 1
        rows = ring.rows_back(age, lane)
        return rows, ring.left(rows, age)

    def _choose(self, rows: Index, left: Index, relabelled: Index) -> MixedGoals:
        """Choose the rows that lend their goals to the steps at `relabelled`; may draw those anew."""
        return self._strategy_of(rows[relabelled], left[relabelled])

    def _strategy_of(self, rows: Index, left: Index) -> MixedGoals:
        steps = DrawnSteps(self._ring, rows, left)
        chosen = as_mixed(self._strategy(steps, self._generator))
        shapes = (chosen.rows.shape, chosen.asked.shape)
        if shapes != (rows.shape, rows.shape):
            raise UserError(
                f"buffer.strategy: chose rows of shape {shapes[0]} for {len(rows)} steps, and of those "
                f"asked for {shapes[1]}; each must be ({len(rows)},)"
            )
        return chosen

    def _relabel(
        self, rows: Index, chosen: MixedGoals, shape: tuple[int, int], virtual: int
    ) -> None:
        """Give the first `virtual` steps of each batch the goals chosen for them."""
        signals = first_of_each(self._room.fields["signals"], shape, virtual)
        goal = self._steps.goals_at(chosen, self._steps.tensors)
        achieved = first_of_each(self._room.achieved, shape, virtual).reshape(len(goal), -1)
        reward, terminated = self._steps.judge(achieved, goal, rows)
        reward = reward.view(shape[0], virtual) + signals[..., EXTRA]
        if self._steps.reward_range is not None:
            self._note_paid(reward)
        asked = first_of_each(self._room.fields["goal"], shape, virtual)
        asked.copy_(goal.view(shape[0], virtual, -1))
        signals[..., REWARD] = reward
        signals[..., TERMINATED] = torch.maximum(
            terminated.view(shape[0], virtual), signals[..., CRASH]
        )

    def _note_paid(self, reward: torch.Tensor) -> None:
        """See that rewards of relabelled steps lie in the range: now on the CPU, elsewhere when asked."""
        if reward.device.type == "cpu":
            self._steps.check_range(reward.numpy(), relabelled=True)
            return
        seen = [reward.reshape(-1), *([] if self._paid is None else [self._paid])]
        self._paid = torch.stack(torch.aminmax(torch.cat(seen)))  # nobody is to wait for a number

    def _check_paid(self) -> None:
        if self._paid is not None:
            paid, self._paid = self._paid.cpu().numpy(), None
            self._steps.check_range(paid, relabelled=True)

    @property
    def last(self) -> LastDraw:
        """Where the last call of `sample` drew from."""
        if self._last is None:
            raise ValueError("nothing has been drawn yet")
        rows, chosen, virtual, shape = self._last
        goals, asked = np.full(shape, -1, np.int64), np.zeros(shape, bool)
        goals[:, :virtual] = chosen.rows.reshape(shape[0], virtual)
        asked[:, :virtual] = chosen.asked.reshape(shape[0], virtual)
        lane, row = np.divmod(rows.reshape(shape), self._ring.stride)
        goal_lane, goal_row = np.divmod(goals, self._ring.stride)
        return LastDraw(lane, row, goal_lane, np.where(goals < 0, -1, goal_row), goals >= 0, asked)

    def metrics(self) -> dict[str, float]:
        """HER's own numbers of the last call of `sample`, for the log.

        UserError: rewards computed as a distance are not the env's own on some of its rows.
        """
        self._check_paid()
        self._steps.watch_distance()
        return self._numbers()

    def _numbers(self) -> dict[str, float]:
        if self._last is None:
            return self._metrics and {**self._metrics, "size": float(self.size)}
        rows, _, virtual, (_, batch_size) = self._last
        top = self._steps.reward_range and self._steps.reward_range[1]
        numbers = self._room.numbers(len(rows), top)
        return {"relabelled_share": virtual / batch_size, **numbers, "size": float(self.size)}

    def state_dict(self) -> dict[str, Any]:
        """Everything that drawing depends on, the generator included; tensors share memory."""
        self._check_paid()
        return self._steps.state_dict() | {
            "generator": self._generator.bit_generator.state,
            "metrics": self._numbers(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore `state_dict`; ValueError unless spaces, lanes and capacity are the same."""
        self._steps.load_state_dict(state)
        self._generator.bit_generator.state = state["generator"]
        self._last, self._metrics = None, dict(state["metrics"])
