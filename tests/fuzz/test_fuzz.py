"""Hundreds of command lines made at random: each one trains, or is refused in clear words.

A refused one says in at most twenty lines which key is wrong, exits with a status, and leaves every file
as it was. An accepted one trains to the end. Nothing shows a traceback, hangs or dies.
"""

from __future__ import annotations

import collections
import dataclasses
import itertools
import json
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.commands.forked_commands import Forks
from tests.fuzz.command_lines import Line, lines
from tests.fuzz.config_tree import tree
from tests.fuzz.wrong_words import DONE, WRONG

#: Far more than any line needs: the machine may be busy.
SECONDS = 150
#: In the child: a hang ends by SIGALRM, and what asks for too much memory takes none from others.
FENCE = f"""
import resource, signal
signal.alarm({SECONDS})
used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 6 * 2**30,) * 2)
"""
#: What no user should read: the inside of the program or of its libraries.
INSIDE = re.compile(
    r"Traceback|^\s+File |full_key|object_type|hydra\._internal|hydra\.errors|omegaconf\.|<class|"
    r"object at 0x|subclass of|HYDRA_FULL_ERROR|Error: *$",
    re.MULTILINE,
)


@dataclass
class Tally:
    """What became of the lines tried so far."""

    answers: collections.Counter[str] = field(default_factory=collections.Counter)
    kinds: collections.Counter[str] = field(default_factory=collections.Counter)
    seconds: float = 0.0


class Ground:
    """Where command lines are tried: each in a fresh folder beside a finished run."""

    def __init__(self, root: Path):
        self.root, self.forks, self.tally = root, Forks(), Tally()
        argv = ["hydra.run.dir=done", "trainer.total_steps=200", "trainer.learning_starts=100",
                "trainer.batch_size=8", "trainer.picture=false", "trainer.eval_episodes=2",
                "env.num_eval_envs=2", "agent.hidden_sizes=[8]"]  # fmt: skip
        (root / "first").mkdir()
        assert self.forks.run(argv, root / "first" / "cwd") == 0, (root / "first/err").read_text()

    def try_line(self, line: Line) -> list[str]:
        """Run a command line; returns all that is wrong with how it went."""
        place = self.root / "place"
        shutil.rmtree(place, ignore_errors=True)
        (place / "cwd").mkdir(parents=True)
        shutil.copytree(self.root / "first/cwd/done", place / "cwd" / DONE)
        (place / "cwd" / "file").write_text("in the way")
        before = snapshot(place)
        began = time.monotonic()
        status = self.forks.run(line.argv, place / "cwd", FENCE)
        self.tally.seconds += time.monotonic() - began
        out, err = ((place / name).read_text(errors="replace") for name in ("out", "err"))
        after = {k: v for k, v in snapshot(place).items() if k not in ("out", "err")}
        answer = "trained" if status == 0 and line.answer != "question" else "refused"
        self.tally.answers["answered" if line.answer == "question" else answer] += 1
        self.tally.kinds.update(line.kinds)
        return [
            *faults(line, status, out, err, before, after),
            *unfinished(line, status, place, out),
        ]

    def said(self) -> str:
        """What the last line said on stderr."""
        return (self.root / "place/err").read_text(errors="replace")


def snapshot(folder: Path) -> dict[str, str]:
    """Every file and folder below one, with its text; logs and locks of the finished run apart."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if name not in (f"cwd/{DONE}/run.log", f"cwd/{DONE}/run.lock"):
            found[name] = path.read_bytes().hex() if path.is_file() else ""
    return found


def faults(
    line: Line, status: int, out: str, err: str, before: dict[str, str], after: dict[str, str]
) -> list[str]:
    """Say what is wrong with how a command line was answered."""
    if status < 0:
        return [f"died of signal {-status}" + (": it hung" if status == -14 else "")]
    found = []
    if inside := INSIDE.search(err):
        found.append(f"shows its inside: {inside[0]!r}")
    changed = sorted({k for k in before | after if before.get(k) != after.get(k)})
    if status == 0:
        if line.answer == "refuse":
            found.append("was accepted")
        if line.answer == "question" and changed:
            found.append(f"left {changed}")
        return found
    said = err.splitlines()
    # What is no UTF-8 is shown as it is escaped.
    names = [*line.names, *(ascii(name)[1:-1] for name in line.names)]
    wrong = {
        "was refused": line.answer in ("train", "question"),
        f"left {changed}": bool(changed),
        f"exit status {status}": status not in (1, 2),
        f"printed {out!r} in place of an answer": bool(out),
        f"{len(said)} lines": not 1 <= len(said) <= 20,
        "a line that is no error's": any(
            not s.startswith(("her_exp: error: ", "her_exp: note: ")) for s in said
        ),
        "a line of more than 600 characters": any(len(s) > 600 for s in said),
        f"names none of {line.names}": bool(names) and not any(name in err for name in names),
    }
    return [*found, *(text for text, is_so in wrong.items() if is_so)]


def unfinished(line: Line, status: int, place: Path, out: str) -> list[str]:
    """Say what an accepted line left undone: every folder that it prints holds a finished run."""
    if status != 0 or line.answer == "question":
        return []
    folders = [place / "cwd" / text for text in out.splitlines()]
    if not folders:
        return ["printed no folder"]
    found = [f"{folder} does not exist" for folder in folders if not folder.is_dir()]
    results = [p for f in folders for p in [f / "result.json", *f.glob("*/result.json")]]
    there = [json.loads(path.read_text())["status"] for path in results if path.exists()]
    if not there or set(there) != {"done"}:
        found.append(f"runs ended {there}")
    outside = {p.name for p in place.iterdir()} - {"cwd", "out", "err"}
    return found + ([f"wrote {outside} outside"] if outside else [])


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    ground = Ground(tmp_path_factory.mktemp("fuzz"))
    yield ground
    ground.forks.close()


def smallest(ground: Ground, line: Line) -> Line:
    """Leave out every word without which the line is still at fault."""
    for word in list(line.words):
        if any(name in word for name in line.names):  # what is wrong with the line stays
            continue
        less = dataclasses.replace(line, words=[w for w in line.words if w is not word])
        if ground.try_line(less):
            line = less
    return line


def fuzz(ground: Ground, count: int, seed: int) -> Tally:
    """Try `count` lines; of those at fault, say what is wrong with the smallest form of each."""
    ground.tally = tally = Tally()
    wrong = [line for line in itertools.islice(lines(seed), count) if ground.try_line(line)]
    ground.tally = Tally()
    reports = []
    for line in wrong[:5]:
        least = smallest(ground, line)
        found = ground.try_line(least)
        reports.append(f"{least.kinds} {least.argv}\n{found}\n{ground.said()}")
    assert not wrong, f"{len(wrong)} of {count} at fault\n" + "\n".join(reports)
    return tally


def assert_sensible(tally: Tally) -> None:
    """An empty show would refuse, or accept, nearly everything, or leave a kind out."""
    assert 0.2 <= tally.answers["trained"] / tally.answers.total() <= 0.7, tally
    assert set(tally.kinds) == {"right", "again", "question", *WRONG}


def test_every_choice_of_groups_is_in_the_tree() -> None:
    fit, misfit = tree()
    assert {"env=point_reach", "env=gym", "agent=ddpg"} <= {w for base in fit for w in base.words}
    assert misfit
    assert all(base.leaves["agent.gamma"].range for base in fit)


@pytest.mark.timeout(1800)
def test_random_command_lines(ground: Ground) -> None:
    assert_sensible(fuzz(ground, 60, seed=0))


@pytest.mark.slow
@pytest.mark.timeout(4 * 3600)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_many_random_command_lines(ground: Ground, seed: int) -> None:
    tally = fuzz(ground, 500, seed)
    assert_sensible(tally)
    print(f"{tally.answers}, {tally.seconds / tally.answers.total():.2f} s each")
