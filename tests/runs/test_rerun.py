"""A rerun is the same experiment in another folder; the words of `resume=` and `rerun=`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from her_exp.config.compose import compose
from her_exp.run import Request, request, rerun, train
from her_exp.store.folder import RunFolder
from her_exp.types import UserError
from tests.runs.resume_kit import NeverStopped, contents, words
from tests.runs.runs_kit import assert_same_run, numbers


def test_rerun_is_the_same_experiment_elsewhere(
    never_stopped: NeverStopped, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    source = never_stopped("ddpg", "nav2d")
    before = contents(source)
    cfg, folder = rerun(source, [], [], None)
    assert folder.parts[:3] == ("outputs", "nav2d", "ddpg")
    train(cfg, folder, [])
    assert_same_run(source, folder)

    cfg, folder = rerun(source, ["seed=7", "buffer.k=1"], [], "mine")
    assert folder == Path("mine")
    train(cfg, folder, ["seed=7", "buffer.k=1"])
    overrides = words("ddpg", "nav2d", "seed=7", "buffer.k=1")
    train(compose(overrides), Path("asked"), overrides)
    assert_same_run(Path("asked"), folder)
    assert numbers(folder) != numbers(source)
    assert json.loads((folder / "run.json").read_text())["overrides"] == ["seed=7", "buffer.k=1"]
    assert contents(source) == before
    with pytest.raises(UserError, match="a run is in mine already"):
        train(cfg, folder, [])


@pytest.mark.parametrize(
    ("asked", "changes", "name", "threads"),
    [
        ("", "env.map=large threads=2", "point_maze_large", 2),
        ("", "seed=7", "point_maze_umaze", 1),
        ("", "env.map=large env.name=mine threads=2 env.num_threads=1", "mine", 1),
        ("env.name=mine env.num_threads=3", "env.map=large threads=2", "mine", 3),
    ],
)
def test_rerun_derives_again_what_was_derived(
    asked: str, changes: str, name: str, threads: int, tmp_path: Path
) -> None:
    pytest.importorskip("gymnasium_robotics")
    with RunFolder(tmp_path / "run") as run:
        run.write_config(compose(["env=point_maze", *asked.split()]))
    cfg, folder = rerun(tmp_path / "run", changes.split(), ["gymnasium_robotics"], None)
    assert (cfg.env.name, cfg.env.num_threads) == (name, threads)
    assert folder.parts[1] == name


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("resume=a rerun=b", "not both"),
        ("resume=auto", "go together"),
        ("resume=a run_dir=b", "go together"),
        ("rerun=", "rerun= names nothing"),
        ("trust=[a]", "goes with resume= or rerun="),
        ("run_dir=a buffer.k=3", "a new run's folder is named by resume=auto run_dir=FOLDER"),
        ("resume=a -m", "-m does not go with"),
        ("rerun=a --config-dir=b", "does not go with"),
    ],
)
def test_words_that_do_not_go_together(words: str, line: str) -> None:
    with pytest.raises(UserError) as refused:
        request(words.split())
    assert line in str(refused.value)
    assert "\n" not in str(refused.value)


def test_words_are_taken_apart() -> None:
    assert request(["buffer.k=3", "-m"]) is None
    asked = request(["resume=auto", "run_dir=a=b", "seed=3", "trust=[x, y]"])
    assert asked == Request("auto", None, "a=b", ["x", "y"], ["seed=3"])
