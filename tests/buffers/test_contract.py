"""What the buffer promises besides its draws: shares, numbers, whose generator, and what it refuses."""

from __future__ import annotations

import math
import tracemalloc
from typing import Any

import numpy as np
import pytest
import torch

from her_exp.types import UserError
from tests.buffers.one_lane import Distance, OneLane
from tests.buffers.side_by_side import Both


def walked(steps: int = 4, functions: Distance | None = None, **settings: Any) -> OneLane:
    """A lane that went from 0 on, one further each step; its goal is at -1."""
    lane = OneLane(functions or Distance(), [-1.0], **settings)
    for place in range(steps):
        lane.add(place + 1)
    return lane


def test_only_its_own_generator_is_asked() -> None:
    def draws(noise: int) -> list[int]:
        both = Both(60, lanes=3, seed=1).begin().add(40)
        np.random.seed(noise)  # noqa: NPY002
        torch.manual_seed(noise)
        before = np.random.get_state()[1].copy()  # noqa: NPY002
        both.buffer.sample(64, 2)
        assert (np.random.get_state()[1] == before).all()  # noqa: NPY002
        return both.buffer.last.goal_row.tolist()

    assert draws(1) == draws(2)


def test_sampling_changes_nothing_that_is_stored() -> None:
    both = Both(30, lanes=2).begin().add(30)
    for batch in both.buffer.sample(32, 3):
        assert batch.demonstrated is None
        for tensor in batch.parts.values():
            tensor.fill_(7)  # a user's own transformation, in place
    both.audit()


@pytest.mark.parametrize("k", [0, 1, 4, 8, math.inf])
@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_share_of_relabelled_steps(k: float, batch_size: int) -> None:
    both = Both(12, lanes=2, k=k, seed=4).begin().add(25)
    share = 1.0 if k == math.inf else k / (k + 1)
    assert both.buffer.relabel_share == both.buffer.achieved_share == pytest.approx(share)
    both.audit(batch_size=batch_size, n_batches=2, at_least=800 * batch_size)


def test_half_of_the_goals_of_future_actual_are_achieved_ones() -> None:
    """How they come: `test_properties.py`."""
    assert Both(k=4, strategy="future_actual").buffer.achieved_share == pytest.approx(0.4)


@pytest.mark.parametrize("n_step", [1, 3])
def test_numbers_for_the_log(n_step: int) -> None:
    lane = walked(30, functions=Distance(1.5, ends=0.0), n_step=n_step)
    (batch,) = lane.buffer.sample(200)
    reward, terminated = (part.reshape(200, -1) for part in (batch.reward, batch.terminated))
    assert lane.buffer.metrics() == {
        "size": 31.0,
        "relabelled_share": 0.8,
        "rewarded_share": pytest.approx(float((reward[:, 0] == 0).float().mean())),
        "terminated_share": pytest.approx(float(terminated.amin(1).mean())),
        "goal_distance": pytest.approx(float((batch.observation + 1 - batch.goal).abs().mean())),
    }


def test_storage_cpu_keeps_no_copy() -> None:
    """Batches still come on the device."""
    both = Both(20, buffer_changes={"device": "meta", "storage": "cpu"}).begin().add(9)
    (batch,) = both.buffer.sample(4)
    assert {part.device for part in batch.parts.values()} == {torch.device("meta")}


def test_what_cannot_be_done_yet_or_at_all_is_said() -> None:
    both = Both()
    with pytest.raises(ValueError, match="begin"):
        both.give(both.buffer, Both().begin().world.step())
    both.begin().begin()
    with pytest.raises(ValueError, match="no step yet"):
        both.buffer.sample(4)
    with pytest.raises(ValueError, match="saved ring"):
        Both(96, lanes=4).buffer.load_state_dict(both.buffer.state_dict())
    with pytest.raises(ValueError, match="future"):
        walked(strategy="latest")


def test_nbytes_is_what_the_ring_takes() -> None:
    both = Both(200_000, lanes=3, kind="int")
    tracemalloc.start()
    buffer = both.new_buffer(0)
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert taken == pytest.approx(buffer.nbytes(both.world.spaces, 200_000, 3), rel=0.01)


OUTSIDE = {
    "beyond the episode": lambda drawn: drawn.left + 1,
    "the first state": lambda drawn: -drawn.since,
    "before the first state": lambda drawn: -drawn.since - 1,
    "gone from the ring": lambda drawn: np.where(drawn.since > 3, -drawn.alive_back - 1, 1),
    "a number, for all": lambda drawn: 5,
}


@pytest.mark.parametrize("offsets", OUTSIDE.values(), ids=OUTSIDE)
def test_a_strategy_that_leaves_its_episode_is_stopped(offsets: Any) -> None:
    lane = walked(8, capacity=6, strategy=lambda drawn, _: drawn.at(offsets(drawn)))
    lane.add(9, truncated=True)
    with pytest.raises(
        UserError, match=r"buffer.strategy: offset -?\d+ from step \d of an episode"
    ):
        lane.buffer.sample(100)


@pytest.mark.parametrize("shape", [0, 3, (1, 80)])
def test_a_strategy_that_answers_for_others_is_stopped(shape: Any) -> None:
    lane = walked(strategy=lambda drawn, _: np.zeros(shape, np.int64))
    with pytest.raises(UserError, match=r"buffer.strategy: chose rows of shape .* for 80 steps"):
        lane.buffer.sample(100)


def line(functions: Distance, reward_range: Any, **settings: Any) -> OneLane:
    """A lane on a line, from 0, with its goal at 10."""
    return OneLane(functions, [10.0], np.float64, reward_range=reward_range, **settings)


@pytest.mark.parametrize("reward", [-1.5, 0.25, float("nan"), float("inf"), -float("inf")])
def test_a_reward_outside_its_range_is_refused(reward: float) -> None:
    lane = line(Distance(), (-1.0, 0.0))
    lane.add(9.5)
    lane.add(9.5, reward=-1.0)
    lane.add(9.5, reward=0.0)
    with pytest.raises(UserError, match=r"reward"):
        lane.add(9.5, reward=reward)
    line(Distance(), None).add(9.5, reward=-1.5)  # nothing declared, nothing refused


def next_state(drawn: Any, _: Any) -> Any:
    return drawn.at(np.ones_like(drawn.left))


@pytest.mark.parametrize(
    ("settings", "wrong"),
    [
        ({"k": 0}, False),
        ({"k": 4}, True),
        ({"strategy": next_state}, False),
        ({"strategy": next_state, "n_step": 2}, True),  # of the second step under the first's goal
    ],
)
def test_a_relabelled_reward_outside_its_range_is_refused(settings: Any, wrong: bool) -> None:
    """Each step lies within 3 of its own goal, but up to 6 of the others' ends."""
    lane = line(Distance(), (-3.0, 0.0), **settings)
    for place in (7.0, 13.0, 7.0, 13.0):
        lane.add(place)
    if not wrong:
        lane.buffer.sample(64)
        return
    with pytest.raises(UserError, match=r"or null; or the env's reward .* her_exp\.check tells$"):
        lane.buffer.sample(64)


def test_the_reward_of_an_autoreset_step_is_nothing() -> None:
    """Gymnasium gives 0 there, which the range of a task need not hold."""
    lane = line(Distance(), (-20.0, -1.0), k=0)
    lane.add(5.0, truncated=True)
    lane.add(0.0, reward=0.0, valid=False)
    lane.add(4.0)
    (batch,) = lane.buffer.sample(40)
    assert set(batch.reward.tolist()) == {-5.0, -6.0}


@pytest.mark.parametrize(
    "functions", [Distance(), Distance(near=0.5, price=0.1), Distance(near=0.5, price=100.3)]
)
def test_rounding_to_float32_is_no_reward_outside_its_range(functions: Distance) -> None:
    """A range that is just reached: 0 at the goal, give or take the 1e-8 of float32."""
    low = -functions.price if functions.near else -20.0
    lane = line(functions, (low, 0.0))
    for place in np.random.default_rng(0).normal(size=90):
        lane.add(place)
    for _ in range(20):
        (batch,) = lane.buffer.sample(256)
        assert batch.reward.max() <= 1e-5
        assert batch.reward.min() >= low * (1 + 1e-6) - 1e-5
        if functions.near is None:  # and no more is lost than float32 loses of the places
            far = -(batch.next_observation - batch.goal).abs()[:, 0]
            torch.testing.assert_close(batch.reward, far, atol=2e-6, rtol=0)
