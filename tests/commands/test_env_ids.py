"""What is said of an id that Gymnasium does not know, and the command that is named for an env."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

import her_exp.check
from tests.commands.shell import Shell
from tests.commands.words_kit import Right, shell_words

robotics = pytest.mark.skipif(
    find_spec("gymnasium_robotics") is None, reason="gymnasium-robotics is not installed"
)

FLAT = """
import gymnasium as gym


class Flat(gym.Env):
    observation_space = gym.spaces.Box(-1, 1, (2,))
    action_space = gym.spaces.Box(-1, 1, (1,))

    def __init__(self, title, sizes, options=None, fast=False):
        if (title, sizes, options, fast) != ("it's a, b", [1, 2.5], {"a b": None}, True):
            raise ValueError(f"{title}, {sizes}, {options}, {fast}")


gym.register("my_lab/Flat-v0", Flat)
"""
VARIANT = """
defaults: [gym]
title: "it's a, b"
sizes: [1, 2.5]
options: {a b: null}
fast: true
id: my_lab/Flat-v0
imports: [flat_lab]
"""


def test_the_command_that_checks_an_env_makes_it_the_same(
    sh: Shell, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (sh.cwd / "flat_lab.py").write_text(FLAT)
    (sh.cwd / "conf/env").mkdir(parents=True)
    (sh.cwd / "conf/env/mine.yaml").write_text(VARIANT)
    path = f"import sys; sys.dont_write_bytecode = True; sys.path.insert(0, {str(sh.cwd)!r})"
    (line,) = sh.refused("--config-dir=conf", "env=mine", prelude=path)
    python, m, module, *words = shell_words(line.partition("; see ")[2])
    assert (python, m, module) == ("python", "-m", "her_exp.check")
    monkeypatch.syspath_prepend(str(sh.cwd))
    with pytest.raises(SystemExit, match="1"):  # an error was found; 2: it cannot be made
        her_exp.check.main(words)
    out = capsys.readouterr().out
    assert "ERROR  spaces" in out
    assert "0 ok, 0 to know, 1 wrong" in out


@robotics
@pytest.mark.parametrize(
    ("id", "file", "words"),
    [
        ("FetchReach-v1", "env=fetch_reach", "env=gym env.id=FetchReach-v4"),
        ("PointMaze_Large-v3", "env=point_maze env.map=large", "env=gym env.id=PointMaze_Large-v3"),
        (
            "HandManipulatePenRotate_BooleanTouchSensors-v0",
            "env=hand_pen env.variant=rotate env.touch=boolean",
            "env=gym env.id=HandManipulatePenRotate_BooleanTouchSensors-v1",
        ),
        ("FetchReachDense-v2", "", "env=gym env.id=FetchReachDense-v4"),
    ],
)
def test_ids_of_gymnasium_robotics(id: str, file: str, words: str, sh: Shell, right: Right) -> None:
    words += " 'env.imports=[gymnasium_robotics]'"
    (line,) = sh.refused("env=gym", f"env.id={id}")
    assert line.startswith(f"env.id={id}: no such env; write {file or words}")
    assert line.endswith(words)
    assert right(words)
    assert not file or right(file)


@robotics
def test_an_id_for_a_file(sh: Shell) -> None:
    (line,) = sh.refused("env=FetchReach-v4")
    assert line.startswith("env=FetchReach-v4: no such env; there are ant_maze, ")
    assert "; write env=fetch_reach (FetchReach-v4 and its settings), or env=gym " in line


@robotics
@pytest.mark.skipif(find_spec("mujoco_py") is not None, reason="it can be made")
def test_a_version_that_cannot_be_made_names_one_that_can(sh: Shell) -> None:
    words = ["env=gym", "env.id=FetchReach-v1", "env.imports=[gymnasium_robotics]"]
    (line,) = sh.refused(*words, prelude="import warnings; warnings.simplefilter('ignore')\n")
    assert line.startswith("env.id=FetchReach-v1: ")
    assert line.endswith("; did you mean FetchReach-v4?")


@pytest.mark.parametrize(
    ("id", "module", "install", "words"),
    [
        ("FetchPsuh-v2", "gymnasium_robotics", "pip install 'her_exp[robotics]'", "env=fetch_push"),
        ("PandaReach-v3", "panda_gym", "pip install panda-gym", "env=gym env.id=PandaReach-v3"),
    ],
)
def test_a_package_that_is_not_installed(
    id: str, module: str, install: str, words: str, sh: Shell
) -> None:
    prelude = f"import sys; sys.modules[{module!r}] = None"  # as if it were not there
    (line,) = sh.refused("env=gym", f"env.id={id}", prelude=prelude)
    begin = f"env.id={id}: no such env; {module} is not installed; {install}, then write {words}"
    assert line.startswith(begin)
    assert "Psuh" not in line.removeprefix(begin)
