"""Would the comparison notice? Each rule of the buffer is broken on purpose, and must be caught.

No mutant knows the inside of the buffer. A mutant either spoils what the buffer has drawn
(`Spoiled`: one function on each draw, or on the draws of one call), or it is a sound buffer that is
built or fed wrongly. Except for the rule that it breaks, a mutant is consistent: a wrong goal comes
with the reward of that goal and is owned up to in `last`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from oracle import STRATEGIES, State
from oracle_audit import audit
from oracle_rig import Rig, unlike_lanes
from oracle_world import FloatGoals

from her_exp.types import Batch, Step


@dataclass(frozen=True)
class Draw:
    """One element of a batch: whose step, whose goal, and what stands in the batch."""

    state: State
    goal: State | None
    row: dict[str, Any]
    asked: bool = False  # the goal is the one that `goal` was asked for

    def put(self, **changes: Any) -> Draw:
        """Change what stands in the batch, and not what `last` tells."""
        return replace(self, row=self.row | changes)


class Spoiled:
    """The draws of a sound buffer, spoiled by `fault(tools, draws of one call) -> draws`."""

    def __init__(self, rig: Rig, fault: Callable[[Spoiled, list[list[Draw]]], Any]) -> None:
        self.buffer, self.oracle, self.fault = rig.buffer, rig.oracle, fault
        self.rng = np.random.default_rng(0)
        self.last: Any = None

    @property
    def size(self) -> int:
        return self.buffer.size

    def draw(self, state: State, goal: State | None, asked: bool = False) -> Draw:
        lent = None if goal is None else (goal, asked)
        return Draw(state, goal, self.oracle.expected(state, lent), asked)

    def goals(self, state: State) -> list[State]:
        return [goal for goal, _ in self.oracle.allowed_goals(state)]

    def any(self, states: list[State]) -> State:
        return states[self.rng.integers(len(states))]

    def sample(self, batch_size: int, n_batches: int = 1) -> list[Batch]:
        self.buffer.sample(batch_size, n_batches)
        last, states = self.buffer.last, self.oracle.tables()[0]
        draws = [
            [
                self.draw(
                    states[last.lane[i, j], last.row[i, j]],
                    states[last.goal_lane[i, j], last.goal_row[i, j]]
                    if last.relabelled[i, j]
                    else None,
                    bool(last.asked[i, j]),
                )
                for j in range(batch_size)
            ]
            for i in range(n_batches)
        ]
        draws = self.fault(self, draws)
        columns = {
            "lane": lambda draw: draw.state.lane,
            "row": lambda draw: draw.state.row,
            "goal_lane": lambda draw: draw.goal.lane if draw.goal else -1,
            "goal_row": lambda draw: draw.goal.row if draw.goal else -1,
            "relabelled": lambda draw: draw.goal is not None,
            "asked": lambda draw: draw.asked,
        }
        self.last = SimpleNamespace(
            **{
                name: np.array([[column(draw) for draw in batch] for batch in draws])
                for name, column in columns.items()
            }
        )
        return [
            Batch(
                **{
                    name: torch.as_tensor(np.array([draw.row[name] for draw in batch]))
                    for name in Batch._fields
                }
            )
            for batch in draws
        ]


Fault = Callable[[Spoiled, Draw], Draw]


def each(fault: Fault, only: str = "relabelled") -> Callable[[Spoiled, Any], Any]:
    """Apply `fault` to each draw, or only to those relabelled or those with their own goal."""

    def apply(tools: Spoiled, draws: list[list[Draw]]) -> list[list[Draw]]:
        wanted = {"relabelled": (True,), "own": (False,), "all": (True, False)}[only]
        return [
            [fault(tools, draw) if (draw.goal is not None) in wanted else draw for draw in batch]
            for batch in draws
        ]

    return apply


def same_if_none(tools: Spoiled, draw: Draw, goals: list[State]) -> Draw:
    return tools.draw(draw.state, tools.any(goals)) if goals else draw


def following(tools: Spoiled, state: State) -> list[State]:
    """Return the live states of the lane after the episode of `state`."""
    lane = tools.oracle.lanes[state.lane]
    return lane[lane.index(state.episode.states[-1]) + 1 :]


# -- faults of the goal


def current_state(tools: Spoiled, draw: Draw) -> Draw:
    return tools.draw(draw.state, draw.state)


def current_state_unsaid(tools: Spoiled, draw: Draw) -> Draw:
    return draw.put(goal=draw.state.achieved.astype(np.float32))


def beyond_the_episode(tools: Spoiled, draw: Draw) -> Draw:
    return same_if_none(tools, draw, following(tools, draw.state))


def next_reset(tools: Spoiled, draw: Draw) -> Draw:
    return same_if_none(tools, draw, following(tools, draw.state)[:1])


def from_the_past(tools: Spoiled, draw: Draw) -> Draw:
    states = draw.state.episode.states
    past = [s for s in states[1 : states.index(draw.state) + 1] if s.alive]
    return same_if_none(tools, draw, past)


def reset_state(tools: Spoiled, draw: Draw) -> Draw:
    return same_if_none(tools, draw, [s for s in draw.state.episode.states[:1] if s.alive])


def other_lane(tools: Spoiled, draw: Draw) -> Draw:
    others = [s for s in tools.oracle.live() if s.lane != draw.state.lane]
    return same_if_none(tools, draw, others)


def same_row_of_other_lane(tools: Spoiled, draw: Draw) -> Draw:
    row, lane = draw.goal.row, (draw.state.lane + 1) % len(tools.oracle.lanes)
    return tools.draw(draw.state, tools.oracle.tables()[0][lane, row])


def next_state(tools: Spoiled, draw: Draw) -> Draw:
    return tools.draw(draw.state, draw.state.taken.next_state)


def only_from_the_end(tools: Spoiled, draw: Draw) -> Draw:
    """The desired goals of the newest rows alone."""
    if not draw.asked:
        return draw
    newest = [states[-1] for states in tools.oracle.lanes]
    return tools.draw(draw.state, tools.any(newest), True)


def asked_of_its_own_episode(tools: Spoiled, draw: Draw) -> Draw:
    return tools.draw(draw.state, draw.state, True) if draw.asked else draw


def asked_in_place_of_achieved(tools: Spoiled, draw: Draw) -> Draw:
    return tools.draw(draw.state, draw.goal, True)


def never_asked(tools: Spoiled, draw: Draw) -> Draw:
    return tools.draw(draw.state, draw.state.taken.next_state)


def never_the_last(tools: Spoiled, draw: Draw) -> Draw:
    goals = tools.goals(draw.state)
    last = draw.state.episode.states[-1]
    return same_if_none(tools, draw, [goal for goal in goals if goal is not last])


def rounded(tools: Spoiled, draw: Draw) -> Draw:
    goals = tools.goals(draw.state)
    return tools.draw(draw.state, goals[int(np.round(tools.rng.random() * (len(goals) - 1)))])


def never_a_reset_state(tools: Spoiled, draw: Draw) -> Draw:
    goals = [s for s in tools.oracle.live() if s is not s.episode.states[0]]
    return tools.draw(draw.state, tools.any(goals))


def own_lane(tools: Spoiled, draw: Draw) -> Draw:
    return tools.draw(draw.state, tools.any(tools.oracle.lanes[draw.state.lane]))


def desired_of_another(tools: Spoiled, draw: Draw) -> Draw:
    return draw.put(goal=draw.goal.desired.astype(np.float32))


# -- faults of the reward and of the end


def old_reward(tools: Spoiled, draw: Draw) -> Draw:
    return draw.put(reward=np.float32(draw.state.taken.reward))


def no_goal_free_part(tools: Spoiled, draw: Draw) -> Draw:
    desired = draw.state.desired if draw.goal is None else draw.goal.achieved
    return draw.put(reward=np.float32(tools.oracle.reward(draw.state, desired)))


def reward_of_the_current_state(tools: Spoiled, draw: Draw) -> Draw:
    taken = draw.state.taken
    info = {name: value[None] for name, value in taken.info.items()}
    pay = tools.oracle.functions.reward(draw.state.achieved[None], draw.goal.achieved[None], info)
    part = taken.reward - tools.oracle.reward(draw.state, draw.state.desired)
    return draw.put(reward=np.float32(pay[0] + part))


def old_end(tools: Spoiled, draw: Draw) -> Draw:
    return draw.put(terminated=np.float32(draw.state.taken.terminated))


def either_end(tools: Spoiled, draw: Draw) -> Draw:
    old = draw.state.taken.terminated
    return draw.put(terminated=np.float32(old or draw.row["terminated"]))


def never_an_end(tools: Spoiled, draw: Draw) -> Draw:
    return draw.put(terminated=np.float32(0))


def crash_lost(tools: Spoiled, draw: Draw) -> Draw:
    desired = draw.state.desired if draw.goal is None else draw.goal.achieved
    return draw.put(terminated=np.float32(tools.oracle.reached(draw.state, desired)))


def cut_by_time_is_an_end(tools: Spoiled, draw: Draw) -> Draw:
    end = draw.row["terminated"] or draw.state.taken.truncated
    return draw.put(terminated=np.float32(end))


# -- faults of the step


def autoreset_step(tools: Spoiled, draw: Draw) -> Draw:
    end, after = draw.state.episode.states[-1], following(tools, draw.state)
    if not after:
        return draw
    return replace(draw, state=end).put(
        observation=end.observation.astype(np.float32),
        next_observation=after[0].observation.astype(np.float32),
    )


def newest_state(tools: Spoiled, draw: Draw) -> Draw:
    return replace(draw, state=tools.oracle.lanes[draw.state.lane][-1])


def next_is_current(tools: Spoiled, draw: Draw) -> Draw:
    return draw.put(next_observation=draw.row["observation"])


def next_skips_one(tools: Spoiled, draw: Draw) -> Draw:
    states = draw.state.episode.states
    after = states[states.index(draw.state) + 1 :]
    return draw.put(next_observation=after[min(1, len(after) - 1)].observation.astype(np.float32))


def action_of_before(tools: Spoiled, draw: Draw) -> Draw:
    states = draw.state.episode.states
    before = states[max(0, states.index(draw.state) - 1)]
    return draw.put(action=before.taken.action.astype(np.float32))


def lane_first(tools: Spoiled, draw: Draw) -> Draw:
    """Draw a lane, then one of its steps: uniform over lanes, not over steps."""
    drawable = tools.oracle.drawable()
    lane = tools.any(tools.oracle.live()).lane
    return again(tools, draw, tools.any([s for s in drawable if s.lane == lane]))


def again(tools: Spoiled, draw: Draw, state: State) -> Draw:
    """Return a sound draw of another step."""
    if draw.goal is None:
        return tools.draw(state, None)
    return tools.draw(state, tools.any(tools.goals(state)))


def not_of(unwanted: Callable[[State], bool]) -> Fault:
    def fault(tools: Spoiled, draw: Draw) -> Draw:
        wanted = [s for s in tools.oracle.drawable() if not unwanted(s)]
        return again(tools, draw, tools.any(wanted)) if unwanted(draw.state) else draw

    return fault


def still_open(state: State) -> bool:
    end = state.episode.states[-2].taken
    return not (end.terminated or end.truncated)


def partly_overwritten(state: State) -> bool:
    return not state.episode.states[0].alive


def last_step(state: State) -> bool:
    return state.taken.next_state is state.episode.states[-1]


# -- faults of a whole call


def batches_alike(tools: Spoiled, draws: list[list[Draw]]) -> list[list[Draw]]:
    return [draws[0]] * len(draws)


def always_rounded_down(tools: Spoiled, draws: list[list[Draw]]) -> list[list[Draw]]:
    """The floor of the share in each batch."""
    for batch in draws:
        surplus = sum(draw.goal is not None for draw in batch)
        surplus -= int(tools.oracle.share * len(batch))
        for index, draw in enumerate(batch):
            if draw.goal is not None and surplus > 0:
                batch[index] = tools.draw(draw.state, None)
                surplus -= 1
    return draws


def share_by_coin(tools: Spoiled, draws: list[list[Draw]]) -> list[list[Draw]]:
    """Right in the mean, but not in each batch."""

    def flip(draw: Draw) -> Draw:
        if tools.rng.random() >= float(tools.oracle.share):
            return tools.draw(draw.state, None)
        return tools.draw(draw.state, tools.any(tools.goals(draw.state)))

    return [[flip(draw) for draw in batch] for batch in draws]


def in_order(tools: Spoiled, draws: list[list[Draw]]) -> list[list[Draw]]:
    """Each step often enough, but it is always the first ones of a batch that are relabelled."""

    def sort(batch: list[Draw]) -> list[Draw]:
        states = sorted((draw.state for draw in batch), key=lambda state: state.key)
        return [again(tools, draw, state) for draw, state in zip(batch, states, strict=True)]

    return [sort(batch) for batch in draws]


class InTurn:
    """Each step as often as the next one: a shuffle in place of draws with replacement."""

    def __init__(self) -> None:
        self.turn = 0

    def __call__(self, tools: Spoiled, draws: list[list[Draw]]) -> list[list[Draw]]:
        steps = tools.oracle.drawable()

        def follow(draw: Draw) -> Draw:
            self.turn += 1
            return again(tools, draw, steps[self.turn % len(steps)])

        return [[follow(draw) for draw in batch] for batch in draws]


class WithMemory:
    """A buffer that returns what it drew at first, whatever was stored since."""

    def __init__(self) -> None:
        self.first: Any = None

    def __call__(self, tools: Spoiled, draws: Any) -> Any:
        self.first = self.first or draws
        return self.first


SPOILED = {
    # name: (fault, strategy, what the comparison says)
    "goal of the current state": (each(current_state), "future", "not among"),
    "goal of the current state, unsaid": (each(current_state_unsaid), "future", r"goal \(relab"),
    "goal beyond the episode": (each(beyond_the_episode), "future", "not among"),
    "final beyond the episode": (each(next_reset), "final", "not among"),
    "episode beyond the episode": (each(beyond_the_episode), "episode", "not among"),
    "goal from the past": (each(from_the_past), "future", "not among"),
    "reset state as goal": (each(reset_state), "episode", "not among"),
    "goal of another lane": (each(other_lane), "future", "not among"),
    "goal of the row of another lane": (each(same_row_of_other_lane), "final", "not among"),
    "final is the next state": (each(next_state), "final", "not among"),
    "future is only the next state": (each(next_state), "future", "coverage of goals"),
    "the last state is never a goal": (each(never_the_last), "future", "coverage of goals"),
    "episode without its last state": (each(never_the_last), "episode", "coverage of goals"),
    "goals by rounding, future": (each(rounded), "future", "uniform goals"),
    "goals by rounding, episode": (each(rounded), "episode", "uniform goals"),
    "goals by rounding, random": (each(rounded), "random", "uniform goals"),
    "random without reset states": (each(never_a_reset_state), "random", "coverage of goals"),
    "random in its own lane": (each(own_lane), "random", "coverage of goals"),
    "desired in place of achieved": (each(desired_of_another), "random", r"goal \(relab"),
    "reward not recomputed": (each(old_reward), "future", r"reward \(relab"),
    "desired goals of few rows": (each(only_from_the_end), "future_actual", "coverage of goals"),
    "its own desired goal": (each(asked_of_its_own_episode), "future_actual", "coverage of goals"),
    "all goals desired": (
        each(asked_in_place_of_achieved),
        "future_actual",
        "coverage|share of des",
    ),
    "no goal desired": (each(never_asked), "future_actual", "coverage|share of desired"),
    "goal-free part lost": (each(no_goal_free_part), "future", r"reward \(relab"),
    "reward of the current state": (each(reward_of_the_current_state), "final", r"reward \(rel"),
    "own goal rewarded anew": (each(no_goal_free_part, "own"), "future", r"reward \(own"),
    "terminated kept": (each(old_end), "future", r"terminated \(relab"),
    "terminated kept or new": (each(either_end), "random", r"terminated \(relab"),
    "never terminated": (each(never_an_end, "all"), "future", "terminated"),
    "crash lost": (each(crash_lost), "random", r"terminated \(relab"),
    "crash lost, own goal": (each(crash_lost, "own"), "future", r"terminated \(own"),
    "truncated ends, relabelled": (each(cut_by_time_is_an_end), "random", r"terminated \(rel"),
    "truncated ends, own goal": (each(cut_by_time_is_an_end, "own"), "final", r"terminated \(own"),
    "autoreset step drawn": (each(autoreset_step, "all"), "future", "not drawable"),
    "newest state drawn": (each(newest_state, "all"), "future", "not drawable"),
    "next observation is the current": (each(next_is_current, "all"), "future", "next_observ"),
    "next observation skips one": (each(next_skips_one, "all"), "future", "next_observ"),
    "action of the step before": (each(action_of_before, "all"), "future", "action"),
    "open episodes left out": (each(not_of(still_open), "all"), "future", "coverage of steps"),
    "cut episodes left out": (each(not_of(partly_overwritten), "all"), "final", "coverage of st"),
    "last steps left out": (each(not_of(last_step), "all"), "future", "coverage of steps"),
    "first in order, first relabelled": (in_order, "future", "relabelled steps"),
    "all batches of a call alike": (batches_alike, "future", "uniform"),
    "share always rounded down": (always_rounded_down, "future", "mean share"),
    "share by coin": (share_by_coin, "future", "share: "),
    "steps in turn": (InTurn(), "future", "too even"),
}


def rig_of(strategy: str, /, **changes: Any) -> Rig:
    """Return three lanes of 16 rows; after 58 steps they hold episodes of every sort."""
    return Rig(48, lanes=3, strategy=strategy, seed=12, buffer_changes=changes).begin()


@pytest.mark.parametrize("name", SPOILED)
def test_a_spoiled_draw_is_caught(name: str) -> None:
    fault, strategy, said = SPOILED[name]
    rig = rig_of(strategy).add(58)
    assert any(map(still_open, rig.oracle.drawable()))
    assert any(map(partly_overwritten, rig.oracle.drawable()))
    rig.buffer = Spoiled(rig, fault)
    with pytest.raises(AssertionError, match=said):
        rig.audit(per_cell=40)


def test_a_draw_of_a_lane_first_is_caught() -> None:
    """It takes lanes with unlike numbers of steps."""
    rig = unlike_lanes()
    rig.audit()
    rig.buffer = Spoiled(rig, each(lane_first, "all"))
    with pytest.raises(AssertionError, match="uniform steps"):
        rig.audit()


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_sound_buffer_passes(strategy: str) -> None:
    """And so does a mutant that spoils nothing: the tools of this file are sound too."""
    rig = rig_of(strategy).add(58)
    rig.audit(per_cell=40)
    rig.buffer = Spoiled(rig, lambda tools, draws: draws)
    rig.audit(per_cell=40)


def test_stale_rows_after_the_wrap_are_caught() -> None:
    rig = rig_of("future").add(12)
    rig.buffer = Spoiled(rig, WithMemory())
    rig.check(64)
    for _ in range(40):
        step = rig.world.step()
        rig.oracle.add(step)
        rig.give(rig.buffer.buffer, step)
    with pytest.raises(AssertionError, match=r"not drawable|not among|observation"):
        rig.check(64)


# -- a sound buffer, built wrongly


class Swapped(FloatGoals):
    """The reward, or the end, with its arguments the wrong way round."""

    def __init__(self, name: str) -> None:
        ask = getattr(super(), name)
        setattr(self, name, lambda achieved, desired, info: ask(desired, achieved, info))


class Blind(FloatGoals):
    """Goal functions that get the info of nobody."""

    def reward(self, achieved: Any, desired: Any, info: Any) -> np.ndarray:
        return super().reward(achieved, desired, {key: 0 * info[key] for key in info})


BUILT = {
    "reward with swapped arguments": ({"goal_functions": Swapped("reward")}, r"reward \(rel"),
    "end with swapped arguments": ({"goal_functions": Swapped("terminated")}, r"terminated \(rel"),
    "info not passed on": ({"goal_functions": Blind()}, r"reward \(relab"),
    "share of 1 - 1/k": ({"k": 3}, "share: "),
    "share of k": ({"k": 0}, "share: "),
    "one row less": ({"capacity": 45}, "not drawable|not among|observation"),
    "one row more": ({"capacity": 51}, "not drawable|not among|observation"),
    "another strategy: final": ({"strategy": "final"}, "coverage of goals"),
    "another strategy: episode": ({"strategy": "episode"}, "not among"),
    "another strategy: random": ({"strategy": "random"}, "not among"),
}


@pytest.mark.parametrize("name", BUILT)
def test_a_buffer_built_wrongly_is_caught(name: str) -> None:
    changes, said = BUILT[name]
    rig = rig_of("future", **changes).add(58)
    with pytest.raises(AssertionError, match=said):
        audit(rig.buffer, rig.oracle, per_cell=40)


# -- a sound buffer, fed wrongly


def time_is_an_end(step: Step) -> Step:
    return step._replace(terminated=step.terminated | step.truncated)


def only_time_ends(step: Step) -> Step:
    ended = step.terminated | step.truncated
    return step._replace(terminated=ended & False, truncated=ended)


def all_valid(step: Step) -> Step:
    return step._replace(valid=step.valid | True)


def reset_for_last(step: Step) -> Step:
    """Same-step autoreset read naively: the first state of the next episode as the last one."""
    ended = step.terminated | step.truncated
    after = {
        name: np.where(ended[:, None], array + 1, array)
        for name, array in step.next_observation.items()
    }
    return step._replace(next_observation=after)


def info_of_the_next_lane(step: Step) -> Step:
    return step._replace(info={name: np.roll(step.info[name], 1, axis=0) for name in step.info})


def clipped_reward(step: Step) -> Step:
    return step._replace(reward=np.clip(step.reward, -1, 0))


FED = {
    "a time limit is an end": (time_is_an_end, "terminated"),
    "an end is a time limit": (only_time_ends, "terminated"),
    "autoreset steps are steps": (all_valid, "not drawable|not among"),
    "reset state stored as the last": (reset_for_last, "observation|goal"),
    "info of another lane": (info_of_the_next_lane, "reward"),
    "reward clipped": (clipped_reward, "reward"),
}


@pytest.mark.parametrize("name", FED)
@pytest.mark.parametrize("strategy", ["future", "random"])
def test_a_buffer_fed_wrongly_is_caught(strategy: str, name: str) -> None:
    change, said = FED[name]
    rig = rig_of(strategy)
    rig.change_step = change
    rig.add(58)
    with pytest.raises(AssertionError, match=said):
        rig.audit()


def test_episodes_that_run_on_over_a_barrier_are_caught() -> None:
    """As if `begin` were one more step of the open episodes."""
    rig = rig_of("future").add(5)
    rig.oracle.begin(rig.world.reset())
    step = Step(
        observation=rig.world.now,
        action=np.zeros((3, 2), np.float32),
        reward=np.zeros(3),
        terminated=np.zeros(3, bool),
        truncated=np.zeros(3, bool),
        next_observation=rig.world.now,
        valid=np.ones(3, bool),
        info={"wind": np.zeros(3), "load": np.zeros((3, 2))},
    )
    rig.give(rig.buffer, step)
    rig.add(5)
    with pytest.raises(AssertionError, match=r"not drawable|not among"):
        rig.audit()
