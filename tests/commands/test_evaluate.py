"""her-evaluate on a real run: its line of JSON, its films, its goals, its one line of error."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any, ClassVar

import gymnasium as gym
import pytest
from PIL import Image

from her_exp import evaluate
from her_exp.config.compose import compose
from her_exp.envs.tasks.point_reach import PointReachEnv, PointReachVectorEnv
from her_exp.run import train
from her_exp.training.evaluation import wilson_interval
from her_exp.types import UserError
from tests.conftest import RunCli
from tests.runs.runs_kit import result_of


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    """A copy of a run, to be spoilt."""
    shutil.copytree(made, tmp_path / "run")
    return tmp_path / "run"


def test_an_evaluation(run: Path, run_cli: RunCli, tmp_path: Path) -> None:
    done = run_cli(str(run), "episodes=20", cwd=tmp_path, module="evaluate")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("success ")
    summary = json.loads(done.stdout.splitlines()[-1])
    assert (summary["episodes"], summary["checkpoint"], summary["seed"]) == (20, "last", 0)
    wins = round(20 * summary["success_final"])
    assert summary["interval"] == pytest.approx(wilson_interval(wins, 20))
    assert summary["length"] == 10.0
    assert json.loads((run / "evaluation.json").read_text()) == summary
    # Other goals than those of the training's own evaluation.
    assert summary["final_distance"] != result_of(run)["eval"]["final_distance"]


def test_a_film_without_imageio_is_a_gif(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [f"run={run}", "episodes=4", "video=true", "video_episodes=2", "checkpoint=best"]
    for _ in range(2):
        assert evaluate.command(words) == 0
        *_, line, film, picture = capsys.readouterr().out.splitlines()
        assert json.loads(line)["checkpoint"] == "best"
        assert film.endswith("gif") or Path(film).read_bytes()[4:8] == b"ftyp"
        assert picture == str(run / "paths.png")
        monkeypatch.setitem(sys.modules, "imageio.v2", None)  # type: ignore[arg-type]
    with Image.open(run / "film.gif") as frames, Image.open(picture) as paths:
        assert frames.n_frames > 10  # type: ignore[attr-defined]
        assert paths.width >= 800


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("", "run is not set; give run=outputs/..."),
        ("run=nowhere", "run=nowhere: no such folder"),
        ("run={run} eposides=3", "eposides"),
        ("run={run} episodes=ten", "episodes=ten: give a whole number"),
        ("run={run} episodes=0", "episodes=0: give 1 or more"),
        ("run={run} seed=-1", "seed=-1: give 0 or more"),
        ("run={run} video=maybe", "video=maybe: give true or false"),
        ("run={run} checkpoint=first", "checkpoint=first: give last or best"),
        ("run={run} onnx=policy.pt", "onnx=policy.pt: names the file to write; end it in .onnx"),
        ("run=there here", "run=there run=here: run is given 2 times; give it once"),
        ("--run here --video=true", "--run here: write run=here\n--video=true: write video=true"),
    ],
)
def test_wrong_words_to_evaluate(words: str, line: str, run: Path) -> None:
    with pytest.raises(UserError) as caught:
        evaluate.command(words.format(run=run).split())
    assert line in str(caught.value)
    assert str(caught.value).count("\n") == line.count("\n")


def test_a_missing_checkpoint(run: Path) -> None:
    last = run / "checkpoints/last.pt"
    last.unlink()
    with pytest.raises(UserError, match=rf"no checkpoint at {re.escape(str(last))}"):
        evaluate.evaluate_run(run)
    result = result_of(run) | {"status": "stopped", "eval": None}
    (run / "result.json").write_text(json.dumps(result))
    with pytest.raises(UserError, match=r"^run=.*: stopped before its first evaluation.*resume="):
        evaluate.evaluate_run(run)


class Told(PointReachVectorEnv):
    """Tells the goals that it asks for, reset by reset."""

    asked: ClassVar[list[list[set[bytes]]]] = []

    def note(self, answer: Any) -> Any:
        self.seen[-1].update(row.tobytes() for row in answer[0]["desired_goal"])
        return answer

    def reset(self, **words: Any) -> Any:
        if not hasattr(self, "seen"):
            self.seen: list[set[bytes]] = []
            self.asked.append(self.seen)
        self.seen.append(set())
        return self.note(super().reset(**words))

    def step(self, actions: Any) -> Any:
        return self.note(super().step(actions))


gym.register("told/Reach-v0", PointReachEnv, vector_entry_point=Told)


def test_goals_of_training_evaluation_and_test_are_apart(tiny: list[str], tmp_path: Path) -> None:
    Told.asked.clear()
    env = ["env=gym", "env.id=told/Reach-v0", "+env.max_steps=10", "env.num_eval_envs=4"]
    train(compose([*tiny, *env, "env.num_envs=8", "env.reward_range=[-1,0]"]), tmp_path / "run")
    collected, (first, second) = Told.asked
    assert len(collected) == 1  # one reset, then autoreset
    assert len(collected[0]) >= 24
    assert first == second
    assert len(first) >= 4

    for seed in (0, 0, 1):
        evaluate.evaluate_run(tmp_path / "run", episodes=12, seed=seed, trust=["tests"])
    once, again, other = (env[0] for env in Told.asked[2:])
    assert once == again
    assert len(once) >= 12
    groups = [collected[0], first, once, other]
    assert not any(a & b for i, a in enumerate(groups) for b in groups[:i])
