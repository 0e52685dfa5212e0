"""A run folder of a stranger is data: nothing in it runs, by any route, until it is trusted."""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from her_exp import evaluate
from her_exp.config import compose
from her_exp.resume import request, rerun, resume
from her_exp.train import _continue, train
from her_exp.trust import check_trust, load_run_config
from her_exp.types import UserError

TINY = [
    "trainer.total_steps=120", "trainer.learning_starts=40", "trainer.batch_size=8",
    "trainer.updates_per_step=0.1", "trainer.eval_every=null", "trainer.eval_episodes=2",
    "trainer.checkpoint_every=50",
    "trainer.short_checkpoints=true", "trainer.picture=false", "agent.hidden_sizes=[8]",
    "env.max_steps=5", "buffer.capacity=160",
]  # fmt: skip

#: A module whose import is the harm, and that has an env and a class as well.
EVIL = """
import gymnasium, os, pathlib
pathlib.Path(os.environ["CANARY"]).touch()
from her_exp.envs.point_reach import PointReachEnv, PointReachVectorEnv
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
from her_exp.envs.point_reach import PointReachEnv, PointReachVectorEnv
gymnasium.register("mine/Reach-v0", PointReachEnv, vector_entry_point=PointReachVectorEnv)

class MyDDPG(DDPG):
    pass

class Newest:
    def __init__(self, offset: int = 1):
        self.offset = offset

    def __call__(self, steps, generator):
        return steps.at(np.minimum(self.offset, steps.left))
"""


@pytest.fixture(autouse=True)
def torch_as_before() -> Iterator[None]:
    """A run sets threads and the treatment of tiny numbers for its whole process, which is ours."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    torch.set_flush_denormal(False)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("good") / "run"
    train(compose(TINY), folder, TINY)
    return folder


@pytest.fixture
def run(good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, Path]]:
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


Way = Callable[..., None]
WAYS = pytest.mark.parametrize("way", [by_evaluate, by_resume, by_rerun])


def refuse(way: Way, folder: Path, canary: Path, words: str = "") -> None:
    """Nothing of the stranger's ran, and one line says what is wrong."""
    outside = {
        p for p in folder.parent.rglob("*") if folder not in p.parents and "__pyc" not in str(p)
    }
    with pytest.raises(UserError) as refused:
        way(folder)
    assert not canary.exists()
    now = {p for p in folder.parent.rglob("*") if folder not in p.parents and "__pyc" not in str(p)}
    assert now == outside  # no folder was made for it
    line = str(refused.value)
    assert "\n" not in line
    assert len(line) < 400
    assert words in line


def plant(folder: Path, changes: dict[str, Any]) -> None:
    cfg = OmegaConf.load(folder / "config.yaml")
    for key, value in changes.items():
        OmegaConf.update(cfg, key, value, force_add=True, merge=False)
    (folder / "config.yaml").write_text(OmegaConf.to_yaml(cfg))


@WAYS
def test_an_honest_run_of_somebody_else(way: Way, run: tuple[Path, Path]) -> None:
    way(run[0])


# `@` stands for the path of the canary.
_TOUCH = ["touch @"]
_TASK = {"_target_": "her_exp.envs.make.GoalTask", "id": "her_exp/PointReach-v0"}
ROUTES: dict[str, tuple[dict[str, Any], str]] = {
    "os.system": (
        {"agent": {"_target_": "os.system", "command": "touch @"}}, "agent._target_=os.system"),
    "os.system, as an env": (
        {"env": {"_target_": "os.system", "command": "touch @"}}, "env._target_=os.system"),
    "os.system, as the trainer": (
        {"trainer._target_": "os.system", "trainer.command": "touch @"}, "not from a trusted"),
    "os.system, by position": (
        {"buffer": {"_target_": "os.system", "_args_": _TOUCH}}, "buffer._target_=os.system"),
    "arguments without names": (
        {"buffer._args_": [1]}, "buffer._args_"),
    "builtins.eval": (
        {"agent._target_": "builtins.eval"}, "agent._target_=builtins.eval"),
    "torch.hub.load": (
        {"agent": {"_target_": "torch.hub.load", "repo_or_dir": "modules", "source": "local",
                   "model": "x"}}, "agent._target_=torch.hub.load"),
    "torch.load": (
        {"agent": {"_target_": "torch.load", "f": "evil.pt", "weights_only": False}},
        "agent._target_=torch.load"),
    "torch.nn.Module": (
        {"agent._target_": "torch.nn.Module"}, "agent._target_=torch.nn.Module"),
    "gymnasium.make": (
        {"env": {"_target_": "gymnasium.make", "id": "evilmod:X-v0"}},
        "env._target_=gymnasium.make"),
    "an id that imports": (
        {"env.id": "evilmod:X-v0"}, "importing evilmod runs its code"),
    "an id that imports a part": (
        {"env.id": "evilmod.part:X-v0"}, "importing evilmod"),
    "imports": (
        {"env.imports": ["evilmod"]}, "importing evilmod runs its code"),
    "imports, no list": (
        {"env.imports": "evilmod"}, "importing evilmod runs its code"),
    "imports behind a good one": (
        {"env.imports": ["her_exp.envs", "evilmod"]}, "importing evilmod runs its code"),
    "a name like ours": (
        {"env.imports": ["her_exp_evil"]}, "importing her_exp_evil"),
    "a class of the stranger's": (
        {"agent._target_": "evilmod.Thing"}, "agent._target_=evilmod.Thing"),
    "a nested node": (
        {"buffer.strategy": {"_target_": "evilmod.Thing"}}, "buffer.strategy._target_"),
    "a nested node in a list": (
        {"agent.hidden_sizes": [{"_target_": "evilmod.Thing"}]}, "agent.hidden_sizes[0]._target_"),
    "deep": (
        {"agent.more": {"a": [{"b": {"_target_": "os.system", "command": "touch @"}}]}},
        "_target_=os.system"),
    "a part of its own": (
        {"extra": {"_target_": "os.system", "command": "touch @"}}, "extra._target_=os.system"),
    "our path that leads elsewhere": (
        {"agent": {"_target_": "her_exp.run_folder.subprocess.Popen", "args": ["touch", "@"]}},
        "her_exp.run_folder.subprocess.Popen"),
    "our path to a function": (
        {"agent": {"_target_": "her_exp.envs.make.import_modules", "names": ["evilmod"]}},
        "must be a class"),
    "our path to a method": (
        {"agent": {"_target_": "her_exp.envs.make.GoalTask.make"}}, "must be a class"),
    "no text": (
        {"agent._target_": ["os.system"]}, "agent._target_"),
    "an interpolation": (
        {"env.name": "${oc.env:HOME}"}, "no interpolations"),
    "an interpolation in a list": (
        {"agent.hidden_sizes": ["${oc.decode:${oc.env:HOME}}"]}, "no interpolations"),
    "an interpolated target": (
        {"agent._target_": "${env.name}"}, "no interpolations"),
    # Classes of ours, where they do not belong: what they do when made is not what the slot is for.
    "another of ours, nested, that imports": (
        {"buffer.strategy": _TASK | {"imports": ["evilmod"]}}, "buffer.strategy"),
    "another of ours, nested, whose id imports": (
        {"buffer.strategy": _TASK | {"id": "evilmod:X-v0"}}, "buffer.strategy"),
    "another of ours as the agent, that imports": (
        {"agent": _TASK | {"imports": ["evilmod"]}}, "agent"),
    "an env in a list, that imports": (
        {"env": [_TASK | {"imports": ["evilmod"]}]}, "env"),
    "another of ours, that makes folders": (
        {"buffer.strategy": {"_target_": "her_exp.run_folder.RunFolder", "path": "@"}},
        "buffer.strategy"),
    "another of ours as the agent, that makes folders": (
        {"agent": {"_target_": "her_exp.run_folder.RunFolder", "path": "@"}}, "agent"),
    "another of ours inside the env, that makes folders": (
        {"env.dt": {"_target_": "her_exp.run_folder.RunFolder", "path": "@"}}, "env.dt"),
}  # fmt: skip


def fill(node: Any, canary: Path) -> Any:
    if isinstance(node, dict):
        return {key: fill(value, canary) for key, value in node.items()}
    if isinstance(node, list):
        return [fill(value, canary) for value in node]
    return node.replace("@", str(canary)) if isinstance(node, str) else node


def plant_all(folder: Path, canary: Path, route: str) -> None:
    hub = EVIL + "\ndef x(**settings):\n    return None\n"
    (folder.parent / "modules" / "hubconf.py").write_text(hub)
    torch.save(Payload(canary), folder.parent / "evil.pt")
    plant(folder, fill(ROUTES[route][0], canary))


@WAYS
@pytest.mark.parametrize("route", ROUTES)
def test_planted_in_the_config(route: str, way: Way, run: tuple[Path, Path]) -> None:
    folder, canary = run
    plant_all(folder, canary, route)
    refuse(way, folder, canary, ROUTES[route][1])
    assert "evilmod" not in sys.modules


class Payload:
    """Runs a command when it is unpickled."""

    def __init__(self, canary: Path):
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.canary}",)


#: Some of those above are stopped by Hydra or Gymnasium as well; these are not.
LIVE = [
    "gymnasium.make", "imports", "a class of the stranger's", "a nested node",
    "a nested node in a list", "our path to a function", "another of ours, nested, that imports",
    "another of ours as the agent, that imports", "an env in a list, that imports",
    "another of ours, that makes folders", "another of ours inside the env, that makes folders",
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:unclosed file", "ignore:Exception ignored")
@pytest.mark.parametrize("route", LIVE)
def test_the_routes_would_do_harm(route: str, run: tuple[Path, Path]) -> None:
    """The plants are live: made without a look at them, each leaves the canary."""
    folder, canary = run
    plant_all(folder, canary, route)
    group = next(iter(ROUTES[route][0])).partition(".")[0]
    with contextlib.suppress(Exception):
        instantiate(OmegaConf.load(folder / "config.yaml")[group])
    assert canary.exists()


@WAYS
def test_hydras_own_files_are_never_read(way: Way, run: tuple[Path, Path]) -> None:
    folder, canary = run
    (folder / ".hydra").mkdir()
    evil = f"hydra:\n  callbacks:\n    x: {{_target_: os.system, command: touch {canary}}}\n"
    for name in ("hydra.yaml", "config.yaml", "overrides.yaml"):
        (folder / ".hydra" / name).write_text(evil)
    way(folder)
    assert not canary.exists()
    (folder / ".hydra" / "hydra.yaml").write_text("{this is no yaml")
    (folder / ".hydra" / "config.yaml").unlink()
    if way is not by_resume:  # which is done now
        way(folder)


PICKLES: dict[str, Callable[[Any, Path], None]] = {
    "torch": lambda payload, path: torch.save(payload, path),
    "torch, the old format": lambda payload, path: torch.save(
        payload, path, _use_new_zipfile_serialization=False
    ),
    "pickle": lambda payload, path: path.write_bytes(pickle.dumps(payload)),
}


@pytest.mark.parametrize("kind", PICKLES)
@pytest.mark.parametrize("inside", [True, False])
def test_a_pickled_checkpoint(kind: str, inside: bool, run: tuple[Path, Path]) -> None:
    folder, canary = run
    for way, name in ((by_evaluate, "last.pt"), (by_resume, "state_000000000999.pt")):
        payload: Any = Payload(canary)
        if inside:
            payload = {"agent": {"inputs": payload}, "buffer": payload, "about": {}}
        PICKLES[kind](payload, folder / "checkpoints" / name)
        refuse(way, folder, canary, f"{name} cannot be read as a checkpoint")


@pytest.mark.parametrize("content", [{}, [], 7, {"record": {}}, {"agent": 1, "about": 2}])
def test_a_checkpoint_of_something_else(content: Any, run: tuple[Path, Path]) -> None:
    """Plain data that is no state of a run: one line as well, no traceback."""
    folder, canary = run
    for way, name in ((by_evaluate, "last.pt"), (by_resume, "state_000000000999.pt")):
        torch.save(content, folder / "checkpoints" / name)
        refuse(way, folder, canary, name)


@WAYS
@pytest.mark.parametrize(
    "text", ["{", "- 1\n- 2\n", "7", "a: !!python/object/apply:os.system ['touch @']\n", "\x00"]
)
def test_a_config_that_is_none(text: str, way: Way, run: tuple[Path, Path]) -> None:
    folder, canary = run
    (folder / "config.yaml").write_text(text.replace("@", str(canary)))
    refuse(way, folder, canary)


@WAYS
@pytest.mark.parametrize("part", ["env", "agent", "trainer", "seed", None])
def test_a_config_that_lacks_a_part(part: str | None, way: Way, run: tuple[Path, Path]) -> None:
    folder, _ = run
    cfg = OmegaConf.load(folder / "config.yaml")
    for key in [part] if part else list(cfg):
        del cfg[key]
    (folder / "config.yaml").write_text(OmegaConf.to_yaml(cfg))
    with pytest.raises(UserError):
        way(folder)


# --- names --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["../../x", "/tmp/x", "..", "a/../../x", ".hidden", "-rf"])
def test_a_name_that_climbs_out(name: str, run: tuple[Path, Path]) -> None:
    folder, _ = run
    plant(folder, {"env.name": name})
    cfg, new = rerun(folder, [], [], None)
    assert new.resolve().parent.parent.parent == (Path.cwd() / "outputs")
    assert not new.parent.parent.name.startswith((".", "-"))
    train(cfg, new)
    made = {path.name for path in Path.cwd().iterdir()}
    assert made <= {"run", "modules", "outputs"}
    by_evaluate(folder)
    by_resume(folder)
    assert {path.name for path in Path.cwd().iterdir()} == made


@pytest.mark.parametrize("checkpoint", ["../../x", "/etc/passwd", "state_000000000050", "last.pt"])
def test_a_checkpoints_name_that_climbs_out(checkpoint: str, run: tuple[Path, Path]) -> None:
    folder, canary = run
    torch.save(Payload(canary), folder.parent / "x.pt")
    with pytest.raises(UserError, match="give last or best"):
        evaluate.command([f"run={folder}", f"checkpoint={checkpoint}"])
    assert not canary.exists()


@pytest.fixture
def own_logging(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The command sets up logging for its whole process, which is ours."""
    handlers: list[logging.Handler] = []
    level = logging.root.level
    monkeypatch.setattr(logging.root, "handlers", handlers)
    yield
    for handler in handlers:
        handler.close()
    logging.root.setLevel(level)


@pytest.mark.usefixtures("own_logging")
def test_a_folder_that_is_no_run_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A typing error in `resume=` writes nothing, neither there nor elsewhere."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for words in (["resume=photos"], ["rerun=photos"], ["resume=nowhere"], ["rerun=nowhere"]):
        asked = request(words)
        assert asked is not None
        with pytest.raises((UserError, SystemExit)):
            _continue(asked)
    assert [p.name for p in tmp_path.rglob("*")] == ["photos"]


@pytest.mark.usefixtures("own_logging")
def test_a_rerun_into_a_folder_that_is_taken(run: tuple[Path, Path]) -> None:
    folder, _ = run
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    asked = request([f"rerun={folder}", f"run_dir={folder}"])
    assert asked is not None
    with pytest.raises((UserError, SystemExit)):
        _continue(asked)
    now = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert now == before


# --- trust --------------------------------------------------------------------------------------


@WAYS
def test_what_is_trusted_runs(way: Way, run: tuple[Path, Path]) -> None:
    folder, canary = run
    changes: dict[str, Any] = {
        "agent._target_": "ourmod.MyDDPG", "env.imports": ["ourmod"], "env.id": "mine/Reach-v0",
        "buffer.strategy": {"_target_": "ourmod.Newest", "offset": 1},
    }  # fmt: skip
    plant(folder, changes)
    with pytest.raises(UserError, match=r"trust=\[ourmod\]") as refused:
        way(folder)
    assert "\n" not in str(refused.value)
    assert "ourmod" not in sys.modules
    with pytest.raises(UserError, match=r"trust=\[ourmod\]"):
        way(folder, "evilmod")
    way(folder, "ourmod")
    assert "ourmod" in sys.modules
    plant(folder, {"agent.more": {"_target_": "evilmod.Thing"}})
    refuse(lambda path: way(path, "ourmod"), folder, canary, "trust=[evilmod]")


def test_trust_is_of_whole_names() -> None:
    node = {"agent": {"_target_": "ourmod_evil.Thing"}}
    with pytest.raises(UserError, match="not from a trusted package"):
        check_trust(node, ["ourmod"])
    check_trust({"agent": {"_target_": "torch.nn.ReLU"}})


def test_only_its_own_config_is_looked_at(run: tuple[Path, Path]) -> None:
    folder, _ = run
    cfg = load_run_config(folder)
    assert cfg == OmegaConf.load(folder / "config.yaml")
