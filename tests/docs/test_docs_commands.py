"""Every command of the documentation is run as it stands, only shorter.

A page's commands run in its own order, in one folder, each in a process of its own; the files that the
page asks for are put there first. What needs a cluster or another package is composed and checked with
the code that a real run is checked with; what is no program of ours is looked up where it is declared.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from her_exp.sweeps.command_line import preflight
from tests.commands.forked_commands import Forks
from tests.docs.docs_pages import OURS, PAGES, ROOT, Command, commands, files, name_of, programs

#: Longer settings of a page become these; those it does not give are added.
SHORT = {
    "trainer.total_steps": "200", "trainer.learning_starts": "100", "trainer.batch_size": "16",
    "trainer.eval_episodes": "2", "trainer.updates_per_step": "0.1", "env.num_eval_envs": "2",
}  # fmt: skip
#: Run folders that a page finds already there, and how they came to be.
BEFORE = {
    "outputs/point_reach/ddpg/2026-11-26_10-00-00-123456": [],
    "outputs/bit_flip/plain_dqn/2026-11-26_10-00-00-123456": [
        "--config-dir=my_conf", "env=bit_flip", "agent=plain_dqn", "env.n_bits=6",
    ],
}  # fmt: skip
#: Composed and checked only. Launchers and searches run in test_launchers.py and test_optuna.py,
#: the envs in test_robotics.py and test_pool.py.
CHECKED_ONLY = (
    "hydra/launcher=", "hydra/sweeper=", "fetch_", "point_maze", "env.id=Fetch", "env.backend=envpool",
)  # fmt: skip
#: What a page's words alone are said about.
COMPANY = {
    "docs/envpool.md": ["env=gym", "env.id=FetchPush-v4", "env.imports=[gymnasium_robotics]"]
}
#: Not run, and why.
EXEMPT = {
    "ray start --head --port=6379": "starts a cluster",
    "ray start --address=10.0.0.1:6379": "joins a cluster",
    "python3 -m venv panda": "Python's own",
}
#: Pages that hold commands at all.
WITH_COMMANDS = [page for page in PAGES if commands(page)]
#: Commands that an earlier page gave as well.
TRIED: set[str] = set()
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    forks = Forks()
    yield forks
    forks.close(120)


class Reader:
    """Somebody who does what a page says."""

    def __init__(self, page: Path, folder: Path, forks: Forks):
        self.page, self.forks, self.cwd = page, forks, folder / "cwd"
        self.cwd.mkdir()
        for name, text in files(page).items():
            path = self.cwd / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def prepare(self) -> None:
        """Make the runs that the page takes to be there."""
        text = self.page.read_text()
        for name, words in BEFORE.items():
            looked_at = "/ddpg/" in name and "tensorboard --logdir" in text
            if name in text or looked_at:
                words = [f"hydra.run.dir={name}", *words, *shortened([], "")]
                self.run(["train", *words], prelude="")

    def run(self, words: list[str], prelude: str, status: int = 0) -> str:
        """Run one of our commands; returns all that it said."""
        said = self.cwd.parent / "err"
        before = said.stat().st_size if said.exists() else 0
        code = self.forks.run(words[1:], self.cwd, prelude)
        text = said.read_text()[before:]
        told = f"{text[-2000:]}{(self.cwd.parent / 'out').read_text()[-2000:]}"
        assert code == status, f"{name_of(self.page)}: {' '.join(words)}\n{told}"
        assert "Traceback" not in text
        return text

    def obey(self, command: Command) -> None:
        """Do what a command says, or see that it could be done."""
        words = command.through_a_shell(self.cwd)
        assert words == command.words, f"{name_of(self.page)}: {command.pasted}"
        own = (*BEFORE, "latest", "tensorboard", "my_")  # what these say depends on the page
        alone = not any(mark in command.text for mark in own)
        if command.text in EXEMPT or (alone and command.text in TRIED):
            return
        TRIED.add(command.text)
        with pytest.MonkeyPatch.context() as here:
            if words[0] == "PYTHONPATH=scripts":
                here.syspath_prepend(ROOT / "scripts")
                words = words[1:]
            self.start(words, command)

    def start(self, words: list[str], command: Command) -> None:
        """Start the program that a shell starts, or see that it could be started."""
        if words[:2] == ["python", "-m"] and words[2].startswith("her_exp."):
            self.ours(words[2].removeprefix("her_exp."), words[3:], command)
        elif words[:3] == ["python", "-m", "pytest"]:
            asked = [*words[3:], "-q", "-p", "no:cacheprovider"]
            self.run(["pytest"], prelude=f"import pytest, sys\nsys.exit(int(pytest.main({asked})))")
        elif words[0] == "python":
            script(words)
        elif words[0] == "make":
            asked = subprocess.run(["make", "-n", *words[1:]], cwd=ROOT, capture_output=True)
            assert asked.returncode == 0, asked.stderr
        elif words[0] == "tensorboard":
            assert words[1:] == ["--logdir", "outputs"]
            assert list(self.cwd.rglob("outputs/**/events.out.tfevents*"))
        elif words[0].endswith("pip"):
            assert words[1] == "install"
            extras = re.findall(r"(?:^| )(?:\.|her_exp)\[(\w+(?:,\w+)*)\]", command.text)
            assert {*",".join(extras).split(",")} <= {"", *EXTRAS}
        else:
            pytest.fail(f"{name_of(self.page)}: {command.text}: no test knows how to run this")

    def ours(self, module: str, words: list[str], command: Command) -> None:
        words = [word for word in words if word != "device=cuda"]  # no GPU here
        if words[:1] and words[0].startswith("env."):
            words = [*COMPANY.get(name_of(self.page), []), *words]
        if module != "train":
            prelude = f"import sys, her_exp.{module} as m; m.main(); sys.exit(0)"
            few = ["video_episodes=1"] if "video=true" in words else []
            words = [word.replace("episodes=200", "episodes=4") for word in words]
            self.run([module, *words, *few], prelude)
        elif command.said:
            text = self.run(["train", *words], prelude="", status=2)
            assert text.splitlines() == command.said
        elif any(mark in " ".join(words) for mark in (*CHECKED_ONLY, *absent(words))):
            self.check(words)
        elif "--help" in words:
            self.run(["train", *words], prelude="")
        else:
            self.run(["train", *shortened(words, command.text)], prelude="")

    def check(self, words: list[str]) -> None:
        """Compose and validate every job, as a real run does first."""
        if absent(words):  # all but the env itself
            theirs = ("env.imports=", "env.id=", "+env.config", "env.goal_distance")
            words = [word for word in words if not word.startswith(theirs)]
            words = [*words, "env.id=her_exp/PointReach-v0"] if "env=gym" in words else []
        slurm = self.cwd.parent / "slurm"  # the check looks whether they are there, no more
        slurm.mkdir(exist_ok=True)
        for name in ("sbatch", "srun"):
            (slurm / name).touch(0o755)
        with pytest.MonkeyPatch.context() as here:
            here.chdir(self.cwd)
            here.setenv("PATH", str(slurm), prepend=os.pathsep)
            preflight(words)


def absent(words: list[str]) -> list[str]:
    """Return what marks a command whose env is of a package that is not installed."""
    text = " ".join(words)
    names = re.findall(r"env\.imports=\[(\w+)", text)
    names += ["gymnasium_robotics"] * bool(re.search(r"fetch_|point_maze", text))
    return [n for n in names if n != "my_lab" and importlib.util.find_spec(n) is None]


def shortened(words: list[str], text: str) -> list[str]:
    """Return a command's words with a short run's settings in place of its own, or added."""
    if "resume=auto" not in text and re.search(r"\b(resume|rerun)=", text):
        return [re.sub(r"(trainer\.total_steps)=\d+", r"\1=600", word) for word in words]
    changed, lists = [], 0
    for word in words:
        key, _, value = word.partition("=")
        if re.fullmatch(r"\w+(,\w+)+", value):  # a sweep of two jobs
            word, lists = f"{key}={','.join(value.split(',')[: 1 if lists else 2])}", lists + 1
        changed.append(f"{key}={SHORT[key]}" if key in SHORT else word)
    given = {word.partition("=")[0] for word in words}
    return [*changed, *(f"{key}={value}" for key, value in SHORT.items() if key not in given)]


def script(words: list[str]) -> None:
    """A script is there, and knows what it is given: its flags, its keys."""
    source = (ROOT / words[1]).read_text()
    for word in words[2:]:
        name, equals, _ = word.partition("=")
        if word.startswith("--") or equals:
            assert re.search(rf"\b{re.escape(name.lstrip('-'))}\b", source), f"{words[1]}: {word}"


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=name_of)
def test_commands(page: Path, tmp_path: Path, forks: Forks) -> None:
    reader = Reader(page, tmp_path, forks)
    reader.prepare()
    for command in commands(page):
        reader.obey(command)
    shutil.rmtree(tmp_path)


@pytest.mark.parametrize("page", [page for page in PAGES if programs(page)], ids=name_of)
def test_programs(page: Path, tmp_path: Path, forks: Forks) -> None:
    reader = Reader(page, tmp_path, forks)
    reader.prepare()
    for command in commands(page):  # what they make, the page's programs may read
        if "onnx=" in command.text:
            reader.obey(command)
    for text in programs(page):
        code = compile(text, str(page), "exec")
        if "HerReplayBuffer" in text:  # somebody else's program: it is Python, and that is all
            assert code
            continue
        reader.run([name_of(page)], prelude=f"import sys\nexec({text!r}, {{}})\nsys.exit(0)")


def test_commands_are_found() -> None:
    """The counts fall where a page begins to write its commands in another way."""
    found = {name_of(page): commands(page) for page in WITH_COMMANDS}
    least = {"README.md": 20, "docs/start.md": 14, "docs/agents.md": 11, "docs/envpool.md": 6}
    assert {name for name, count in least.items() if len(found[name]) < count} == set()
    assert all(command.words[:3] == OURS for command in found["docs/agents.md"])
    assert set(EXEMPT) <= {command.text for each in found.values() for command in each}
