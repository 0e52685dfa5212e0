"""`scripts/check_experiment.py`: trains an experiment and says whether it reaches its score."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from her_exp.types import UserError

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
#: An experiment of a second: anything is near enough, or nothing is.
EXPERIMENT = """# @package _global_
env: {{distance_threshold: {threshold}, max_steps: 5}}
agent: {{hidden_sizes: [8]}}
trainer: {{total_steps: 80, learning_starts: 40, batch_size: 8, eval_episodes: 2, picture: false}}
score: {{success_final: 0.95{more}}}
"""


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(SCRIPTS)
    import check_experiment

    return check_experiment


@pytest.mark.parametrize(
    ("threshold", "more", "seeds", "says", "status"),
    [
        (9.0, "", [0, 1], "pass", 0),
        (1e-6, "", [3], "fail", 1),
        (9.0, ", measured: no", [3], "not measured", 3),
    ],
)
def test_what_it_says(
    threshold: float, more: str, seeds: list[int], says: str, status: int,
    script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    (tmp_path / "experiment").mkdir()
    text = EXPERIMENT.format(threshold=threshold, more=more)
    (tmp_path / "experiment" / "mine.yaml").write_text(text)
    words = [f"seeds={seeds}".replace(" ", ""), "episodes=20", f"config_dir={tmp_path}"]
    assert script.command(["mine", *words, f"out={tmp_path / 'runs'}"]) == status
    *_, line, figures = capsys.readouterr().out.splitlines()
    assert line.startswith(f"{says}: mine, success ")
    told = json.loads(figures)
    met, n = threshold > 1, 20 * len(seeds)
    assert (told["verdict"], told["seeds"]) == (says, seeds)
    assert told["success"] == [float(met)] * len(seeds)
    # Wilson's interval ends at what was seen, and leaves room on the other side.
    z2 = 1.959964**2
    assert told["interval"] == pytest.approx([n / (n + z2), 1.0] if met else [0.0, z2 / (n + z2)])
    for seed in seeds:
        folder = tmp_path / "runs" / "mine" / f"seed={seed}"
        assert json.loads((folder / "result.json").read_text())["status"] == "done"


def test_every_seed_counts_and_nothing_is_claimed_without_a_score(script: ModuleType) -> None:
    assert script.verdict({"success_final": 0.9}, [1.0, 0.9]) == "pass"
    assert script.verdict({"success_final": 0.9}, [1.0, 0.895]) == "fail"
    assert script.verdict({"success_final": 0.9, "measured": False}, [1.0]) == "not measured"
    assert script.verdict({"success_final": None}, [1.0]) == "not measured"
    assert script.verdict(None, [1.0]) == "not measured"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ([], "which experiment?"),
        (["no_such"], "no_such"),
        (["nav2d", "seeds=a"], "seeds=a: give whole numbers"),
        (["nav2d", "episodes=0"], "episodes=0: give 1 or more"),
        (["nav2d", "seed=1"], "the keys are seeds"),
        (["nav2d", "config_dir=nowhere"], "no such folder"),
    ],
)
def test_a_wrong_command_is_one_line(words: list[str], line: str, script: ModuleType) -> None:
    with pytest.raises(UserError, match=line) as refused:
        script.command(words)
    assert "\n" not in str(refused.value)


def test_as_a_command(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPTS / "check_experiment.py"), "no_such"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("her_exp: error: experiment=no_such: ")


def test_classes_that_the_experiment_names_are_trusted(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "their_lab.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    (tmp_path / "experiment").mkdir()
    text = EXPERIMENT.format(threshold=9.0, more="")
    text = text.replace("env: {", "env: {imports: [their_lab], ")
    (tmp_path / "experiment" / "theirs.yaml").write_text(text)
    words = [f"config_dir={tmp_path}", f"out={tmp_path / 'runs'}", "seeds=0", "episodes=2"]
    assert script.command(["theirs", *words]) == 0


def test_a_training_that_crashes_is_no_fail(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object) -> None:
        raise SystemExit("python -m her_exp.train ...\nMemoryError")

    monkeypatch.setattr(script.common, "train", crash)
    with pytest.raises(UserError, match=r"^seed 3: training did not end well\n(.*\n)*MemoryError"):
        script.command(["nav2d", "seeds=3", f"out={tmp_path}"])  # run() makes 2 of it
