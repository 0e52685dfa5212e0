"""An env's functions are a stranger's: shortcuts are proven, and what they write into is theirs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from her_exp.agents.ddpg import DDPG
from her_exp.buffers.goals import DrawnSteps, MixedGoals
from her_exp.config.compose import compose
from her_exp.envs.make import GoalTask
from her_exp.run import train
from her_exp.training.evaluation import evaluate
from her_exp.types import UserError
from tests.envs import strange_envs
from tests.envs.strange_kit import play


def own_rewards(env: Any, batch: Any) -> np.ndarray:
    """Ask a fresh env, goal by goal."""
    pairs = zip(batch.next_observation.numpy(), batch.goal.numpy(), strict=True)
    return np.array([float(env.compute_reward(a.copy(), d.copy(), {})) for a, d in pairs])


SHORTCUTS = [
    ("Plane", {}, strange_envs.Plane()),
    *[("Side", {"where": where}, strange_envs.Side(where))
      for where in ("achieved", "desired", "far", "never")],
    *[("Compass", {"start": start, "wide": wide}, strange_envs.Compass(start, wide))
      for start in (0.0, 3.1) for wide in (True, False)],
    *[("Tolerance", {"kind": kind}, strange_envs.Tolerance(kind))
      for kind in ("array", "dict", "list", "none", "text", "nan", "true", "negative")],
]  # fmt: skip


@pytest.mark.parametrize(("name", "kwargs", "env"), SHORTCUTS)
def test_relabelled_rewards_are_the_envs_own(name: str, kwargs: dict[str, Any], env: Any) -> None:
    """Row by row, whatever attributes the env has."""
    batch = play(name, **kwargs).draw()
    own = own_rewards(env, batch)
    assert (own == -1.0).any()
    np.testing.assert_array_equal(batch.reward.numpy(), own)


def test_a_true_distance_is_still_found() -> None:
    class Near(strange_envs.Plane):
        distance_threshold = strange_envs.Plane.near

    strange_envs.gym.register("strange/Near-v0", Near, max_episode_steps=20)
    played = play("Near")
    assert played.functions.distance is not None
    assert sum(played.functions.distance.proven) > 1000
    assert any("own on" in line for line in played.functions.sources)
    off = GoalTask("strange/Near-v0", goal_distance=False).goal_functions()
    assert off.distance is None


class Fooled(strange_envs.Plane):
    """A distance until the file `turned` is there: nothing that is asked at the start tells."""

    distance_threshold = near = 0.2

    def met(self, achieved: Any, desired: Any) -> Any:
        near = np.linalg.norm(achieved - desired, axis=-1) <= self.near
        return near & (achieved[..., 0] > 0) if Path("turned").exists() else near


strange_envs.gym.register("strange/Fooled-v0", Fooled, max_episode_steps=20)


def test_a_shortcut_that_steps_disprove_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    played = play("Fooled")
    assert played.functions.distance is not None
    Path("turned").touch()
    batch = played.draw()
    np.testing.assert_array_equal(batch.reward.numpy(), own_rewards(Fooled(), batch))
    assert played.functions.distance is None
    assert "no distance after all" in caplog.text
    again = GoalTask("strange/Plane-v0").goal_functions()
    again.load_state_dict(played.functions.state_dict())  # a run that goes on does as this one did
    assert again.distance is None


def test_a_shortcut_that_fails_later_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is compared again at each log, with no draw for it."""
    monkeypatch.chdir(tmp_path)
    played = play("Fooled")
    played.draw()
    before = played.buffer.state_dict()["generator"]
    played.buffer.metrics()
    assert played.buffer.state_dict()["generator"] == before
    Path("turned").touch()
    with pytest.raises(
        UserError, match=r"not the env's own: on \d+ of \d+ .*env.goal_distance=false"
    ):
        played.buffer.metrics()


def test_a_declared_distance_that_steps_disprove_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    played = play("Fooled", goal_distance=0.2)
    Path("turned").touch()
    with pytest.raises(UserError, match=r"env\.goal_distance=false"):
        played.draw()


@pytest.mark.heavy
@pytest.mark.parametrize("given", ["false", "null", "0.2"])
def test_the_setting_by_its_words(given: str, tiny: list[str], tmp_path: Path) -> None:
    words = [*tiny, "env=gym", "env.id=strange/Fooled-v0", f"env.goal_distance={given}"]
    assert 0 <= train(compose([*words, "env.reward_range=[-1,0]"]), tmp_path / "run") <= 1


def test_functions_that_write_spoil_nothing() -> None:
    """Goals, observations and actions are what the env showed and the policy chose."""
    played = play("Writes", k=9)
    batch = played.draw()
    shown = np.concatenate(played.states)
    assert np.isin(batch.goal.numpy()[:3600, 0], shown[:, 0]).all()  # achieved by somebody
    np.testing.assert_array_equal(batch.reward.numpy(), own_rewards(strange_envs.Plane(), batch))
    assert (batch.action.abs() > 0).all()
    moved = (batch.next_observation - batch.observation).abs().max()
    assert moved > 0.1


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
        self.kept: Any = None

    def __call__(self, drawn: DrawnSteps, generator: np.random.Generator) -> MixedGoals:
        left = drawn.left
        np.minimum(left, 2, out=left)
        drawn.since[:] = 99
        rows = drawn.at(1 + generator.integers(0, left))
        if self.kept is not None:
            self.kept[:] = 0
        self.kept = rows
        return MixedGoals(rows, np.zeros(len(rows), bool))


def test_a_strategy_that_writes_spoils_nothing() -> None:
    played = play("Plane", strategy=Soon())
    batch = played.draw()
    np.testing.assert_array_equal(batch.reward.numpy(), own_rewards(strange_envs.Plane(), batch))
    first = played.buffer.last.goal_row.copy()
    played.draw()
    assert (first >= -1).all()
    # The check of offsets is not fooled by what the strategy wrote into `left`.
    beyond = lambda drawn, _: (drawn.left.__iadd__(50), drawn.at(drawn.left + 1))[1]  # noqa: E731
    played = play("Plane", strategy=beyond)
    with pytest.raises(UserError, match=r"buffer\.strategy: offset"):
        played.draw()


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("asks", [False, True])
@pytest.mark.parametrize("cost", [0.0, 0.25, 1.0])
def test_a_goal_that_is_replaced_when_it_is_met(late: bool, asks: bool, cost: float) -> None:
    """Each step is judged by the goal that its action was chosen for, in play and when relabelled."""
    strange_envs.Chase.touches = 0
    kwargs = {"late": late, "asks": asks, "cost": cost}
    played = play("Chase", steps=210, policy=strange_envs.seeker, **kwargs)
    touches = strange_envs.Chase.touches
    assert touches > 60
    assert np.mean([episode.success_any for episode in played.episodes]) == 1.0
    if not late:  # whose info speaks of a goal that nobody has seen yet
        near = [episode.final_distance < 0.25 for episode in played.episodes]
        assert near == [episode.success_final for episode in played.episodes]
    batch = played.draw(6000)
    own = own_rewards(strange_envs.Chase(), batch) - cost
    np.testing.assert_allclose(batch.reward.numpy(), own, atol=1e-6)
    assert 0.1 < (batch.reward == -cost).float().mean() < 0.9
    assert torch.isfinite(batch.reward).all()


@pytest.mark.parametrize("effort", [1.0, 3.0, 10.0])
@pytest.mark.parametrize("seek", [True, False])
def test_a_price_of_the_action_stays_where_goals_move(effort: float, seek: bool) -> None:
    """It varies from step to step, so that no step proves by which goal the env judges: by the one asked."""
    policy = strange_envs.seeker if seek else None
    batch = play("Chase", steps=210, policy=policy, effort=effort).draw(6000)
    own = own_rewards(strange_envs.Chase(), batch)
    own -= effort * (batch.action.numpy() ** 2).sum(-1)
    np.testing.assert_allclose(batch.reward.numpy(), own, atol=1e-5)


class Grid(strange_envs.Plane):
    """Knows no goals beyond its space."""

    distance_threshold = near = 0.2

    def __init__(self) -> None:
        super().__init__()
        box = strange_envs.spaces.Box(-1, 1, (2,), np.float32)
        self.observation_space = strange_envs.goal_space(box)

    def met(self, achieved: Any, desired: Any) -> Any:
        assert np.all(np.abs(desired) <= 1)
        return super().met(achieved, desired)


class Shy(Grid):
    """Nor any at the edge, where none are asked for."""

    def met(self, achieved: Any, desired: Any) -> Any:
        if np.abs(desired).max() > 0.995:
            raise IndexError("off the map")
        return super().met(achieved, desired)

    def step(self, action: Any) -> Any:
        answer = super().step(0.5 * action)
        self.at = np.clip(self.at, -0.9, 0.9)
        return self.observe(), *answer[1:]


strange_envs.gym.register("strange/Grid-v0", Grid, max_episode_steps=20)
strange_envs.gym.register("strange/Shy-v0", Shy, max_episode_steps=20)


def test_an_env_is_not_asked_for_goals_beyond_its_space() -> None:
    assert GoalTask("strange/Grid-v0").goal_functions().distance is not None
    shy = GoalTask("strange/Shy-v0").goal_functions()
    assert shy.distance is None
    assert any("cannot be asked about goals around" in line for line in shy.sources)


class Seeks:
    """An agent that walks to the goal of `Chase`."""

    def act(self, observation: Any, goal: Any, *, explore: bool) -> Any:
        return strange_envs.seeker(observation, goal)


def test_a_picture_shows_the_goal_that_the_end_is_judged_by() -> None:
    task = GoalTask("strange/Chase-v0", num_envs=8, backend="sync")
    env, functions = task.make(), task.goal_functions()
    shown = evaluate(env, functions, Seeks(), 8, seed=0, paths=8)  # type: ignore[arg-type]
    ends = zip(shown.paths, shown.goals, strict=True)
    near = [bool(np.abs(path[-1] - goal)[0] < 0.25) for path, goal in ends]
    assert near == shown.path_success
    assert 0 < sum(near) < 8


def test_touches_are_counted_as_successes() -> None:
    """As often as the env itself counts them: at every third or fourth step."""
    strange_envs.Chase.touches = 0
    episodes = play("Chase", steps=420, lanes=1, policy=strange_envs.seeker).episodes
    share = np.mean([episode.success_final for episode in episodes])
    assert share == pytest.approx(strange_envs.Chase.touches / 400, abs=0.25)
    assert share > 0
