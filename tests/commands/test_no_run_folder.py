"""What is said where run=, resume= or rerun= names a folder that is no run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from her_exp import evaluate, train
from her_exp.run import Request, rerun
from her_exp.types import UserError

Said = Callable[[Path], str]
ASKED: dict[str, Callable[[Path], object]] = {
    "run": lambda folder: evaluate.command([f"run={folder}"]),
    "resume": lambda folder: train.carry_out(Request(str(folder), None, None, [], [])),
    "rerun": lambda folder: rerun(folder, [], [], None),
}


@pytest.fixture(params=ASKED)
def said(request: pytest.FixtureRequest) -> Said:
    """What each command says of a folder, without the folder's own words."""

    def say(folder: Path) -> str:
        with pytest.raises(UserError) as caught:
            ASKED[request.param](folder)
        word, line = f"{request.param}={folder}: ", str(caught.value)
        assert line.startswith(word)
        return line.removeprefix(word)

    return say


def runs(root: Path, *names: str) -> None:
    for name in names:
        (root / name).mkdir(parents=True)
        for file in ("config.yaml", "run.json"):
            (root / name / file).touch()


def test_a_folder_that_is_not_there(said: Said, tmp_path: Path) -> None:
    runs(tmp_path, "a")
    assert said(tmp_path / "nowhere/ddpg") == "no such folder"
    assert said(Path("latset")) == "no such folder; did you mean latest?"
    assert said(tmp_path / "a/run.json") == "a file, no run folder"


def test_a_folder_above_runs_names_the_newest(said: Said, tmp_path: Path) -> None:
    runs(tmp_path / "ddpg", "2026-01", "2026-02", "2026-03", "2026-04", "2026-04/inside")
    runs(tmp_path / ".hidden", "a")
    line, root = "no run folder itself; give one below it: ", tmp_path / "ddpg"
    newest = [f"{root}/2026-{month}" for month in ("04", "03", "02")]
    assert said(root) == f"{line}{', '.join(newest)}, ..."
    runs(tmp_path / "sac", "2026-05")
    assert said(tmp_path / "sac") == f"{line}{tmp_path}/sac/2026-05"
    assert said(tmp_path).startswith(f"{line}{tmp_path}/sac/2026-05, {newest[0]}, ")


@pytest.mark.parametrize("name", ["a/buffer.k=0,seed=1_ab12", "a b"])
def test_a_folder_that_stands_alone_is_the_run(name: str) -> None:
    with pytest.raises(UserError, match=f"^run={name}: no "):
        evaluate.command(["episodes=5", name])


def test_a_disk_full_of_folders_is_not_searched_to_its_end(said: Said, tmp_path: Path) -> None:
    """And a large neighbour hides nothing."""
    (tmp_path / "b/.hydra").mkdir(parents=True)
    (tmp_path / "b/.hydra/config.yaml").touch()  # of something else
    for number in range(2100):
        (tmp_path / f"b{number:04}").mkdir()
        (tmp_path / f"env/lib/packages/p{number}").mkdir(parents=True)
    runs(tmp_path, "a/below")
    assert said(tmp_path) == "no run folder, config.yaml is missing"
    runs(tmp_path / "env", "point_reach/ddpg/t1")
    assert said(tmp_path / "env").endswith(f"give one below it: {tmp_path}/env/point_reach/ddpg/t1")


def test_names_that_are_none(said: Said, tmp_path: Path) -> None:
    """A folder's name may hold anything, a link may lead nowhere."""
    runs(tmp_path, "b\x1b[31m\n")
    line = f"no run folder itself; give one below it: '{tmp_path}/b?[31m?'"
    (tmp_path / "a").mkdir()
    (tmp_path / "a/config.yaml").symlink_to("/nonexistent")
    (tmp_path / "a/run.json").touch()
    assert said(tmp_path) == line
