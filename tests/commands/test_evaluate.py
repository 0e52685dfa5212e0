"""her-evaluate on a real run: its line of JSON, its films, its goals, its one line of error."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from her_exp import evaluate
from her_exp.config.compose import compose
from her_exp.envs.make import GoalTask
from her_exp.run import train
from her_exp.training.evaluation import wilson_interval
from her_exp.types import UserError
from tests.commands.cli_kit import Done, Lab
from tests.runs.runs_kit import result_of


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, run_cli: Any, tiny: list[str]) -> Iterator[Lab]:
    lab = Lab(tmp_path_factory.mktemp("lab"), run_cli, tiny, ("single",))
    yield lab
    lab.pool.shutdown(cancel_futures=True)


@pytest.fixture(scope="module")
def evaluated(lab: Lab) -> tuple[Done, Done]:
    """The same evaluation twice, the second time with a film."""
    words = [str(lab.run("single")), "episodes=20"]
    film = [*words, "video=true", "video_episodes=2"]
    with ThreadPoolExecutor(2) as pool:
        plain, filmed = (
            pool.submit(lab.run_cli, *w, cwd=lab.root, module="evaluate") for w in (words, film)
        )
        return plain.result(), filmed.result()


def json_line(done: Done) -> dict[str, Any]:
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("{"))
    return json.loads(line)


def test_evaluation_ends_with_a_line_of_json(lab: Lab, evaluated: tuple[Done, Done]) -> None:
    done = evaluated[0]
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout.splitlines()[-1])
    assert summary["episodes"] == 20
    assert (summary["checkpoint"], summary["seed"]) == ("last", 0)
    wins = round(20 * summary["success_final"])
    assert summary["interval"] == pytest.approx(wilson_interval(wins, 20))
    assert summary["length"] == 10.0
    assert done.stdout.startswith("success ")
    assert json.loads((lab.run("single") / "evaluation.json").read_text()) == summary
    # Other goals than those of the training's own evaluation.
    assert summary["final_distance"] != result_of(lab.run("single"))["eval"]["final_distance"]


def test_evaluation_repeats(evaluated: tuple[Done, Done]) -> None:
    assert json_line(evaluated[0]) == json_line(evaluated[1])


def test_a_film_and_a_picture(lab: Lab, evaluated: tuple[Done, Done]) -> None:
    done = evaluated[1]
    assert done.returncode == 0, done.stderr
    film, picture = map(Path, done.stdout.splitlines()[-2:])
    assert film.parent == picture.parent == lab.run("single")
    assert film.name in ("film.mp4", "film.gif")
    assert film.stat().st_size > 2000
    if film.suffix == ".mp4":
        assert film.read_bytes()[4:8] == b"ftyp"
    assert picture.name == "paths.png"
    with Image.open(picture) as image:
        assert image.width >= 800


@pytest.fixture
def run_folder(lab: Lab, tmp_path: Path) -> Path:
    """A copy of the run, to be spoilt."""
    folder = tmp_path / "run"
    (folder / "checkpoints").mkdir(parents=True)
    for name in ("config.yaml", "checkpoints/last.pt", "checkpoints/best.pt"):
        (folder / name).write_bytes((lab.run("single") / name).read_bytes())
    return folder


def test_a_film_without_imageio_is_a_gif(
    run_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "imageio.v2", None)  # type: ignore[arg-type]
    words = [f"run={run_folder}", "episodes=4", "video=true", "video_episodes=2", "checkpoint=best"]
    assert evaluate.command(words) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[1])["checkpoint"] == "best"
    with Image.open(run_folder / "film.gif") as film:
        assert film.n_frames > 10  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ([], "run is not set; give run=outputs/..."),
        (["run=nowhere"], "run=nowhere: no such folder"),
        (["run={run}", "eposides=3"], "eposides"),
        (["run={run}", "episodes=ten"], "episodes=ten: give a whole number"),
        (["run={run}", "episodes=1.5"], "episodes=1.5: give a whole number"),
        (["run={run}", "episodes=0"], "episodes=0: give 1 or more"),
        (["run={run}", "seed=-1"], "seed=-1: give 0 or more"),
        (["run={run}", "video=maybe"], "video=maybe: give true or false"),
        (["run={run}", "video_episodes=0"], "video_episodes=0: give 1 or more"),
        (["run={run}", "checkpoint=first"], "checkpoint=first: give last or best"),
        (["nowhere"], "run=nowhere: no such folder"),
    ],
)
def test_wrong_words_to_evaluate(words: list[str], line: str, run_folder: Path) -> None:
    with pytest.raises(UserError) as caught:
        evaluate.command([word.format(run=run_folder) for word in words])
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_wrong_word_is_one_line_on_the_terminal(lab: Lab) -> None:
    done = lab.run_cli("run=nowhere", cwd=lab.root, module="evaluate")
    assert done.stderr == "her_exp: error: run=nowhere: no such folder\n"
    assert (done.returncode, done.stdout) == (2, "")


def test_a_missing_or_broken_checkpoint(run_folder: Path) -> None:
    last, best = (run_folder / "checkpoints" / f"{name}.pt" for name in ("last", "best"))
    last.unlink()
    with pytest.raises(UserError, match=rf"no checkpoint at {re.escape(str(last))}"):
        evaluate.evaluate_run(run_folder)
    best.write_bytes(best.read_bytes()[:500])
    with pytest.raises(UserError, match="cannot be read as a checkpoint"):
        evaluate.evaluate_run(run_folder, checkpoint="best")


def test_a_run_that_was_stopped_before_its_first_evaluation(lab: Lab, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(lab.run("single"), folder)
    result = result_of(folder) | {"status": "stopped", "eval": None}
    (folder / "result.json").write_text(json.dumps(result))
    for name in ("last", "best"):
        (folder / "checkpoints" / f"{name}.pt").unlink()
    with pytest.raises(UserError, match=r"^run=.*: stopped before its first evaluation.*resume="):
        evaluate.evaluate_run(folder)


class Goals:
    """Every goal that each vector env of a task asks for, call of `reset` by call of `reset`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.envs: list[list[set[bytes]]] = []
        make_env = GoalTask.make

        def spy(task: GoalTask, *args: Any, **kwargs: Any) -> Any:
            env = make_env(task, *args, **kwargs)
            seen: list[set[bytes]] = []
            self.envs.append(seen)
            reset, step = env.reset, env.step

            def note(answer: Any) -> Any:
                seen[-1].update(row.tobytes() for row in answer[0]["desired_goal"])
                return answer

            def reset_spy(**words: Any) -> Any:
                seen.append(set())
                return note(reset(**words))

            env.reset, env.step = reset_spy, lambda actions: note(step(actions))
            return env

        monkeypatch.setattr(GoalTask, "make", spy)


def test_goals_of_training_evaluation_and_test_are_apart(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    goals = Goals(monkeypatch)
    folder = tmp_path / "run"
    train(compose([*lab.tiny, "env.num_eval_envs=4"]), folder)
    collected, watched = goals.envs
    assert len(collected) == 1  # one reset, then autoreset
    assert len(collected[0]) >= 24
    first, second = watched
    assert first == second
    assert len(first) >= 4

    evaluate.evaluate_run(folder, episodes=12)
    evaluate.evaluate_run(folder, episodes=12)
    evaluate.evaluate_run(folder, episodes=12, seed=1)
    once, again, other = (env[0] for env in goals.envs[2:])
    assert once == again
    assert len(once) >= 12
    groups = [collected[0], first, once, other]
    assert not any(a & b for i, a in enumerate(groups) for b in groups[:i])
