"""What is kept of each step: the states, and of reward and end the part that no goal explains."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from gymnasium import spaces as gym_spaces

from her_exp.buffers.goals import Index, MixedGoals
from her_exp.buffers.ring import StepRing, stored_dtype
from her_exp.buffers.tensors import RingTensors
from her_exp.rounding import either_side, may_be_rounded
from her_exp.types import KEYS, Array, GoalFunctions, GoalSpaces, Observation, Step, UserError
from her_exp.values import numbers

log = logging.getLogger(__name__)


#: Columns of the field `signals`: reward and end as the env gave them, the part of the reward that the
#: goal does not explain, and an end that the step's own goal does not account for.
SIGNALS = ("reward", "terminated", "extra", "crash")
REWARD, TERMINATED, EXTRA, CRASH = range(4)
#: What a reward of relabelling beyond the range may come from.
_MAY_DISAGREE = (
    "; or the env's reward is not what its compute_reward says: python -m her_exp.check tells"
)
_WATCHED = 256  # rows on which tensor code is compared with the env itself, at most


def stored_fields(spaces: GoalSpaces) -> dict[str, tuple[int, np.dtype[Any]]]:
    """Return (width, dtype) of each field of a row."""

    def of(space: gym_spaces.Space[Any]) -> tuple[int, np.dtype[Any]]:
        return int(np.prod(space.shape or ())), np.dtype(space.dtype)

    # In this order what is read of a step is short, and what relabelling needs of it stands together.
    return {
        "achieved_goal": of(spaces.goal),
        "observation": of(spaces.observation),
        "action": of(spaces.action),
        "desired_goal": of(spaces.goal),
        "signals": (len(SIGNALS), np.dtype(np.float32)),
    }


class StoredSteps:
    """The steps of a buffer: writes what the env gave into the ring.

    Args:
        spaces: of one lane.
        functions: reward and termination of a batch of goals.
        lanes, rows: size of the ring.
        info_keys: info fields stored with each step.
        reward_range: (lowest, highest) reward of a step, or None.
        device: where rows are read and judged.

    Attributes:
        ring: what is stored.
        host, tensors: its rows as tensors, on the host and on the device.
    """

    def __init__(
        self,
        spaces: GoalSpaces,
        functions: GoalFunctions,
        lanes: int,
        rows: int,
        info_keys: Sequence[str],
        reward_range: tuple[float, float] | None,
        device: torch.device,
    ):
        fields = stored_fields(spaces)
        size = StepRing.nbytes(fields, lanes, rows) / 1e6
        log.info("buffer: %d rows in %d lanes, %.1f MB", rows * lanes, lanes, size)
        self.ring = StepRing(fields, lanes, rows)
        now, after = fields.keys() - {"achieved_goal"}, ("achieved_goal", "observation")
        self.host = RingTensors(self.ring, now, after, torch.device("cpu"))
        self.tensors = RingTensors(self.ring, now, after, device)
        self.info: dict[str, Array] = {}  # (lanes, rows + 1, ...) of each key
        self.info_keys = tuple(info_keys)
        self.reward_range = reward_range
        self._functions = functions
        self._goal_shape = spaces.goal.shape or ()
        #: Was a step that moved the goal seen to be judged by the goal asked for, or by the next one?
        self._by_asked = self._shown_seen = False
        self._usual: float | None = None  #: what the last other steps were paid besides the goal
        #: Some of the last goals that were judged, in copies: an agent may work in its batches.
        self._judged: tuple[torch.Tensor, torch.Tensor] | None = None

    def begin(self, observation: Observation) -> None:
        """Start new episodes in all lanes; episodes still open are closed as they are."""
        lanes = self.ring.lanes
        if self.ring.filled:
            self._close(np.ones(lanes, bool))
        self.ring.advance(self._state(observation), np.ones(lanes, bool))

    def add(self, step: Step) -> None:
        """Store one step of all lanes; on a lane's autoreset step only the new first state.

        Raises:
            UserError: a reward outside `reward_range`, or an info field of `info_keys` is missing.
        """
        ring, valid = self.ring, np.asarray(step.valid, bool)
        if not ring.filled:
            raise ValueError("begin(observation) comes before the first add(step)")
        reward = np.asarray(step.reward, np.float64)
        self.check_range(reward[valid])
        signals = np.zeros((ring.lanes, len(SIGNALS)), np.float32)
        signals[:, TERMINATED] = step.terminated & valid
        self._explain(step, valid, signals)
        self._store_info(step, valid)
        action = np.asarray(step.action).reshape(ring.lanes, -1)
        ring.write(ring.newest, {"action": action, "signals": signals})
        # A lane whose step was no transition stands at the first state of its next episode; the one
        # before was closed by its end, or is closed here if the env began anew without telling.
        self._close(~valid)
        ring.advance(self._state(step.next_observation), ~valid)
        self._close((step.terminated | step.truncated) & valid)

    def _close(self, lanes: Array) -> None:
        for lane in np.flatnonzero(lanes):
            self.ring.close(int(lane))

    def _state(self, observation: Observation) -> dict[str, Array]:
        return {key: observation[key].reshape(self.ring.lanes, -1) for key in KEYS}

    def _explain(self, step: Step, valid: Array, signals: Array) -> None:
        """Fill in what of reward and end the step's own goal does not explain."""
        pick: Any = slice(None) if valid.all() else np.flatnonzero(valid)
        achieved = step.next_observation["achieved_goal"][pick]
        asked, shown = (o["desired_goal"][pick] for o in (step.observation, step.next_observation))
        if not len(achieved):
            return
        # In the env's own dtype: rounded goals could fall on the other side of a threshold.
        info = {key: self._info_of(step, key)[pick] for key in self.info_keys}
        told = np.array(step.reward, np.float64)[pick], np.asarray(step.terminated, bool)[pick]
        extra, crash = self._unexplained(*told, achieved, asked, info)

        def unexplained_by(rows: Index, goals: Array) -> tuple[Array, Array]:
            """What is unexplained of these rows if other goals were asked for."""
            about = {key: value[rows] for key, value in info.items()}
            return self._unexplained(told[0][rows], told[1][rows], achieved[rows], goals, about)

        odd = np.flatnonzero((extra != 0) | crash)
        rounded = odd[may_be_rounded(achieved[odd], asked[odd])] if odd.size else odd
        for nearby in either_side(achieved[rounded], asked[rounded]) if rounded.size else ():
            rest, end = unexplained_by(rounded, nearby)
            # The env met the goal, or missed it, on the other side of a threshold.
            less = np.abs(rest) < 0.5 * np.abs(extra[rounded])
            less |= (rest == extra[rounded]) & crash[rounded] & ~end
            extra[rounded[less]], crash[rounded[less]] = rest[less], end[less]
        moves = (asked != shown).reshape(len(asked), -1).any(1)
        if moves.any() and not self._by_asked:
            moved = np.flatnonzero(moves)
            rest, end = unexplained_by(moved, shown[moved])
            if self._by_shown(extra[moved], rest):
                told[0][moved] += rest - extra[moved]
                extra[moved], crash[moved] = rest, end
        if not moves.all():
            self._usual = float(np.median(extra[~moves]))
        signals[pick, REWARD] = told[0]
        signals[pick, EXTRA], signals[pick, CRASH] = extra, crash

    def _by_shown(self, extra: Array, rest: Array) -> bool:
        """Say whether this env judges a step that moves the goal by the next goal, which it shows only then.

        Seen is that where what the next goal leaves unexplained (`rest`) is what steps are paid besides as a
        rule, and what the goal asked for leaves (`extra`) is not. One step the other way round decides it.
        """
        if self._usual is None:
            return False
        by_asked, by_shown = (np.abs(part - self._usual) <= 1e-6 for part in (extra, rest))
        self._by_asked = bool((by_asked & ~by_shown).any())
        self._shown_seen |= bool((by_shown & ~by_asked).any())
        return self._shown_seen and not self._by_asked

    def _unexplained(
        self,
        reward: Array,
        ended: Array,
        achieved: Array,
        desired: Array,
        info: Mapping[str, Array],
    ) -> tuple[Array, Array]:
        """What of reward and end (b,) is not of these goals."""
        own = self._functions.reward(achieved, desired, info)
        extra = reward - own
        # What rounding alone explains is no part of the reward.
        extra[np.abs(extra) <= 1e-6 * np.maximum(1.0, np.abs(own))] = 0.0
        crash = np.zeros_like(ended)
        if ended.any():
            crash = ended & ~self._functions.terminated(achieved, desired, info)
        return extra, crash

    def _info_of(self, step: Step, key: str) -> Array:
        if key not in step.info:
            raise UserError(
                f"buffer.info_keys: the env's info has no {key!r}; it has "
                f"{', '.join(k for k in step.info if not k.startswith('_')) or 'nothing'}"
            )
        return numbers(f"env: info[{key!r}]", step.info[key], self.ring.lanes)

    def _store_info(self, step: Step, valid: Array) -> None:
        if not valid.any():
            return
        for key in self.info_keys:
            value = self._info_of(step, key)
            dtype, shape = stored_dtype(value.dtype), value.shape[1:]
            if key not in self.info:
                room = (self.ring.lanes, self.ring.stride, *shape)
                self.info[key] = np.zeros(room, dtype)
            stored = self.info[key]
            if stored.shape[2:] != shape:
                raise UserError(
                    f"buffer.info_keys: info[{key!r}] had shape {stored.shape[2:]}, now {shape}"
                )
            # A cost of 0 was an integer, one of 0.5 is not.
            if not np.can_cast(dtype, stored.dtype):
                self.info[key] = stored = stored.astype(np.result_type(dtype, stored.dtype))
            stored[:, self.ring.newest] = value

    @staticmethod
    def goals_at(chosen: MixedGoals, tensors: RingTensors) -> torch.Tensor:
        """Return the goals (b, goal_dim) that the chosen rows lend, from where they are wanted."""
        goal = tensors.gather(tensors.index(chosen.rows), "achieved_goal")
        if chosen.asked.any():
            asked = np.flatnonzero(chosen.asked)
            theirs = tensors.gather(tensors.index(chosen.rows[asked]), "desired_goal")
            goal[tensors.index(asked)] = theirs
        return goal

    def info_at(self, rows: Array) -> dict[str, Array]:
        """Return the info fields stored with the steps at `rows` (b,), each (b, ...)."""
        return {key: value.reshape(-1, *value.shape[2:])[rows] for key, value in self.info.items()}

    def judge(
        self, achieved: torch.Tensor, goal: torch.Tensor, rows: Index
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Reward and termination, float32 (b,), of goals (b, goal_dim), on their device."""
        first = self._judged is None  # nothing was learned from tensor code yet
        self._judged = achieved[:_WATCHED].clone(), goal[:_WATCHED].clone()
        if first:
            self.watch_distance()
        if (distance := self._functions.distance) is not None:
            return distance(achieved, goal)
        # In the env's own shape of a goal: a function may reduce over any of its axes.
        shape = (-1, *self._goal_shape)
        reached, asked = (goals.cpu().numpy().reshape(shape) for goals in (achieved, goal))
        info = self.info_at(rows)
        reward = self._functions.reward(reached, asked, info)
        terminated = self._functions.terminated(reached, asked, info)
        told = torch.from_numpy(np.array([reward, terminated], np.float32)).to(goal.device)
        return told[0], told[1]

    def watch_distance(self) -> None:
        """Let tensor code, if there is any, be compared with the env's own functions on goals judged last."""
        if self._judged is not None:
            shape = (-1, *self._goal_shape)
            self._functions.watch_distance(
                *(goals.cpu().numpy().reshape(shape) for goals in self._judged)
            )

    def check_range(self, reward: Array, *, relabelled: bool = False) -> None:
        """Raise UserError if a reward lies outside the declared range, or is no number."""
        if not reward.size:
            return
        who, hint = ("relabelling gave", _MAY_DISAGREE) if relabelled else ("the env gave", "")
        if self.reward_range is None:
            if not np.isfinite(reward).all():
                raise UserError(f"{who} a reward that is no finite number")
            return
        low, high = self.reward_range
        slack = 1e-6 * max(1.0, abs(low), abs(high))
        # Written so that NaN fails as well.
        if not (reward.min() >= low - slack and reward.max() <= high + slack):
            raise UserError(
                f"env.reward_range=[{low}, {high}]: {who} a reward of "
                f"{reward.min():g}..{reward.max():g}; declare the true range, or null{hint}"
            )

    def state_dict(self) -> dict[str, Any]:
        """Everything stored; the tensors share memory with the ring."""
        info = {key: self.ring.part(value) for key, value in self.info.items()}
        judged = [self._by_asked, self._shown_seen, self._usual]
        return {"ring": self.ring.state_dict(), "info": info, "judged": judged}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore `state_dict`; ValueError unless spaces, lanes and capacity are the same."""
        self.ring.load_state_dict(state["ring"])
        self.tensors.forget()
        self._by_asked, self._shown_seen, self._usual = state.get("judged", (False, False, None))
        for key, part in state["info"].items():
            shape = (self.ring.lanes, self.ring.stride, *part.shape[2:])
            self.info[key] = np.zeros(shape, part.numpy().dtype)
            self.ring.fill(self.info[key], part)
