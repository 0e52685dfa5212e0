"""Faults of draws: of the goal, of reward and end, of the step, of a whole call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from tests.about.spoiled_buffer import Draw, Fault, Spoiled, again, following, same_if_none
from tests.buffers.oracle import State

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
