"""`buffer.n_step`: windows of steps under one goal, against the slow reference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from her_exp.buffers.hindsight import HindsightReplayBuffer
from tests.buffers.oracle import STRATEGIES
from tests.buffers.side_by_side import Both
from tests.buffers.test_copied_rows import COPIED, drawn
from tests.buffers.test_properties import CALLS, SETTINGS, WORLDS, play
from tests.equality import equal


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("lanes", [1, 3])
@pytest.mark.parametrize(("kind", "n_step"), [("float", 3), ("int", 2), ("bytes", 7)])
def test_windows_are_those_of_the_oracle(strategy: str, lanes: int, kind: str, n_step: int) -> None:
    """While episodes are open, when they have ended in every way, and round the ring."""
    both = Both(26 * lanes, lanes=lanes, strategy=strategy, kind=kind, n_step=n_step).begin()
    for steps in (1, 1, 2, 20, 9, 31):
        both.add(steps)
        if both.oracle.drawable():
            both.check(64, 2)
    both.begin().add(2).check(128)
    shortest, longest = _taken(both, 400)
    assert (shortest, longest) == (1, min(n_step, 8))


def _taken(both: Both, n: int) -> tuple[int, int]:
    """The fewest and the most steps of a window among n draws."""
    counts = []
    for state, goal in both.check(n):
        desired = (
            state.desired if goal is None else goal[0].desired if goal[1] else goal[0].achieved
        )
        last = both.oracle._window(state, desired, goal is None)[2]
        states = state.episode.states
        counts.append(states.index(last) - states.index(state))
    return min(counts), max(counts)


@pytest.mark.parametrize("end", ["success", "crash", "timeout", "both"])
def test_each_end_cuts_in_its_way(end: str) -> None:
    """A crash under every goal, a success under those that it meets, a time limit under none."""
    both = Both(60, n_step=4, ends=(end,), lengths=(6,), strategy="random", kind="int").begin()
    both.add(50).check(600)
    last = [s for s in both.oracle.drawable() if s.taken.next_state is s.episode.states[-1]]
    closed = [s for s in last if s.taken.terminated or s.taken.truncated]
    ends = {bool(both.oracle._paid(s, g.achieved)[1]) for s in closed for g in both.oracle.live()}
    # In worlds of ints a success meets the goals that it has the bits of: those of all states here.
    assert ends == {"crash": {True}, "timeout": {True, False}}.get(end, {True})


@pytest.mark.parametrize("k", [0, 4])
@pytest.mark.parametrize("kind", ["float", "int"])
def test_a_window_has_one_goal_where_the_env_moves_it(k: int, kind: str) -> None:
    """Kept as they are, its later steps are judged anew by the goal of the first."""
    both = Both(60, lanes=2, k=k, n_step=4, kind=kind, moves=0.4).begin().add(50)
    own = [state for state, goal in both.check(500) if goal is None]
    later = [s.taken.next_state for s in own]
    assert any(not np.array_equal(a.desired, b.desired) for a, b in zip(own, later, strict=True))


def test_plain_replay_asks_no_goal_function() -> None:
    """Where no goal moves, what the env gave is what is handed over."""
    both = Both(40, k=0, n_step=3).begin().add(30)
    both.buffer._steps.judge = None
    both.check(200)


@pytest.mark.parametrize("weights", [{"met_weight": 0.3}, {"rare_weight": 4.0}])
@pytest.mark.parametrize("strategy", ["future", "future_actual", "episode"])
def test_weighted_draws_look_ahead(strategy: str, weights: dict[str, float]) -> None:
    """Also from steps that were drawn anew."""
    both = Both(40, lanes=2, n_step=3, strategy=strategy, buffer_changes=weights, seed=2).begin()
    for steps in (30, 7):
        both.add(steps).check(200)


@pytest.mark.parametrize("kind", ["float", "int", "bytes"])
def test_rows_kept_elsewhere_give_the_same(kind: str) -> None:
    world: dict[str, Any] = {"capacity": 26, "lanes": 2, "kind": kind, "n_step": 3, "moves": 0.2}
    plain = Both(**world).begin()
    copied = Both(**world, buffer_changes=COPIED).begin()
    for rows in (3, 1, 20, 30):
        plain.add(rows), copied.add(rows)
        assert equal(drawn(plain), drawn(copied))


def test_the_same_steps_and_goals_are_drawn() -> None:
    """And the first of the n is the step that `n_step=1` hands over."""
    one, three = (Both(40, lanes=2, n_step=n, seed=5).begin().add(45) for n in (1, 3))
    (plain,), (ahead,) = one.buffer.sample(200), three.buffer.sample(200)
    assert plain.reward.shape == (200,)
    assert ahead.reward.shape == ahead.terminated.shape == (200, 3)
    for name in ("observation", "goal", "action"):
        assert torch.equal(getattr(plain, name), getattr(ahead, name))
    assert torch.equal(plain.reward, ahead.reward[:, 0])
    told, ours = one.buffer.metrics(), three.buffer.metrics()
    assert ours.pop("terminated_share") > told.pop("terminated_share")
    assert ours == told
    cut = float((ahead.terminated.min(1)[0] == 1).float().mean())
    assert three.buffer.metrics()["terminated_share"] == pytest.approx(cut)


def test_rewards_out_of_range_are_told() -> None:
    both = Both(
        40, n_step=3, ends=("timeout",), buffer_changes={"reward_range": (-1e6, 1e6)}
    ).begin()
    both.add(30).check(50)
    both.buffer._steps.reward_range = (1e5, 1e6)
    with pytest.raises(Exception, match="relabelling gave"):
        both.buffer.sample(50)


@pytest.mark.parametrize("n_step", [0, -1, 101])
def test_odd_numbers_of_steps_are_refused(n_step: Any) -> None:
    arguments = Both().arguments | {"n_step": n_step, "generator": np.random.default_rng()}
    with pytest.raises(ValueError, match=rf"HindsightReplayBuffer: n_step={n_step} must be .*100"):
        HindsightReplayBuffer(**arguments)


@pytest.mark.heavy
@pytest.mark.parametrize("strategy", STRATEGIES)
@settings(SETTINGS, max_examples=60)
@given(
    calls=CALLS, n_step=st.integers(2, 12), moves=st.sampled_from([0.0, 0.3]),
    met_weight=st.sampled_from([1.0, 0.3]), **WORLDS,
)  # fmt: skip
def test_any_interleaving(
    strategy, calls, n_step, moves, met_weight, rows, spare, lanes, k, kind, lengths, seed
):
    world = {"lanes": lanes, "kind": kind, "lengths": lengths, "seed": seed, "moves": moves}
    changes = {"met_weight": met_weight}
    capacity = rows * lanes + min(spare, lanes - 1)
    both = Both(
        capacity, k=k, strategy=strategy, n_step=n_step, buffer_changes=changes, **world
    ).begin()
    play(both, calls)
