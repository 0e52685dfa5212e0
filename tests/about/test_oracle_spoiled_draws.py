"""Would the comparison notice? Each rule of a draw is broken on purpose, and must be caught."""

from __future__ import annotations

import pytest

from tests.about.draw_faults import (
    InTurn,
    WithMemory,
    action_of_before,
    always_rounded_down,
    asked_in_place_of_achieved,
    asked_of_its_own_episode,
    autoreset_step,
    batches_alike,
    beyond_the_episode,
    crash_lost,
    current_state,
    current_state_unsaid,
    cut_by_time_is_an_end,
    desired_of_another,
    either_end,
    from_the_past,
    in_order,
    lane_first,
    last_step,
    never_a_reset_state,
    never_an_end,
    never_asked,
    never_the_last,
    newest_state,
    next_is_current,
    next_reset,
    next_skips_one,
    next_state,
    no_goal_free_part,
    not_of,
    old_end,
    old_reward,
    only_from_the_end,
    other_lane,
    own_lane,
    partly_overwritten,
    reset_state,
    reward_of_the_current_state,
    rounded,
    same_row_of_other_lane,
    share_by_coin,
    still_open,
)
from tests.about.spoiled_buffer import Spoiled, each, rig_of
from tests.buffers.oracle import STRATEGIES
from tests.buffers.side_by_side import unlike_lanes

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
