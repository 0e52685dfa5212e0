"""A run folder of a stranger, the ways to go on from it, and what may never happen then."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium
import pytest
from omegaconf import OmegaConf

from her_exp import evaluate
from her_exp.config.compose import compose
from her_exp.run import request, rerun, resume, train
from her_exp.train import carry_out
from her_exp.types import UserError
from tests.commands import sweeps_kit

TINY = [
    *sweeps_kit.TINY, "trainer.total_steps=120", "trainer.checkpoint_every=50", "env.max_steps=5",
    "trainer.eval_every=null", "buffer.capacity=160",
]  # fmt: skip

#: A module whose import is the harm, and that has an env and a class as well.
EVIL = """
import gymnasium, os, pathlib
pathlib.Path(os.environ["CANARY"]).touch()
from her_exp.envs.tasks.point_reach import PointReachEnv, PointReachVectorEnv
gymnasium.register("X-v0", PointReachEnv, vector_entry_point=PointReachVectorEnv)

class Thing:
    def __init__(self, **settings):
        pass
"""
#: A package that a user has good reason to trust.
OURS = """
import gymnasium
import numpy as np
from her_exp.agents.ddpg import DDPG
from her_exp.envs.tasks.point_reach import PointReachEnv, PointReachVectorEnv
gymnasium.register("mine/Reach-v0", PointReachEnv, vector_entry_point=PointReachVectorEnv)

class MyDDPG(DDPG):
    pass

class Newest:
    def __init__(self, offset: int = 1):
        self.offset = offset

    def __call__(self, steps, generator):
        return steps.at(np.minimum(self.offset, steps.left))
"""


@pytest.fixture(scope="session")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder that nobody has touched."""
    folder = tmp_path_factory.mktemp("good") / "run"
    train(compose(TINY), folder, TINY)
    return folder


@pytest.fixture
def stranger_run(
    good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Path, Path]]:
    """A run folder as if it were a stranger's, stopped half-way, and the canary to watch.

    The stranger's modules are there to be imported: what keeps them out is us.
    """
    folder, modules, canary = tmp_path / "run", tmp_path / "modules", tmp_path / "canary"
    shutil.copytree(good, folder)
    sorted((folder / "checkpoints").glob("state_*.pt"))[-1].unlink()
    (folder / "result.json").write_text('{"status": "stopped"}')
    modules.mkdir()
    (modules / "evilmod.py").write_text(EVIL)
    (modules / "ourmod.py").write_text(OURS)
    monkeypatch.syspath_prepend(str(modules))
    monkeypatch.setenv("CANARY", str(canary))
    monkeypatch.chdir(tmp_path)
    yield folder, canary
    for name in ("evilmod", "ourmod"):
        sys.modules.pop(name, None)
    for name in ("X-v0", "mine/Reach-v0"):
        gymnasium.registry.pop(name, None)


def by_evaluate(folder: Path, *trust: str) -> None:
    evaluate.command([f"run={folder}", "episodes=2", f"trust=[{','.join(trust)}]"])


def by_resume(folder: Path, *trust: str) -> None:
    resume(folder, [], trust)


def by_rerun(folder: Path, *trust: str) -> None:
    cfg, new = rerun(folder, [], trust, None)
    train(cfg, new)


def go_on(*argv: str) -> bool:
    """By the command line; False: there is nothing to go on from."""
    asked = request(argv)
    assert asked is not None
    return carry_out(asked) is None


Way = Callable[..., None]
WAYS = pytest.mark.parametrize("way", [by_evaluate, by_resume, by_rerun])


def refuse(way: Way, folder: Path, canary: Path, words: str = "") -> None:
    """Nothing of the stranger's ran, and one line says what is wrong."""

    def outside() -> set[Path]:
        every = folder.parent.rglob("*")
        return {p for p in every if folder not in p.parents and "__pyc" not in str(p)}

    before = outside()
    with pytest.raises(UserError) as refused:
        way(folder)
    assert not canary.exists()
    assert outside() == before  # no folder was made for it
    line = str(refused.value)
    assert "\n" not in line
    assert len(line) < 400
    assert words in line


def change_config(folder: Path, changes: dict[str, Any]) -> None:
    cfg = OmegaConf.load(folder / "config.yaml")
    for key, value in changes.items():
        OmegaConf.update(cfg, key, value, force_add=True, merge=False)
    (folder / "config.yaml").write_text(OmegaConf.to_yaml(cfg))
