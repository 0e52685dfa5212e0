"""Links, pipes and second names in a run folder: none is followed, opened, or written to."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from her_exp import evaluate
from her_exp.run import resume
from her_exp.store.files import open_file
from her_exp.store.folder import RunFolder
from her_exp.sweeps.command_line import preflight
from her_exp.types import UserError

#: What a run or an evaluation writes: each may stand in the folder as something else.
NAMES = (
    "run.log", "run.lock", "metrics.csv", "run.json", "result.json", "config.yaml", "git.patch",
    "config_began.yaml", "evaluation.json", "paths.png", "paths_last.png", "film.mp4", "film.gif",
    "result.json.tmp", "paths_last.png.tmp", "checkpoints", "checkpoints/last.pt",
    "checkpoints/state_000000000999.pt.tmp",
)  # fmt: skip


def link(path: Path, victim: Path) -> None:
    path.symlink_to(os.path.relpath(victim, path.parent))


def second_name(path: Path, victim: Path) -> None:
    os.link(victim, path)


def pipe(path: Path, victim: Path) -> None:
    os.mkfifo(path)


def dangling(path: Path, victim: Path) -> None:
    path.symlink_to(victim.parent / "planted.sh")


def folder_there(path: Path, victim: Path) -> None:
    path.mkdir()


def swapped(folder: Path, name: str, by: Callable[[Path, Path], None]) -> tuple[Path, bytes]:
    """Put something else in the place of a file; returns a victim, and what it holds."""
    victim = folder.parent / "thesis.txt"
    path = folder / name
    content = path.read_bytes() if path.is_file() else b"years of work"
    victim.write_bytes(content)
    if path.is_dir():
        path.rename(folder.parent / "aside")
    path.unlink(missing_ok=True)
    by(path, victim)
    return victim, content


OTHERS = (second_name, pipe, dangling, folder_there)


@pytest.mark.parametrize(
    ("name", "by"),
    [
        *((name, link) for name in NAMES),
        *((name, by) for name in ("metrics.csv", "checkpoints/last.pt") for by in OTHERS),
    ],
)
def test_nothing_is_written_through_it(
    name: str, by: Callable[[Path, Path], None], stranger_run: tuple[Path, Path]
) -> None:
    folder, _ = stranger_run
    victim, content = swapped(folder, name, by)
    before = sorted(os.listdir(folder))
    for way in (resume, lambda folder: evaluate.command([f"run={folder}", "episodes=2"])):
        with pytest.raises(UserError) as refused:
            way(folder)
        assert "\n" not in str(refused.value)
    assert victim.read_bytes() == content
    assert not (folder.parent / "planted.sh").exists()
    assert sorted(os.listdir(folder)) == before


def test_the_folder_itself_and_notes_in_it_may_be_links(stranger_run: tuple[Path, Path]) -> None:
    folder, _ = stranger_run
    (folder.parent / "latest").symlink_to(folder)
    (folder / "notes.md").symlink_to(folder.parent)  # the user's own
    resume(folder.parent / "latest")


@pytest.mark.parametrize("name", ["config.yaml", "run.log", "result.json.tmp", ".hydra"])
def test_a_new_run_into_a_prepared_folder(name: str, tmp_path: Path) -> None:
    """By the command it is refused before Hydra writes."""
    (tmp_path / "victim").write_text("mine")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / name).symlink_to(tmp_path / "victim")
    for way in (RunFolder, lambda folder: preflight([f"hydra.run.dir={folder}"])):
        with pytest.raises(UserError, match="is a link"):
            way(tmp_path / "run")
    assert (tmp_path / "victim").read_text() == "mine"


@pytest.mark.parametrize("mode", ["r", "w", "a", "x"])
@pytest.mark.parametrize("leads", ["victim", "nowhere", "."])  # the last: a folder above
def test_no_link_is_opened(leads: str, mode: str, tmp_path: Path) -> None:
    """Also one that is put there between the look at it and the use."""
    (tmp_path / "victim").write_text("mine")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "a").symlink_to(tmp_path / leads)
    with pytest.raises(OSError, match=r"no file|exists|director"):
        open_file(tmp_path / "run", "a/victim" if leads == "." else "a", mode)
    assert (tmp_path / "victim").read_text() == "mine"
    assert not (tmp_path / "nowhere").exists()
