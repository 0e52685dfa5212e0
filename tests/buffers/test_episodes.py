"""The hindsight buffer beside the slow model of `oracle.py`: episodes of every shape."""

from __future__ import annotations

import pytest

from tests.buffers.oracle import STRATEGIES
from tests.buffers.side_by_side import Both

pytestmark = pytest.mark.heavy
ENDLESS = {"lengths": (10**6,)}  # no episode ever ends by itself


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("lanes", [1, 3])
def test_episodes_of_length_one(lanes: int, strategy: str) -> None:
    both = Both(9 * lanes, lanes=lanes, strategy=strategy, lengths=(1,)).begin()
    for _ in range(40):
        both.add().check()
    draws = both.check(64)
    assert all(s.episode.states[-1] is s.taken.next_state for s, _ in draws)
    both.audit()


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("ending", [10**6, 19])
def test_an_episode_longer_than_the_ring(ending: int, strategy: str) -> None:
    """Its tail stays usable, while it runs and once it has ended."""
    both = Both(8, strategy=strategy, lengths=(ending,)).begin()
    for _ in range(60):
        both.add().check()
    both.audit()


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_an_open_episode_is_drawn_from_its_first_step_on(strategy: str) -> None:
    both = Both(200, lanes=4, strategy=strategy, **ENDLESS).begin()
    for length in range(1, 6):
        both.add()
        assert len(both.oracle.drawable()) == 4 * length
        both.check(1)
        both.audit()


def test_autoreset_steps_are_never_drawn() -> None:
    """Lanes out of phase: in nearly every step some lane only resets."""
    both = Both(60, lanes=4, lengths=(1, 2), seed=8).begin()
    seen = set()
    for _ in range(60):
        both.add()
        for state, goal in both.check(32):
            seen |= {state, goal[0] if goal else None}
    resets = {s for s in seen if s is not None and s.taken is None}
    assert all(s is s.episode.states[-1] for s in resets)  # only as a goal: a true last state
    both.audit()


def test_the_last_state_of_an_episode_is_the_true_last_one() -> None:
    both = Both(100, strategy="final", lengths=(3,), ends=("success",)).begin().add(40)
    finals = {goal[0] for _, goal in both.check(400) if goal is not None}
    assert len(finals) > 5
    ended = [goal for goal in finals if len(goal.episode.states) == 4]
    assert all(goal.achieved[1] >= 50 for goal in ended)  # successes lie out there
    assert len(ended) >= len(finals) - 1


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("steps", [0, 1, 3, 9])
def test_begin_in_the_middle_of_episodes(steps: int, strategy: str) -> None:
    """A barrier: episodes are cut, keep their last state, and nothing reaches across."""
    both = Both(36, lanes=3, strategy=strategy, lengths=(3, 4, 6), seed=4).begin()
    for _ in range(3):
        both.add(steps)
        if both.oracle.drawable():
            both.audit(at_least=600)
        both.begin()
        if both.oracle.drawable():
            both.audit(at_least=600)
    both.add(2).audit(at_least=600)
