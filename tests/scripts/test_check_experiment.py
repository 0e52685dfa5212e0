"""Scripts that train: one says whether an experiment reaches its score; what is done is not done again."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from her_exp.training.evaluation import wilson_interval
from her_exp.types import UserError

#: An experiment of a second: anything is near enough, or nothing is. It names a package.
EXPERIMENT = """# @package _global_
env: {{imports: [their_lab], distance_threshold: {threshold}, max_steps: 5}}
agent: {{hidden_sizes: [8]}}
trainer: {{total_steps: 80, learning_starts: 40, batch_size: 8, eval_episodes: 2, picture: false}}
score: {{success_final: 0.95}}
"""
#: That package, with an agent that comes to no end.
THEIRS = """
from her_exp.agents.ddpg import DDPG

class Broken(DDPG):
    def update(self, batch):
        raise MemoryError("no room")
"""


@pytest.fixture
def script(load: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    (tmp_path / "their_lab.py").write_text(THEIRS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    module: ModuleType = load("check_experiment")
    return module


def words(folder: Path, text: str) -> list[str]:
    """An experiment's file, and the words that run it."""
    (folder / "experiment").mkdir()
    (folder / "experiment" / "mine.yaml").write_text(text)
    return ["mine", f"config_dir={folder}", f"out={folder / 'runs'}", "episodes=20"]


@pytest.mark.parametrize(
    ("threshold", "seeds", "says", "status"), [(9.0, [0, 1], "pass", 0), (1e-6, [3], "fail", 1)]
)
def test_what_it_says(
    threshold: float, seeds: list[int], says: str, status: int, script: ModuleType, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    asked = words(tmp_path, EXPERIMENT.format(threshold=threshold))
    assert script.command([*asked, f"seeds={seeds}".replace(" ", "")]) == status
    *_, line, figures = capsys.readouterr().out.splitlines()
    assert line.startswith(f"{says}: mine, success ")
    told = json.loads(figures)
    met, n = says == "pass", 20 * len(seeds)
    assert (told["verdict"], told["seeds"]) == (says, seeds)
    assert told["success"] == [float(met)] * len(seeds)
    assert told["interval"] == pytest.approx(wilson_interval(n * met, n))


def test_every_seed_counts_and_nothing_is_claimed_without_a_score(script: ModuleType) -> None:
    assert script.verdict({"success_final": 0.9}, [1.0, 0.9]) == "pass"
    assert script.verdict({"success_final": 0.9}, [1.0, 0.895]) == "fail"
    assert script.verdict({"success_final": 0.9, "measured": False}, [1.0]) == "not measured"
    assert script.verdict({"success_final": None}, [1.0]) == "not measured"
    assert script.verdict(None, [1.0]) == "not measured"


def test_a_crash_is_no_fail(script: ModuleType, tmp_path: Path) -> None:
    text = EXPERIMENT.format(threshold=9.0)
    text = text.replace("agent: {", "agent: {_target_: their_lab.Broken, ")
    line = r"^seed 3: training did not end well\n(.*\n)*.*no room"
    with pytest.raises(UserError, match=line):  # run() makes 2 of it
        script.command([*words(tmp_path, text), "seeds=3"])


TINY = ["trainer.learning_starts=100", "trainer.eval_episodes=2", "trainer.picture=false"]


def test_what_is_done_stays_and_what_was_stopped_goes_on(tmp_path: Path, load: Any) -> None:
    train, folder = load("common").train, tmp_path / "seed=1"
    first = train([*TINY, "trainer.total_steps=200"], 1, folder)
    written = (folder / "result.json").stat().st_mtime_ns
    assert first["status"] == "done"
    assert train([*TINY, "trainer.total_steps=200"], 1, folder) == first
    assert (folder / "result.json").stat().st_mtime_ns == written
    longer = train([*TINY, "trainer.total_steps=400"], 1, folder)
    assert (longer["env_steps"], longer["updates"]) == (400, first["updates"] + 150)
    with pytest.raises(SystemExit, match=r"buffer\.k cannot change"):
        train([*TINY, "trainer.total_steps=400", "buffer.k=2"], 1, folder)
