"""Does it learn? Real runs, judged on held-out goals, each beside its `k=0` control. `make slow`."""

from __future__ import annotations

from pathlib import Path

import pytest

from her_exp.config.compose import compose
from her_exp.evaluate import evaluate_run
from her_exp.run import train
from her_exp.system.machine import products

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


def learn(folder: Path, words: str, episodes: int = 200) -> dict:
    train(compose([*words.split(), "trainer.picture=false"]), folder)
    return evaluate_run(folder, episodes, trust=["tests"])


BFLOAT16 = pytest.mark.skipif(not products().bfloat16, reason="this CPU does not multiply bfloat16")
#: Words, seeds, the least success, and what the control, the first seed without hindsight, may have.
RUNS = [
    ("", 2, 0.98, 0.2),
    pytest.param("agent.precision=bfloat16", 1, 0.98, None, marks=BFLOAT16),
    *((f"agent={agent}", 3, 0.98, 0.5) for agent in ("td3", "sac", "tqc")),
    ("experiment=nav2d", 2, 1.0, None),
    ("experiment=bit_flip", 2, 0.95, None),
    *((f"experiment=bit_flip_continuous agent={agent}", 1, 0.95, 0.5)
      for agent in ("ddpg", "td3", "sac", "tqc")),
    ("experiment=bit_flip agent=qrdqn", 1, 0.95, 0.1),
    ("experiment=bit_flip agent.dueling=true", 1, 0.95, 0.1),
]  # fmt: skip


@pytest.mark.parametrize(("words", "seeds", "least", "control"), RUNS)
def test_it_learns(
    words: str, seeds: int, least: float, control: float | None, tmp_path: Path
) -> None:
    for seed in range(seeds):
        result = learn(tmp_path / f"{seed}", f"{words} seed={seed}")
        assert result["success_final"] >= least
        assert "nav2d" not in words or result["return"] >= -3.75  # by short paths
    if control is not None:
        assert learn(tmp_path / "control", f"{words} buffer.k=0")["success_final"] < control


def test_bit_flip_15_without_hindsight_at_ten_times_the_budget(tmp_path: Path) -> None:
    words = "experiment=bit_flip buffer.k=0 trainer.total_steps=30000 trainer.eval_every=10000"
    assert learn(tmp_path, words)["success_final"] < 0.1
