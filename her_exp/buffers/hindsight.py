"""Hindsight experience replay (Andrychowicz et al. 2017, arXiv:1707.01495): draw, relabel, hand over.

Goal, reward and `terminated` are relabelled as one, at the moment of drawing; stored data never changes.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium import spaces as gym_spaces

from her_exp.buffers.goals import STRATEGIES, DrawnSteps, Index, Strategy
from her_exp.buffers.storage import StepRing, stored_dtype
from her_exp.envs.distance import DistanceGoal
from her_exp.ranges import check_ranges
from her_exp.types import Array, Batch, GoalFunctions, GoalSpaces, Observation, Step, UserError

log = logging.getLogger(__name__)


class LastDraw(NamedTuple):
    """Where the last call of `sample` drew from; arrays (n_batches, batch_size)."""

    lane: Index
    row: Index
    goal_lane: Index  #: -1 where the step kept its own goal
    goal_row: Index  #: -1 where the step kept its own goal
    relabelled: Array


class HindsightReplayBuffer:
    """A ring of steps that relabels a share k/(k+1) of what is drawn with goals achieved later on.

    Args:
        capacity: rows over all lanes; an episode of T steps takes T + 1. Rounded down to whole lanes.
        k: relabelled steps for each one kept. 0 is plain replay.
        strategy: 'future', 'final', 'episode', 'random', or a callable (see `goals.Strategy`).
        info_keys: info fields that `compute_reward` reads; stored with each step.
        spaces: spaces of one lane.
        goal_functions: reward and termination of a batch of goals.
        num_envs: lanes.
        generator: the stream that draws steps and goals.
        reward_range: (lowest, highest) reward of a step, or None; a reward outside raises UserError.
        device: where batches are handed over.
    """

    def __init__(
        self,
        capacity: int = 100_000,
        k: float = 4,
        strategy: str | Strategy = "future",
        info_keys: Sequence[str] = (),
        *,
        spaces: GoalSpaces,
        goal_functions: GoalFunctions,
        num_envs: int,
        generator: np.random.Generator,
        reward_range: tuple[float, float] | None = None,
        device: str | torch.device = "cpu",
    ):
        check_ranges("HindsightReplayBuffer", capacity=capacity, k=k, num_envs=num_envs)
        if capacity < 2 * num_envs:
            raise ValueError(
                f"HindsightReplayBuffer: capacity={capacity} is too small for num_envs={num_envs}; "
                f"give at least {2 * num_envs}"
            )
        if isinstance(strategy, str) and strategy not in STRATEGIES:
            raise ValueError(
                f"HindsightReplayBuffer: strategy={strategy!r} is none of {', '.join(STRATEGIES)}"
            )
        self.relabel_share = k / (k + 1)
        self.info_keys = tuple(info_keys)
        self._strategy = STRATEGIES[strategy] if isinstance(strategy, str) else strategy
        self._functions, self._generator = goal_functions, generator
        self._reward_range, self._device = reward_range, torch.device(device)
        self._discrete = isinstance(spaces.action, gym_spaces.Discrete)
        fields = self._fields(spaces)
        rows = capacity // num_envs
        log.info(
            "buffer: %d rows in %d lanes, %.1f MB",
            rows * num_envs,
            num_envs,
            StepRing.nbytes(fields, num_envs, rows) / 1e6,
        )
        self._ring = StepRing(fields, num_envs, rows)
        self._info: dict[str, Array] = {}
        self._room: dict[str, torch.Tensor] = {}
        self._room_for = 0
        self._last: tuple[Index, Index, int, tuple[int, int]] | None = None
        self._last_batches: dict[str, torch.Tensor] = {}

    def _fields(self, spaces: GoalSpaces) -> dict[str, tuple[int, np.dtype[Any]]]:
        def of(space: gym_spaces.Space[Any]) -> tuple[int, np.dtype[Any]]:
            return int(np.prod(space.shape or ())), np.dtype(space.dtype)

        number = (1, np.dtype(np.float32))
        return {
            "observation": of(spaces.observation),
            "achieved_goal": of(spaces.goal),
            "desired_goal": of(spaces.goal),
            "action": of(spaces.action),
            "reward": number,
            "extra": number,  # the part of the reward that the goal does not explain
            "terminated": number,  # as the env said
            "crash": number,  # an end that the step's own goal does not account for
        }

    # -- storing ---------------------------------------------------------------------------------

    @property
    def size(self) -> int:
        """Rows filled over all lanes."""
        return self._ring.filled * self._ring.lanes

    def begin(self, observation: Observation) -> None:
        """Start new episodes in all lanes; episodes still open are closed as they are."""
        if self._ring.filled:
            self.close_episodes()
        self._ring.advance(self._state(observation), np.ones(self._ring.lanes, bool))

    def close_episodes(self) -> None:
        """End the open episode of every lane at its newest state."""
        for lane in range(self._ring.lanes):
            self._ring.close(lane)

    def add(self, step: Step) -> None:
        """Store one step of all lanes; on a lane's autoreset step only the new first state.

        Raises:
            UserError: a reward outside `reward_range`, or an info field of `info_keys` is missing.
        """
        lanes, valid = self._ring.lanes, np.asarray(step.valid, bool)
        if not self._ring.filled:
            raise ValueError("begin(observation) comes before the first add(step)")
        reward = np.asarray(step.reward, np.float64)
        self._check_range(reward[valid], "the env gave")
        action = np.asarray(step.action)
        values: dict[str, Array] = {
            "action": action.reshape(lanes, -1),
            "reward": reward.reshape(lanes, 1),
        }
        values |= self._unexplained(step, reward, valid)
        self._store_info(step, valid)
        self._ring.write(self._ring.newest, values)
        # A lane whose step was no transition stands at the first state of its next episode; the one
        # before was closed by its end, or is closed here if the env began anew without telling.
        for lane in np.flatnonzero(~valid):
            self._ring.close(int(lane))
        self._ring.advance(self._state(step.next_observation), ~valid)
        ended = (step.terminated | step.truncated) & valid
        for lane in np.flatnonzero(ended):
            self._ring.close(int(lane))

    def _state(self, observation: Observation) -> dict[str, Array]:
        return {k: v.reshape(self._ring.lanes, -1) for k, v in observation.items()}

    def _unexplained(self, step: Step, reward: Array, valid: Array) -> dict[str, Array]:
        """What of reward and end the step's own goal does not explain; it holds under every goal."""
        lanes = self._ring.lanes
        extra, crash = np.zeros((lanes, 1)), np.zeros((lanes, 1), bool)
        terminated = np.asarray(step.terminated, bool) & valid
        pick: Any = slice(None) if valid.all() else np.flatnonzero(valid)
        achieved = step.next_observation["achieved_goal"][pick]
        # A vector env's autoreset replaces nothing in NEXT_STEP mode: this goal is the episode's own.
        desired = step.observation["desired_goal"][pick]
        if len(achieved):
            info = {key: self._info_of(step, key)[pick] for key in self.info_keys}
            own = self._functions.reward(achieved, desired, info)
            part = reward[pick] - own
            # What rounding alone explains is no part of the reward.
            part[np.abs(part) <= 1e-6 * np.maximum(1.0, np.abs(own))] = 0.0
            extra[pick, 0] = part
            if terminated.any():
                explained = self._functions.terminated(achieved, desired, info)
                crash[pick, 0] = terminated[pick] & ~explained
        return {"extra": extra, "terminated": terminated.reshape(lanes, 1), "crash": crash}

    def _info_of(self, step: Step, key: str) -> Array:
        if key not in step.info:
            raise UserError(
                f"buffer.info_keys: the env's info has no {key!r}; it has "
                f"{', '.join(k for k in step.info if not k.startswith('_')) or 'nothing'}"
            )
        value = np.asarray(step.info[key])
        if value.dtype == object:
            raise UserError(f"buffer.info_keys: info[{key!r}] is no array of numbers")
        return value

    def _store_info(self, step: Step, valid: Array) -> None:
        if not valid.any():
            return
        for key in self.info_keys:
            value = self._info_of(step, key)
            if key not in self._info:
                shape = (self._ring.lanes, self._ring.stride, *value.shape[1:])
                self._info[key] = np.zeros(shape, stored_dtype(value.dtype))
            self._info[key][:, self._ring.newest] = value

    def _check_range(self, reward: Array, who: str) -> None:
        if self._reward_range is None or not reward.size:
            return
        low, high = self._reward_range
        # Written so that NaN fails as well.
        slack = 1e-6 * max(1.0, abs(low), abs(high))
        if not (reward.min() >= low - slack and reward.max() <= high + slack):
            raise UserError(
                f"env.reward_range=[{low}, {high}]: {who} a reward of "
                f"{reward.min():g}..{reward.max():g}; declare the true range, or null"
            )

    # -- drawing ---------------------------------------------------------------------------------

    def sample(self, batch_size: int, n_batches: int = 1) -> list[Batch]:
        """Draw `n_batches` batches of `batch_size` steps, uniformly with replacement, and relabel them.

        The batches are views of one workspace that the next call overwrites.

        Raises:
            ValueError: nothing has been stored yet.
            UserError: a relabelled reward lies outside `reward_range`.
        """
        n = batch_size * n_batches
        rows, age, left = self._draw_steps(n)
        windows, out = self._make_room(n)
        index = torch.from_numpy(rows)
        ring = self._ring
        ring.gather_windows(index, windows)
        out["observation"].copy_(ring.now(windows, "observation"))
        out["next_observation"].copy_(ring.after(windows, "observation"))
        out["goal"].copy_(ring.now(windows, "desired_goal"))
        out["action"].copy_(ring.now(windows, "action"))
        out["reward"].copy_(ring.now(windows, "reward")[:, 0])
        out["terminated"].copy_(ring.now(windows, "terminated")[:, 0])
        # The first rows of each batch are relabelled. The share is exact in the mean: what is left
        # after rounding down is drawn once a call.
        virtual = int(self.relabel_share * batch_size + self._generator.random())
        goal_rows = np.empty(0, np.int64)
        if virtual:
            shape = (n_batches, batch_size, virtual)
            goal_rows = self._relabel(rows, age, left, windows, out, shape)
        self._last = (rows, goal_rows, virtual, (n_batches, batch_size))
        self._last_batches = out
        if self._device.type != "cpu":
            out = {key: value.to(self._device, non_blocking=True) for key, value in out.items()}
        if self._discrete:
            out["action"] = out["action"][:, 0]
        parts = {key: torch.split(value, batch_size) for key, value in out.items()}
        return [Batch(**{key: part[i] for key, part in parts.items()}) for i in range(n_batches)]

    def _draw_steps(self, n: int) -> tuple[Index, Index, Index]:
        """Draw `n` steps uniformly; returns rows, ages and steps left, each (n,) int64."""
        ring = self._ring
        if not ring.steps:
            raise ValueError("the buffer holds no step yet: add one before drawing")
        rows, age, left = self._candidates(n)
        # The last state of an episode starts no step: draw again where it was hit (1 in T + 1).
        miss = np.flatnonzero(left == 0)
        while miss.size:
            rows[miss], age[miss], left[miss] = self._candidates(miss.size)
            miss = miss[left[miss] == 0]
        return rows, age, left

    def _candidates(self, n: int) -> tuple[Index, Index, Index]:
        ring = self._ring
        span = ring.filled - 1
        age = self._generator.integers(ring.lanes * span, size=n)
        lane: Index | int = 0
        if ring.lanes > 1:
            lane = age // span
            age -= lane * span
        age += 1
        rows = ring.rows_back(age, lane)
        return rows, age, ring.left(rows, age)

    def _relabel(
        self,
        rows: Index,
        age: Index,
        left: Index,
        windows: Mapping[str, torch.Tensor],
        out: dict[str, torch.Tensor],
        shape: tuple[int, int, int],
    ) -> Index:
        """Give the first `virtual` steps of each batch a goal achieved elsewhere; returns its rows."""
        n_batches, batch_size, virtual = shape

        def first(values: Any) -> Any:
            """The relabelled part of (n, ...) values, as (n_batches, virtual, ...)."""
            return values.reshape(n_batches, batch_size, *values.shape[1:])[:, :virtual]

        pick = [np.ascontiguousarray(first(v)).reshape(-1) for v in (rows, age, left)]
        steps = DrawnSteps(self._ring, pick[0], pick[1], pick[2])
        goal_rows = np.asarray(self._strategy(steps, self._generator), np.int64)
        goal = self._ring.gather(torch.from_numpy(goal_rows), "achieved_goal")
        achieved = first(self._ring.after(windows, "achieved_goal")).reshape(len(goal), -1)
        extra = first(self._ring.now(windows, "extra")).reshape(-1)
        crash = first(self._ring.now(windows, "crash")).reshape(-1)
        reward, terminated = self._judge(achieved, goal, pick[0])
        reward += extra
        if self._reward_range is not None:
            self._check_range(reward.numpy(), "relabelling gave")
        in_batch = (n_batches, virtual)
        first(out["goal"]).copy_(goal.view(*in_batch, -1))
        first(out["reward"]).copy_(reward.view(in_batch))
        first(out["terminated"]).copy_(torch.maximum(terminated, crash).view(in_batch))
        return goal_rows

    def _judge(
        self, achieved: torch.Tensor, goal: torch.Tensor, rows: Index
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Reward and termination (float32) of the relabelled goals."""
        distance: DistanceGoal | None = getattr(self._functions, "distance", None)
        if distance is not None:
            return distance(achieved, goal)
        info = {k: v.reshape(-1, *v.shape[2:])[rows] for k, v in self._info.items()}
        reward = self._functions.reward(achieved.numpy(), goal.numpy(), info)
        terminated = self._functions.terminated(achieved.numpy(), goal.numpy(), info)
        return (
            torch.from_numpy(np.asarray(reward, np.float32).copy()),
            torch.from_numpy(np.asarray(terminated, np.float32)),
        )

    def _make_room(self, n: int) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        """Return the workspace for `n` steps; it grows and is kept, since fresh pages cost more than copies."""
        if n > self._room_for:
            self._room_for = n
            self._windows = self._ring.make_windows(n)
            width = {name: f.stop - f.start for name, f in self._ring.fields.items()}
            action = torch.empty(n, width["action"], dtype=torch.int64 if self._discrete else None)
            self._room = {
                "observation": torch.empty(n, width["observation"]),
                "goal": torch.empty(n, width["desired_goal"]),
                "action": action,
                "reward": torch.empty(n),
                "terminated": torch.empty(n),
                "next_observation": torch.empty(n, width["observation"]),
            }
        return (
            {key: value[:n] for key, value in self._windows.items()},
            {key: value[:n] for key, value in self._room.items()},
        )

    # -- looking in ------------------------------------------------------------------------------

    @property
    def last(self) -> LastDraw:
        """Where the last call of `sample` drew from."""
        if self._last is None:
            raise ValueError("nothing has been drawn yet")
        rows, goal_rows, virtual, shape = self._last
        goals = np.full(shape, -1, np.int64)
        goals[:, :virtual] = goal_rows.reshape(shape[0], virtual)
        lane, row = np.divmod(rows.reshape(shape), self._ring.stride)
        goal_lane, goal_row = np.divmod(goals, self._ring.stride)
        return LastDraw(lane, row, goal_lane, np.where(goals < 0, -1, goal_row), goals >= 0)

    def metrics(self) -> dict[str, float]:
        """HER's own numbers of the last call of `sample`, for the log."""
        if self._last is None:
            return {}
        _, _, virtual, (_, batch_size) = self._last
        reward = self._last_batches["reward"]
        best = float(reward.max()) if self._reward_range is None else self._reward_range[1]
        achieved = self._ring.after(self._windows, "achieved_goal")[: len(reward)].float()
        gap = torch.linalg.vector_norm(achieved - self._last_batches["goal"], dim=-1)
        return {
            "relabelled_share": virtual / batch_size,
            "rewarded_share": float((reward >= best - 1e-6).float().mean()),
            "terminated_share": float(self._last_batches["terminated"].mean()),
            "goal_distance": float(gap.mean()),
            "size": float(self.size),
        }

    def state_dict(self) -> dict[str, Any]:
        """Everything that drawing depends on, the generator included; tensors share memory."""
        return {
            "ring": self._ring.state_dict(),
            "info": {key: torch.from_numpy(value) for key, value in self._info.items()},
            "generator": self._generator.bit_generator.state,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore `state_dict` into a buffer of the same spaces, lanes and capacity."""
        self._ring.load_state_dict(state["ring"])
        self._info = {key: value.numpy().copy() for key, value in state["info"].items()}
        self._generator.bit_generator.state = state["generator"]
