"""Every file of every group of the configuration composes, is made, and trains for a moment."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from her_exp import CONF_DIR
from her_exp.agents import products as agents_products
from her_exp.buffers.goals import STRATEGIES, DrawnSteps
from her_exp.config.compose import compose
from her_exp.config.validate import validate
from her_exp.evaluate import evaluate_run
from her_exp.run import train
from her_exp.system.machine import Products, products
from tests.config.conf_files import CHOICES, COMPANY, GROUPS, words

POINT = ["env=point_reach", "env.max_steps=10", "env.num_envs=4"]


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
    result = json.loads((folder / "result.json").read_text())
    assert result["status"] == "done"
    assert result["eval"]["success_final"] == success
    assert result["eval"]["episodes"] == 4
    assert 200 <= result["env_steps"] < 200 + cfg.env.num_envs
    assert result["updates"] == int((result["env_steps"] - 100) * 0.5)
    with (folder / "metrics.csv").open() as file:
        rows = [(row["tag"], float(row["value"])) for row in csv.DictReader(file)]
    assert all(math.isfinite(value) for _, value in rows)
    values: dict[str, list[float]] = {}
    for tag, value in rows:
        values.setdefault(tag, []).append(value)
    assert values["train/critic_loss"]
    for name in ("last", "best"):
        torch.load(folder / "checkpoints" / f"{name}.pt", weights_only=True)
    return values


def test_every_file_is_walked() -> None:
    groups = {path.relative_to(CONF_DIR).parts[0] for path in CONF_DIR.rglob("*.yaml")}
    assert groups == {*GROUPS, "hydra", "config.yaml"}
    assert {chosen.partition("=")[0] for chosen in CHOICES} == set(GROUPS)


@pytest.mark.parametrize("chosen", CHOICES)
def test_every_file_trains(chosen: str, short: list[str], tmp_path: Path) -> None:
    run(tmp_path / "run", [*words(chosen), *short, "buffer.capacity=10000"])


def test_the_files_of_hydra_are_those_that_a_run_uses() -> None:
    chosen = compose(hydra_config=True).hydra.runtime.choices
    for file in (CONF_DIR / "hydra").rglob("*.yaml"):
        group = file.parent.relative_to(CONF_DIR).as_posix()
        if not group.startswith(("hydra/launcher", "hydra/sweeper")):
            assert chosen[group] == file.stem


@pytest.mark.parametrize("backend", ["sync", "async", "auto", "native"])
def test_every_backend_trains(backend: str, short: list[str], tmp_path: Path) -> None:
    line = ["env=gym", *COMPANY["env=gym"], f"env.backend={backend}", *short]
    run(tmp_path / "run", line)
    written = OmegaConf.load(tmp_path / "run" / "config.yaml")
    assert written.env.backend == ("native" if backend == "auto" else backend)


@pytest.mark.parametrize("able", [True, False])
def test_the_precision_that_auto_stands_for_is_written(
    able: bool, short: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agents_products, "products", lambda: Products("torch", able))
    words = [*POINT, *short, "agent.hidden_sizes=[128]", "agent.precision=auto"]
    run(tmp_path / "run", words)
    written = OmegaConf.load(tmp_path / "run" / "config.yaml")
    assert written.agent.precision == ("bfloat16" if able else "float32")
    assert written.products == products().float32


def test_backends_give_the_same_numbers(short: list[str], tmp_path: Path) -> None:
    values = {}
    for backend in ("native", "sync", "async"):
        line = ["env=gym", *COMPANY["env=gym"], f"env.backend={backend}", *short]
        values[backend] = run(tmp_path / backend, line)
    for tag, numbers in values["native"].items():
        if not tag.startswith("time/"):
            assert values["sync"][tag] == numbers, tag
            assert values["async"][tag] == values["sync"][tag], tag


@pytest.mark.parametrize("agent", ["ddpg", "td3", "sac", "tqc"])
def test_continuous_bits(agent: str, short: list[str], tmp_path: Path) -> None:
    values = run(
        tmp_path / "run", ["env=bit_flip", "env.continuous=true", f"agent={agent}", *short]
    )
    soft = {"train/entropy", "train/entropy_temperature"}
    assert (soft <= values.keys()) == (agent in ("sac", "tqc"))


#: The narrowest number format that this CPU multiplies.
LOW = "bfloat16" if products().bfloat16 else "float32"
SWITCHES = {
    "ddpg": POINT,
    "td3": [*POINT, "agent.n_critics=3", "agent.target_critics=2", "agent.policy_every=3"],
    "sac": [*POINT, "agent.entropy=0.1", "agent.target_critics=1", "agent.action_l2=0.1"],
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
    words = [*company, f"buffer.strategy={strategy}", *short]
    values = run(tmp_path / "run", words)
    assert all(0.7 < share < 0.9 for share in values["buffer/relabelled_share"])


class NextState:
    """A user's own strategy: the goal is the state `ahead` steps on, as far as the episode goes."""

    asked: ClassVar[list[int]] = []

    def __init__(self, ahead: int = 1):
        self.ahead = ahead

    def __call__(self, steps: DrawnSteps, generator: np.random.Generator) -> Any:
        assert isinstance(generator, np.random.Generator)
        offset = np.minimum(self.ahead, steps.left)
        assert (offset >= 1).all()
        self.asked.append(len(offset))
        return steps.at(offset)


def test_a_strategy_of_the_users_own(short: list[str], tmp_path: Path) -> None:
    NextState.asked.clear()
    node = f"buffer.strategy={{_target_:{__name__}.NextState,ahead:1}}"
    values = run(tmp_path / "run", [*POINT, node, *short])
    assert NextState.asked
    # The goal of a relabelled step is what it reached: it is met there, so it is rewarded.
    share = np.array(values["buffer/relabelled_share"])
    assert (np.array(values["buffer/rewarded_share"]) >= share - 1e-6).all()
    assert (share > 0.7).all()


def test_env_files_share_what_every_task_takes() -> None:
    shared = {"_target_", "_convert_", "name", "id", "imports", "num_envs", "num_eval_envs", "backend",
              "timeout", "reward_range"}  # fmt: skip
    lacking = {
        path.name: missing
        for path in (CONF_DIR / "env").glob("*.yaml")
        if (missing := shared - {str(key) for key in OmegaConf.load(path)})
    }
    assert lacking == {}
