"""A folder in which real commands are run, as forks, and what they printed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.commands.forked_commands import Child, Forks


class Shell:
    """Runs commands in `cwd`, which begins empty."""

    def __init__(self, forks: Forks, cwd: Path):
        self.forks, self.cwd = forks, cwd

    def __call__(self, *argv: str, prelude: str = "") -> int:
        """Run a command to its end; returns its exit status."""
        return self.forks.run(list(argv), self.cwd, prelude)

    def start(self, *argv: str, prelude: str = "") -> Child:
        return self.forks.start(list(argv), self.cwd, prelude)

    def told(self, name: str = "err") -> str:
        """What was printed since the last call."""
        path = self.cwd.parent / name
        text = path.read_text() if path.exists() else ""
        path.unlink(missing_ok=True)
        return text

    def done(self, *argv: str, prelude: str = "") -> str:
        """Run a command that goes well; returns what it told."""
        self.told()
        assert self(*argv, prelude=prelude) == 0, self.told()
        return self.told()

    def refused(self, *argv: str, prelude: str = "") -> list[str]:
        """Run a command that is refused and leaves nothing; returns its lines without their beginning."""
        self.told()
        before = sorted(self.cwd.rglob("*"))
        status = self(*argv, prelude=prelude)
        lines = self.told().splitlines()
        assert status == 2, lines
        assert sorted(self.cwd.rglob("*")) == before
        assert all(line.startswith("her_exp: error: ") for line in lines), lines
        return [line.removeprefix("her_exp: error: ") for line in lines]


@pytest.fixture
def sh(forks: Forks, cwd: Path) -> Shell:
    return Shell(forks, cwd)
