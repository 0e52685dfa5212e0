"""Every file of every group of the configuration composes, is made, and trains for a moment."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from her_exp import CONF_DIR
from her_exp.buffers.goals import STRATEGIES
from her_exp.config.compose import compose
from her_exp.config.validate import validate
from her_exp.evaluate import evaluate_run
from her_exp.run import train
from her_exp.system.machine import products
from tests.config.conf_files import CHOICES, COMPANY, GROUPS, words
from tests.runs.runs_kit import numbers, result_of

BITS = ["env=bit_flip", "env.continuous=true"]
POINT = ["env=point_reach", "env.max_steps=10", "env.num_envs=4"]
#: The narrowest number format that this CPU multiplies.
LOW = "bfloat16" if products().bfloat16 else "float32"


@pytest.fixture
def short(tiny: list[str]) -> list[str]:
    return [
        *tiny, "trainer.total_steps=200", "trainer.eval_every=150", "trainer.log_every=50",
        "trainer.updates_per_step=0.5", "trainer.learn_every=8",
    ]  # fmt: skip


def run(folder: Path, overrides: list[str]) -> dict[str, list[float]]:
    """Train as the command would; returns the values of each tag."""
    cfg = compose(overrides)
    for package in cfg.env.imports:
        pytest.importorskip(package)
    validate(cfg)
    success = train(cfg, folder, overrides)
    result = result_of(folder)
    assert result["status"] == "done"
    assert result["eval"]["success_final"] == success
    assert result["eval"]["episodes"] == 4
    assert 200 <= result["env_steps"] < 200 + cfg.env.num_envs
    assert result["updates"] == int((result["env_steps"] - 100) * 0.5)
    values: dict[str, list[float]] = {}
    for _, tag, text in numbers(folder):
        values.setdefault(tag, []).append(float(text))
    assert all(math.isfinite(float(text)) for _, _, text in numbers(folder))
    assert values.keys() & {"train/critic_loss", "train/actor_loss"}
    for name in ("last", "best"):
        torch.load(folder / "checkpoints" / f"{name}.pt", weights_only=True)
    return values


def test_every_file_is_walked() -> None:
    groups = {path.relative_to(CONF_DIR).parts[0] for path in CONF_DIR.rglob("*.yaml")}
    assert groups == {*GROUPS, "hydra", "config.yaml"}
    assert {chosen.partition("=")[0] for chosen in CHOICES} == set(GROUPS)


def when(chosen: str) -> Any:
    """Of experiments nothing is claimed of, all but their settings are trained by other files."""
    group, _, name = chosen.partition("=")
    file = CONF_DIR / group / f"{name}.yaml"
    unmeasured = group == "experiment" and "measured: no" in file.read_text()
    return pytest.param(chosen, marks=[pytest.mark.slow] if unmeasured else [])


@pytest.mark.parametrize("chosen", [when(choice) for choice in CHOICES])
def test_every_file_trains(chosen: str, short: list[str], tmp_path: Path) -> None:
    run(tmp_path / "run", [*words(chosen), *short, "buffer.capacity=10000"])


def test_the_files_of_hydra_are_those_that_a_run_uses() -> None:
    chosen = compose(hydra_config=True).hydra.runtime.choices
    for file in (CONF_DIR / "hydra").rglob("*.yaml"):
        group = file.parent.relative_to(CONF_DIR).as_posix()
        if not group.startswith(("hydra/launcher", "hydra/sweeper")):
            assert chosen[group] == file.stem


def test_env_files_share_what_every_task_takes() -> None:
    shared = {"_target_", "_convert_", "name", "id", "imports", "num_envs", "num_eval_envs", "backend",
              "timeout", "reward_range"}  # fmt: skip
    for path in (CONF_DIR / "env").glob("*.yaml"):
        assert shared - {str(key) for key in OmegaConf.load(path)} == set(), path.name


def test_backends_give_the_same_numbers(short: list[str], tmp_path: Path) -> None:
    line = ["env=gym", *COMPANY["env=gym"], *short]
    for backend in ("native", "sync", "async", "auto"):
        run(tmp_path / backend, [*line, f"env.backend={backend}"])
        assert numbers(tmp_path / backend) == numbers(tmp_path / "native")
        written = OmegaConf.load(tmp_path / backend / "config.yaml").env.backend
        assert written == ("native" if backend == "auto" else backend)


def test_the_precision_that_auto_stands_for_is_written(short: list[str], tmp_path: Path) -> None:
    run(tmp_path / "run", [*POINT, *short, "agent.hidden_sizes=[128]", "agent.precision=auto"])
    written = OmegaConf.load(tmp_path / "run" / "config.yaml")
    assert (written.agent.precision, written.products) == (LOW, products().float32)


SWITCHES = {
    "ddpg": POINT,
    "td3": [*POINT, "agent.n_critics=3", "agent.target_critics=2", "agent.policy_every=3"],
    "sac": [
        "env=bit_flip",
        "env.continuous=true",
        "agent.entropy=0.1",
        "agent.target_critics=1",
        "agent.action_l2=0.1",
    ],
    "tqc": [*POINT, "agent.target_entropy=-1", "agent.n_quantiles=3", "agent.drop_quantiles=0"],
    "crl": [
        *POINT,
        *COMPANY["agent=crl"],
        "agent.width=3",
        "agent.logsumexp_penalty=0",
        "agent.action_l2=1",
    ],
    "dqn": ["env=bit_flip", "agent.double=false", "agent.dueling=true"],
    "qrdqn": ["env=bit_flip", "agent.double=false", "agent.n_quantiles=3"],
}


@pytest.mark.parametrize("agent", SWITCHES)
def test_all_switches_of_an_agent(agent: str, short: list[str], tmp_path: Path) -> None:
    words = [
        f"agent={agent}", *SWITCHES[agent], "agent.layer_norm=true", "agent.normalize=false",
        "++agent.clip_targets=false", "agent.grad_clip_norm=1", "++agent.target_every=5",
        f"agent.precision={LOW}", *short,
    ]  # fmt: skip
    run(tmp_path / "run", words)
    assert evaluate_run(tmp_path / "run", episodes=4)["episodes"] == 4


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
@pytest.mark.parametrize("env", ["point_reach", "bit_flip"])
def test_every_strategy_trains(strategy: str, env: str, short: list[str], tmp_path: Path) -> None:
    company = POINT if env == "point_reach" else ["env=bit_flip", "agent=dqn", "env.n_bits=4"]
    values = run(tmp_path / "run", [*company, f"buffer.strategy={strategy}", *short])
    assert all(0.7 < share < 0.9 for share in values["buffer/relabelled_share"])
