"""Hundreds of command lines made at random: each one trains, or is refused in clear words.

A refused one says in at most twenty lines which key is wrong, exits with a status, and leaves every file
as it was. An accepted one trains to the end. Nothing shows a traceback, hangs or dies.
"""

from __future__ import annotations

import itertools
import json
import re
import shutil
from pathlib import Path

import pytest

from tests.commands.forked_commands import Forks
from tests.fuzz.command_lines import KINDS, SHORT, Line, lines

#: In the child: a hang ends by SIGALRM, and what asks for too much memory takes none from others.
FENCE = """
import resource, signal
signal.alarm(150)
used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 6 * 2**30,) * 2)
"""
#: What no user should read: the inside of the program or of its libraries.
INSIDE = re.compile(
    r"Traceback|^\s+File |full_key|object_type|hydra\._internal|hydra\.errors|omegaconf\.|<class|"
    r"object at 0x|subclass of|HYDRA_FULL_ERROR|Error: *$",
    re.MULTILINE,
)


@pytest.fixture(scope="module")
def done(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    root = tmp_path_factory.mktemp("fuzz")
    argv = [*(f"{key}={value}" for key, value in SHORT.items()), "hydra.run.dir=done"]
    assert forks.run(argv, root / "cwd") == 0, (root / "err").read_text()
    return root / "cwd/done"


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file and folder below one; logs and locks of the finished run apart."""
    found = {str(path.relative_to(folder)): path for path in folder.rglob("*")}
    kept = {name: path for name, path in found.items() if not re.search(r"done/run.lo", name)}
    return {name: path.read_bytes() if path.is_file() else b"" for name, path in kept.items()}


def faults(line: Line, forks: Forks, done: Path) -> list[str]:
    """Run a command line in a fresh folder beside a finished run; say what is wrong with how it went."""
    place = done.parents[1] / "place"
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(done, place / "cwd/done")
    (place / "cwd/file").write_text("in the way")
    before = snapshot(place / "cwd")
    status = forks.run(line.argv, place / "cwd", FENCE)
    after = snapshot(place / "cwd")
    out, err = ((place / name).read_text(errors="replace") for name in ("out", "err"))
    changed = sorted(k for k in before | after if before.get(k) != after.get(k))
    outside = {path.name for path in place.iterdir()} - {"cwd", "out", "err"}
    said = err.splitlines()
    trained = status == 0
    wrong = {
        f"died of signal {-status}": status < 0,
        f"shows its inside: {INSIDE.findall(err)}": bool(INSIDE.search(err)),
        f"left {changed}": bool(changed) and not trained,
        f"wrote {outside} outside": bool(outside),
        "was accepted": trained and line.answer == "refuse",
        "was refused": status != 0 and line.answer == "train",
    }
    if status > 0:
        wrong |= {
            f"exit status {status}": status > 2,
            f"printed {out!r} in place of an answer": bool(out),
            f"{len(said)} lines": not 1 <= len(said) <= 20,
            "a line that is no error's": any(
                not re.match("her_exp: (error|note): .{0,600}$", s) for s in said
            ),
            f"names none of {line.names}": bool(line.names)
            and not any(n in err for n in line.names),
        }
    if trained:
        folders = [place / "cwd" / text for text in out.splitlines()]
        results = [p for f in folders for p in [f / "result.json", *f.glob("*/result.json")]]
        ends = [json.loads(p.read_text())["status"] for p in results if p.exists()]
        wrong |= {
            f"no folder among {folders}": not all(f.is_dir() for f in folders),
            f"runs ended {ends}": set(ends) != {"done"},
        }
    found = [text for text, is_so in wrong.items() if is_so]
    return [f"{line.kind} {line.argv}", *found, err] if found else []


def fuzz(count: int, seed: int, forks: Forks, done: Path) -> None:
    tried = list(itertools.islice(lines(seed), count))
    wrong = [found for line in tried if (found := faults(line, forks, done))]
    assert not wrong, f"{len(wrong)} at fault\n" + "\n".join(map(str, wrong[:5]))


@pytest.mark.timeout(1800)
def test_random_command_lines(forks: Forks, done: Path) -> None:
    fuzz(len(KINDS), 0, forks, done)


@pytest.mark.slow
@pytest.mark.timeout(4 * 3600)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_many_random_command_lines(seed: int, forks: Forks, done: Path) -> None:
    fuzz(500, seed, forks, done)
