"""Does it learn? Real runs, judged on held-out goals, each beside its `k=0` control. `make slow`."""

from __future__ import annotations

from pathlib import Path

import pytest

from her_exp.config.compose import compose
from her_exp.evaluate import evaluate_run
from her_exp.run import train
from her_exp.system.machine import products

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def learn(folder: Path, *overrides: str, episodes: int = 200) -> dict:
    train(compose([*overrides, "trainer.picture=false"]), folder)
    return evaluate_run(folder, episodes, trust=["tests"])


@pytest.mark.parametrize("seed", [0, 1])
def test_point_reach_stops_on_its_goal(tmp_path: Path, seed: int) -> None:
    assert learn(tmp_path, f"seed={seed}")["success_final"] >= 0.98


@pytest.mark.skipif(not products().bfloat16, reason="this CPU does not multiply bfloat16")
def test_point_reach_in_bfloat16(tmp_path: Path) -> None:
    assert learn(tmp_path, "agent.precision=bfloat16")["success_final"] >= 0.98


def test_point_reach_without_hindsight_learns_nothing(tmp_path: Path) -> None:
    assert learn(tmp_path, "buffer.k=0")["success_final"] <= 0.2


@pytest.mark.parametrize("seed", [0, 1])
def test_nav2d_walks_short_paths(tmp_path: Path, seed: int) -> None:
    result = learn(tmp_path, "experiment=nav2d", f"seed={seed}")
    assert result["success_final"] == 1.0
    assert result["return"] >= -3.75


@pytest.mark.parametrize("seed", [0, 1])
def test_bit_flip_15(tmp_path: Path, seed: int) -> None:
    result = learn(tmp_path, "experiment=bit_flip", f"seed={seed}")
    assert result["success_final"] >= 0.95


def test_bit_flip_15_without_hindsight_at_ten_times_the_budget(tmp_path: Path) -> None:
    control = learn(
        tmp_path, "experiment=bit_flip", "buffer.k=0", "trainer.total_steps=30000",
        "trainer.eval_every=10000",
    )  # fmt: skip
    assert control["success_final"] < 0.1


@pytest.mark.parametrize("agent", ["ddpg", "td3", "sac", "tqc"])
def test_continuous_bit_flip(tmp_path: Path, agent: str) -> None:
    words = ("experiment=bit_flip_continuous", f"agent={agent}")
    assert learn(tmp_path / "her", *words)["success_final"] >= 0.95
    assert learn(tmp_path / "control", *words, "buffer.k=0")["success_final"] < 0.5


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("agent", ["td3", "sac", "tqc"])
def test_point_reach_by_the_other_agents(tmp_path: Path, agent: str, seed: int) -> None:
    assert learn(tmp_path, f"agent={agent}", f"seed={seed}")["success_final"] >= 0.98


@pytest.mark.parametrize("agent", ["td3", "sac", "tqc"])
def test_the_other_agents_without_hindsight(tmp_path: Path, agent: str) -> None:
    assert learn(tmp_path, f"agent={agent}", "buffer.k=0")["success_final"] < 0.5


@pytest.mark.parametrize("options", [["agent=qrdqn"], ["agent.dueling=true"]])
def test_bit_flip_by_quantiles_and_dueling(tmp_path: Path, options: list[str]) -> None:
    words = ("experiment=bit_flip", *options)
    assert learn(tmp_path / "her", *words)["success_final"] >= 0.95
    assert learn(tmp_path / "control", *words, "buffer.k=0")["success_final"] < 0.1


CONVEYOR = (
    "env=gym", "env.id=outside/Conveyor-v0", "env.imports=[tests.slow.outside_envs]",
    "env.reward_range=[-1,0]", "buffer.info_keys=[slack]", "trainer.total_steps=10000",
)  # fmt: skip
DIALS = (
    "env=gym", "env.id=outside/Dials-v0", "env.imports=[tests.slow.outside_envs]", "env.reward_range=[0,1]",
    "agent=dqn", "trainer.total_steps=20000",
)  # fmt: skip


@pytest.mark.parametrize(("env", "control_below"), [(CONVEYOR, None), (DIALS, 0.5)])
@pytest.mark.filterwarnings("ignore::UserWarning:gymnasium")  # their int64 Box bounds, not ours
def test_outside_envs(tmp_path: Path, env: tuple[str, ...], control_below: float | None) -> None:
    with_her = learn(tmp_path / "her", *env)
    control = learn(tmp_path / "control", *env, "buffer.k=0")
    assert with_her["success_final"] >= 0.9
    # Not clearly worse: the interval of the control must not lie above ours.
    assert with_her["interval"][1] >= control["interval"][0]
    if control_below is not None:
        assert control["success_final"] < control_below
