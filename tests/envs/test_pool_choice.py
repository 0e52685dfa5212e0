"""When EnvPool is chosen, what it refuses, and how a run goes on with what it chose."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from gymnasium.envs.registration import EnvSpec
from omegaconf import OmegaConf

from her_exp.config.compose import compose
from her_exp.envs.make import GoalTask, choose_backend
from her_exp.envs.vector import pool
from her_exp.evaluate import evaluate_run
from her_exp.run import train
from her_exp.types import UserError
from tests.conftest import RunCli
from tests.envs.pool_kit import needs_envpool, task


@needs_envpool
@pytest.mark.parametrize(
    ("id", "kwargs", "wanted"),
    [
        ("FetchReach-v4", {}, "envpool"),
        ("FetchReach-v4", {"max_episode_steps": 20, "reward_type": "dense"}, "envpool"),
        ("PointMaze_UMaze-v3", {"continuing_task": False}, "envpool"),
        ("PointMaze_UMaze-v3", {"reset_target": True}, "sync"),
        ("AntMaze_UMaze-v4", {}, "sync"),
        ("her_exp/PointReach-v0", {}, "native"),
        ("Pendulum-v1", {}, "sync"),
    ],
)
def test_auto_takes_it_where_it_has_the_task(id: str, kwargs: Any, wanted: str) -> None:
    assert GoalTask(id, imports=["gymnasium_robotics"], **kwargs).backend == wanted


@needs_envpool
@pytest.mark.parametrize(
    ("id", "kwargs", "words"),
    [
        ("AntMaze_UMaze-v4", {}, "EnvPool has no AntMaze_UMaze-v4, only Fetch, "),
        ("Pendulum-v1", {}, "EnvPool has no Pendulum-v1, only Fetch, "),
        ("PointMaze_UMaze-v3", {"reset_target": True}, "does not take reset_target"),
        ("FetchReach-v4", {"max_episode_steps": -1}, "needs a time limit"),
    ],
)
def test_what_it_cannot_play_is_refused_in_one_line(id: str, kwargs: Any, words: str) -> None:
    with pytest.raises(UserError, match="does not draw"):
        task("FetchReach-v4").make(render_mode="rgb_array")
    line = rf"^env\.backend=envpool: .*{words}.* or take env\.backend=sync$"
    with pytest.raises(UserError, match=line):
        GoalTask(id, imports=["gymnasium_robotics"], backend="envpool", **kwargs)


@pytest.fixture
def uninstall(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """As on a machine where it is not installed."""

    def uninstall() -> None:
        monkeypatch.setitem(sys.modules, "envpool", None)
        pool.not_installed.cache_clear()

    yield uninstall
    pool.not_installed.cache_clear()


@needs_envpool
def test_a_run_notes_its_choice_and_only_goes_on_with_it(
    tmp_path: Path,
    tiny: list[str],
    capsys: pytest.CaptureFixture[str],
    uninstall: Any,
    run_cli: RunCli,
) -> None:
    words = ["env=gym", "env.id=FetchReach-v4", "env.imports=[gymnasium_robotics]", *tiny]
    words += ["env.num_envs=2", "env.num_eval_envs=2", "+env.max_episode_steps=10"]
    train(compose(words), tmp_path, words)
    assert OmegaConf.load(tmp_path / "config.yaml").env.backend == "envpool"
    trust = ["gymnasium_robotics"]
    first = evaluate_run(tmp_path, 4, trust=trust)
    assert evaluate_run(tmp_path, 4, trust=trust) == first  # the same goals
    (tmp_path / "envpool.py").write_text("raise ImportError('none', name='envpool')")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    words = ["resume=.", "trainer.total_steps=400", "trust=[gymnasium_robotics]"]
    refused = run_cli(*words, cwd=tmp_path, env={"PYTHONPATH": path})
    line = r"error: env\.backend=envpool: EnvPool is not installed.*; to run it anew so: "
    assert re.search(line, refused.stderr), refused
    uninstall()
    capsys.readouterr()
    assert evaluate_run(tmp_path, 4, trust=trust)["episodes"] == 4
    assert "EnvPool is not installed" in capsys.readouterr().err


def test_without_envpool_auto_is_sync_and_envpool_is_refused(uninstall: Any) -> None:
    elsewhere = EnvSpec("FetchReach-v4", entry_point="my_lab.envs:Fetch")
    assert choose_backend("auto", elsewhere, {}) == "sync"  # a task of the same name
    uninstall()
    spec = EnvSpec("FetchReach-v4", entry_point="gymnasium_robotics.envs:Fetch")
    assert choose_backend("auto", spec, {}) == "sync"
    with pytest.raises(
        UserError, match=r"envpool: EnvPool is not installed; .*'her_exp\[fast\]'; or"
    ):
        choose_backend("envpool", spec, {})
