"""A run folder of a stranger is data: nothing in it runs, by any route, until it is trusted."""

from __future__ import annotations

import os
import pickle
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from her_exp.run import rerun, train
from her_exp.store.trust import check_trust
from her_exp.types import UserError
from tests.store.trust_kit import WAYS, Way, by_evaluate, by_resume, change_config, go_on, refuse

# `@` stands for the path of the canary.
TOUCH = {"_target_": "os.system", "command": "touch @"}
FOLDER = {"_target_": "her_exp.store.folder.RunFolder", "path": "@"}
TASK = {"_target_": "her_exp.envs.make.GoalTask", "id": "her_exp/PointReach-v0"}
THING = {"_target_": "evilmod.Thing"}
IMPORTS = TASK | {"imports": ["evilmod"]}
OPENS = {"_target_": "her_exp.store.folder.subprocess.Popen", "args": ["touch", "@"]}
BY_MODULE = {"_target_": "her_exp.envs.make.import_modules", "names": ["evilmod"]}
ROUTES: dict[str, tuple[dict[str, Any], str]] = {
    "os.system": ({"agent": TOUCH}, "agent._target_=os.system"),
    "arguments without names": ({"buffer._args_": [1]}, "buffer._args_"),
    "torch.nn.Module": ({"agent._target_": "torch.nn.Module"}, "agent._target_=torch.nn.Module"),
    "gymnasium.make": ({"env": {"_target_": "gymnasium.make", "id": "evilmod:X-v0"}}, "=gymnasium.make"),
    "an id that imports": ({"env.id": "evilmod:X-v0"}, "importing evilmod runs its code"),
    "imports": ({"env.imports": ["her_exp.envs", "evilmod"]}, "importing evilmod runs its code"),
    "a name like ours": ({"env.imports": ["her_exp_evil"]}, "importing her_exp_evil"),
    "a class of the stranger's": ({"agent._target_": "evilmod.Thing"}, "agent._target_=evilmod.Thing"),
    "a nested node": ({"buffer.strategy": THING}, "buffer.strategy._target_"),
    "a sink of the stranger's": ({"trainer.sinks": [THING]}, "trainer.sinks[0]._target_=evilmod.Thing"),
    "a part of its own": ({"extra": TOUCH}, "extra._target_=os.system"),
    "our path that leads elsewhere": ({"agent": OPENS}, "her_exp.store.folder.subprocess.Popen"),
    "our path to a function": ({"agent": BY_MODULE}, "must be a class"),
    "no text": ({"agent._target_": ["os.system"]}, "agent._target_"),
    "an interpolation": ({"agent.hidden_sizes": ["${oc.env:HOME}"]}, "no interpolations"),
    # Classes of ours, where they do not belong: what they do when made is not what the slot is for.
    "ours, nested, that imports": ({"buffer.strategy": IMPORTS}, "buffer.strategy"),
    "ours as the agent, that imports": ({"agent": IMPORTS}, "agent"),
    "an env in a list, that imports": ({"env": [IMPORTS]}, "env"),
    "ours, nested, that makes folders": ({"buffer.strategy": FOLDER}, "buffer.strategy"),
}  # fmt: skip


def fill(node: Any, canary: Path) -> Any:
    if isinstance(node, dict):
        return {key: fill(value, canary) for key, value in node.items()}
    if isinstance(node, list):
        return [fill(value, canary) for value in node]
    return node.replace("@", str(canary)) if isinstance(node, str) else node


@WAYS
@pytest.mark.parametrize("route", ROUTES)
def test_planted_in_the_config(route: str, way: Way, stranger_run: tuple[Path, Path]) -> None:
    folder, canary = stranger_run
    change_config(folder, fill(ROUTES[route][0], canary))
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
    for target in ("ourmod_evil.Thing", "torch.hub.load"):
        with pytest.raises(UserError, match="not from a trusted package"):
            check_trust({"agent": {"_target_": target}}, ["ourmod"])
    check_trust({"agent": {"_target_": "torch.nn.ReLU"}})


# --- checkpoints and names ------------------------------------------------------------------------


class Payload:
    """Runs a command when it is unpickled."""

    def __init__(self, canary: Path):
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.canary}",)


#: What reads which checkpoint.
CHECKPOINTS = ((by_evaluate, "last.pt"), (by_resume, "state_000000000999.pt"))


@pytest.mark.parametrize("old", [True, False])
@pytest.mark.parametrize("inside", [True, False])
def test_a_pickled_checkpoint(old: bool, inside: bool, stranger_run: tuple[Path, Path]) -> None:
    folder, canary = stranger_run
    payload: Any = Payload(canary)
    content = {"agent": {"inputs": payload}, "buffer": payload, "about": {}} if inside else payload
    for way, name in CHECKPOINTS:
        path = folder / "checkpoints" / name
        torch.save(content, path, _use_new_zipfile_serialization=not old)
        refuse(way, folder, canary, f"{name} cannot be read as a checkpoint")
        path.write_bytes(pickle.dumps(content))
        refuse(way, folder, canary, f"{name} cannot be read as a checkpoint")


@pytest.mark.parametrize("content", [{}, 7, {"record": {}}, {"agent": 1, "about": 2}])
def test_a_checkpoint_of_something_else(content: Any, stranger_run: tuple[Path, Path]) -> None:
    """Plain data that is no state of a run: one line as well, no traceback."""
    folder, canary = stranger_run
    for way, name in CHECKPOINTS:
        torch.save(content, folder / "checkpoints" / name)
        refuse(way, folder, canary, name)


@pytest.mark.parametrize("name", ["../../x", "/tmp/x", "-rf"])
def test_a_name_that_climbs_out(name: str, stranger_run: tuple[Path, Path]) -> None:
    folder, _ = stranger_run
    change_config(folder, {"env.name": name})
    cfg, new = rerun(folder, [], [], None)
    assert new.resolve().parent.parent.parent == (Path.cwd() / "outputs")
    assert not new.parent.parent.name.startswith((".", "-"))
    train(cfg, new)
    made = {path.name for path in Path.cwd().iterdir()}
    assert made <= {"run", "modules", "outputs"}
    by_evaluate(folder)
    by_resume(folder)
    assert {path.name for path in Path.cwd().iterdir()} == made


@pytest.mark.usefixtures("own_logging")
def test_a_folder_that_is_no_run_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A typing error in `resume=` writes nothing, neither there nor elsewhere."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for words in (["resume=photos"], ["rerun=photos"], ["resume=nowhere"], ["rerun=nowhere"]):
        with pytest.raises((UserError, SystemExit)):
            go_on(*words)
    assert [p.name for p in tmp_path.rglob("*")] == ["photos"]
