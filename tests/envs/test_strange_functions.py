"""A stranger's functions: shortcuts are proven, what they write into is theirs, goals may move."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from her_exp.agents.ddpg import DDPG
from her_exp.buffers.goals import DrawnSteps, MixedGoals
from her_exp.config.compose import compose
from her_exp.envs.make import GoalTask
from her_exp.run import train
from her_exp.types import UserError
from tests.envs.goal_walk import goal_space, spaces
from tests.envs.strange_envs import Chase, Plane, Side, own_rewards, play, seeker, strange
from tests.runs.runs_kit import numbers

NEAR = {"distance_threshold": Plane.near}
TOLERANCE = np.array([0.1, 0.3])
#: Success that is more, or less, than the distance that is named.
ELSE = {
    "far": lambda walk, a, d: Plane.met(walk, a, d) & (np.abs(a).max(-1) < 0.95),  # by chance never
    "never": lambda walk, a, d: Plane.met(walk, a, d) & (a[..., 0] > 2),
    "round": lambda walk, a, d: Plane.met(walk, (a - d + 1) % 2 - 1, 0),  # -0.9 is near 0.9
}
#: What is no threshold, of an env that has a tolerance a coordinate.
ODD = (TOLERANCE, {"x": 0.1}, "0.2", np.nan)
SHORTCUTS = [
    (Plane, {}),
    (Side, {}),
    *((Plane, NEAR | {"met": met}) for met in ELSE.values()),
    *((Plane, {"distance_threshold": odd, "met": lambda _, a, d: (np.abs(a - d) < TOLERANCE).all(-1)})
      for odd in ODD),
]  # fmt: skip


@pytest.mark.parametrize(("env", "changed"), SHORTCUTS)
def test_relabelled_rewards_are_the_envs_own(env: Any, changed: dict[str, Any]) -> None:
    """Row by row, whatever attributes the env has."""
    played = play(env.__name__, **changed)
    assert played.functions.distance is None
    batch = played.draw()
    own = own_rewards(env(**changed), batch)
    assert (own == -1.0).any()
    np.testing.assert_array_equal(batch.reward.numpy(), own)


@strange
class Fooled(Plane):
    """A distance until `turned`: nothing that is asked at the start tells."""

    distance_threshold, turned = Plane.near, False

    def met(self, achieved: Any, desired: Any) -> Any:
        return super().met(achieved, desired) & ((achieved[..., 0] > 0) | (not self.turned))


@pytest.fixture
def turn(monkeypatch: pytest.MonkeyPatch) -> Any:
    return lambda: monkeypatch.setattr(Fooled, "turned", True)


def test_a_shortcut_that_steps_disprove_is_not_taken(
    turn: Any, caplog: pytest.LogCaptureFixture
) -> None:
    played = play("Fooled")
    assert played.functions.distance is not None
    turn()
    batch = played.draw()
    np.testing.assert_array_equal(batch.reward.numpy(), own_rewards(Fooled(), batch))
    assert played.functions.distance is None
    assert "no distance after all" in caplog.text
    again = GoalTask("strange/Plane-v0", **NEAR).goal_functions()
    assert again.distance is not None
    again.load_state_dict(played.functions.state_dict())  # a run that goes on does as this one did
    assert again.distance is None


def test_a_shortcut_that_fails_later_ends_the_run(turn: Any) -> None:
    """It is compared again at each log, with no draw for it; a declared one at the first draw."""
    played, declared = play("Fooled"), play("Fooled", goal_distance=0.2)
    played.draw()
    before = played.buffer.state_dict()["generator"]
    played.buffer.metrics()
    assert played.buffer.state_dict()["generator"] == before
    turn()
    wrong = r"not the env's own: on \d+ of \d+ .*env\.goal_distance=false"
    with pytest.raises(UserError, match=wrong):
        played.buffer.metrics()
    with pytest.raises(UserError, match=wrong):
        declared.draw()


@strange
class Grid(Plane):
    """Knows no goals beyond its space."""

    observation_space = goal_space(spaces.Box(-1, 1, (2,), np.float32))
    distance_threshold, most = Plane.near, 1.0

    def met(self, achieved: Any, desired: Any) -> Any:
        if np.abs(desired).max() > self.most:
            raise IndexError("off the map")
        return super().met(achieved, desired)


def test_an_env_is_not_asked_for_goals_beyond_its_space() -> None:
    """Nor takes it one that answers for some of those: at the edge, where none are asked for."""
    assert GoalTask("strange/Grid-v0").goal_functions().distance is not None
    shy = GoalTask("strange/Grid-v0", most=0.995, edge=0.9, stride=0.1).goal_functions()
    assert shy.distance is None
    assert any("cannot be asked about goals around" in line for line in shy.sources)


@strange
class Writes(Plane):
    """All that is handed in is worked in: goals, the action, the arrays given before."""

    def compute_reward(self, achieved: Any, desired: Any, info: Any) -> Any:
        met = self.compute_success(achieved, desired)
        desired *= 0
        return met - 1.0

    def compute_success(self, achieved: Any, desired: Any) -> Any:
        achieved -= desired
        return np.linalg.norm(achieved, axis=-1) < self.near

    def compute_terminated(self, achieved: Any, desired: Any, info: Any) -> Any:
        desired += 7
        return np.zeros(np.shape(achieved)[:-1], bool)

    def step(self, action: Any) -> Any:
        answer = super().step(action)
        action *= 0
        return answer


def test_functions_that_write_spoil_nothing() -> None:
    """Goals, observations and actions are what the env showed and the policy chose."""
    played = play("Writes", k=9)
    batch = played.draw()
    shown = np.concatenate(played.states)
    assert np.isin(batch.goal.numpy()[:3600, 0], shown[:, 0]).all()  # achieved by somebody
    np.testing.assert_array_equal(batch.reward.numpy(), own_rewards(Plane(), batch))
    assert (batch.action.abs() > 0).all()
    assert (batch.next_observation - batch.observation).abs().max() > 0.1


class InPlace(DDPG):
    """Works in what it is given, before and after it acts."""

    def act(self, observation: Any, goal: Any, *, explore: bool) -> Any:
        action = super().act(observation, goal, explore=explore)
        observation *= 0
        goal += 9
        return action

    def observe(self, observation: Any, goals: Any, goal_weights: Any, steps: int) -> None:
        super().observe(observation, goals, goal_weights, steps)
        observation += 1
        goals *= 0


@pytest.mark.heavy
def test_an_agent_that_writes_spoils_nothing(tiny: list[str], tmp_path: Path) -> None:
    """The run is that of an agent that does not."""
    for target in ("her_exp.agents.ddpg.DDPG", f"{__name__}.InPlace"):
        train(compose([*tiny, f"agent._target_={target}"]), tmp_path / target)
    ours, theirs = (numbers(folder) for folder in sorted(tmp_path.iterdir()))
    assert ours == theirs


class Soon:
    """A strategy that works in the arrays that it is shown, and keeps those that it answers with."""

    def __init__(self) -> None:
        self.kept = np.zeros(0)

    def __call__(self, drawn: DrawnSteps, generator: np.random.Generator) -> MixedGoals:
        self.kept[:] = 0
        np.minimum(drawn.left, 2, out=drawn.left)
        drawn.since[:] = 99
        self.kept = drawn.at(1 + generator.integers(0, drawn.left))
        return MixedGoals(self.kept, np.zeros(len(self.kept), bool))


def test_a_strategy_that_writes_spoils_nothing() -> None:
    played = play("Plane", strategy=Soon())
    batch = played.draw()
    np.testing.assert_array_equal(batch.reward.numpy(), own_rewards(Plane(), batch))
    # The check of offsets is not fooled by what the strategy wrote into `left`.
    beyond = lambda drawn, _: (drawn.left.__iadd__(50), drawn.at(drawn.left + 1))[1]  # noqa: E731
    with pytest.raises(UserError, match=r"buffer\.strategy: offset"):
        play("Plane", strategy=beyond).draw()


@pytest.mark.parametrize("asks", [False, True])
@pytest.mark.parametrize(
    ("late", "price"),
    [
        *product((False, True), [{"cost": 0.0}, {"cost": 0.25}, {"cost": 1.0}]),
        # It varies, so that no step proves by which goal the env judges: by the one asked.
        (False, {"effort": 3.0}),
    ],
)
def test_a_goal_that_is_replaced_when_it_is_met(late: bool, asks: bool, price: Any) -> None:
    """In play and when relabelled; touches are counted as the env itself counts them."""
    Chase.touches = 0
    played = play("Chase", steps=210, policy=seeker, late=late, asks=asks, **price)
    assert Chase.touches > 60
    assert np.mean([episode.success_any for episode in played.episodes]) == 1.0
    if not late:  # whose info speaks of a goal that nobody has seen yet
        near = [episode.final_distance < 0.25 for episode in played.episodes]
        assert near == [episode.success_final for episode in played.episodes]
        assert 0 < sum(near) < len(near)
    batch = played.draw(6000)
    own = own_rewards(Chase(), batch)
    assert 0.1 < (own == 0.0).mean() < 0.9
    paid = price.get("cost", 0.0) + price.get("effort", 0.0) * (batch.action.numpy() ** 2).sum(-1)
    np.testing.assert_allclose(batch.reward.numpy(), own - paid, atol=1e-5)
