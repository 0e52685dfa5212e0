"""The hindsight buffer beside the slow model of `oracle.py`: each draw, and how often it comes."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from oracle import STRATEGIES
from oracle_audit import compare
from oracle_rig import Rig, unlike_lanes

from her_exp.buffers.hindsight import HindsightReplayBuffer
from her_exp.distance import DistanceGoal
from her_exp.types import GoalSpaces, Step, UserError

KINDS = ("float", "int", "bytes")
ENDLESS = {"lengths": (10**6,)}  # no episode ever ends by itself


# ---------------------------------------------------------------------------------------------
# Long runs


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("kind", KINDS)
def test_thousands_of_adds_and_samples(kind: str, strategy: str) -> None:
    """Several lanes, a ring that wraps some 200 times, samples all along and a count at rest."""
    rig = Rig(37, lanes=3, kind=kind, strategy=strategy, seed=11).begin()
    for _ in range(400):
        rig.add(4).check(12)
    rig.audit()


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("lanes", [1, 2, 5])
def test_every_step_and_goal_comes_equally_often(lanes: int, strategy: str) -> None:
    rig = Rig(8 * lanes, lanes=lanes, strategy=strategy, seed=5).begin()
    for steps in (1, 2, 4, 9, 17):  # not yet full, just full, wrapped, at many phases of episodes
        rig.add(steps).audit()


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_each_phase_of_the_wrap(strategy: str) -> None:
    rig = Rig(7, strategy=strategy, lengths=(4,), seed=2).begin()
    for _ in range(36):
        rig.add().audit(per_cell=25, at_least=400)


# ---------------------------------------------------------------------------------------------
# Shapes of episodes


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("lanes", [1, 3])
def test_episodes_of_length_one(lanes: int, strategy: str) -> None:
    rig = Rig(9 * lanes, lanes=lanes, strategy=strategy, lengths=(1,)).begin()
    for _ in range(40):
        rig.add().check()
    draws = rig.check(64)
    assert all(s.episode.states[-1] is s.taken.next_state for s, _ in draws)
    rig.audit()


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("ending", [10**6, 19])
def test_an_episode_longer_than_the_ring(ending: int, strategy: str) -> None:
    """Its tail stays usable, while it runs and once it has ended."""
    rig = Rig(8, strategy=strategy, lengths=(ending,)).begin()
    for _ in range(60):
        rig.add().check()
    rig.audit()


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_an_episode_of_exactly_the_ring(strategy: str) -> None:
    rig = Rig(8, strategy=strategy, lengths=(7,)).begin().add(7)
    assert len(rig.oracle.drawable()) == 7
    rig.audit()
    for _ in range(30):
        rig.add().check()


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("lanes", [1, 4])
def test_an_open_episode_is_drawn_from_its_first_step_on(lanes: int, strategy: str) -> None:
    rig = Rig(50 * lanes, lanes=lanes, strategy=strategy, **ENDLESS).begin()
    for length in range(1, 6):
        rig.add()
        assert len(rig.oracle.drawable()) == lanes * length
        rig.check(1)
        rig.audit()


def test_autoreset_steps_are_never_drawn() -> None:
    """Lanes out of phase: in nearly every step some lane only resets."""
    rig = Rig(60, lanes=4, lengths=(1, 2), seed=8).begin()
    seen = set()
    for _ in range(60):
        rig.add()
        for state, goal in rig.check(32):
            seen |= {state, goal[0] if goal else None}
    resets = {s for s in seen if s is not None and s.taken is None}
    assert all(s is s.episode.states[-1] for s in resets)  # only as a goal: a true last state
    rig.audit()


def test_the_last_state_of_an_episode_is_the_true_last_one() -> None:
    rig = Rig(100, strategy="final", lengths=(3,), ends=("success",)).begin().add(40)
    finals = {goal[0] for _, goal in rig.check(400) if goal is not None}
    assert len(finals) > 5
    ended = [goal for goal in finals if len(goal.episode.states) == 4]
    assert all(goal.achieved[1] >= 50 for goal in ended)  # successes lie out there
    assert len(ended) >= len(finals) - 1


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("steps", [0, 1, 2, 3, 4, 9])
def test_begin_in_the_middle_of_episodes(steps: int, strategy: str) -> None:
    """A barrier: episodes are cut, keep their last state, and nothing reaches across."""
    rig = Rig(36, lanes=3, strategy=strategy, lengths=(3, 4, 6), seed=4).begin()
    for _ in range(3):
        rig.add(steps)
        if rig.oracle.drawable():
            rig.audit(at_least=600)
        rig.begin()
        if rig.oracle.drawable():
            rig.audit(at_least=600)
    rig.add(2).audit(at_least=600)


def test_begin_again_and_again_leaves_nothing_to_draw() -> None:
    rig = Rig(12, lanes=3).begin().add(2)
    rig.check()
    for _ in range(4):
        rig.begin()
    assert not rig.oracle.drawable()
    with pytest.raises(ValueError, match=r"\w+ \w+"):
        rig.buffer.sample(4)
    rig.add()
    rig.audit()


# ---------------------------------------------------------------------------------------------
# What is relabelled


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("end", ["success", "crash", "timeout", "both"])
def test_each_end_alone(end: str, strategy: str) -> None:
    """Terminate on success, on a crash; be cut by time; succeed on the last step in time."""
    rig = Rig(40, lanes=2, strategy=strategy, ends=(end,), lengths=(2, 3), seed=9).begin()
    rig.add(50)
    draws = rig.check(600, 2)
    ends = [(s, goal) for s, goal in draws if s.taken.terminated or s.taken.truncated]
    assert ends
    under_new = [rig.oracle.expected(s, goal)["terminated"] for s, goal in ends if goal is not None]
    under_own = [rig.oracle.expected(s, None)["terminated"] for s, goal in ends if goal is None]
    assert all(value == (end != "timeout") for value in under_own)
    if end == "crash":
        assert all(under_new)
    if end == "timeout" and strategy == "random":
        assert len(set(under_new)) == 2  # what the new goal says, not what the clock says
    rig.audit()


def test_terminated_follows_the_new_goal_both_ways() -> None:
    """The world gives both: open steps that end under a new goal, ends that do not any more."""
    rig = Rig(60, strategy="random", ends=("success", "timeout"), seed=1).begin().add(90)
    seen = {
        (s.taken.terminated, bool(rig.oracle.expected(s, goal)["terminated"]))
        for s, goal in rig.check(800)
        if goal is not None
    }
    assert {(False, True), (False, False), (True, True)} <= seen
    # Successes end with the highest achieved goals: only another one can stay out of reach.
    assert (True, False) in seen


def test_rewards_are_not_symmetric_in_this_world() -> None:
    """So that swapped arguments show: the world is checked, not the buffer."""
    for kind in KINDS:
        rig = Rig(30, kind=kind, seed=6).begin().add(20)
        functions, states = rig.world.functions, rig.oracle.live()
        a, d = states[3].achieved[None], states[7].achieved[None]
        info = {"wind": np.array([0.5]), "load": np.array([[0.5, 0.25]])}
        assert functions.reward(a, d, info) != functions.reward(d, a, info)
        assert functions.terminated(a, a, info).all()


def test_the_goal_free_part_of_the_reward_stays() -> None:
    rig = Rig(60, seed=3).begin().add(60)
    parts = set()
    for s, goal in rig.check(300):
        if goal is not None:
            part = s.taken.reward - rig.oracle.reward(s, s.desired)
            paid = rig.oracle.expected(s, goal)["reward"]
            assert paid == rig.oracle.reward(s, goal[0].achieved) + part
            parts.add(part)
    assert len(parts) > 4
    assert 0.0 in parts
    assert min(parts) < 0


@pytest.mark.parametrize("k", [0, 1, 4, 8])
@pytest.mark.parametrize("batch_size", [1, 2, 7, 64])
def test_share_of_relabelled_steps(k: int, batch_size: int) -> None:
    rig = Rig(12, lanes=2, k=k, seed=k).begin().add(25)
    assert rig.buffer.relabel_share == pytest.approx(k / (k + 1), abs=1e-12)
    assert rig.buffer.achieved_share == rig.buffer.relabel_share
    rig.audit(batch_size=batch_size, n_batches=2, at_least=800 * batch_size)


def test_the_normaliser_is_told_how_many_goals_are_achieved_ones() -> None:
    """Of five drawn goals two were achieved: the others were asked for, one of them by the step itself."""
    rig = Rig(40, k=4, strategy="future_actual", seed=3).begin().add(60)
    assert rig.buffer.achieved_share == pytest.approx(0.4)
    last = [rig.buffer.sample(50, 20) and rig.buffer.last for _ in range(40)]
    achieved = np.mean([one.relabelled & ~one.asked for one in last])
    assert achieved == pytest.approx(0.4, abs=0.01)


@pytest.mark.parametrize(("k", "batch_size"), [(1, 64), (4, 10), (4, 255), (8, 9), (8, 18), (2, 3)])
def test_a_whole_share_is_the_same_in_every_batch(k: int, batch_size: int) -> None:
    rig = Rig(30, k=k).begin().add(25)
    for _ in range(20):
        rig.check(batch_size, 10)
        assert (rig.buffer.last.relabelled.sum(axis=1) * (k + 1) == k * batch_size).all()


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_k_of_zero_is_plain_replay(strategy: str) -> None:
    rig = Rig(30, lanes=3, k=0, strategy=strategy, seed=7).begin()
    for _ in range(50):
        rig.add()
        assert all(goal is None for _, goal in rig.check(40))
        assert (rig.buffer.last.goal_row == -1).all()
    rig.audit()


def test_info_is_that_of_the_step_and_only_what_was_named() -> None:
    rig = Rig(30, lanes=2, seed=5).begin().add(30)
    seen: list[dict[str, Any]] = []
    functions, ask = rig.world.functions, type(rig.world.functions).reward

    def spy(achieved: Any, desired: Any, info: Any) -> Any:
        seen.append({name: np.shape(value) for name, value in info.items()})
        assert all(len(value) == len(achieved) for value in info.values())
        return ask(functions, achieved, desired, info)

    functions.reward = spy
    rig.buffer.sample(32)
    assert seen
    for shapes in seen:
        assert set(shapes) == {"wind", "load"}
        assert len(shapes["wind"]) == 1
        assert len(shapes["load"]) == 2
        assert shapes["load"][1] == 2


@pytest.mark.parametrize("kind", KINDS)
def test_goals_reach_the_functions_as_they_were_stored(kind: str) -> None:
    rig = Rig(30, lanes=2, kind=kind).begin().add(30)
    wanted = np.dtype(np.int64 if kind == "int" else np.float32)
    seen: list[Any] = []
    functions = rig.world.functions
    for name in ("reward", "terminated"):
        ask = getattr(type(functions), name)

        def spy(achieved: Any, desired: Any, info: Any, ask: Any = ask) -> Any:
            seen.extend([achieved, desired])
            return ask(functions, achieved, desired, info)

        setattr(functions, name, spy)
    rig.buffer.sample(32)
    assert seen
    assert {array.dtype for array in seen} == {wanted}
    assert {array.shape[1:] for array in seen} == {(2,)}


def test_int_goals_and_discrete_actions() -> None:
    rig = Rig(40, lanes=2, kind="int").begin().add(60)
    (batch,) = rig.buffer.sample(32)
    assert batch.action.dtype == torch.int64
    assert batch.action.shape == (32,)
    assert batch.goal.dtype == batch.observation.dtype == torch.float32
    assert set(batch.action.tolist()) <= {0, 1, 2, 3}
    rig.audit()


class Last:
    """A strategy of the user's own, which happens to be `final`."""

    def __call__(self, draw: Any, generator: np.random.Generator) -> Any:
        return draw.at(draw.left)


def test_a_strategy_of_ones_own() -> None:
    rig = Rig(40, lanes=2, strategy="final", buffer_changes={"strategy": Last()}).begin()
    for _ in range(30):
        rig.add(3).check()
    rig.audit()


# ---------------------------------------------------------------------------------------------
# Draws


def test_batches_of_one_call_are_draws_of_their_own() -> None:
    rig = Rig(200, lanes=4, seed=2).begin().add(60)
    batches = rig.buffer.sample(50, 9)
    compare(rig.buffer, rig.oracle, batches)
    last = rig.buffer.last
    assert last.row.shape == last.relabelled.shape == (9, 50)
    drawn = {tuple(zip(last.lane[i], last.row[i], strict=True)) for i in range(9)}
    assert len(drawn) == 9
    before = [batch.observation.clone() for batch in batches]
    assert len({batch.observation.data_ptr() for batch in batches}) == 9
    again = [batch.observation.clone() for batch in rig.buffer.sample(50, 9)]
    assert not any(torch.equal(a, b) for a in before for b in again)


@pytest.mark.parametrize("sizes", [(3, 1), (1, 5), (40, 2), (2, 40), (7, 7)])
def test_batch_sizes_may_change_from_call_to_call(sizes: tuple[int, int]) -> None:
    rig = Rig(40, lanes=2).begin().add(12)
    for _ in range(3):
        rig.check(*sizes)
        rig.check(5, 3)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_steps_count_alike_in_lanes_with_few_and_with_many(strategy: str) -> None:
    unlike_lanes(strategy).audit()


def test_draws_are_with_replacement() -> None:
    rig = Rig(40).begin().add(2)
    assert len(rig.check(500)) == 500


@pytest.mark.parametrize(("capacity", "lanes"), [(23, 3), (11, 5), (9, 4), (2, 1), (7, 2)])
def test_a_capacity_that_the_lanes_do_not_divide(capacity: int, lanes: int) -> None:
    rig = Rig(capacity, lanes=lanes, seed=capacity).begin()
    for _ in range(60):
        rig.add()
        assert rig.buffer.size == rig.oracle.size <= capacity
        if rig.oracle.drawable():
            rig.check()
    rig.add(3)
    assert rig.buffer.size == capacity // lanes * lanes
    if not rig.oracle.drawable():
        rig.add()
    rig.audit()


def test_nothing_to_draw_is_said_in_words() -> None:
    rig = Rig(20, lanes=2)
    assert rig.buffer.size == 0
    with pytest.raises(ValueError, match=r"\w+ \w+"):
        rig.buffer.sample(4)
    rig.begin()
    assert rig.buffer.size == 2
    with pytest.raises(ValueError, match=r"\w+ \w+"):
        rig.buffer.sample(4)
    rig.add().check()


def test_only_its_own_generator_is_asked() -> None:
    def draws(noise: int) -> list[int]:
        rig = Rig(60, lanes=3, seed=1).begin().add(40)
        np.random.seed(noise)  # noqa: NPY002
        torch.manual_seed(noise)
        before = np.random.get_state()[1].copy()  # noqa: NPY002
        rig.buffer.sample(64, 2)
        assert (np.random.get_state()[1] == before).all()  # noqa: NPY002
        return rig.buffer.last.goal_row.tolist()

    assert draws(1) == draws(2)


def test_sampling_changes_nothing_that_is_stored() -> None:
    rig = Rig(30, lanes=2).begin().add(30)
    for batch in rig.buffer.sample(32, 3):
        for tensor in batch:
            tensor.fill_(7)  # a user's own transformation, in place
    rig.audit()


# ---------------------------------------------------------------------------------------------
# State


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_state_dict_repeats_the_same_samples(strategy: str) -> None:
    rig = Rig(31, lanes=3, strategy=strategy, seed=3).begin().add(37)
    rig.check()
    written = io.BytesIO()
    torch.save(rig.buffer.state_dict(), written)
    written.seek(0)
    copy = rig.new_buffer(seed=999)
    copy.load_state_dict(torch.load(written, weights_only=True))
    assert copy.size == rig.buffer.size
    for steps in (0, 1, 5, 30):
        for _ in range(steps):
            step = rig.world.step()
            rig.oracle.add(step)
            rig.give(rig.buffer, step)
            rig.give(copy, step)
        one, other = rig.buffer.sample(17, 2), copy.sample(17, 2)
        compare(copy, rig.oracle, other)
        for left, right in zip(one, other, strict=True):
            assert all(torch.equal(a, b) for a, b in zip(left, right, strict=True))
        for name in ("lane", "row", "goal_row", "relabelled"):
            assert (getattr(rig.buffer.last, name) == getattr(copy.last, name)).all()


@pytest.mark.parametrize("steps", [0, 1, 3, 200])
def test_state_dict_at_any_moment(steps: int) -> None:
    """Before the first step, in open episodes, long after the ring was full; then a barrier."""
    rig = Rig(24, lanes=2, kind="int", seed=steps).begin().add(steps)
    written = io.BytesIO()
    torch.save(rig.buffer.state_dict(), written)
    written.seek(0)
    rig.buffer = rig.new_buffer(seed=999)
    rig.buffer.load_state_dict(torch.load(written, weights_only=True))
    rig.add(2).audit(at_least=500)
    rig.begin().add(2).audit(at_least=500)


def test_state_dict_of_a_buffer_never_used() -> None:
    rig = Rig(24, lanes=2)
    state = rig.buffer.state_dict()
    rig.buffer = rig.new_buffer(seed=999)
    rig.buffer.load_state_dict(state)
    rig.begin().add(9).audit()


def test_a_loaded_buffer_shares_no_memory_with_the_first() -> None:
    rig = Rig(24, lanes=2, seed=5).begin().add(30)
    other = Rig(24, lanes=2, seed=6)
    other.buffer.load_state_dict(rig.buffer.state_dict())
    other.oracle = Rig(24, lanes=2, seed=5).begin().add(30).oracle
    other.begin().add(17).audit(at_least=500)
    rig.audit(at_least=500)


# ---------------------------------------------------------------------------------------------
# What a reward may be


class Distance:
    """Minus the distance (dense), or a price for not being near; no info."""

    def __init__(self, near: float | None = None, price: float = 1.0) -> None:
        self.near, self.price = near, price

    def reward(self, achieved: Any, desired: Any, info: Any) -> np.ndarray:
        far = np.linalg.norm(np.asarray(achieved, float) - np.asarray(desired, float), axis=-1)
        return -far if self.near is None else -self.price * (far > self.near)

    def terminated(self, achieved: Any, desired: Any, info: Any) -> np.ndarray:
        return np.zeros(len(achieved), bool)

    success = terminated


def line(
    functions: Any, reward_range: Any, k: int = 4, seed: int = 0, strategy: str = "random"
) -> tuple[Any, Any]:
    """Return a buffer of one lane on a line (from 0, goal at 10) and what adds a step to it."""
    box = spaces.Box(-np.inf, np.inf, (1,), np.float64)
    buffer = HindsightReplayBuffer(
        100,
        k=k,
        strategy=strategy,
        spaces=GoalSpaces(box, box, spaces.Box(-1, 1, (1,), np.float32)),
        goal_functions=functions,
        num_envs=1,
        generator=np.random.default_rng(seed),
        reward_range=reward_range,
    )

    def at(place: float) -> dict[str, np.ndarray]:
        place = np.array([[place]])
        return {"observation": place, "achieved_goal": place, "desired_goal": np.array([[10.0]])}

    now = 0.0

    ended = False

    def add(place: float, reward: float | None = None, truncated: bool = False) -> None:
        nonlocal now, ended
        after = at(place)
        goals = after["achieved_goal"], after["desired_goal"]
        pay = functions.reward(*goals, {}) if reward is None else np.array([reward])
        action, no = np.zeros((1, 1), np.float32), np.array([False])
        ends, valid = np.array([truncated]), np.array([not ended])
        buffer.add(Step(at(now), action, pay.astype(np.float64), no, ends, after, valid, {}))
        now, ended = place, truncated

    buffer.begin(at(0.0))
    return buffer, add


@pytest.mark.parametrize("reward", [-1.5, 0.25, float("nan"), float("inf"), -float("inf")])
def test_a_reward_outside_its_range_is_refused(reward: float) -> None:
    buffer, add = line(Distance(), (-1.0, 0.0))
    add(9.5)
    add(9.5, reward=-1.0)
    add(9.5, reward=0.0)
    with pytest.raises(UserError, match=r"reward"):
        add(9.5, reward=reward)
    line(Distance(), None)[1](9.5, reward=-1.5)  # nothing declared, nothing refused
    assert buffer.size > 0


def test_a_relabelled_reward_outside_its_range_is_refused() -> None:
    """Each step lies within 3 of its own goal, but up to 6 of the others' ends."""
    for k in (0, 4):
        buffer, add = line(Distance(), (-3.0, 0.0), k=k)
        for place in (7.0, 13.0, 7.0, 13.0):
            add(place)
        if k:
            with pytest.raises(UserError, match=r"reward"):
                buffer.sample(64)
        else:
            buffer.sample(64)


def test_the_reward_of_an_autoreset_step_is_nothing() -> None:
    """Gymnasium gives 0 there, which the range of a task need not hold."""
    buffer, add = line(Distance(), (-20.0, -1.0), k=0)
    add(5.0, truncated=True)
    add(0.0, reward=0.0)
    add(4.0)
    (batch,) = buffer.sample(40)
    assert set(batch.reward.tolist()) == {-5.0, -6.0}


@pytest.mark.parametrize(
    "functions", [Distance(), Distance(near=0.5, price=0.1), Distance(near=0.5, price=100.3)]
)
def test_rounding_to_float32_is_no_reward_outside_its_range(functions: Distance) -> None:
    """A range that is just reached: 0 at the goal, give or take the 1e-8 of float32."""
    rng = np.random.default_rng(0)
    low = -functions.price if functions.near else -20.0
    buffer, add = line(functions, (low, 0.0))
    for place in rng.normal(size=90):
        add(float(place))
    for _ in range(20):
        (batch,) = buffer.sample(256)
        assert batch.reward.max() <= 1e-5
        assert batch.reward.min() >= low * (1 + 1e-6) - 1e-5


def test_a_float64_world_loses_no_more_than_float32() -> None:
    """Rewards of states that float32 rounds: exact for own goals, close for the others."""
    rng = np.random.default_rng(1)
    buffer, add = line(Distance(), None, strategy="future")
    for place in rng.normal(size=99):
        add(float(place))
    (batch,) = buffer.sample(2000)
    far = -(batch.next_observation - batch.goal).abs()[:, 0]
    torch.testing.assert_close(batch.reward, far, atol=2e-6, rtol=0)


class Near(Distance):
    """Ends where the goal is met, and has the tensor version that `distance` stands for."""

    def __init__(self, distance: DistanceGoal | None) -> None:
        super().__init__(near=0.5)
        self.distance = distance

    def terminated(self, achieved: Any, desired: Any, info: Any) -> np.ndarray:
        return self.reward(achieved, desired, info) == 0


def test_the_tensor_version_of_a_distance_gives_the_same_batches() -> None:
    batches = []
    for distance in (DistanceGoal(0.5, 0.0, -1.0, terminates=True), None):
        buffer, add = line(Near(distance), (-1.0, 0.0))
        for place in np.random.default_rng(3).normal(size=90):
            add(float(place))
        batches.append(buffer.sample(400, 2))
    assert 0 < batches[0][0].terminated.mean() < 1
    for one, other in zip(*batches, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
