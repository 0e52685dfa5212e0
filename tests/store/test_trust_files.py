"""Checkpoints and configs that are none, and names that climb out of the folder, do no harm."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from her_exp import evaluate
from her_exp.run import rerun, train
from her_exp.types import UserError
from tests.store.trust_kit import Payload, by_evaluate, by_resume, change_config, go_on, refuse

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


@pytest.mark.parametrize("name", ["../../x", "/tmp/x", "..", "-rf"])
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


@pytest.mark.parametrize("checkpoint", ["../../x", "state_000000000050"])
def test_a_checkpoints_name_that_climbs_out(
    checkpoint: str, stranger_run: tuple[Path, Path]
) -> None:
    folder, canary = stranger_run
    torch.save(Payload(canary), folder.parent / "x.pt")
    with pytest.raises(UserError, match="give last or best"):
        evaluate.command([f"run={folder}", f"checkpoint={checkpoint}"])
    assert not canary.exists()


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


@pytest.mark.usefixtures("own_logging")
def test_a_rerun_into_a_folder_that_is_taken(stranger_run: tuple[Path, Path]) -> None:
    folder, _ = stranger_run
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises((UserError, SystemExit)):
        go_on(f"rerun={folder}", f"run_dir={folder}")
    now = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert now == before
