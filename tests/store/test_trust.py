"""A run folder of a stranger is data: nothing in it runs, by any route, until it is trusted."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from her_exp.store.trust import check_trust
from her_exp.types import UserError
from tests.store.trust_kit import EVIL, WAYS, Way, by_resume, change_config, refuse


@WAYS
def test_an_honest_run_of_somebody_else(way: Way, stranger_run: tuple[Path, Path]) -> None:
    way(stranger_run[0])


# `@` stands for the path of the canary.
TOUCH = {"_target_": "os.system", "command": "touch @"}
FOLDER = {"_target_": "her_exp.store.folder.RunFolder", "path": "@"}
TASK = {"_target_": "her_exp.envs.make.GoalTask", "id": "her_exp/PointReach-v0"}
THING = {"_target_": "evilmod.Thing"}
IMPORTS = TASK | {"imports": ["evilmod"]}
HUB = {"_target_": "torch.hub.load", "repo_or_dir": "modules", "source": "local", "model": "x"}
OPENS = {"_target_": "her_exp.store.folder.subprocess.Popen", "args": ["touch", "@"]}
BY_MODULE = {"_target_": "her_exp.envs.make.import_modules", "names": ["evilmod"]}
ROUTES: dict[str, tuple[dict[str, Any], str]] = {
    "os.system": ({"agent": TOUCH}, "agent._target_=os.system"),
    "by position": ({"buffer": {"_target_": "os.system", "_args_": ["touch @"]}}, "os.system"),
    "arguments without names": ({"buffer._args_": [1]}, "buffer._args_"),
    "builtins.eval": ({"agent._target_": "builtins.eval"}, "agent._target_=builtins.eval"),
    "torch.hub.load": ({"agent": HUB}, "agent._target_=torch.hub.load"),
    "torch.nn.Module": ({"agent._target_": "torch.nn.Module"}, "agent._target_=torch.nn.Module"),
    "gymnasium.make": ({"env": {"_target_": "gymnasium.make", "id": "evilmod:X-v0"}}, "=gymnasium.make"),
    "an id that imports": ({"env.id": "evilmod:X-v0"}, "importing evilmod runs its code"),
    "an id that imports a part": ({"env.id": "evilmod.part:X-v0"}, "importing evilmod"),
    "imports": ({"env.imports": ["her_exp.envs", "evilmod"]}, "importing evilmod runs its code"),
    "imports, no list": ({"env.imports": "evilmod"}, "importing evilmod runs its code"),
    "a name like ours": ({"env.imports": ["her_exp_evil"]}, "importing her_exp_evil"),
    "a class of the stranger's": ({"agent._target_": "evilmod.Thing"}, "agent._target_=evilmod.Thing"),
    "a nested node": ({"buffer.strategy": THING}, "buffer.strategy._target_"),
    "a nested node in a list": ({"agent.hidden_sizes": [THING]}, "agent.hidden_sizes[0]._target_"),
    "deep": ({"agent.more": {"a": [{"b": TOUCH}]}}, "_target_=os.system"),
    "a sink of the stranger's": ({"trainer.sinks": [THING]}, "trainer.sinks[0]._target_=evilmod.Thing"),
    "ours as a sink, that makes folders": ({"trainer.sinks": [FOLDER]}, "trainer.sinks[0]._target_"),
    "a part of its own": ({"extra": TOUCH}, "extra._target_=os.system"),
    "our path that leads elsewhere": ({"agent": OPENS}, "her_exp.store.folder.subprocess.Popen"),
    "our path to a function": ({"agent": BY_MODULE}, "must be a class"),
    "our path to a method": ({"agent._target_": "her_exp.envs.make.GoalTask.make"}, "must be a class"),
    "no text": ({"agent._target_": ["os.system"]}, "agent._target_"),
    "an interpolation": ({"agent.hidden_sizes": ["${oc.env:HOME}"]}, "no interpolations"),
    "an interpolated target": ({"agent._target_": "${env.name}"}, "no interpolations"),
    # Classes of ours, where they do not belong: what they do when made is not what the slot is for.
    "ours, nested, that imports": ({"buffer.strategy": IMPORTS}, "buffer.strategy"),
    "ours as the agent, that imports": ({"agent": IMPORTS}, "agent"),
    "an env in a list, that imports": ({"env": [IMPORTS]}, "env"),
    "ours, nested, that makes folders": ({"buffer.strategy": FOLDER}, "buffer.strategy"),
    "ours inside the env, that makes folders": ({"env.dt": FOLDER}, "env.dt"),
}  # fmt: skip


def fill(node: Any, canary: Path) -> Any:
    if isinstance(node, dict):
        return {key: fill(value, canary) for key, value in node.items()}
    if isinstance(node, list):
        return [fill(value, canary) for value in node]
    return node.replace("@", str(canary)) if isinstance(node, str) else node


def change_by(folder: Path, canary: Path, route: str) -> None:
    hub = EVIL + "\ndef x(**settings):\n    return None\n"
    (folder.parent / "modules" / "hubconf.py").write_text(hub)
    change_config(folder, fill(ROUTES[route][0], canary))


@WAYS
@pytest.mark.parametrize("route", ROUTES)
def test_planted_in_the_config(route: str, way: Way, stranger_run: tuple[Path, Path]) -> None:
    folder, canary = stranger_run
    change_by(folder, canary, route)
    refuse(way, folder, canary, ROUTES[route][1])
    assert "evilmod" not in sys.modules


@WAYS
def test_hydras_own_files_are_never_read(way: Way, stranger_run: tuple[Path, Path]) -> None:
    folder, canary = stranger_run
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


@WAYS
def test_what_is_trusted_runs(way: Way, stranger_run: tuple[Path, Path]) -> None:
    folder, canary = stranger_run
    changes: dict[str, Any] = {
        "agent._target_": "ourmod.MyDDPG", "env.imports": ["ourmod"], "env.id": "mine/Reach-v0",
        "buffer.strategy": {"_target_": "ourmod.Newest", "offset": 1},
    }  # fmt: skip
    change_config(folder, changes)
    with pytest.raises(UserError, match=r"trust=\[ourmod\]") as refused:
        way(folder)
    assert "\n" not in str(refused.value)
    assert "ourmod" not in sys.modules
    with pytest.raises(UserError, match=r"trust=\[ourmod\]"):
        way(folder, "evilmod")
    way(folder, "ourmod")
    assert "ourmod" in sys.modules
    change_config(folder, {"agent.more": {"_target_": "evilmod.Thing"}})
    refuse(lambda path: way(path, "ourmod"), folder, canary, "trust=[evilmod]")


def test_trust_is_of_whole_names() -> None:
    node = {"agent": {"_target_": "ourmod_evil.Thing"}}
    with pytest.raises(UserError, match="not from a trusted package"):
        check_trust(node, ["ourmod"])
    check_trust({"agent": {"_target_": "torch.nn.ReLU"}})
