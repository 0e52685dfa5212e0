"""An env's functions are a stranger's: shortcuts are proven, and what they write into is theirs."""

from __future__ import annotations

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
from tests.envs.strange_envs import Compass, Plane, Side, Tolerance, strange
from tests.envs.strange_kit import own_rewards, play

SHORTCUTS = [
    ("Plane", {}, Plane()),
    *[("Side", {"where": where}, Side(where)) for where in ("achieved", "desired", "far", "never")],
    *[("Compass", {"start": start, "wide": wide}, Compass(start, wide))
      for start in (0.0, 3.1) for wide in (True, False)],
    *[("Tolerance", {"kind": kind}, Tolerance(kind))
      for kind in ("array", "dict", "list", "none", "text", "nan", "true", "negative")],
]  # fmt: skip


@pytest.mark.parametrize(("name", "kwargs", "env"), SHORTCUTS)
def test_relabelled_rewards_are_the_envs_own(name: str, kwargs: dict[str, Any], env: Any) -> None:
    """Row by row, whatever attributes the env has."""
    batch = play(name, **kwargs).draw()
    own = own_rewards(env, batch)
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


def test_a_true_distance_is_found_where_it_is_not_switched_off() -> None:
    functions = play("Fooled").functions
    assert functions.distance is not None
    assert sum(functions.distance.proven) > 1000
    assert any("own on" in line for line in functions.sources)
    off = GoalTask("strange/Fooled-v0", goal_distance=False).goal_functions()
    assert off.distance is None


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
    again = GoalTask("strange/Plane-v0").goal_functions()
    again.load_state_dict(played.functions.state_dict())  # a run that goes on does as this one did
    assert again.distance is None


def test_a_shortcut_that_fails_later_ends_the_run(turn: Any) -> None:
    """It is compared again at each log, with no draw for it."""
    played = play("Fooled")
    played.draw()
    before = played.buffer.state_dict()["generator"]
    played.buffer.metrics()
    assert played.buffer.state_dict()["generator"] == before
    turn()
    with pytest.raises(
        UserError, match=r"not the env's own: on \d+ of \d+ .*env.goal_distance=false"
    ):
        played.buffer.metrics()


def test_a_declared_distance_that_steps_disprove_ends_the_run(turn: Any) -> None:
    played = play("Fooled", goal_distance=0.2)
    turn()
    with pytest.raises(UserError, match=r"env\.goal_distance=false"):
        played.draw()


@pytest.mark.heavy
@pytest.mark.parametrize("given", ["false", "null", "0.2"])
def test_the_setting_by_its_words(given: str, tiny: list[str], tmp_path: Path) -> None:
    words = [*tiny, "env=gym", "env.id=strange/Fooled-v0", f"env.goal_distance={given}"]
    assert 0 <= train(compose([*words, "env.reward_range=[-1,0]"]), tmp_path / "run") <= 1


@strange
class Grid(Plane):
    """Knows no goals beyond its space."""

    observation_space = goal_space(spaces.Box(-1, 1, (2,), np.float32))
    distance_threshold, most = Plane.near, 1.0

    def met(self, achieved: Any, desired: Any) -> Any:
        if np.abs(desired).max() > self.most:
            raise IndexError("off the map")
        return super().met(achieved, desired)


@strange
class Shy(Grid):
    """Nor any at the edge, where none are asked for."""

    most, edge, stride = 0.995, 0.9, 0.1


def test_an_env_is_not_asked_for_goals_beyond_its_space() -> None:
    assert GoalTask("strange/Grid-v0").goal_functions().distance is not None
    shy = GoalTask("strange/Shy-v0").goal_functions()
    assert shy.distance is None
    assert any("cannot be asked about goals around" in line for line in shy.sources)


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
    rows = {}
    for name, target in (("ours", "her_exp.agents.ddpg.DDPG"), ("theirs", f"{__name__}.InPlace")):
        train(compose([*tiny, f"agent._target_={target}"]), tmp_path / name)
        lines = (tmp_path / name / "metrics.csv").read_text().splitlines()
        rows[name] = [line for line in lines if "time/" not in line]
    assert rows["ours"] == rows["theirs"]


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
    first = played.buffer.last.goal_row.copy()
    played.draw()
    assert (first >= -1).all()
    # The check of offsets is not fooled by what the strategy wrote into `left`.
    beyond = lambda drawn, _: (drawn.left.__iadd__(50), drawn.at(drawn.left + 1))[1]  # noqa: E731
    with pytest.raises(UserError, match=r"buffer\.strategy: offset"):
        play("Plane", strategy=beyond).draw()
