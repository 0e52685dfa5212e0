"""Folders with odd names and in odd places: the right one is used, or a line says why not."""

from __future__ import annotations

import os
import resource
import shutil
from pathlib import Path

import pytest

from tests.commands.forked_commands import Forks
from tests.commands.sweeps_kit import TINY, words
from tests.runs.runs_kit import result_of

RUN = TINY[1:]

NAMES = {
    "quotes": 'it\'s "so"',
    "a backslash": "a\\b",
    "backslashes at the end": "a\\\\",
    "a backslash before a quote": "a\\'b",
    "brackets": "a[b]{c}(d)",
    "an equals sign": "k=8,seed=1",
    "blanks": " a  b ",
    "a dollar": "cost$5",
    "letters": "größe_目標",
    "a percent sign": "100%",
    "a comma": "a,b",
    "a colon": "a:b",
}


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_of_that_name(name: str, forks: Forks, cwd: Path) -> None:
    """Started, done, and found again."""
    argv = ["resume=auto", f"run_dir=at/{NAMES[name]}", *RUN, "trainer.total_steps=120"]
    assert forks.run(argv, cwd) == 0, words(cwd)
    assert os.listdir(cwd) == ["at"]
    assert os.listdir(cwd / "at") == [NAMES[name]]
    assert result_of(cwd / "at" / NAMES[name])["status"] == "done"
    assert forks.run(argv, cwd) == 0, words(cwd)
    assert os.listdir(cwd / "at") == [NAMES[name]]
    longer = [f"resume=at/{NAMES[name]}", "trainer.total_steps=160"]
    assert forks.run(longer, cwd) == 0, words(cwd)


@pytest.mark.parametrize("name", ["${env.name}", "a${now:%H}b", "\\${seed}"])
def test_a_name_that_hydra_would_resolve(name: str, forks: Forks, cwd: Path) -> None:
    assert forks.run(["resume=auto", f"run_dir={name}", *RUN], cwd) == 2
    (line,) = words(cwd).splitlines()
    assert "Hydra resolves ${...}; give another name" in line
    assert os.listdir(cwd) == []


@pytest.mark.parametrize(
    "word",
    ["resume=auto run_dir=", "hydra.run.dir=", "-m seed=0,1 sweep=s hydra.sweep.dir="],
)
def test_a_name_of_300_letters(word: str, forks: Forks, cwd: Path) -> None:
    *before, last = word.split()
    assert forks.run([*before, last + "x" * 300, *RUN], cwd) == 2
    (line,) = words(cwd).splitlines()
    assert "File name too long" in line
    assert os.listdir(cwd) == []


@pytest.mark.parametrize("word", ["resume=", "rerun=", "resume=auto run_dir=", "hydra.run.dir="])
def test_a_name_that_is_not_utf_8(word: str, forks: Forks, cwd: Path) -> None:
    *before, last = word.split()
    assert forks.run([*before, last + "a\udcff", *RUN], cwd) == 2
    (line,) = words(cwd).splitlines()
    assert line.endswith("a?: is not UTF-8; give names in UTF-8")
    assert os.listdir(cwd) == []


@pytest.mark.parametrize(
    "argv", [[], ["-m", "seed=0,1"], ["resume=run"], ["rerun=run"], ["resume=auto", "run_dir=run"]]
)
def test_the_current_folder_was_deleted(argv: list[str], forks: Forks, cwd: Path) -> None:
    assert forks.run([*argv, *RUN], cwd, f"import shutil; shutil.rmtree({str(cwd)!r})") == 2
    line = words(cwd)
    assert line == "her_exp: error: the current folder was deleted; cd to one that is there\n"


@pytest.mark.parametrize("argv", [[], ["-m", "seed=0,1", "sweep=s"]])
def test_outputs_is_a_link_that_leads_nowhere(argv: list[str], forks: Forks, cwd: Path) -> None:
    cwd.mkdir(exist_ok=True)
    (cwd / "outputs").symlink_to(cwd / "disk" / "that" / "is" / "not" / "mounted")
    assert forks.run([*argv, *RUN], cwd) == 2
    (line,) = words(cwd).splitlines()
    assert "a link that leads nowhere" in line
    assert os.listdir(cwd) == ["outputs"]


def test_outputs_is_a_link_to_another_disk(forks: Forks, cwd: Path) -> None:
    (cwd / "disk").mkdir()
    (cwd / "outputs").symlink_to("disk")
    assert forks.run([*RUN, "trainer.total_steps=120"], cwd) == 0, words(cwd)
    assert list((cwd / "disk").rglob("result.json"))


@pytest.mark.parametrize("kind", ["file", "broken link"])
def test_a_run_dir_that_is_no_folder(kind: str, forks: Forks, cwd: Path) -> None:
    if kind == "file":
        (cwd / "run").touch()
    else:
        (cwd / "run").symlink_to("nowhere")
    for argv in (["resume=auto", "run_dir=run"], ["hydra.run.dir=run"]):
        assert forks.run([*argv, *RUN], cwd) == 2
        (line,) = words(cwd).splitlines()
        assert "her_exp: error: " in line
    assert os.listdir(cwd) == ["run"]


def test_an_evaluation_of_a_folder_that_cannot_be_written_to(
    good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The figure is printed all the same. (Permissions say nothing to root: files may have few bytes.)"""
    from her_exp import evaluate

    folder = tmp_path / "run"
    shutil.copytree(good, folder)
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, most))
    try:
        assert evaluate.command([f"run={folder}", "episodes=2"]) == 0
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    assert not list(folder.glob("*.tmp"))
    out, err = capsys.readouterr()
    assert '"success_final"' in out
    assert err.splitlines()[-1].startswith("evaluation.json is not written: ")


def test_a_folder_of_settings_goes_with_starting_or_going_on(forks: Forks, cwd: Path) -> None:
    """`--config-dir` chooses at the start; what goes on has all it needs in its folder."""
    (cwd / "conf/agent").mkdir(parents=True)
    (cwd / "conf/agent/mine.yaml").write_text("defaults:\n  - ddpg\n\nnoise_std: 0.3\n")
    argv = ["--config-dir=conf", "agent=mine", "resume=auto", "run_dir=run", *RUN]
    for steps in (120, 120, 160):
        assert forks.run([*argv, f"trainer.total_steps={steps}"], cwd) == 0, words(cwd)
    assert result_of(cwd / "run")["env_steps"] == 160
    assert forks.run(["rerun=run", *RUN[:1]], cwd) == 0, words(cwd)
    assert os.listdir(cwd / "outputs/point_reach") == ["mine"]


def test_run_dir_alone_names_the_right_words(forks: Forks, cwd: Path) -> None:
    assert forks.run(["run_dir=x"], cwd) == 2
    assert "a new run's folder is named by resume=auto run_dir=FOLDER" in words(cwd)
