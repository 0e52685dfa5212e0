"""Folders with odd names and in odd places: the right one is used, or a line says why not."""

from __future__ import annotations

import os
import resource
import shutil
from pathlib import Path

import pytest

from her_exp import evaluate
from tests.commands.shell import Shell
from tests.commands.sweeps_kit import TINY
from tests.runs.runs_kit import result_of

RUN = [*TINY[1:], "trainer.total_steps=120"]
#: Quotes, backslashes before one and at the end, brackets, what overrides are made of, blanks, letters.
NAMES = ['it\'s "so"', "a\\b\\'c\\\\", "a[b]{c}(d)", "k=8,seed=1:2", " 100%  cost$5 ", "größe_目標"]


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_of_that_name(name: str, sh: Shell) -> None:
    """Started, done, and found again."""
    argv = ["resume=auto", f"run_dir=at/{name}", *RUN]
    sh.done(*argv)
    assert result_of(sh.cwd / "at" / name)["status"] == "done"
    sh.told("out")
    sh.done(*argv)
    assert sh.told("out") == f"at/{name}\n"
    sh.done(f"resume=at/{name}", "trainer.total_steps=160")
    assert os.listdir(sh.cwd) == ["at"]
    assert os.listdir(sh.cwd / "at") == [name]


AUTO, LONG = "resume=auto run_dir=", "x" * 300
RESOLVED = "Hydra resolves ${...}; give another name"
REFUSED = {
    AUTO + "${env.name}": RESOLVED,
    AUTO + "\\${seed}": RESOLVED,
    AUTO + LONG: "File name too long",
    "-m seed=0,1 sweep=s hydra.sweep.dir=" + LONG: "File name too long",
    "resume=a\udcff": "a?: is not UTF-8; give names in UTF-8",
    # With `outputs` a link, and `run` a file or a link, that lead nowhere.
    "": "a link that leads nowhere",
    "-m seed=0,1 sweep=s": "a link that leads nowhere",
    AUTO + "file": "file: a file, no run folder",
    "hydra.run.dir=file": "cannot write to ",
    AUTO + "link": "link",
}


@pytest.mark.parametrize("words", REFUSED, ids=ascii)
def test_a_place_that_is_refused(words: str, sh: Shell) -> None:
    (sh.cwd / "outputs").symlink_to(sh.cwd / "disk" / "that" / "is" / "not" / "mounted")
    (sh.cwd / "link").symlink_to("nowhere")
    (sh.cwd / "file").touch()
    (line,) = sh.refused(*words.split(), *RUN)
    assert REFUSED[words] in line


def test_the_current_folder_was_deleted(sh: Shell) -> None:
    gone = f"import shutil; shutil.rmtree({str(sh.cwd)!r})"
    (line,) = sh.refused("resume=run", prelude=gone)
    assert line == "the current folder was deleted; cd to one that is there"


def test_an_evaluation_of_a_folder_that_cannot_be_written_to(
    good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The figure is printed all the same. (Permissions say nothing to root: files may have few bytes.)"""
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


def test_a_folder_of_settings_goes_with_starting_or_going_on(sh: Shell) -> None:
    """`--config-dir` chooses at the start; what goes on has all it needs in its folder."""
    (sh.cwd / "conf/agent").mkdir(parents=True)
    (sh.cwd / "conf/agent/mine.yaml").write_text("defaults:\n  - ddpg\n\nnoise_std: 0.3\n")
    argv = ["--config-dir=conf", "agent=mine", "resume=auto", "run_dir=run", *TINY[1:]]
    for steps in (120, 160):
        sh.done(*argv, f"trainer.total_steps={steps}")
    assert result_of(sh.cwd / "run")["env_steps"] == 160
    sh.done("rerun=run", *TINY[1:2])
    assert os.listdir(sh.cwd / "outputs/point_reach") == ["mine"]
