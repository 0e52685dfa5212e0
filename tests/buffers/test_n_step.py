"""`buffer.n_step`: windows of steps under one goal, against the slow reference."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.buffers.oracle import STRATEGIES
from tests.buffers.side_by_side import Both
from tests.buffers.test_properties import CALLS, SETTINGS, WORLDS, play


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(
    ("kind", "lanes", "n_step"), [("float", 1, 3), ("int", 3, 2), ("bytes", 2, 7)]
)
def test_windows_are_those_of_the_oracle(strategy: str, kind: str, lanes: int, n_step: int) -> None:
    """While episodes are open, when they have ended in every way, and round the ring."""
    both = Both(26 * lanes, lanes=lanes, strategy=strategy, kind=kind, n_step=n_step).begin()
    for steps in (1, 1, 2, 20, 9, 31):
        both.add(steps)
        if both.oracle.drawable():
            both.check(64, 2)
    both.begin().add(2).check(128)


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
    cut = float((ahead.terminated.min(1)[0] == 1).float().mean())
    assert ours == told | {"terminated_share": pytest.approx(cut)}


@pytest.mark.heavy
@pytest.mark.parametrize("strategy", STRATEGIES)
@settings(SETTINGS, max_examples=60)
@given(
    calls=CALLS, n_step=st.integers(2, 12), moves=st.sampled_from([0.0, 0.3]),
    weights=st.sampled_from([{}, {"met_weight": 0.3}, {"rare_weight": 4.0}]), **WORLDS,
)  # fmt: skip
def test_any_interleaving(
    strategy, calls, n_step, moves, weights, rows, spare, lanes, k, kind, lengths, seed
):
    world = {"lanes": lanes, "kind": kind, "lengths": lengths, "seed": seed, "moves": moves}
    capacity = rows * lanes + min(spare, lanes - 1)
    changed = {"n_step": n_step, "buffer_changes": weights}
    play(Both(capacity, k=k, strategy=strategy, **changed, **world).begin(), calls)
